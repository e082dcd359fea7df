//! Tubes, and what is known of them, of jobs and of the broker itself.

use std::time::{Duration, Instant};

use taskqueue::broker::{Error, JobState, JobStats, Reserve, TubeStats};
use taskqueue::tube::{MAX_LEN, TubeName};

use super::{Harness, skip};
use crate::support::{PATIENCE, eventually, job, put, reserve, tube};

pub async fn every_good_name_is_taken<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let longest = "n".repeat(MAX_LEN);
    for name in ["default", "0", "A-z+/;.$_()9", "_-", "+", longest.as_str()] {
        let t = tube(name);
        let id = put(session.as_mut(), &t, job(name)).await.unwrap();
        let stats = session.stats_job(id).await.unwrap().unwrap();
        assert_eq!(stats.tube, t);
        assert_eq!(session.stats_tube(&t).await.unwrap().unwrap().ready, 1);
        session.pause(&t, Duration::ZERO).await.unwrap();
        assert_eq!(reserve(session.as_mut(), &t).await.id, id);
    }
}

pub async fn bad_names_do_not_exist<H: Harness>(_: &mut H) {
    let too_long = "n".repeat(MAX_LEN + 1);
    let bad = [
        "",
        "-a",
        "a b",
        "a\r\nput 0 0 1 0",
        "a\n",
        "\u{e9}",
        "a\0",
        "a,b",
        "a*",
        too_long.as_str(),
    ];
    for name in bad {
        assert!(name.parse::<TubeName>().is_err(), "{name:?} was accepted");
    }
}

pub async fn a_paused_tube_gives_nothing<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let (t, other) = (tube("t"), tube("other"));
    let minute = Duration::from_secs(60);
    assert_eq!(session.pause(&t, minute).await, Err(Error::NotFound));
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    put(session.as_mut(), &other, job("y")).await.unwrap();
    session.pause(&t, minute).await.unwrap();
    let stats = session.stats_tube(&t).await.unwrap().unwrap();
    assert_eq!(stats.ready, 1);
    assert!(stats.pause_left > Duration::from_secs(30), "{stats:?}");
    assert!(stats.pause_left <= minute, "{stats:?}");

    let begun = Instant::now();
    // Counts as two seconds, and shortens the pause.
    session
        .pause(&t, Duration::from_millis(1500))
        .await
        .unwrap();
    assert_eq!(reserve(session.as_mut(), &other).await.body, "y");
    assert_eq!(reserve(session.as_mut(), &t).await.id, id);
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(1900),
        "gave a job after {took:?}"
    );
    let stats = session.stats_tube(&t).await.unwrap().unwrap();
    assert_eq!(stats.pause_left, Duration::ZERO);
}

pub async fn the_end_of_a_pause_wakes_those_who_wait<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let (t, tubes) = (tube("t"), [tube("t")]);
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    session.pause(&t, Duration::from_secs(600)).await.unwrap();
    let waiting = other.reserve(&tubes, PATIENCE);
    let resuming = async {
        eventually("one who waits", async || {
            let stats = session.stats_tube(&t).await.unwrap();
            stats.is_some_and(|stats| stats.waiting == 1)
        })
        .await;
        session.pause(&t, Duration::ZERO).await.unwrap();
    };
    let (reserved, ()) = tokio::join!(waiting, resuming);
    match reserved.unwrap() {
        Reserve::Job(job) => assert_eq!(job.id, id),
        other => panic!("was not woken: {other:?}"),
    }
    let stats = session.stats_tube(&t).await.unwrap().unwrap();
    assert_eq!(stats.pause_left, Duration::ZERO);
}

