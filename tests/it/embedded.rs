//! What the embedded broker promises beyond what every broker does: several processes, kills, clocks, and that
//! waiting costs nothing.

use rustix::process::Pid;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use taskqueue::broker::embedded::Embedded;
use taskqueue::broker::{Broker, Error, JobState, Reserve};
use tempfile::TempDir;

use crate::support::{PATIENCE, Taskqueue, job, put, reserve, reserve_nothing, tube, until};

const STORE: &str = "TASKQUEUE_TEST_STORE";

/// The other process of [`Other`]: takes a job, says which, and does nothing more.
#[tokio::test]
#[ignore = "a process of another test"]
async fn another_process() {
    let Some(store) = std::env::var_os(STORE) else {
        return;
    };
    let mut session = Embedded::new(Path::new(&store));
    let held = reserve(&mut session, &tube("t")).await;
    eprintln!("held {}", held.id);
    std::future::pending::<()>().await;
}

/// A process that holds a job.
struct Other {
    child: Child,
    /// The job's number.
    held: u64,
}

impl Other {
    fn start(store: &Path) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "embedded::another_process",
                "--nocapture",
            ])
            .env(STORE, store)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let held = said
            .lines()
            .find_map(|line| line.unwrap().strip_prefix("held ")?.parse().ok())
            .unwrap();
        Other { child, held }
    }

    /// Kills it as nothing can be prepared for.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_process_gives_its_job_back_within_a_second() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    let (mut session, t) = (Embedded::new(&store), tube("t"));
    let id = put(&mut session, &t, job("x")).await.unwrap();
    for round in 1..=3 {
        let mut other = Other::start(&store);
        assert_eq!(other.held, id);
        reserve_nothing(&mut session, &t).await;
        assert_eq!(session.remove(id).await, Err(Error::NotFound));
        let stats = session.stats_job(id).await.unwrap().unwrap();
        assert_eq!(
            (stats.state, stats.reserves),
            (JobState::Reserved, 2 * round - 1)
        );
        // Waiting already when it happens.
        let killed = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            other.kill();
            Instant::now()
        };
        let (held, killed) = tokio::join!(reserve(&mut session, &t), killed);
        let took = killed.elapsed();
        assert_eq!(held.id, id);
        assert!(took < Duration::from_secs(1), "it came back after {took:?}");
        let stats = session.stats_job(id).await.unwrap().unwrap();
        assert_eq!((stats.timeouts, stats.releases), (0, round - 1));
        session.release(held, 100, Duration::ZERO).await.unwrap();
    }
    // Whoever looks only afterwards sees at once that nobody holds it.
    let mut other = Other::start(&store);
    other.kill();
    let stats = session.stats_tube(&t).await.unwrap().unwrap();
    assert_eq!((stats.ready, stats.reserved), (1, 0));
    assert_eq!(reserve(&mut session, &t).await.id, id);
}

#[tokio::test]
async fn a_reservation_is_worth_nothing_to_another_session() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    let (mut session, mut other) = (Embedded::new(&store), Embedded::new(&store));
    let id = put(&mut session, &tube("t"), job("x")).await.unwrap();
    let held = reserve(&mut session, &tube("t")).await;
    let lost = Err(Error::ReservationLost { id });
    assert_eq!(other.touch(held.held()).await, lost);
    reserve_nothing(&mut other, &tube("t")).await;
    assert_eq!(other.touch(held.held()).await, lost);
    assert_eq!(session.touch(held.held()).await, Ok(()));
}

#[tokio::test]
async fn a_job_in_an_empty_tube_is_reserved_at_once() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    let (mut session, mut other) = (Embedded::new(&store), Embedded::new(&store));
    let t = tube("t");
    put(&mut other, &tube("warm"), job("")).await.unwrap();
    let mut took = Vec::new();
    for round in 0..200 {
        if round == 100 {
            // Whoever waits listens to a file that is another now.
            std::fs::remove_file(dir.path().join("t.db-bell")).unwrap();
        }
        let putting = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            put(&mut other, &t, job("x")).await.unwrap();
            Instant::now()
        };
        let waiting = async { (reserve(&mut session, &t).await, Instant::now()) };
        let ((held, reserved), put) = tokio::join!(waiting, putting);
        // A job may be reserved before its producer has heard that it was put.
        took.push(reserved.saturating_duration_since(put));
        session.delete(held).await.unwrap();
    }
    took.sort();
    let (median, rarely, most) = (took[100], took[198], took[199]);
    println!(
        "from acknowledged to reserved: median {median:?}, 99 of 100 within {rarely:?}, most {most:?}"
    );
    assert!(median < Duration::from_millis(50), "{took:?}");
    assert!(most < Duration::from_secs(2), "somebody slept: {took:?}");
}

