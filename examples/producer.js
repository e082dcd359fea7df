// Puts one job into beanstalkd and prints its number. BEANSTALKD=host:port names another server.
// What a body may hold: taskqueue-payload(7).
'use strict';

const net = require('node:net');

const hints = {
  JOB_TOO_BIG: 'beanstalkd takes larger ones with -z',
  DRAINING: 'beanstalkd takes no new jobs; try another, or later',
};

const body = JSON.stringify({
  taskqueue: 1,
  command: 'invoice:send',
  arguments: ['12'],
  options: { format: 'pdf', copy: true, note: 'it\'s "net" & $5' },
});

function fail(why) {
  console.error(`nothing was put: ${why}`);
  process.exit(1);
}

const address = process.env.BEANSTALKD || '127.0.0.1:11300';
const colon = address.lastIndexOf(':');
const host = address.slice(0, colon).replace(/[[\]]/g, '');
const server = net.connect(Number(address.slice(colon + 1)), host);
server.setTimeout(5000, () => fail(`beanstalkd at ${address} did not answer`));
server.on('error', (error) => fail(`beanstalkd at ${address}: ${error.message}`));

// Priority 1024, no delay, a TTR of 60 s: workers touch their jobs, so that this bounds nothing.
server.write(`use invoices\r\nput 1024 0 60 ${Buffer.byteLength(body)}\r\n${body}\r\n`);

let heard = '';
server.on('data', (bytes) => {
  heard += bytes;
  const [using, answer, whole] = heard.split('\r\n');
  if (whole === undefined) return; // only the beginning came
  const [word, id] = answer.split(' ');
  if (word !== 'INSERTED') fail(`${hints[word] || `after ${using}`}: beanstalkd answered ${answer}`);
  console.log(id);
  server.end();
});
server.on('close', () => heard.split('\r\n').length > 2 || fail(`beanstalkd at ${address} hung up`));
