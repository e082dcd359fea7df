<?php
// Puts one job into beanstalkd and prints its number. BEANSTALKD=host:port names another server.
// What a body may hold: taskqueue-payload(7).

function fail(string $why): never
{
    fwrite(STDERR, "nothing was put: $why\n");
    exit(1);
}

$body = json_encode([
    'taskqueue' => 1,
    'command' => 'invoice:send',
    'arguments' => ['12'],
    // If there are none, leave them out, or write []: an empty array is taken for an empty object.
    'options' => ['format' => 'pdf', 'copy' => true, 'note' => 'it\'s "net" & $5'],
], JSON_THROW_ON_ERROR);

$address = getenv('BEANSTALKD') ?: '127.0.0.1:11300';
$server = @stream_socket_client("tcp://$address", $errno, $error, 5);
$server or fail("cannot reach beanstalkd at $address: $error");
stream_set_timeout($server, 5);

// Priority 1024, no delay, a TTR of 60 s: workers touch their jobs, so that this bounds nothing.
fwrite($server, "use invoices\r\nput 1024 0 60 " . strlen($body) . "\r\n$body\r\n");
$using = fgets($server);
$answer = explode(' ', trim((string) fgets($server)));
match ($answer[0]) {
    'INSERTED' => print("$answer[1]\n"),
    'JOB_TOO_BIG' => fail('JOB_TOO_BIG: beanstalkd takes larger ones with -z'),
    'DRAINING' => fail('DRAINING: beanstalkd takes no new jobs; try another, or later'),
    '' => fail("beanstalkd at $address did not answer"),
    default => fail("beanstalkd answered " . trim((string) $using) . ', ' . implode(' ', $answer)),
};
