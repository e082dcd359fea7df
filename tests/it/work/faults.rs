//! Brokers that fail while workers want something of them: told once, waited for, and what ran meanwhile is settled.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{block_on, jobs, lines, number, stats, status};
use crate::chaos::proxy::Proxy;
use crate::chaos::random::Random;
use crate::support::{
    self, Beanstalkd, Disk, FakeServer, Running, Session, Taskqueue, job, tube, until,
};
use taskqueue::broker::{Broker, NewJob};

/// `job` logs its beginning and end, and waits in between for a file `go`; `again` fails the first time.
fn configure(taskqueue: &Taskqueue) {
    taskqueue.configure(
        r#"
        [commands.job]
        run = ["/bin/sh", "-c", "echo begin >> log; while ! [ -e go ]; do sleep 0.05; done; echo end >> log"]
        [commands.ok]
        run = ["/bin/true"]
        [commands.again]
        run = ["/bin/sh", "-c", "echo $TASKQUEUE_ATTEMPT >> log; while ! [ -e go ]; do sleep 0.05; done; test $TASKQUEUE_ATTEMPT = 2"]
        max_attempts = 2
        backoff = { first = 1 }
        "#,
    );
}

/// A worker whose log is a file of its own.
struct Worker {
    running: Running,
    log: std::path::PathBuf,
}

fn worker(taskqueue: &Taskqueue, name: &str, more: &[&str]) -> Worker {
    let log = taskqueue.path(name);
    let args = [&["worker", "--use-tube", "t"], more].concat();
    let mut command = taskqueue.command(&args);
    command.stderr(File::create(&log).unwrap());
    let running = Running::start(command);
    Worker { running, log }
}

impl Worker {
    fn said(&self, what: &str) -> usize {
        let lines = lines(&self.log);
        lines.iter().filter(|line| line.contains(what)).count()
    }

    /// How often it said that the broker was out of reach, and that it was back.
    fn outages(&self) -> (usize, usize) {
        (
            self.said("could not reserve; will keep trying"),
            self.said("reached the broker again"),
        )
    }

    #[track_caller]
    fn end(self) {
        self.running.signal(Signal::TERM);
        assert_eq!(self.running.wait().code, Some(0));
    }
}

fn put(taskqueue: &Taskqueue, command: &str) {
    let put = ["put", "--use-tube", "t", "--ttr", "2", command];
    taskqueue.run(&put).ok();
}

fn go(taskqueue: &Taskqueue) {
    fs::write(taskqueue.path("go"), "").unwrap();
}

fn done(taskqueue: &Taskqueue, id: &str) {
    until("done", || status(taskqueue, id) == "done");
}

fn attempts(taskqueue: &Taskqueue) -> i64 {
    number(taskqueue, "SELECT count(*) FROM attempts")
}

/// Every wait of a back-off, and so several tries.
const SEVERAL_TRIES: Duration = Duration::from_secs(5);

#[test]
fn a_broker_that_is_not_there_is_told_of_once_an_outage() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    server.kill();
    let worker = worker(&taskqueue, "said", &[]);
    for outage in 1..=2 {
        until("said so", || worker.outages().0 == outage);
        sleep(SEVERAL_TRIES);
        assert_eq!(worker.outages(), (outage, outage - 1), "once a try");
        server.restart();
        let begun = Instant::now();
        until("said so", || worker.outages() == (outage, outage));
        // Two seconds at most between tries, on a machine that does other things as well.
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
        put(&taskqueue, "ok");
        done(&taskqueue, &outage.to_string());
        if outage == 1 {
            server.kill();
        }
    }
    worker.end();
}

