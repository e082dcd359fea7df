//! What several tests need.

mod beanstalkd;
mod disk;
mod fake;
mod program;

use std::time::{Duration, Instant};

pub use beanstalkd::{Beanstalkd, free_port};
pub use disk::Disk;
pub use fake::{FakeServer, Session};
pub use program::{NOBODY, Ran, Running, TEND_ONE, Taskqueue, UNSERVED};

use taskqueue::broker::{Broker, Error, JobId, NewJob, Reservation, Reserve};
use taskqueue::tube::TubeName;

/// How long something may take on a machine that is busy with other tests. Nothing waits that long
/// unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A tube's name that is known to be good.
pub fn tube(name: &str) -> TubeName {
    name.parse().unwrap()
}

/// A job with nothing special about it: priority 100, no delay, a TTR of two minutes.
pub fn job(body: impl AsRef<[u8]>) -> NewJob {
    NewJob {
        body: body.as_ref().to_vec().into(),
        priority: 100,
        delay: Duration::ZERO,
        ttr: Duration::from_secs(120),
    }
}

/// Puts one job.
pub async fn put(broker: &mut dyn Broker, tube: &TubeName, job: NewJob) -> Result<JobId, Error> {
    let mut answers = broker.put(tube, &[job]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// The job that a reserve must come back with.
pub async fn reserve(broker: &mut dyn Broker, tube: &TubeName) -> Reservation {
    let tubes = std::slice::from_ref(tube);
    match broker.reserve(tubes, PATIENCE).await.unwrap() {
        Reserve::Job(reservation) => reservation,
        other @ (Reserve::TimedOut | Reserve::DeadlineSoon) => panic!("no job but {other:?}"),
    }
}

/// Asks once for a job that must not be there.
pub async fn reserve_nothing(broker: &mut dyn Broker, tube: &TubeName) {
    let tubes = std::slice::from_ref(tube);
    let reserve = broker.reserve(tubes, Duration::ZERO).await.unwrap();
    assert!(matches!(reserve, Reserve::TimedOut), "{reserve:?}");
}

/// The job that comes when another session's reservation runs out.
///
/// beanstalkd 1.12 often doesn't look at a silent connection again once its reservation's time is over
/// (its issues #262 and #380): the job then stays reserved until that connection says something. So
/// the holder is made to talk.
pub async fn reserve_after(
    holder: &mut dyn Broker,
    broker: &mut dyn Broker,
    tube: &TubeName,
) -> Reservation {
    let begun = Instant::now();
    let tubes = std::slice::from_ref(tube);
    while begun.elapsed() < PATIENCE {
        match broker.reserve(tubes, Duration::ZERO).await.unwrap() {
            Reserve::Job(reservation) => return reservation,
            Reserve::TimedOut => {}
            Reserve::DeadlineSoon => panic!("the other session holds nothing"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        holder.about().await.unwrap();
    }
    panic!("the reservation did not run out");
}

/// Asks until it is so, or panics naming what never was.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "never was: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same for what is asked without a runtime.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE * 3, "never was: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
