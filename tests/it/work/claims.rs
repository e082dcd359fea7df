//! Claims under attack: whoever comes at whatever instant, nothing runs twice at once and nobody else is harmed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use taskqueue::crash::{Point, VARIABLE};

use super::{
    Queue, block_on, exists, jobs, lines, number, on_both, stats, status, stopped, store_id,
};
use crate::support::{Beanstalkd, NOBODY, Running, Taskqueue, job, put, tube, until};

on_both!(
    without_its_file_of_locks_nothing_begins,
    a_file_of_locks_that_went_with_the_machine_is_made_anew,
    a_slow_recoverer_harms_nobody_when_it_wakes,
    an_owner_that_is_stopped_is_not_dead,
    cleanup_leaves_a_foreign_task_whose_job_is_not_deleted_yet,
    two_jobs_of_one_task_in_two_tubes_run_it_once,
    an_old_kick_does_not_ask_for_another_run,
);

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

/// A command that runs until the file `go` is there, and says so.
fn configure(taskqueue: &Taskqueue) {
    let text = "echo begin $TASKQUEUE_TASK_ID $TASKQUEUE_ATTEMPT $$ >> log\n\
                until [ -e go ]; do sleep 0.05; done\n\
                echo end $TASKQUEUE_TASK_ID $TASKQUEUE_ATTEMPT $$ >> log\n";
    std::fs::write(taskqueue.path("script"), text).unwrap();
    taskqueue.configure("[commands.job]\nrun = [\"/bin/sh\", \"script\"]\n");
}

/// The processes whose attempts with this number have begun.
fn begun(taskqueue: &Taskqueue, attempt: u32) -> Vec<String> {
    let log = lines(&taskqueue.path("log"));
    let words = log.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|words| words[0] == "begin" && words[2] == attempt.to_string())
        .map(|words| words[3].to_owned())
        .collect()
}

/// A foreign producer's job in the tube `t`.
fn put_body(queue: &dyn Queue, body: impl AsRef<[u8]>) -> u64 {
    block_on(async { put(queue.session().as_mut(), &tube("t"), job(body)).await }).unwrap()
}

/// Somebody kicked its job while it waited for its last attempt; whoever was to bury it then dies.
fn an_old_kick_does_not_ask_for_another_run(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(
        "[commands.fails]\nrun = [\"/bin/sh\", \"-c\", \"echo ran >> log; exit 1\"]\n\
         max_attempts = 2\nbackoff = { first = 1 }\n",
    );
    taskqueue.run(&["put", "--use-tube", "t", "fails"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "1"), "waiting");
    let kicked = block_on(async { queue.session().kick(&tube("t"), 1).await });
    assert_eq!(kicked, Ok(1));
    let mut dying = taskqueue.command(&WORKER);
    dying.env(VARIABLE, format!("{:?}", Point::OutcomeRecorded));
    assert_eq!(Running::start(dying).wait().code, None);
    assert_eq!(status(taskqueue, "1"), "failed");
    let next = taskqueue.start(&WORKER);
    until("buried or deleted", || {
        stats(queue, "t").buried == jobs(queue, "t")
    });
    assert_eq!(lines(&taskqueue.path("log")), ["ran", "ran"]);
    // One that comes after that does.
    let kicked = block_on(async { queue.session().kick(&tube("t"), 1).await });
    if kicked == Ok(1) {
        until("ran again", || lines(&taskqueue.path("log")).len() >= 3);
    }
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
}

#[test]
fn a_task_of_another_store_with_the_same_uuid_is_left_alone() {
    let (server, other) = (Beanstalkd::start(), Beanstalkd::start());
    let (ours, theirs) = (Taskqueue::with(&server), Taskqueue::with(&other));
    let body = r#"{"taskqueue":1,"uuid":"018f4a00-0000-7000-8000-000000000001","command":"job"}"#;
    put_body(&server, body);
    put_body(&other, body);
    let start = |taskqueue: &Taskqueue| {
        configure(taskqueue);
        let worker = taskqueue.start(&WORKER);
        until("begun", || begun(taskqueue, 1).len() == 1);
        worker
    };
    let (worker, bystander) = (start(&ours), start(&theirs));
    worker.signal(Signal::KILL);
    assert_eq!(worker.wait().code, None);
    let (mine, spared) = (begun(&ours, 1), begun(&theirs, 1));
    until("its own is ended", || !exists(&mine[0]));

    let next = ours.start(&WORKER);
    until("begun again", || begun(&ours, 2).len() == 1);
    assert!(exists(&spared[0]), "another store's process was killed");
    for (taskqueue, worker) in [(&ours, next), (&theirs, bystander)] {
        std::fs::write(taskqueue.path("go"), "").unwrap();
        until("done", || status(taskqueue, "1") == "done");
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
    }
    assert_eq!(theirs.show("1")["attempts"].as_array().unwrap().len(), 1);
}