#[test]
fn a_reply_that_breaks_off_is_told_of_once_and_asked_for_again() {
    let broken = |nth| {
        let wait = if nth == 0 { 30 } else { 0 };
        Session::new()
            .expect("watch t")
            .expect("ignore default")
            .expect(&format!("reserve-with-timeout {wait}"))
            .send("WATCHING 2\r\nWATCHING 1\r\nRESERVED 1 20\r\nhalf of it")
    };
    let server = FakeServer::start((0..4).map(broken).collect());
    let taskqueue = Taskqueue::alone();
    configure(&taskqueue);
    let broker = format!("beanstalk://{}", server.address());
    let worker = worker(&taskqueue, "said", &["--broker", &broker]);
    server.finish();
    // That one has finished says that its last session was played, not that its end was noticed.
    sleep(Duration::from_millis(500));
    assert_eq!(worker.outages(), (1, 0), "{:?}", lines(&worker.log));
    worker.end();
}

/// Anywhere: in the middle of what is asked, of an answer, of a body.
#[test]
fn connections_that_are_cut_cost_nothing_but_time() {
    const COUNT: i64 = 400;
    const CUTS: u64 = 20;
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.ok]\nrun = [\"/bin/sh\", \"-c\", \"echo $TASKQUEUE_TASK_ID >> log; sleep 0.02\"]\n");
    let lines_of = "{\"taskqueue\":1,\"command\":\"ok\"}\n".repeat(COUNT as usize);
    let batch = ["put", "--use-tube", "t", "--batch", "-"];
    let ran = taskqueue.run_with(&batch, lines_of.as_bytes());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let seed = 20_261_124;
    let proxy = Proxy::start(server.port(), Random::new(seed));
    let broker = format!("beanstalk://127.0.0.1:{}", proxy.port());
    let workers = [
        worker(&taskqueue, "one", &["--broker", &broker]),
        worker(&taskqueue, "two", &["--broker", &broker]),
    ];
    for cut in 0..CUTS {
        proxy.cut();
        until("was cut", || proxy.made() == cut + 1);
        sleep(Duration::from_millis(100));
    }
    let all_done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("all done", || number(&taskqueue, all_done) == COUNT);
    until("an empty tube", || jobs(&server, "t") == 0);
    let mut ran = lines(&taskqueue.path("log"));
    ran.sort_by_key(|id| id.parse::<i64>().unwrap());
    let each_once: Vec<String> = (1..=COUNT).map(|id| id.to_string()).collect();
    assert_eq!(ran, each_once);
    let mut told = 0;
    for worker in workers {
        let (lost, found) = worker.outages();
        assert!(lost - found <= 1, "{lost} lost, {found} found");
        told += lost;
        worker.end();
    }
    assert!(told as u64 <= CUTS, "{told} outages told of {CUTS}");
}

/// The kernel goes on accepting connections, and nobody answers.
#[test]
fn a_stopped_broker_is_told_of_once_and_what_ran_is_settled() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put(&taskqueue, "job");
    let worker = worker(&taskqueue, "said", &[]);
    until("begun", || lines(&taskqueue.path("log")).len() == 1);
    server.signal(Signal::STOP);
    // Past its TTR, and past the time that an answer may take.
    sleep(Duration::from_secs(8));
    assert_eq!(worker.said("lost a reservation"), 1);
    go(&taskqueue);
    done(&taskqueue, "1");
    until("said so", || worker.outages().0 == 1);
    sleep(SEVERAL_TRIES);
    server.signal(Signal::CONT);
    put(&taskqueue, "ok");
    done(&taskqueue, "2");
    until("an empty tube", || jobs(&server, "t") == 0);
    assert_eq!((worker.outages(), attempts(&taskqueue)), ((1, 1), 2));
    assert_eq!(lines(&taskqueue.path("log")), ["begin", "end"]);
    worker.end();
}

