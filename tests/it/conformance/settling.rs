//! What may be done to a job, and what comes of it.

use std::time::{Duration, Instant};

use taskqueue::broker::{Broker, Error, JobId, JobState, Reservation};

use super::{Harness, skip};
use crate::support::{job, put, reserve, reserve_after, reserve_nothing, tube};

async fn state(session: &mut dyn Broker, id: JobId) -> JobState {
    session.stats_job(id).await.unwrap().unwrap().state
}

pub async fn touch_prolongs<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let mut new = job("x");
    new.ttr = Duration::from_secs(3);
    let id = put(session.as_mut(), &t, new).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let touched = Instant::now();
    session.touch(held.held()).await.unwrap();
    let again = reserve_after(session.as_mut(), other.as_mut(), &t).await;
    assert_eq!(again.id, id);
    let took = touched.elapsed();
    // Two seconds if the touch had done nothing.
    assert!(
        took > Duration::from_millis(2700),
        "it ran out after {took:?}"
    );
}

pub async fn release_sets_priority_and_delay<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let first = put(session.as_mut(), &t, job("1")).await.unwrap();
    let second = put(session.as_mut(), &t, job("2")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!(held.id, first);
    session.release(held, 101, Duration::ZERO).await.unwrap();
    assert_eq!(state(session.as_mut(), first).await, JobState::Ready);
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!(held.id, second, "a less urgent job came first");
    session.delete(held).await.unwrap();

    let held = reserve(session.as_mut(), &t).await;
    let begun = Instant::now();
    // Counts as a second.
    session
        .release(held, 7, Duration::from_millis(10))
        .await
        .unwrap();
    let held = reserve(session.as_mut(), &t).await;
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900), "ready after {took:?}");
    let stats = session.stats_job(held.id).await.unwrap().unwrap();
    assert_eq!((stats.priority, stats.releases), (7, 2));
    assert_eq!((stats.reserves, stats.timeouts), (3, 0));
}

pub async fn a_buried_job_waits_for_a_kick<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    session.bury(held, 9).await.unwrap();
    let stats = session.stats_job(id).await.unwrap().unwrap();
    assert_eq!(
        (stats.state, stats.priority, stats.buries),
        (JobState::Buried, 9, 1)
    );
    reserve_nothing(session.as_mut(), &t).await;
    assert_eq!(session.peek(id).await, Ok(Some("x".into())));
    assert_eq!(session.kick(&t, 1).await, Ok(1));
    assert_eq!(session.kick(&t, 1).await, Ok(0));
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!((held.id, held.body), (id, "x".into()));
    let stats = session.stats_job(id).await.unwrap().unwrap();
    assert_eq!(stats.kicks, 1);
}

pub async fn kick_takes_buried_jobs_before_delayed_ones<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let mut buried = Vec::new();
    for body in ["1", "2", "3"] {
        put(session.as_mut(), &t, job(body)).await.unwrap();
        let held = reserve(session.as_mut(), &t).await;
        buried.push(held.id);
        session.bury(held, 1).await.unwrap();
    }
    let mut delayed = Vec::new();
    for body in ["4", "5"] {
        let mut later = job(body);
        later.delay = Duration::from_secs(1000);
        delayed.push(put(session.as_mut(), &t, later).await.unwrap());
    }
    assert_eq!(session.kick(&tube("other"), 10).await, Ok(0));
    assert_eq!(session.kick(&t, 0).await, Ok(0));
    // The first two that were buried.
    assert_eq!(session.kick(&t, 2).await, Ok(2));
    assert_eq!(state(session.as_mut(), buried[0]).await, JobState::Ready);
    assert_eq!(state(session.as_mut(), buried[1]).await, JobState::Ready);
    assert_eq!(state(session.as_mut(), buried[2]).await, JobState::Buried);
    // Only what is left of the buried ones, although more were asked for.
    assert_eq!(session.kick(&t, 10).await, Ok(1));
    assert_eq!(state(session.as_mut(), delayed[0]).await, JobState::Delayed);
    assert_eq!(session.kick(&t, u32::MAX).await, Ok(2));
    assert_eq!(state(session.as_mut(), delayed[0]).await, JobState::Ready);
    assert_eq!(state(session.as_mut(), delayed[1]).await, JobState::Ready);
}