pub async fn a_job_is_described<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let mut new = job("x");
    (new.priority, new.ttr) = (u32::MAX, Duration::from_millis(59_500));
    let id = put(session.as_mut(), &t, new).await.unwrap();
    let JobStats { age, time_left, .. } = session.stats_job(id).await.unwrap().unwrap();
    assert!(age < PATIENCE);
    let ready = JobStats {
        tube: t.clone(),
        state: JobState::Ready,
        priority: u32::MAX,
        age,
        ttr: Duration::from_secs(60),
        time_left,
        reserves: 0,
        timeouts: 0,
        releases: 0,
        buries: 0,
        kicks: 0,
    };
    assert_eq!(
        session.stats_job(id).await.unwrap().unwrap().tube,
        ready.tube
    );
    let held = reserve(session.as_mut(), &t).await;
    let stats = session.stats_job(id).await.unwrap().unwrap();
    assert!(stats.time_left > Duration::from_secs(30), "{stats:?}");
    assert!(stats.time_left <= Duration::from_secs(60), "{stats:?}");
    let reserved = JobStats {
        state: JobState::Reserved,
        reserves: 1,
        age: stats.age,
        time_left: stats.time_left,
        ..ready
    };
    assert_eq!(stats, reserved);
    session.bury(held, 0).await.unwrap();
    session.kick_job(id).await.unwrap();
    let stats = session.stats_job(id).await.unwrap().unwrap();
    let kicked = JobStats {
        state: JobState::Ready,
        priority: 0,
        buries: 1,
        kicks: 1,
        age: stats.age,
        time_left: stats.time_left,
        ..reserved
    };
    assert_eq!(stats, kicked);
}

pub async fn a_tube_is_described<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    assert_eq!(session.stats_tube(&t).await, Ok(None));
    for body in ["buried", "reserved", "ready", "ready too", "ready three"] {
        put(session.as_mut(), &t, job(body)).await.unwrap();
    }
    for _ in 0..2 {
        let mut later = job("delayed");
        later.delay = Duration::from_secs(1000);
        put(session.as_mut(), &t, later).await.unwrap();
    }
    let buried = reserve(session.as_mut(), &t).await;
    session.bury(buried, 1).await.unwrap();
    let _held = reserve(session.as_mut(), &t).await;
    let stats = session.stats_tube(&t).await.unwrap().unwrap();
    // This one watches it, and whoever else does; the embedded broker has no other store's clients.
    assert!(
        stats.watching.is_none_or(|watching| watching >= 1),
        "{stats:?}"
    );
    let expected = TubeStats {
        ready: 3,
        reserved: 1,
        delayed: 2,
        buried: 1,
        waiting: 0,
        watching: stats.watching,
        pause_left: Duration::ZERO,
    };
    assert_eq!(stats, expected);

    let (empty, tubes) = (tube("empty"), [tube("empty")]);
    let waiting = other.reserve(&tubes, PATIENCE);
    let counting = eventually("one who waits", async || {
        let stats = session.stats_tube(&empty).await.unwrap();
        stats.is_some_and(|stats| stats.waiting == 1)
    });
    tokio::select! {
        reserve = waiting => panic!("did not wait: {reserve:?}"),
        () = counting => {}
    }
}

pub async fn an_instance_stays_the_same<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let about = session.about().await.unwrap();
    assert_eq!(usize::try_from(about.max_job_size), Ok(H::LARGEST));
    assert!(!about.draining && !about.id.is_empty());
    assert_eq!(session.instance().await, Ok(about.id.clone()));
    assert_eq!(other.instance().await, Ok(about.id.clone()));
    assert_eq!(other.about().await, Ok(about));
}

pub async fn no_session_names_an_instance_that_has_gone<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    // Nothing is awaited meanwhile, so the session cannot have heard of it.
    session.instance().await.unwrap();
    if !harness.sever().await {
        return skip("it has no connections to break");
    }
    let named = session.instance().await;
    assert_eq!(named, harness.session().instance().await);
    harness.sever().await;
    let delivery = session.deliver(&tube("t"), &[job("x")]).await;
    let today = harness.session().instance().await.unwrap();
    match &delivery.answers[..] {
        [Ok(_)] => assert_eq!(delivery.instance, Some(today)),
        [Err(Error::ConnectionLost { .. })] => {}
        other => panic!("{other:?}"),
    }
}
