//! Workers and tenders with real commands, on a real beanstalkd and on the embedded broker.

mod after;
mod ahead;
mod answers;
mod apart;
mod as_whom;
mod asked;
mod awkward;
mod batches;
mod bulk;
mod cancel;
mod claims;
mod cleanups;
mod clock;
mod console;
mod crash;
mod described;
mod ends;
mod everything;
mod faults;
mod flood;
mod hand;
mod hooks;
mod hostile;
mod journal;
mod keys;
mod kills;
mod lacks;
mod late;
mod later;
mod limits;
mod logs;
mod memory;
mod orphans;
mod others;
mod own;
mod put_off;
mod reconcile;
mod recovery;
mod refused;
mod reports;
mod retention;
mod running;
mod shutdown;
mod sizing;
mod steps;
mod stops;
mod strangers;
mod suspended;
mod tags;
mod terminal;
mod trouble;
mod vain;
mod why;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Beanstalkd, Running, Taskqueue, tube, until};
use taskqueue::broker::embedded::Embedded;
use taskqueue::broker::{Broker, TubeStats};
use taskqueue::crash::{Point, STOP_VARIABLE};
use uuid::Uuid;

/// Where the jobs of a test are.
trait Queue {
    fn session(&self) -> Box<dyn Broker>;
}

impl Queue for Beanstalkd {
    fn session(&self) -> Box<dyn Broker> {
        Box::new(self.client())
    }
}

/// In its own store, if it was made so.
impl Queue for Taskqueue {
    fn session(&self) -> Box<dyn Broker> {
        Box::new(Embedded::new(&self.store()))
    }
}

/// Makes each case a test of both brokers.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod on_beanstalkd {
            $(
                #[test]
                fn $case() {
                    let server = crate::support::Beanstalkd::start();
                    let taskqueue = crate::support::Taskqueue::with(&server);
                    super::$case(&taskqueue, &server);
                }
            )+
        }
        mod on_embedded {
            $(
                #[test]
                fn $case() {
                    let taskqueue = crate::support::Taskqueue::embedded();
                    super::$case(&taskqueue, &taskqueue);
                }
            )+
        }
    };
}
use on_both;

/// Does what a loop would do.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// What `stats-tube` says; nothing at all of a tube that is no more.
fn stats(queue: &dyn Queue, name: &str) -> TubeStats {
    let asked = block_on(async { queue.session().stats_tube(&tube(name)).await });
    asked.unwrap().unwrap_or(TubeStats {
        ready: 0,
        reserved: 0,
        delayed: 0,
        buried: 0,
        waiting: 0,
        watching: None,
        pause_left: std::time::Duration::ZERO,
    })
}

/// Jobs in a tube, wherever they stand.
fn jobs(queue: &dyn Queue, name: &str) -> u64 {
    let TubeStats {
        ready,
        reserved,
        delayed,
        buried,
        ..
    } = stats(queue, name);
    ready + reserved + delayed + buried
}

/// A tender that keeps so many workers for the tube `t`, no more and no fewer.
fn tend(taskqueue: &Taskqueue, workers: u32) -> Running {
    let workers = workers.to_string();
    taskqueue.start(&[
        "tender",
        "--use-tube",
        "t",
        "--min-workers",
        &workers,
        "--max-workers",
        &workers,
        "--log",
        "error",
    ])
}

/// One number from the store.
fn number(taskqueue: &Taskqueue, sql: &str) -> i64 {
    taskqueue
        .sqlite()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

/// The store's own id.
fn store_id(taskqueue: &Taskqueue) -> Uuid {
    let id = "SELECT id FROM store";
    let id = taskqueue.sqlite().query_row(id, [], |row| row.get(0));
    Uuid::from_bytes(id.unwrap())
}

/// A task's status, as it is shown.
fn status(taskqueue: &Taskqueue, id: &str) -> String {
    taskqueue.show(id)["status"].as_str().unwrap().to_owned()
}

/// The lines of a file that a command writes; none while there is no file.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whether a process with that number exists and is no zombie.
fn exists(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; the state comes after it.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Starts the program, and waits until it has stopped itself there.
fn stopped(taskqueue: &Taskqueue, args: &[&str], point: Point) -> Running {
    stopped_by(taskqueue.command(args), point)
}

/// The same of a command that has surroundings of its own.
fn stopped_by(mut command: Command, point: Point) -> Running {
    command.env(STOP_VARIABLE, format!("{point:?}"));
    let running = Running::start(command);
    until("stopped", || {
        let stat = format!("/proc/{}/stat", running.pid().as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    running
}