fn put_two(taskqueue: &Taskqueue) {
    configure(taskqueue);
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
}

fn remove_locks(taskqueue: &Taskqueue) {
    std::fs::remove_file(taskqueue.path("t.db-locks")).unwrap();
}

fn without_its_file_of_locks_nothing_begins(taskqueue: &Taskqueue, _: &dyn Queue) {
    put_two(taskqueue);
    let first = taskqueue.start(&WORKER);
    until("begun", || begun(taskqueue, 1).len() == 1);
    remove_locks(taskqueue);
    let refused = taskqueue.run(&WORKER).failed(1);
    let by_hand = format!(
        "(umask 077; echo {} 3 > {})",
        store_id(taskqueue),
        taskqueue.path("t.db-locks").display()
    );
    assert!(refused.contains("nobody can tell who lives"), "{refused}");
    assert!(refused.contains(&by_hand), "{refused}");
    assert!(exists(&begun(taskqueue, 1)[0]), "it was taken for dead");

    // What it has begun it finishes, and begins nothing else, for nobody would see it live.
    std::fs::write(taskqueue.path("go"), "").unwrap();
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("done", || number(taskqueue, done) == 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(begun(taskqueue, 1).len(), 1);
    first.signal(Signal::TERM);
    let said = first.wait();
    assert_eq!(said.code, Some(0));
    assert!(
        said.stderr.contains("nobody can tell who lives"),
        "{said:?}"
    );
    assert!(said.stderr.lines().count() < 4, "{said:?}");

    let made = Command::new("sh").args(["-c", &by_hand]).status();
    assert!(made.unwrap().success());
    let next = taskqueue.start(&WORKER);
    until("done", || number(taskqueue, done) == 2);
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), 2);
}

fn a_file_of_locks_that_went_with_the_machine_is_made_anew(taskqueue: &Taskqueue, _: &dyn Queue) {
    put_two(taskqueue);
    let first = taskqueue.start(&WORKER);
    until("begun", || begun(taskqueue, 1).len() == 1);
    first.signal(Signal::KILL);
    first.wait();
    let pid = begun(taskqueue, 1).remove(0);
    until("ended", || !exists(&pid));
    remove_locks(taskqueue);
    let refused = taskqueue.run(&WORKER).failed(1);
    assert!(refused.contains("nobody can tell who lives"), "{refused}");

    // As if the machine had been started again since.
    let before = "UPDATE workers SET boot = 'before'";
    taskqueue.sqlite().execute_batch(before).unwrap();
    std::fs::write(taskqueue.path("go"), "").unwrap();
    let next = taskqueue.start(&WORKER);
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("done", || number(taskqueue, done) == 2);
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    let lost = taskqueue.show("1")["attempts"][0].clone();
    assert_eq!(lost["outcome"], "lost");
    assert_eq!(number(taskqueue, "SELECT lost FROM tasks WHERE id = 1"), 0);
}

/// Lets what runs end, and waits until these workers have done all there is.
fn finish(taskqueue: &Taskqueue, workers: Vec<Running>) {
    std::fs::write(taskqueue.path("go"), "").unwrap();
    let open = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
    until("all ended", || number(taskqueue, open) == 0);
    for worker in workers {
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
    }
}

fn attempts(taskqueue: &Taskqueue, id: &str) -> Vec<Value> {
    taskqueue.show(id)["attempts"].as_array().unwrap().clone()
}

const RECONCILE: [&str; 2] = ["reconcile", "--json"];

