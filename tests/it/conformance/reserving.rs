//! Which job comes, when, and to whom.

use std::time::{Duration, Instant};

use taskqueue::broker::{Error, JobState, Reserve};
use tokio::time::timeout;

use super::{Harness, skip};
use crate::support::{PATIENCE, job, put, reserve, reserve_after, reserve_nothing, tube};

pub async fn the_most_urgent_comes_first_then_the_oldest<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let jobs = [
        (5, "d"),
        (u32::MAX, "f"),
        (0, "a"),
        (5, "e"),
        (1, "b"),
        (1, "c"),
    ];
    for (priority, body) in jobs {
        let mut new = job(body);
        new.priority = priority;
        put(session.as_mut(), &t, new).await.unwrap();
    }
    for expected in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(reserve(session.as_mut(), &t).await.body, expected);
    }
}

pub async fn urgency_counts_across_tubes<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let tubes = [tube("a"), tube("b"), tube("c")];
    for (tube, priority) in [(&tubes[0], 3), (&tubes[1], 1), (&tubes[2], 2)] {
        let mut new = job(tube.as_str());
        new.priority = priority;
        put(session.as_mut(), tube, new).await.unwrap();
    }
    for expected in ["b", "c", "a"] {
        match session.reserve(&tubes, PATIENCE).await.unwrap() {
            Reserve::Job(job) => assert_eq!(job.body, expected),
            other @ (Reserve::TimedOut | Reserve::DeadlineSoon) => panic!("{other:?}"),
        }
    }
}

pub async fn nothing_is_reserved_from_other_tubes<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let (a, b) = (tube("a"), tube("b"));
    put(session.as_mut(), &a, job("a")).await.unwrap();
    put(session.as_mut(), &tube("default"), job("default"))
        .await
        .unwrap();
    reserve_nothing(session.as_mut(), &b).await;
    put(session.as_mut(), &b, job("b")).await.unwrap();
    assert_eq!(reserve(session.as_mut(), &a).await.body, "a");
    reserve_nothing(session.as_mut(), &a).await;
    // The same tube twice is that tube.
    let twice = [b.clone(), b.clone()];
    let reserve = session.reserve(&twice, PATIENCE).await.unwrap();
    assert!(matches!(reserve, Reserve::Job(job) if job.body == "b"));
}

pub async fn no_tubes_never_have_a_job<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    put(session.as_mut(), &tube("default"), job("x"))
        .await
        .unwrap();
    let reserve = session.reserve(&[], Duration::from_millis(10)).await;
    assert!(matches!(reserve, Ok(Reserve::TimedOut)), "{reserve:?}");
}

pub async fn a_waiting_reserve_gets_a_job_at_once<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let long = Duration::from_secs(1000);
    let tubes = [t.clone()];
    let waiting = timeout(PATIENCE, session.reserve(&tubes, long));
    let putting = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        put(other.as_mut(), &t, job("x")).await.unwrap()
    };
    let (reserve, id) = tokio::join!(waiting, putting);
    let reserve = reserve.expect("the reserve was not woken").unwrap();
    assert!(matches!(reserve, Reserve::Job(job) if job.id == id));
}

pub async fn a_reserve_that_finds_nothing_waits_its_time<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let begun = Instant::now();
    let wait = Duration::from_secs(1);
    let reserve = session.reserve(&[tube("t")], wait).await.unwrap();
    assert!(matches!(reserve, Reserve::TimedOut), "{reserve:?}");
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900), "gave up after {took:?}");
}

pub async fn a_reserved_job_is_nobody_elses<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    put(session.as_mut(), &t, job("x")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    reserve_nothing(other.as_mut(), &t).await;
    session.delete(held).await.unwrap();
    reserve_nothing(other.as_mut(), &t).await;
}

pub async fn the_last_second_is_announced<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    if !session.capabilities().deadline_soon {
        return skip("it does not warn of a reservation that runs out");
    }
    let t = tube("t");
    let mut new = job("x");
    new.ttr = Duration::from_secs(2);
    put(session.as_mut(), &t, new).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    let tubes = [t];
    let reserve = session.reserve(&tubes, PATIENCE).await.unwrap();
    assert!(matches!(reserve, Reserve::DeadlineSoon), "{reserve:?}");
    session.delete(held).await.unwrap();
}

pub async fn a_job_whose_time_ran_out_is_ready_again<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let mut new = job("x");
    // Counts as a second.
    new.ttr = Duration::from_millis(1);
    let id = put(session.as_mut(), &t, new).await.unwrap();
    let begun = Instant::now();
    let late = reserve(session.as_mut(), &t).await;
    let held = reserve_after(session.as_mut(), other.as_mut(), &t).await;
    let took = begun.elapsed();
    assert_eq!(held.id, id);
    assert!(
        took > Duration::from_millis(900),
        "it ran out after {took:?}"
    );
    let stats = other.stats_job(id).await.unwrap().unwrap();
    assert_eq!((stats.reserves, stats.ttr), (2, Duration::from_secs(1)));
    assert!(stats.timeouts >= 1, "{stats:?}");
    assert_eq!(session.touch(late.held()).await, Err(Error::NotFound));
    let released = session.release(late, 0, Duration::ZERO).await;
    assert_eq!(released, Err(Error::NotFound));
}

pub async fn an_abandoned_reservation_is_ready_at_once<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    // Its TTR is far longer than anybody waits here.
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    drop(session);
    assert_eq!(reserve(other.as_mut(), &t).await.id, id);
    drop(held);
    let stats = other.stats_job(id).await.unwrap().unwrap();
    assert_eq!(stats.state, JobState::Reserved);
}

pub async fn a_dropped_reserve_leaves_the_session_usable<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let tubes = [t.clone()];
    for wait in [0, 1, 50] {
        let waiting = session.reserve(&tubes, PATIENCE);
        let dropped = timeout(Duration::from_millis(wait), waiting).await;
        assert!(dropped.is_err(), "{dropped:?}");
        assert_eq!(session.peek(1_000_000).await, Ok(None));
    }
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!(held.id, id);
    session.delete(held).await.unwrap();
}

pub async fn a_dropped_reserve_loses_no_job<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let tubes = [t.clone()];
    for round in 0..60 {
        // Dropped a little before, in, or after the instant in which the job comes.
        let patience = Duration::from_micros(round * 50);
        let waiting = timeout(patience, session.reserve(&tubes, PATIENCE));
        let (reserved, id) = tokio::join!(waiting, put(other.as_mut(), &t, job("x")));
        let id = id.unwrap();
        match reserved {
            Ok(Ok(Reserve::Job(job))) => {
                assert_eq!(job.id, id);
                session.delete(job).await.unwrap();
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {
                let job = reserve(other.as_mut(), &t).await;
                assert_eq!(job.id, id);
                other.delete(job).await.unwrap();
            }
        }
    }
}
