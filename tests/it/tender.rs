//! The tender with real processes: foreign workers in Python that speak the lines of the link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy knows the tests, but not the functions that only tests call"
)]

use std::time::{Duration, Instant};

use taskqueue::signals::Asked;

mod stage;

use stage::{Scene, kill};

#[tokio::test]
async fn it_starts_min_grows_with_the_busy_never_passes_max_and_drains() {
    let mut stage = Scene::of(2, 1, 4).raise();
    stage.until("two", |stage| stage.alive().len() == 2).await;
    stage.hold();
    stage.put("a", 0);
    stage.put("b", 0);
    stage
        .until("busy + spare", |stage| stage.alive().len() == 3)
        .await;
    for job in ["c", "d", "e", "f", "g"] {
        stage.put(job, 0);
    }
    stage.until("max", |stage| stage.alive().len() == 4).await;
    let time = Duration::from_millis(500);
    stage
        .throughout(time, "at most max", |stage| stage.alive().len() <= 4)
        .await;
    assert_eq!(stage.lines("started").len(), 4);

    stage.ask(Asked::Drain);
    stage
        .until("told", |stage| stage.lines("orders").len() == 4)
        .await;
    assert_eq!(stage.alive().len(), 4, "a command was not let finish");
    stage.let_go();
    stage.ended().await;
    assert_eq!(
        stage.lines("done").len(),
        4,
        "each finished the job it had, and took no other"
    );
    let order = &stage.lines("orders")[0];
    assert!(
        order.ends_with(r#"{"order":"drain","ticket":1,"grace_ms":5000}"#),
        "{order}"
    );
}

#[tokio::test]
async fn it_follows_the_jobs_that_are_ready() {
    let mut stage = Scene::of(0, 0, 6).raise();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.alive().len(), 0);
    stage.ready(Some(1000));
    let began = Instant::now();
    stage.until("max", |stage| stage.alive().len() == 6).await;
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    stage.ready(None);
    let time = Duration::from_millis(1500);
    stage
        .throughout(time, "kept without a broker", |stage| {
            stage.alive().len() == 6
        })
        .await;
    stage.ask(Asked::Drain);
    stage.ended().await;
}