#[test]
fn a_slow_broker_and_a_locked_store_cost_no_reservation() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put(&taskqueue, "job");
    put(&taskqueue, "ok");
    let worker = worker(&taskqueue, "worker", &[]);
    let log = taskqueue.path("log");
    until("it runs", || lines(&log).len() == 1);
    let sqlite = taskqueue.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    server.signal(Signal::STOP);
    go(&taskqueue);
    until("it has ended", || lines(&log).len() == 2);
    // Longer than it waits for the broker to say what comes next: it has begun to record.
    sleep(Duration::from_millis(300));
    server.signal(Signal::CONT);
    until("the next is anybody's", || {
        let stats = stats(&server, "t");
        (stats.reserved, stats.ready) == (1, 1)
    });
    // Twice the TTR.
    sleep(Duration::from_secs(5));
    let first = block_on(async { server.client().stats_job(1).await });
    assert_eq!(first.unwrap().unwrap().timeouts, 0);
    assert_eq!(stats(&server, "t").reserved, 1);
    sqlite.execute_batch("COMMIT").unwrap();
    until("all is done", || jobs(&server, "t") == 0);
    done(&taskqueue, "1");
    done(&taskqueue, "2");
    assert_eq!(attempts(&taskqueue), 2);
    worker.end();
}

#[test]
fn a_restarted_broker_is_told_of_once_by_who_waits_and_by_who_works() {
    for binlog in [true, false] {
        let mut server = match binlog {
            true => Beanstalkd::with_binlog(),
            false => Beanstalkd::start(),
        };
        let taskqueue = Taskqueue::with(&server);
        configure(&taskqueue);
        put(&taskqueue, "job");
        let works = worker(&taskqueue, "works", &[]);
        until("begun", || lines(&taskqueue.path("log")).len() == 1);
        let waits = worker(&taskqueue, "waits", &[]);
        until("waits", || stats(&server, "t").waiting == 1);
        server.kill();
        until("said so", || waits.outages().0 == 1);
        sleep(Duration::from_secs(1));
        server.restart();
        until("is back", || waits.outages() == (1, 1));
        go(&taskqueue);
        done(&taskqueue, "1");
        until("an empty tube", || jobs(&server, "t") == 0);
        put(&taskqueue, "ok");
        done(&taskqueue, "2");
        assert_eq!(attempts(&taskqueue), 2, "binlog: {binlog}");
        // Who worked has noticed nothing but that its reservation was gone.
        let (told, back) = works.outages();
        assert!(told <= 1 && back <= 1, "{told} and {back}");
        assert_eq!(waits.outages(), (1, 1));
        works.end();
        waits.end();
    }
}

/// In drain mode it takes no new jobs, and lets those it has be worked on.
#[test]
fn a_drained_broker_lets_its_jobs_be_done_and_is_no_outage() {
    let mut server = Beanstalkd::with_binlog();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put(&taskqueue, "again");
    put(&taskqueue, "ok");
    server.signal(Signal::USR1);
    go(&taskqueue);
    let worker = worker(&taskqueue, "said", &[]);
    done(&taskqueue, "1");
    done(&taskqueue, "2");
    assert_eq!(
        lines(&taskqueue.path("log")),
        ["1", "2"],
        "its retry is no new job"
    );
    let refused = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
    assert_eq!((refused.code, refused.stdout.trim()), (Some(0), "3"));
    assert!(refused.stderr.contains("drain mode"), "{}", refused.stderr);
    assert_eq!(status(&taskqueue, "3"), "waiting");
    assert_eq!(worker.outages(), (0, 0));
    server.restart();
    done(&taskqueue, "3");
    worker.end();
}

#[test]
fn a_paused_tube_is_no_outage_and_what_runs_in_it_is_settled() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put(&taskqueue, "job");
    put(&taskqueue, "ok");
    let worker = worker(&taskqueue, "said", &[]);
    until("begun", || lines(&taskqueue.path("log")).len() == 1);
    let pause = |seconds| {
        let time = Duration::from_secs(seconds);
        block_on(async { server.client().pause(&tube("t"), time).await.unwrap() });
    };
    pause(600);
    go(&taskqueue);
    done(&taskqueue, "1");
    until("deleted", || jobs(&server, "t") == 1);
    sleep(Duration::from_secs(2));
    assert_eq!(status(&taskqueue, "2"), "waiting");
    pause(0);
    done(&taskqueue, "2");
    assert_eq!((worker.outages(), attempts(&taskqueue)), ((0, 0), 2));
    worker.end();
}