fn a_slow_recoverer_harms_nobody_when_it_wakes(taskqueue: &Taskqueue, _: &dyn Queue) {
    put_two(taskqueue);
    let dead = [taskqueue.start(&WORKER), taskqueue.start(&WORKER)];
    until("two begun", || begun(taskqueue, 1).len() == 2);
    for worker in dead {
        worker.signal(Signal::KILL);
        worker.wait();
    }
    // It has seen two dead attempts, taken over the first, and knows nothing of what comes now.
    let slow = stopped(taskqueue, &RECONCILE, Point::TakenOver);
    let worker = taskqueue.start(&WORKER);
    until("one begun again", || begun(taskqueue, 2).len() == 1);
    let again = begun(taskqueue, 2).remove(0);
    slow.signal(Signal::CONT);
    let said = slow.wait();
    let did: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(did["lost"], 1, "the other is not its own: {said:?}");
    assert!(exists(&again), "it ended what another has begun");
    finish(taskqueue, vec![worker]);
    for id in ["1", "2"] {
        let attempts = attempts(taskqueue, id);
        assert_eq!(attempts.len(), 2, "{attempts:?}");
        assert_eq!(attempts[0]["outcome"], "lost");
        assert_eq!(attempts[1]["outcome"], "exited");
    }
}

fn an_owner_that_is_stopped_is_not_dead(taskqueue: &Taskqueue, _: &dyn Queue) {
    put_two(taskqueue);
    let first = taskqueue.start(&WORKER);
    until("begun", || begun(taskqueue, 1).len() == 1);
    first.signal(Signal::STOP);
    let second = taskqueue.start(&WORKER);
    until("the other begun", || begun(taskqueue, 1).len() == 2);
    assert_eq!(taskqueue.run(&RECONCILE).json()["lost"], 0);
    first.signal(Signal::CONT);
    finish(taskqueue, vec![first, second]);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), 2);
}

fn cleanup_leaves_a_foreign_task_whose_job_is_not_deleted_yet(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
) {
    taskqueue.configure(
        "[tubes.t]\ncommand = \"job\"\n[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo run >> log\"]\n",
    );
    put_body(queue, "raw");
    let worker = stopped(taskqueue, &WORKER, Point::OutcomeRecorded);
    assert_eq!(status(taskqueue, "1"), "done");
    let cleanup = ["cleanup", "--period", "0", "--json"];
    let cleaned = taskqueue.run(&cleanup);
    assert!(cleaned.stdout.contains("\"deleted\":0,"), "{cleaned:?}");
    assert!(
        cleaned.stderr.contains("still at the broker"),
        "{cleaned:?}"
    );
    // And its job comes round, for its worker dies.
    worker.signal(Signal::KILL);
    worker.wait();
    let next = taskqueue.start(&WORKER);
    until("an empty tube", || jobs(queue, "t") == 0);
    finish(taskqueue, vec![next]);
    assert_eq!(lines(&taskqueue.path("log")), ["run"]);
    assert_eq!(taskqueue.run(&cleanup).json()["deleted"], 1);
}

fn two_jobs_of_one_task_in_two_tubes_run_it_once(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    for name in ["t", "u"] {
        taskqueue.run(&["put", "--use-tube", name, "job"]).ok();
    }
    // A job too many for each, in the other's tube.
    for (id, other) in [("1", "u"), ("2", "t")] {
        let (uuid, store) = (&taskqueue.show(id)["uuid"], store_id(taskqueue));
        let body = format!(r#"{{"taskqueue":1,"uuid":{uuid},"store":"{store}"}}"#);
        block_on(async { put(queue.session().as_mut(), &tube(other), job(body)).await }).unwrap();
    }
    let of = |name| taskqueue.start(&["worker", "--use-tube", name, "--log", "error"]);
    let workers = vec![of("t"), of("u"), of("t"), of("u")];
    until("both begun", || begun(taskqueue, 1).len() == 2);
    finish(taskqueue, workers);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), 2);
}