pub async fn kick_job_makes_one_ready<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let mut later = job("later");
    later.delay = Duration::from_secs(1000);
    let delayed = put(session.as_mut(), &t, later).await.unwrap();
    let buried = put(session.as_mut(), &t, job("buried")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    session.bury(held, 1).await.unwrap();
    for id in [delayed, buried] {
        session.kick_job(id).await.unwrap();
        assert_eq!(state(session.as_mut(), id).await, JobState::Ready);
        assert_eq!(session.kick_job(id).await, Err(Error::NotFound));
    }
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!(session.kick_job(held.id).await, Err(Error::NotFound));
}

pub async fn a_job_that_is_not_there_is_not_found<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    session.remove(id).await.unwrap();
    for id in [id, 0, 1_000_000, JobId::MAX] {
        assert_eq!(session.peek(id).await, Ok(None));
        assert_eq!(session.stats_job(id).await, Ok(None));
        assert_eq!(session.remove(id).await, Err(Error::NotFound));
        assert_eq!(session.kick_job(id).await, Err(Error::NotFound));
    }
    reserve_nothing(session.as_mut(), &t).await;
}

pub async fn another_sessions_job_cannot_be_removed<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!(other.remove(id).await, Err(Error::NotFound));
    assert_eq!(other.peek(id).await, Ok(Some("x".into())));
    session.touch(held.held()).await.unwrap();
    session.delete(held).await.unwrap();
    assert_eq!(other.peek(id).await, Ok(None));
}

pub async fn jobs_that_nobody_holds_can_be_removed<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let buried = put(session.as_mut(), &t, job("buried")).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    session.bury(held, 1).await.unwrap();
    let mut later = job("later");
    later.delay = Duration::from_secs(1000);
    let delayed = put(session.as_mut(), &t, later).await.unwrap();
    let ready = put(session.as_mut(), &t, job("ready")).await.unwrap();
    for id in [buried, delayed, ready] {
        other.remove(id).await.unwrap();
        assert_eq!(session.stats_job(id).await, Ok(None));
    }
}

pub async fn a_reservation_of_a_lost_connection_is_refused<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let id = put(session.as_mut(), &t, job("x")).await.unwrap();
    let lost = reserve(session.as_mut(), &t).await;
    if !harness.sever().await {
        return skip("it has no connections that could be lost");
    }
    // The session may learn of it only now.
    session.touch(lost.held()).await.unwrap_err();
    let held = reserve(session.as_mut(), &t).await;
    assert_eq!(held.id, id, "the job did not come back");
    // The job is the session's again, but not by that reservation.
    let refused = Err(Error::ReservationLost { id });
    assert_eq!(session.touch(lost.held()).await, refused);
    assert_eq!(session.delete(lost).await, refused);
    session.delete(held).await.unwrap();
}