#[tokio::test]
async fn a_job_whose_producer_died_before_it_rang_is_late_and_not_lost() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    let mut session = Embedded::new(&store);
    reserve_nothing(&mut session, &tube("t")).await;
    let silent = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        Connection::open(store)
            .unwrap()
            .execute_batch(
                "BEGIN IMMEDIATE;
                 INSERT INTO jobs (tube, state, priority, ttr, created) VALUES ('t', 'ready', 0, 1, 0);
                 INSERT INTO job_bodies VALUES (1, x'');
                 COMMIT",
            )
            .unwrap();
    });
    assert_eq!(reserve(&mut session, &tube("t")).await.id, 1);
    silent.join().unwrap();
}

/// What only a reboot or somebody with the right to set clocks could do, done to the rows.
#[tokio::test]
async fn after_a_reboot_delays_go_on_and_nothing_is_held() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    let mut session = Embedded::new(&store);
    let t = tube("t");
    let mut ids = Vec::new();
    for (body, delay) in [
        ("soon", 1000),
        ("late", 1000),
        ("stepped", 1000),
        ("held", 0),
    ] {
        let mut new = job(body);
        new.delay = Duration::from_secs(delay);
        ids.push(put(&mut session, &t, new).await.unwrap());
    }
    let held = reserve(&mut session, &t).await;
    assert_eq!(held.id, ids[3]);
    session.pause(&t, Duration::from_secs(100)).await.unwrap();
    // The machine was off: until after the first was due; the third's clock then was hours ahead.
    Connection::open(&store)
        .unwrap()
        .execute_batch(
            "UPDATE queue SET boot = 'another';
             UPDATE jobs SET ready_at = ready_at + 1000000000 WHERE state = 'delayed';
             UPDATE jobs SET ready_wall = ready_wall - 2000000 WHERE id = 1;
             UPDATE jobs SET ready_wall = ready_wall - 400000 WHERE id = 2;
             UPDATE jobs SET ready_wall = ready_wall + 7200000 WHERE id = 3;
             UPDATE pauses SET until_at = until_at + 1000000000",
        )
        .unwrap();
    // Its number is used up: nothing that was held before is mistaken for what is held now.
    let mut after = Embedded::new(&store);
    let stats = after.stats_tube(&t).await.unwrap().unwrap();
    assert_eq!((stats.ready, stats.delayed, stats.reserved), (2, 2, 0));
    assert!(stats.pause_left <= Duration::from_secs(100), "{stats:?}");
    let late = after.stats_job(ids[1]).await.unwrap().unwrap().time_left;
    assert!((500..=600).contains(&late.as_secs()), "{late:?}");
    let stepped = after.stats_job(ids[2]).await.unwrap().unwrap().time_left;
    assert!((900..=1000).contains(&stepped.as_secs()), "{stepped:?}");
    after.pause(&t, Duration::ZERO).await.unwrap();
    assert_eq!(reserve(&mut after, &t).await.id, ids[0]);
    assert_eq!(session.touch(held.held()).await, Err(Error::NotFound));
}

#[tokio::test]
async fn large_bodies_are_taken() {
    let dir = TempDir::new().unwrap();
    let mut session = Embedded::new(&dir.path().join("t.db"));
    let body: Vec<u8> = (0..16_000_000_u32).map(|i| (i % 251) as u8).collect();
    put(&mut session, &tube("t"), job(&body)).await.unwrap();
    let held = reserve(&mut session, &tube("t")).await;
    assert!(held.body == body, "the body was changed");
    session.delete(held).await.unwrap();
    let limit = session.about().await.unwrap().max_job_size;
    assert_eq!(limit, 64 * 1024 * 1024);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_an_error_and_no_more() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    std::fs::write(&store, "my only copy").unwrap();
    let mut session = Embedded::new(&store);
    let error = session.instance().await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("no SQLite database"), "{error}");
    let answers = session.put(&tube("t"), &[job("a"), job("b")]).await;
    assert_eq!(answers, [Err(error.clone()), Err(error)]);
}