/// The pool's question was in hand, and it asks no more until that is answered; and it waits to hear of a job.
#[tokio::test]
async fn it_goes_on_when_whoever_asks_and_whoever_listens_for_it_has_panicked() {
    let mut stage = Scene::of(0, 0, 3).raise();
    stage.panic();
    stage
        .until("both have panicked", |stage| stage.panicked() == [true; 2])
        .await;
    stage.ready(Some(1000));
    stage.until("max", |stage| stage.alive().len() == 3).await;
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_at_once() {
    let mut stage = Scene::of(2, 0, 2).raise();
    stage
        .until("two", |stage| stage.lines("ready").len() == 2)
        .await;
    let began = Instant::now();
    for ready in 3..13 {
        kill(stage.alive()[0]);
        stage
            .until("replaced", |stage| stage.lines("ready").len() == ready)
            .await;
    }
    // One that backs off would take a second for the first of them alone.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(stage.alive().len(), 2);
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn workers_that_exit_at_once_are_no_storm() {
    let mut scene = Scene::of(3, 0, 3);
    scene.mode = "crash";
    let mut stage = scene.raise();
    // Three together, then one after 1 s, one after 2 s more.
    stage
        .until("five starts", |stage| stage.starts().len() == 5)
        .await;
    let starts = stage.starts();
    assert!(starts[3] - starts[2] >= 0.9, "{starts:?}");
    assert!(starts[4] - starts[3] >= 1.9, "{starts:?}");
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn a_worker_that_refuses_is_not_started_again() {
    let mut scene = Scene::of(1, 0, 1);
    scene.mode = "never";
    let mut stage = scene.raise();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(stage.lines("started").len(), 1);
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn a_worker_that_ignores_its_drain_is_killed() {
    let mut scene = Scene::of(2, 0, 2);
    scene.mode = "deaf";
    scene.grace = Duration::from_millis(500);
    let mut stage = scene.raise();
    stage.until("two", |stage| stage.alive().len() == 2).await;
    stage.ask(Asked::Drain);
    let began = Instant::now();
    stage.ended().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(7500), "{took:?}");
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let mut scene = Scene::of(2, 0, 2);
    scene.grace = Duration::from_secs(600);
    let mut stage = scene.raise();
    stage.hold();
    stage.put("a", 0);
    stage.put("b", 0);
    stage.until("two", |stage| stage.alive().len() == 2).await;
    stage
        .until("taken", |stage| {
            std::fs::read_dir(stage.jobs()).unwrap().count() == 0
        })
        .await;
    stage.ask(Asked::Drain);
    stage
        .until("told", |stage| stage.lines("orders").len() == 2)
        .await;
    let time = Duration::from_millis(300);
    stage
        .throughout(time, "given time", |stage| stage.alive().len() == 2)
        .await;
    stage.ask(Asked::Stop);
    stage.ended().await;
    assert_eq!(stage.lines("done").len(), 0);
}

#[tokio::test]
async fn age_recycles_one_at_a_time() {
    let mut scene = Scene::of(3, 0, 3);
    scene.rules.max_age = Duration::from_secs(2);
    let mut stage = scene.raise();
    stage.until("three", |stage| stage.alive().len() == 3).await;
    let first = stage.alive();
    stage
        .until("replaced, one at a time", |stage| {
            let left = stage.alive();
            assert!((2..=3).contains(&left.len()), "{first:?} {left:?}");
            first.iter().all(|pid| !left.contains(pid))
        })
        .await;
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn output_recycles_but_never_a_busy_worker() {
    let mut scene = Scene::of(1, 0, 1);
    scene.rules.max_output = 1000;
    let mut stage = scene.raise();
    stage.put("a", 999);
    stage
        .until("done", |stage| stage.lines("done") == ["a"])
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.lines("orders").len(), 0);
    stage.put("b", 1);
    stage
        .until("told to go", |stage| stage.lines("orders").len() == 1)
        .await;
    assert_eq!(stage.lines("done"), ["a", "b"]);
    assert!(stage.lines("orders")[0].ends_with(r#"{"order":"drain","ticket":1}"#));
    stage
        .until("replaced", |stage| stage.lines("started").len() == 2)
        .await;
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn jobs_and_memory_recycle_too() {
    let mut scene = Scene::of(1, 0, 1);
    scene.rules.max_jobs = 2;
    let mut stage = scene.raise();
    stage.put("a", 0);
    stage.put("b", 0);
    stage
        .until("replaced", |stage| stage.lines("ready").len() == 2)
        .await;
    assert_eq!(stage.lines("done"), ["a", "b"]);
    stage.ask(Asked::Drain);
    stage.ended().await;

    let mut scene = Scene::of(1, 0, 1);
    // No Python is that small.
    scene.rules.max_memory = 100_000;
    let mut stage = scene.raise();
    stage.put("a", 0);
    stage
        .until("replaced", |stage| stage.lines("ready").len() == 2)
        .await;
    assert_eq!(stage.lines("done"), ["a"]);
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn it_ends_when_it_may_start_no_more_workers() {
    let mut scene = Scene::of(2, 0, 2);
    scene.limit = Some(4);
    let mut stage = scene.raise();
    for ready in 2..=4 {
        stage
            .until("started", |stage| stage.lines("ready").len() == ready)
            .await;
        kill(stage.alive()[0]);
    }
    stage.ended().await;
    assert_eq!(stage.lines("started").len(), 4);
    assert_eq!(stage.lines("orders").len(), 1, "the last one was told");
}

#[tokio::test]
async fn garbage_is_survived_and_the_next_line_understood() {
    let mut scene = Scene::of(1, 1, 2);
    scene.mode = "garbage";
    let mut stage = scene.raise();
    stage.hold();
    stage.put("a", 0);
    stage.until("grown", |stage| stage.alive().len() == 2).await;
    stage.let_go();
    stage.ask(Asked::Drain);
    stage.ended().await;
    assert_eq!(stage.lines("done"), ["a"]);
}

#[tokio::test]
async fn a_program_that_is_not_there_ends_nothing() {
    let mut scene = Scene::of(2, 1, 4);
    scene.program = "/there/is/no/such/program";
    let mut stage = scene.raise();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    stage.ask(Asked::Drain);
    stage.ended().await;
}

#[tokio::test]
async fn workers_notice_that_their_tender_is_gone() {
    let stage = Scene::of(3, 0, 3).raise();
    // Whoever has begun and said nothing yet would find nobody to say it to.
    stage
        .until("ready", |stage| stage.lines("ready").len() == 3)
        .await;
    stage.abandon();
    stage
        .until("orphaned", |stage| stage.lines("orphaned").len() == 3)
        .await;
}
