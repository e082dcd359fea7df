//! Several tubes with weights in one pool: with whole processes.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Pid;
use serde_json::Value;

use super::status;
use crate::support::{Beanstalkd, Running, Taskqueue, until};

/// A command that notes its tube, and takes so many seconds.
fn command(name: &str, seconds: &str) -> String {
    format!(
        "[commands.{name}]\nrun = ['/bin/sh', '-c', 'echo $TASKQUEUE_TUBE >> done; exec sleep {seconds}']\n"
    )
}

/// A tube without a worker that waits for jobs.
fn table(tube: &str, more: &str) -> String {
    format!("[tubes.{tube}]\nmin_workers = 0\nspare_workers = 0\nmax_workers = 20\n{more}\n")
}

fn flood(taskqueue: &Taskqueue, tube: &str, command: &str, tasks: usize) {
    let lines = format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n").repeat(tasks);
    let put = ["put", "--use-tube", tube, "--batch", "-"];
    taskqueue.run_with(&put, lines.as_bytes()).ok();
}

fn put(taskqueue: &Taskqueue, tube: &str, command: &str) {
    taskqueue.run(&["put", "--use-tube", tube, command]).ok();
}

/// How many commands have begun, by their tubes.
fn begun(taskqueue: &Taskqueue) -> BTreeMap<String, usize> {
    let mut begun = BTreeMap::new();
    let lines = fs::read_to_string(taskqueue.path("done")).unwrap_or_default();
    for tube in lines.lines() {
        *begun.entry(tube.to_owned()).or_default() += 1;
    }
    begun
}

/// The workers of a tender that have a process, by the kernel.
fn workers(tender: Pid) -> usize {
    let parent = tender.as_raw_nonzero().get().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_worker = |entry: &fs::DirEntry| {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let mut after = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let is_its = after.next() != Some("Z") && after.next() == Some(parent.as_str());
        // It begins as its parent, before it is another program.
        is_its && read("cmdline").windows(8).any(|part| part == b"\0worker\0")
    };
    entries.filter(is_worker).count()
}

/// Looks again and again how many workers there are, until it is asked for the most.
struct Watch {
    ends: Arc<AtomicBool>,
    most: JoinHandle<usize>,
}

impl Watch {
    fn of(tender: &Running) -> Watch {
        let ends = Arc::new(AtomicBool::new(false));
        let (pid, over) = (tender.pid(), Arc::clone(&ends));
        let most = thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = most.max(workers(pid));
                thread::sleep(Duration::from_millis(5));
            }
            most
        });
        Watch { ends, most }
    }

    fn most(self) -> usize {
        self.ends.store(true, Ordering::SeqCst);
        self.most.join().unwrap()
    }
}

fn start(taskqueue: &Taskqueue) -> Running {
    taskqueue.start(&["tender", "--log", "info", "--log-file", "log"])
}

/// What the tender says of the pool of a tube.
fn of(taskqueue: &Taskqueue, tube: &str) -> Value {
    let seen = status(taskqueue);
    let pools = seen["tenders"][0]["pools"].as_array().cloned();
    let mut pools = pools.unwrap_or_default().into_iter();
    pools.find(|pool| pool["tube"] == tube).unwrap_or_default()
}

fn until_busy(taskqueue: &Taskqueue, tube: &str, workers: u64) {
    until(&format!("{workers} busy for {tube}"), || {
        of(taskqueue, tube)["census"]["busy"] == workers
    });
}