#[test]
fn a_task_and_its_job_are_recorded_together_or_not_at_all() {
    let taskqueue = Taskqueue::embedded();
    let put = ["put", "--use-tube", "t", "work"];
    assert_eq!(taskqueue.run(&put).ok(), "1\n");
    taskqueue
        .sqlite()
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON job_bodies BEGIN SELECT raise(ABORT, 'no more jobs'); END",
        )
        .unwrap();
    let said = taskqueue.run(&put).failed(1);
    assert!(said.contains("no more jobs"), "{said}");
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        taskqueue
            .sqlite()
            .query_row(&sql, [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((count("tasks"), count("jobs")), (1, 1));
    taskqueue
        .sqlite()
        .execute_batch("DROP TRIGGER full")
        .unwrap();
    assert_eq!(taskqueue.run(&put).ok(), "2\n");
    assert_eq!((count("tasks"), count("jobs")), (2, 2));
    // It is known which job is whose, as if another broker had taken it.
    let known: i64 = taskqueue
        .sqlite()
        .query_row(
            "SELECT count(*) FROM task_jobs JOIN jobs ON jobs.id = job
             WHERE generation = 1 AND instance IS NOT NULL AND NOT EXISTS (SELECT 1 FROM puts)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(known, 2);
}

#[test]
fn every_subcommand_works_on_it() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.bad]\nrun = [\"/bin/false\"]\non_failure = \"bury\"\n");
    assert_eq!(taskqueue.run(&["ping"]).ok(), "OK\n");
    assert_eq!(
        taskqueue.run(&["put", "--use-tube", "t", "bad"]).ok(),
        "1\n"
    );
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["status"], "failed");
    taskqueue.configure("[commands.bad]\nrun = [\"/bin/true\"]\n");
    let said = taskqueue.run(&["regenerate", "--id", "1"]).ok();
    assert_eq!(said, "task 1 was regenerated\n");
    // The buried job went, the new one is there.
    let jobs: String = taskqueue
        .sqlite()
        .query_row("SELECT group_concat(state) FROM jobs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(jobs, "ready");
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["status"], "done");
    assert_eq!(
        taskqueue.run(&["cleanup", "--period", "0"]).ok(),
        "deleted 1 task\n"
    );
    let listed = taskqueue.run(&["list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 0);
}

#[test]
fn a_worker_that_waits_is_not_woken() {
    let taskqueue = Taskqueue::embedded();
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    let watches = || {
        taskqueue
            .sqlite()
            .query_row("SELECT count(*) FROM watches", [], |row| row.get(0))
    };
    until("waits", || watches().is_ok_and(|count: i64| count == 1));
    std::thread::sleep(Duration::from_secs(1));
    let before = naps(worker.pid());
    std::thread::sleep(Duration::from_secs(5));
    let woken = naps(worker.pid()) - before;
    println!("a waiting worker was woken {woken} times in 5 s");
    // One that polled every quarter of a second would have been twenty times.
    assert!(woken < 10, "woken {woken} times");
}

/// How often the threads of a process went to sleep by themselves (proc(5), "voluntary_ctxt_switches"):
/// unlike time, the same on a busy machine.
fn naps(process: Pid) -> u64 {
    let folder = format!("/proc/{}/task", process.as_raw_nonzero());
    let of_thread = |thread: std::fs::DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    let threads = std::fs::read_dir(folder).unwrap();
    threads.map(|thread| of_thread(thread.unwrap())).sum()
}

#[tokio::test]
async fn a_waiting_reserve_survives_its_session_and_its_runtime() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("t.db");
    let (mut session, t) = (Embedded::new(&store), tube("t"));
    let tubes = [t.clone()];
    let waiting = session.reserve(&tubes, PATIENCE);
    let given_up = tokio::time::timeout(Duration::from_millis(100), waiting).await;
    assert!(given_up.is_err());
    let stats = session.stats_tube(&t).await.unwrap();
    assert_eq!(stats, None, "it is still said to wait");
    let id = put(&mut session, &t, job("x")).await.unwrap();
    let reserved = session.reserve(&tubes, Duration::ZERO).await.unwrap();
    assert!(matches!(reserved, Reserve::Job(job) if job.id == id));
}
