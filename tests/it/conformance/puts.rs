//! Putting jobs, one and many.

use std::time::{Duration, Instant};

use taskqueue::broker::{Error, JobState, NewJob};
use tokio::time::timeout;

use super::{Harness, skip};
use crate::support::{eventually, job, put, reserve, reserve_nothing, tube};

pub async fn thousands_are_answered_in_order<H: Harness>(harness: &mut H) {
    const COUNT: usize = 10_000;
    let too_big = |index: usize| index % 997 == 500;
    let new_job = |index: usize| match too_big(index) {
        true => job(vec![b'x'; H::LARGEST + 1 + index]),
        false => job(format!("number {index}")),
    };
    let jobs: Vec<NewJob> = (0..COUNT).map(new_job).collect();
    let mut session = harness.session();
    let t = tube("t");
    let answers = session.put(&t, &jobs).await;
    assert_eq!(answers.len(), COUNT);
    let mut last = None;
    for (index, answer) in answers.iter().enumerate() {
        if too_big(index) {
            let size = jobs[index].body.len();
            assert_eq!(*answer, Err(Error::TooBig { size }), "job {index}");
            continue;
        }
        let id = *answer.as_ref().unwrap();
        assert!(
            last < Some(id),
            "job {index} has id {id}, the one before it {last:?}"
        );
        last = Some(id);
        // Looking at all would take longer than it is worth.
        if index % 100 == 0 || too_big(index + 1) || too_big(index - 1) {
            let body = session.peek(id).await.unwrap();
            assert_eq!(body.as_ref(), Some(&jobs[index].body), "job {index}");
        }
    }
    let put = answers.iter().filter(|answer| answer.is_ok()).count();
    let stats = session.stats_tube(&t).await.unwrap().unwrap();
    assert_eq!(usize::try_from(stats.ready), Ok(put));
}

pub async fn an_empty_batch_has_no_answers<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    assert_eq!(session.put(&tube("t"), &[]).await, []);
}

pub async fn what_is_delivered_is_where_it_is_said_to_be<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let size = H::LARGEST + 1;
    let jobs = [job("a"), job(vec![b'x'; size]), job("b")];
    // Nothing has been asked of it yet.
    let delivery = session.deliver(&t, &jobs).await;
    assert_eq!(delivery.instance, Some(session.instance().await.unwrap()));
    let [Ok(a), Err(Error::TooBig { size: refused }), Ok(b)] = delivery.answers[..] else {
        panic!("{:?}", delivery.answers);
    };
    assert!(a < b && refused == size);
    assert_eq!(session.peek(a).await, Ok(Some("a".into())));
    assert_eq!(session.peek(b).await, Ok(Some("b".into())));
    let again = session.deliver(&t, &jobs[..1]).await;
    assert_eq!(again.instance, delivery.instance);
}

pub async fn a_dropped_put_leaves_the_session_usable<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let (many, t) = (tube("many"), tube("t"));
    let batch = vec![job(vec![b'x'; H::LARGEST]); 200];
    for patience in [0, 1, 5, 20] {
        let putting = session.put(&many, &batch);
        // It may be through before it can be dropped.
        let _ = timeout(Duration::from_millis(patience), putting).await;
        let id = put(session.as_mut(), &t, job("after")).await.unwrap();
        let held = reserve(session.as_mut(), &t).await;
        assert_eq!((held.id, &held.body[..]), (id, &b"after"[..]));
        session.delete(held).await.unwrap();
    }
}

pub async fn delayed_jobs_wait<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let mut later = job("later");
    // Counts as two seconds.
    later.delay = Duration::from_millis(1001);
    let mut much_later = job("much later");
    much_later.delay = Duration::from_secs(1000);
    let begun = Instant::now();
    let id = put(session.as_mut(), &t, later).await.unwrap();
    let far = put(session.as_mut(), &t, much_later).await.unwrap();
    let stats = session.stats_job(far).await.unwrap().unwrap();
    assert_eq!(stats.state, JobState::Delayed);
    assert!(stats.time_left > Duration::from_secs(900), "{stats:?}");
    assert_eq!(reserve(session.as_mut(), &t).await.id, id);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1900), "ready after {took:?}");
    reserve_nothing(session.as_mut(), &t).await;
}

pub async fn a_draining_broker_takes_nothing_new<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    if !session.capabilities().drain {
        return skip("it cannot be told to take no new jobs");
    }
    let t = tube("t");
    put(session.as_mut(), &t, job("old")).await.unwrap();
    harness.drain().await;
    eventually("draining", async || session.about().await.unwrap().draining).await;
    let refused = session.put(&t, &[job("new"), job("newer")]).await;
    assert_eq!(refused, [Err(Error::Draining), Err(Error::Draining)]);
    let old = reserve(session.as_mut(), &t).await;
    assert_eq!(old.body, "old");
    session.release(old, 0, Duration::ZERO).await.unwrap();
    let old = reserve(session.as_mut(), &t).await;
    session.delete(old).await.unwrap();
    reserve_nothing(session.as_mut(), &t).await;
}