#[test]
fn two_full_tubes_are_served_by_weight_and_never_by_more_than_max() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(&format!(
        "[pools.all]\nmax = 9\ntubes = {{ high = 8, low = 1 }}\n{}{}{}",
        table("high", ""),
        table("low", ""),
        command("job", "0.3"),
    ));
    for tube in ["high", "low"] {
        flood(&taskqueue, tube, "job", 1500);
    }
    let tender = start(&taskqueue);
    let watch = Watch::of(&tender);
    until("both are served", || begun(&taskqueue).len() == 2);
    let before = begun(&taskqueue);
    until("many are done", || {
        begun(&taskqueue)["low"] >= before["low"] + 15
    });
    let after = begun(&taskqueue);
    let done = |tube: &str| after[tube] - before[tube];
    let (high, low) = (done("high"), done("low"));
    assert!((4 * low..=16 * low).contains(&high), "{high} to {low}");
    assert_eq!(watch.most(), 9);
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn three_tubes_have_their_turns_on_one_worker() {
    let taskqueue = Taskqueue::embedded();
    let tubes = ["a", "b", "c"];
    let tables: String = tubes.iter().map(|tube| table(tube, "")).collect();
    taskqueue.configure(&format!(
        "[pools.one]\nmax = 1\ntubes = {{ a = 1, b = 1, c = 4 }}\n{tables}{}",
        command("job", "0.05")
    ));
    for tube in tubes {
        flood(&taskqueue, tube, "job", 2000);
    }
    let tender = start(&taskqueue);
    let watch = Watch::of(&tender);
    until("each has had two turns", || {
        let log = fs::read_to_string(taskqueue.path("log")).unwrap_or_default();
        let turns = |tube: &str| {
            let ended = format!(" tube={tube} pool=\"one\" whose=");
            log.matches(&ended).count() >= 2
        };
        tubes.iter().all(|tube| turns(tube))
    });
    assert_eq!(begun(&taskqueue).len(), 3);
    assert_eq!(watch.most(), 1);
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn an_idle_tube_leaves_all_and_a_worker_outside_always_has_room() {
    let taskqueue = Taskqueue::embedded();
    let configure = |pools: &str| {
        taskqueue.configure(&format!(
            "{pools}[tubes.high]\nmin_workers = 0\nspare_workers = 2\nshrink_after = '1h'\n{}{}{}",
            table("low", ""),
            table("urgent", "outside_max = 1"),
            command("job", "600"),
        ));
    };
    let pool = |max: u32| {
        format!("[pools.all]\nmax = {max}\ntubes = {{ high = 8, low = 1, urgent = 1 }}\n")
    };
    configure(&pool(3));
    let tender = start(&taskqueue);
    let busy = |tube: &str| of(&taskqueue, tube)["census"]["busy"].clone();
    until("two to spare", || {
        of(&taskqueue, "high")["census"]["idle"] == 2
    });
    flood(&taskqueue, "low", "job", 5);
    until_busy(&taskqueue, "low", 3);
    until("low is kept", || {
        of(&taskqueue, "low")["reason"] == "more wanted, but the pool all has 3 of at most 3"
    });
    let low = of(&taskqueue, "low");
    let expected =
        serde_json::json!({"name": "all", "max": 3, "workers": 3, "weight": 1, "outside_max": 0});
    assert_eq!(low["shared_pool"], expected);
    let log = fs::read_to_string(taskqueue.path("log")).unwrap();
    assert!(log.contains("worker makes room for another tube"), "{log}");
    assert!(
        log.contains(" tube=high pool=\"all\" whose=\"low\" when=\"at once\""),
        "{log}"
    );
    let text = taskqueue.run(&["status"]).stdout;
    let text: Vec<&str> = text.split_whitespace().collect();
    let text = text.join(" ");
    assert!(
        text.contains("in the pool all with weight 8: 3 of 3"),
        "{text}"
    );

    put(&taskqueue, "urgent", "job");
    until_busy(&taskqueue, "urgent", 1);
    assert_eq!(workers(tender.pid()), 4);

    // No command is ended for another tube.
    put(&taskqueue, "high", "job");
    until("it is known to wait", || {
        let said = taskqueue.run(&["why", "7"]).stdout;
        said.contains(
            "the pool all has all its 3 workers, 0 of them for the tube high, which waits its turn",
        )
    });
    // It is its turn, so a worker was told to go after its job.
    until("one is told", || {
        of(&taskqueue, "low")["census"]["stopping"] == 1
    });
    assert_eq!((busy("low"), busy("high")), (2.into(), 0.into()));
    assert_eq!(workers(tender.pid()), 4);
    let said = taskqueue.run(&["scale", "high", "--min", "4"]).failed(2);
    assert!(
        said.contains("the pool all: its tubes always have 4 workers, and its max is 3"),
        "{said}"
    );

    configure(&pool(4));
    let said = taskqueue.run(&["reload"]).ok();
    assert!(said.contains(
        "the pool all has 4 workers for high with 8, low with 1, urgent with 1 and 1 outside, no"
    ));
    until_busy(&taskqueue, "high", 1);

    // What runs goes after its job; what waits has its turn when there is room.
    configure(&pool(1));
    taskqueue.run(&["reload"]).ok();
    until("three are told", || {
        of(&taskqueue, "low")["census"]["stopping"] == 3
    });
    assert_eq!(
        (busy("low"), busy("high"), busy("urgent")),
        (0.into(), 1.into(), 1.into())
    );
    assert_eq!(workers(tender.pid()), 5);

    // Without the pool, each tube is bounded by its own max.
    configure("");
    let said = taskqueue.run(&["reload"]).failed(2);
    assert!(
        said.contains("the tube stands in no pool that its workers could be outside of"),
        "{said}"
    );
    configure("[pools.other]\nmax = 2\ntubes = { urgent = 1 }\n");
    taskqueue.run(&["reload"]).ok();
    until_busy(&taskqueue, "low", 2);
    assert_eq!(of(&taskqueue, "low")["shared_pool"], Value::Null);
    assert_eq!(of(&taskqueue, "urgent")["shared_pool"]["name"], "other");
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_busy_tube_makes_room_after_its_jobs_and_a_pause_leaves_all_to_others() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(&format!(
        "[pools.all]\nmax = 2\ntubes = {{ a = 1, b = 1 }}\n{}{}{}",
        table("a", ""),
        table("b", ""),
        command("job", "0.1")
    ));
    flood(&taskqueue, "a", "job", 2000);
    let tender = start(&taskqueue);
    let watch = Watch::of(&tender);
    until_busy(&taskqueue, "a", 2);
    flood(&taskqueue, "b", "job", 2000);
    until("b is served", || begun(&taskqueue).contains_key("b"));
    taskqueue.run(&["pause", "b"]).ok();
    until("a has all again", || {
        of(&taskqueue, "a")["census"]["busy"] == 2
    });
    taskqueue.run(&["stop", "--use-tube", "a", "--now"]).ok();
    taskqueue.run(&["resume", "b"]).ok();
    until_busy(&taskqueue, "b", 2);
    assert_eq!(watch.most(), 2);
    let list = ["list", "--json", "--use-tube", "a", "--status", "failed"];
    assert_eq!(
        taskqueue.run(&list).stdout.trim(),
        "[]",
        "a command was ended for another tube"
    );
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}

/// Each tender heeds the pool's max among the tubes that it tends.
#[test]
fn a_tender_of_one_tube_heeds_the_pool_for_that() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(&format!(
        "[pools.all]\nmax = 2\ntubes = {{ a = 1, b = 1 }}\n[tubes.b]\nmode = 'static'\nmax_workers = 2\n{}{}",
        table("a", ""),
        command("job", "600")
    ));
    // Together, the one would never have a worker.
    let said = taskqueue.run(&["tender"]).failed(2);
    assert!(
        said.contains(
            "the pool all: its other tubes always have all its 2 workers, and a could never"
        ),
        "{said}"
    );
    flood(&taskqueue, "a", "job", 5);
    let _tender = taskqueue.start(&["tender", "--use-tube", "a", "--log", "error"]);
    until_busy(&taskqueue, "a", 2);
    until("it is kept", || {
        of(&taskqueue, "a")["reason"] == "more wanted, but the pool all has 2 of at most 2"
    });
    taskqueue.run(&["stop", "--now"]).ok();
}