pub async fn jobs_are_deleted_and_the_next_reserved<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let tubes = [tube("t"), tube("u")];
    let mut ids = Vec::new();
    for body in ["1", "2"] {
        ids.push(put(session.as_mut(), &tubes[0], job(body)).await.unwrap());
    }
    let mut deleted = Vec::new();
    let reserved = session.exchange(Vec::new(), &mut deleted, &tubes[..1], 5);
    let held = reserved.await.unwrap();
    assert_eq!(numbers(&held), ids, "as many as there are");
    assert_eq!(deleted, []);
    // From a tube that was not watched until now.
    let mut next = Vec::new();
    for body in ["3", "4", "5"] {
        next.push(put(session.as_mut(), &tubes[1], job(body)).await.unwrap());
    }
    let reserved = session.exchange(held, &mut deleted, &tubes, 2);
    let mut held = reserved.await.unwrap();
    assert_eq!(deleted, [Ok(()), Ok(())]);
    for id in ids {
        assert!(session.stats_job(id).await.unwrap().is_none());
    }
    assert_eq!(numbers(&held), next[..2], "no more than were asked for");
    assert_eq!(held[1].body, "4");
    // Nothing is asked for, and then nothing is there.
    let mut deleted = Vec::new();
    let last = held.pop().unwrap();
    let reserved = session.exchange(held, &mut deleted, &[], 5);
    assert!(reserved.await.unwrap().is_empty());
    assert_eq!(deleted, [Ok(())]);
    session.remove(next[2]).await.unwrap();
    let reserved = session.exchange(vec![last], &mut deleted, &tubes, 2);
    assert!(reserved.await.unwrap().is_empty());
    assert_eq!(deleted, [Ok(()), Ok(())]);
    assert!(session.stats_job(next[1]).await.unwrap().is_none());
}

fn numbers(reserved: &[Reservation]) -> Vec<JobId> {
    reserved.iter().map(|one| one.id).collect()
}

pub async fn what_became_of_the_deleted_is_told_whatever_comes_next<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    // Its time has run out, and another has it.
    let mut short = job("1");
    short.ttr = Duration::from_secs(1);
    put(session.as_mut(), &t, short).await.unwrap();
    let held = reserve(session.as_mut(), &t).await;
    let mut other = harness.session();
    let theirs = reserve_after(session.as_mut(), other.as_mut(), &t).await;
    let second = put(session.as_mut(), &t, job("2")).await.unwrap();
    let mut deleted = Vec::new();
    let tubes = [t.clone()];
    let next = session.exchange(vec![held], &mut deleted, &tubes, 1);
    let next = next.await.unwrap();
    assert_eq!(deleted, [Err(Error::NotFound)]);
    assert_eq!(numbers(&next), [second]);
    other.delete(theirs).await.unwrap();
    // The connection is gone.
    if !harness.sever().await {
        return skip("it has no connections that could be lost");
    }
    session.touch(next[0].held()).await.unwrap_err();
    let mut deleted = Vec::new();
    let again = session.exchange(next, &mut deleted, &tubes, 1);
    let again = again.await.unwrap();
    assert_eq!(deleted, [Err(Error::ReservationLost { id: second })]);
    assert_eq!(numbers(&again), [second]);
}

pub async fn jobs_are_found_one_after_the_other_and_removed_together<H: Harness>(harness: &mut H) {
    let (mut session, mut other) = (harness.session(), harness.session());
    let t = tube("t");
    let mut late = job("late");
    late.delay = Duration::from_secs(3600);
    let late = put(session.as_mut(), &t, late).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(put(session.as_mut(), &t, job("x")).await.unwrap());
    }
    let held = reserve(other.as_mut(), &t).await;
    for (state, first) in [
        (JobState::Ready, Some(ids[1])),
        (JobState::Delayed, Some(late)),
        (JobState::Buried, None),
        (JobState::Reserved, None),
    ] {
        let found = session.next_jobs(&t, state, 10).await.unwrap();
        assert_eq!(found.first().copied(), first, "{state:?}");
    }
    assert!(
        session
            .next_jobs(&tube("u"), JobState::Ready, 10)
            .await
            .unwrap()
            .is_empty()
    );
    // One that another has stays, as does one that is not there.
    let jobs = [late, held.id, ids[1], ids[2], ids[2]];
    let removed = session.remove_all(&jobs).await.unwrap();
    assert_eq!(removed, [true, false, true, true, false]);
    assert!(session.remove_all(&[]).await.unwrap().is_empty());
    assert!(
        session
            .next_jobs(&t, JobState::Ready, 10)
            .await
            .unwrap()
            .is_empty()
    );
    other.bury(held, 0).await.unwrap();
    assert_eq!(
        session.next_jobs(&t, JobState::Buried, 10).await.unwrap(),
        ids[..1]
    );
}