/// Longer than a worker takes at all: nobody could run it, and it must not come again and again.
#[test]
fn a_job_that_is_too_long_is_set_aside_and_blocks_nobody() {
    let server = Beanstalkd::start_with(&["-z", "70000000"]);
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    let long = NewJob {
        priority: 7,
        ..job(vec![b'x'; 68_000_000])
    };
    let id = block_on(async { support::put(&mut server.client(), &tube("t"), long).await });
    put(&taskqueue, "ok");
    let worker = worker(&taskqueue, "said", &[]);
    done(&taskqueue, "1");
    assert_eq!((stats(&server, "t").buried, jobs(&server, "t")), (1, 1));
    let buried = block_on(async { server.client().stats_job(id.unwrap()).await });
    assert_eq!(buried.unwrap().unwrap().priority, 7);
    assert_eq!(worker.said("longer than is taken"), 1);
    assert_eq!((worker.outages(), attempts(&taskqueue)), ((0, 0), 1));
    worker.end();
}

/// Has jobs that are nobody's put, and released with a delay, until there is no room for another word.
fn fill(server: &Beanstalkd) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |question: &str| {
        stream.write_all(question.as_bytes()).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        if line.starts_with("RESERVED") {
            let mut body = String::new();
            answers.read_line(&mut body).unwrap();
        }
        line.trim_end().to_owned()
    };
    for tube in ["use filler\r\n", "watch filler\r\n"] {
        ask(tube);
    }
    for size in [4000, 100, 1] {
        let put = format!("put 0 0 60 {size}\r\n{}\r\n", "x".repeat(size));
        while ask(&put).starts_with("INSERTED") {}
    }
    loop {
        let reserved = ask("reserve-with-timeout 0\r\n");
        let id = reserved.split(' ').nth(1).unwrap();
        if ask(&format!("release {id} 0 3600\r\n")) == "OUT_OF_MEMORY" {
            break;
        }
    }
}

/// beanstalkd answers OUT_OF_MEMORY when its binlog can grow no more. A job that was to be released with a delay is
/// then in none of its queues: nobody gets it before a restart.
#[test]
fn a_broker_without_room_loses_no_task() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        return;
    };
    let binlog = disk.path("");
    let binlog = binlog.to_str().unwrap();
    let mut server = Beanstalkd::start_with(&["-b", binlog, "-s", "65536", "-F"]);
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put(&taskqueue, "again");
    let worker = worker(&taskqueue, "said", &[]);
    until("begun", || lines(&taskqueue.path("log")).len() == 1);
    disk.fill();
    fill(&server);
    let refused = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
    assert_eq!((refused.code, refused.stdout.trim()), (Some(0), "2"));
    assert!(
        refused.stderr.contains("out of memory"),
        "{}",
        refused.stderr
    );
    go(&taskqueue);
    until("failed the first time", || {
        status(&taskqueue, "1") == "waiting"
    });
    until("said so", || {
        worker.said("lost a job that was to be released") == 1
    });
    disk.free();
    // Those who were putting are left alone for as long as a put may take.
    let reconciled = || taskqueue.run(&["reconcile"]).code == Some(0);
    until("both put again", || {
        reconciled() && ["1", "2"].iter().all(|id| status(&taskqueue, id) == "done")
    });
    assert_eq!(attempts(&taskqueue), 3);
    assert_eq!(worker.outages(), (0, 0));
    // What comes round after a restart is a job too many.
    server.restart();
    until("an empty tube", || jobs(&server, "t") == 0);
    assert_eq!(attempts(&taskqueue), 3);
    worker.end();
}