#[test]
fn two_reconciliations_at_once_put_each_task_once() {
    const MISSING: u64 = 600;
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    let lines = "{\"taskqueue\":1,\"command\":\"job\"}\n".repeat(MISSING as usize);
    let nowhere = ["put", "--use-tube", "t", "--batch", "-", "--broker", NOBODY];
    assert_eq!(taskqueue.run_with(&nowhere, lines.as_bytes()).code, Some(0));
    let all: Vec<Running> = (0..4).map(|_| taskqueue.start(&RECONCILE)).collect();
    let put: u64 = all
        .into_iter()
        .map(|one| one.wait().json()["put"].as_u64().unwrap())
        .sum();
    assert_eq!((put, jobs(&server, "t")), (MISSING, MISSING));
}

#[test]
fn a_task_that_is_regenerated_while_others_reconcile_runs_once_more() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue
        .configure("[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo run >> log; exit 1\"]\n");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(&taskqueue, "1"), "failed");
    let slow = stopped(&taskqueue, &["regenerate", "--id", "1"], Point::Regenerated);
    // It is left to who began the put, until that takes too long.
    assert_eq!(taskqueue.run(&RECONCILE).json()["put"], 0);
    let past = "UPDATE puts SET until = 1 WHERE until IS NOT NULL";
    taskqueue.sqlite().execute_batch(past).unwrap();
    assert_eq!(taskqueue.run(&RECONCILE).json()["put"], 1);
    slow.signal(Signal::CONT);
    assert_eq!(slow.wait().code, Some(0));
    let workers = [taskqueue.start(&WORKER), taskqueue.start(&WORKER)];
    until("an empty tube", || jobs(&server, "t") == 0);
    finish(&taskqueue, workers.into());
    assert_eq!(lines(&taskqueue.path("log")), ["run", "run"]);
    assert_eq!(attempts(&taskqueue, "1").len(), 2);
}

/// The same command in a pid namespace of its own, as in another container. All of it goes with whoever started it.
fn contained(command: &Command, program: &[&str]) -> Command {
    let mut contained = Command::new("unshare");
    contained
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .args(program)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    contained
}

/// A process of a test, by the first words of its command line.
fn find(taskqueue: &Taskqueue, is_it: impl Fn(&[&str]) -> bool) -> Option<Pid> {
    let folder = taskqueue.path("").canonicalize().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let here = std::fs::read_link(entry.path().join("cwd")).ok()?;
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let words: Vec<&str> = line.split('\0').collect();
            (here == folder && is_it(&words)).then_some(Pid::from_raw(pid)?)
        })
}

#[test]
fn another_containers_attempt_is_not_run_again_while_it_lives() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    let able = contained(&taskqueue.command(&[]), &["true"]).output();
    if !able.is_ok_and(|able| able.status.success()) {
        eprintln!("skipped: no pid namespace may be made here");
        return;
    }
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    // Not the first process there, with which all the others would end.
    let beside = ["sh", "-c", "\"$@\" & sleep 300", "sh"];
    let _there = Running::start(contained(&taskqueue.command(&WORKER), &beside));
    until("begun", || begun(&taskqueue, 1).len() == 1);
    let owner = find(&taskqueue, |words| words.get(1) == Some(&"worker")).unwrap();
    assert_eq!(taskqueue.run(&RECONCILE).json()["lost"], 0, "it lives");

    // Nobody who could see its command is left.
    kill_process(owner, Signal::STOP).unwrap();
    let guard = find(&taskqueue, |words| words[0] == "tq-guard").unwrap();
    kill_process(guard, Signal::KILL).unwrap();
    kill_process(owner, Signal::KILL).unwrap();
    let command = find(&taskqueue, |words| words.get(1) == Some(&"script")).unwrap();
    let _elsewhere = Running::start(contained(&taskqueue.command(&WORKER), &[]));
    let taken =
        "SELECT count(*) FROM tasks JOIN workers ON workers.id = owner WHERE workers.id > 1";
    until("taken over", || number(&taskqueue, taken) == 1);
    // Longer than it tries to end what it cannot see.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) {
        assert_eq!(begun(&taskqueue, 2).len(), 0, "two at once");
        std::thread::sleep(Duration::from_millis(50));
    }
    kill_process(command, Signal::KILL).unwrap();
    until("begun again", || begun(&taskqueue, 2).len() == 1);
    std::fs::write(taskqueue.path("go"), "").unwrap();
    until("done", || status(&taskqueue, "1") == "done");
}
