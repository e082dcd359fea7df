//! Where jobs wait: the port that every queue is spoken to through.
//!
//! A [`Broker`] is one client's session with a queue. It connects when it is first used, and again
//! after an error; a reservation belongs to the connection it was made on and is worth nothing on
//! the next one ([`Error::ReservationLost`]), because the queue gave the job back when the
//! connection went.
//!
//! Every method may be cancelled by dropping its future; what it had begun may be carried out, and a job that was
//! reserved in that instant goes to somebody else. Where there is a connection, it is dropped too, so that a half-read
//! reply can never be taken for the answer to the next command.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::tube::TubeName;

pub mod beanstalkd;
pub mod embedded;

/// A job's number. beanstalkd starts again at 1 when it restarts without a binlog.
pub type JobId = u64;

/// The priority of a job for which none was asked: what clients commonly put, with room on both sides.
pub const DEFAULT_PRIORITY: u32 = 1024;

/// A job on its way into a tube.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Any bytes at all, up to the broker's limit.
    pub body: Bytes,
    /// 0 is the most urgent.
    pub priority: u32,
    /// How long the job waits before it is ready; rounded up to whole seconds by beanstalkd's client.
    pub delay: Duration,
    /// How long a reservation lasts without a touch; at least a second. beanstalkd 1.12 may notice its end
    /// only when the reserving connection next says something, or closes.
    pub ttr: Duration,
}

/// A job that is ours until its TTR runs out.
///
/// Deleting, releasing and burying take it by value: a job cannot be settled twice.
#[derive(Debug)]
pub struct Reservation {
    /// The job's number.
    pub id: JobId,
    /// The bytes that were put, unchanged.
    pub body: Bytes,
    /// The session's connection that reserved it, counted from 1.
    pub(crate) connection: u64,
}

/// Names a reservation without being able to settle it: for keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The job's number.
    pub id: JobId,
    /// The session's connection that reserved it, counted from 1.
    pub(crate) connection: u64,
}

impl Reservation {
    /// Names it.
    pub fn held(&self) -> Held {
        Held {
            id: self.id,
            connection: self.connection,
        }
    }
}

/// What a reserve came back with.
#[derive(Debug)]
pub enum Reserve {
    /// A job.
    Job(Reservation),
    /// Nothing became ready within the time given.
    TimedOut,
    /// A job that this connection holds is in the last second of its TTR.
    DeadlineSoon,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waiting to be reserved.
    Ready,
    /// Waiting for its delay to pass.
    Delayed,
    /// Held by a client.
    Reserved,
    /// Set aside until somebody kicks it.
    Buried,
}

/// What the broker knows of one job (protocol, "stats-job").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStats {
    /// The tube it is in.
    pub tube: TubeName,
    /// Where it stands.
    pub state: JobState,
    /// Its priority as last set.
    pub priority: u32,
    /// Time since it was put, in whole seconds.
    pub age: Duration,
    /// Its TTR.
    pub ttr: Duration,
    /// What is left of the TTR or of the delay; means nothing in other states.
    pub time_left: Duration,
    /// How often it was reserved.
    pub reserves: u64,
    /// How often its TTR ran out.
    pub timeouts: u64,
    /// How often it was released.
    pub releases: u64,
    /// How often it was buried.
    pub buries: u64,
    /// How often it was kicked.
    pub kicks: u64,
}

/// What the broker knows of one tube (protocol, "stats-tube").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TubeStats {
    /// Jobs that can be reserved at once.
    pub ready: u64,
    /// Jobs that clients hold.
    pub reserved: u64,
    /// Jobs whose delay has not passed.
    pub delayed: u64,
    /// Jobs set aside.
    pub buried: u64,
    /// Clients that wait in a reserve.
    pub waiting: u64,
    /// Clients that watch the tube; `None` where nobody but this store's workers can.
    pub watching: Option<u64>,
    /// How long the tube stays paused; zero when it is not.
    pub pause_left: Duration,
}

/// Which running instance of a broker: made anew each time the broker starts, and job ids are unique within it.
pub type InstanceId = String;

/// What the running instance of a broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Which it is.
    pub id: InstanceId,
    /// The broker's own version.
    pub version: String,
    /// The largest body it takes, in bytes.
    pub max_job_size: u64,
    /// It takes no new jobs.
    pub draining: bool,
}

/// What became of jobs that were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The instance that was asked to take them; `None` if none was reached, and then nothing was put.
    pub instance: Option<InstanceId>,
    /// One a job, as [`Broker::put`] has them.
    pub answers: Vec<Result<JobId, Error>>,
}

impl Delivery {
    /// Nothing was put, for that reason.
    pub(crate) fn to_nobody(jobs: usize, error: &Error) -> Delivery {
        Delivery {
            instance: None,
            answers: vec![Err(error.clone()); jobs],
        }
    }
}

/// What a broker can do beyond what every broker does; the conformance suite asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// It warns of a TTR about to run out ([`Reserve::DeadlineSoon`]).
    pub deadline_soon: bool,
    /// It can be told to take no new jobs ([`Error::Draining`]).
    pub drain: bool,
}

/// Why a broker did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made.
    #[error("cannot reach the broker at {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The connection broke while an answer was awaited; whether the command was carried out is not known.
    #[error("lost the connection to the broker at {address} during {command}: {reason}")]
    ConnectionLost {
        /// Host and port.
        address: String,
        /// The command's first word.
        command: &'static str,
        /// What the system said.
        reason: String,
    },
    /// No answer came in time; whether the command was carried out is not known.
    #[error("the broker at {address} did not answer {command} within {}s", .after.as_secs_f32())]
    NoAnswer {
        /// Host and port.
        address: String,
        /// The command's first word.
        command: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// The answer made no sense, or said that the command made none; the connection was given up.
    #[error("the broker at {address} answered {command} with {answer}")]
    Nonsense {
        /// Host and port.
        address: String,
        /// The command's first word.
        command: &'static str,
        /// What it said, cut and escaped.
        answer: String,
    },
    /// The body is larger than the broker takes.
    #[error("a body of {size} bytes is larger than the broker takes")]
    TooBig {
        /// The body's size in bytes.
        size: usize,
    },
    /// The broker takes no new jobs.
    #[error("the broker takes no new jobs: it is in drain mode")]
    Draining,
    /// The broker has no memory, or no room on its disk, for it; nothing was done, unless it was a [`Broker::release`].
    #[error("the broker is out of memory")]
    OutOfMemory,
    /// The embedded queue's file could not be opened, or failed; what was asked was not done.
    #[error("the embedded broker failed: {reason}")]
    Failed {
        /// What the file's errors say.
        reason: String,
    },
    /// The job does not exist or is not in a state in which this can be done to it.
    #[error("the broker knows no such job in that state")]
    NotFound,
    /// The reservation's connection is gone, and the reservation with it.
    #[error("the connection that reserved job {id} is gone, and its reservation with it")]
    ReservationLost {
        /// The job's number.
        id: JobId,
    },
}

impl Error {
    /// Nobody answers: whatever else is asked now would wait for the same.
    pub fn is_of_no_answer(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::NoAnswer { .. } => true,
            Error::ConnectionLost { .. }
            | Error::Nonsense { .. }
            | Error::TooBig { .. }
            | Error::Draining
            | Error::OutOfMemory
            | Error::Failed { .. }
            | Error::NotFound
            | Error::ReservationLost { .. } => false,
        }
    }

    /// A connection that was there is there no more, and whoever is there to cut it may let another be made.
    pub fn is_of_a_cut_connection(&self) -> bool {
        match self {
            Error::ConnectionLost { .. } => true,
            Error::Unreachable { .. }
            | Error::NoAnswer { .. }
            | Error::Nonsense { .. }
            | Error::TooBig { .. }
            | Error::Draining
            | Error::OutOfMemory
            | Error::Failed { .. }
            | Error::NotFound
            | Error::ReservationLost { .. } => false,
        }
    }

    /// It says something of a job, and nothing of the session or of other jobs.
    pub fn is_of_one_job(&self) -> bool {
        match self {
            Error::NotFound | Error::OutOfMemory | Error::TooBig { .. } => true,
            Error::Unreachable { .. }
            | Error::ConnectionLost { .. }
            | Error::NoAnswer { .. }
            | Error::Nonsense { .. }
            | Error::Draining
            | Error::Failed { .. }
            | Error::ReservationLost { .. } => false,
        }
    }
}

/// One client's session with a queue.
#[async_trait]
pub trait Broker: Send {
    /// What this kind of broker can do.
    fn capabilities(&self) -> Capabilities;

    /// The instance that answers now. Asked once a connection, within which it cannot change; of a connection that
    /// broke, as far as the system knows of that, nothing is said any more.
    ///
    /// A broker may be restarted right after it was asked: whoever notes which instance has a job uses
    /// [`Broker::deliver`].
    async fn instance(&mut self) -> Result<InstanceId, Error>;

    /// What the instance that answers now says of itself: asked each time.
    async fn about(&mut self) -> Result<Instance, Error>;

    /// Puts jobs into a tube, in order, in as few round trips as the broker allows.
    ///
    /// One answer a job, in the same order; a job that is refused ([`Error::TooBig`],
    /// [`Error::Draining`], [`Error::OutOfMemory`]) doesn't keep those after it from being put. A
    /// connection that breaks in the middle is the answer of every job from there on: those may or may
    /// not have been put. A job that the broker had to bury for want of memory counts as put.
    async fn put(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Vec<Result<JobId, Error>>;

    /// Puts jobs as [`Broker::put`] does, and says which instance of the broker was given them: that one and no other,
    /// whatever becomes of the broker meanwhile.
    async fn deliver(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Delivery;

    /// Waits up to `timeout` for a job from one of the tubes: the lowest priority number first, then
    /// the oldest. A timeout of zero asks once; parts of a second count as a whole one. No tubes at all
    /// never have a job.
    async fn reserve(&mut self, tubes: &[TubeName], timeout: Duration) -> Result<Reserve, Error>;

    /// Ends jobs that are over for good, then asks once for up to `most` others, in one round trip where the broker
    /// allows it. `deleted` is told what became of each of the first, in their order, as soon as that is known, also if
    /// the rest fails or is cancelled.
    async fn exchange(
        &mut self,
        to_delete: Vec<Reservation>,
        deleted: &mut Vec<Result<(), Error>>,
        tubes: &[TubeName],
        most: usize,
    ) -> Result<Vec<Reservation>, Error> {
        exchange_singly(self, to_delete, deleted, tubes, most).await
    }

    /// Starts a reservation's TTR anew.
    ///
    /// For this and everything else done to a reservation: [`Error::NotFound`] if its TTR ran out,
    /// [`Error::ReservationLost`] if its connection is gone, and then the broker was not even asked.
    async fn touch(&mut self, held: Held) -> Result<(), Error>;

    /// Ends a reserved job for good. It may succeed after the TTR ran out, if nobody else has
    /// reserved the job since.
    async fn delete(&mut self, reservation: Reservation) -> Result<(), Error>;

    /// Gives a reserved job back, to be ready after `delay`. One that the broker had to bury for want of
    /// memory counts as given back.
    ///
    /// After [`Error::OutOfMemory`] nobody can reserve it until the broker is restarted: beanstalkd 1.12 takes it off
    /// its connection before it asks its binlog for room (`prot.c`, `OP_RELEASE`), as it does where there is a delay.
    async fn release(
        &mut self,
        reservation: Reservation,
        priority: u32,
        delay: Duration,
    ) -> Result<(), Error>;

    /// Sets a reserved job aside.
    async fn bury(&mut self, reservation: Reservation, priority: u32) -> Result<(), Error>;

    /// Removes a job that no other session has reserved ([`Error::NotFound`] if one has).
    async fn remove(&mut self, id: JobId) -> Result<(), Error>;

    /// The same of several jobs, in as few round trips as the broker allows. Whether each was removed, in their order.
    async fn remove_all(&mut self, ids: &[JobId]) -> Result<Vec<bool>, Error> {
        let mut removed = Vec::with_capacity(ids.len());
        for id in ids {
            removed.push(match self.remove(*id).await {
                Ok(()) => true,
                Err(Error::NotFound) => false,
                Err(error) => return Err(error),
            });
        }
        Ok(removed)
    }

    /// A job's body, whatever its state.
    async fn peek(&mut self, id: JobId) -> Result<Option<Bytes>, Error>;

    /// The same of several jobs, in as few round trips as the broker allows. All are held at once: not to be
    /// asked for more than a few dozen.
    async fn peek_all(&mut self, ids: &[JobId]) -> Result<Vec<Option<Bytes>>, Error> {
        let mut bodies = Vec::with_capacity(ids.len());
        for id in ids {
            bodies.push(self.peek(*id).await?);
        }
        Ok(bodies)
    }

    /// What is known of a job.
    async fn stats_job(&mut self, id: JobId) -> Result<Option<JobStats>, Error>;

    /// The same of several jobs, in as few round trips as the broker allows: not to be asked for more than a few dozen.
    async fn stats_jobs(&mut self, ids: &[JobId]) -> Result<Vec<Option<JobStats>>, Error> {
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            all.push(self.stats_job(*id).await?);
        }
        Ok(all)
    }

    /// What is known of a tube; a tube that holds nothing and that nobody uses does not exist.
    async fn stats_tube(&mut self, tube: &TubeName) -> Result<Option<TubeStats>, Error>;

    /// The next jobs of a tube that are ready, or delayed: some of them, and none if there are none. They may be
    /// anybody's by the time that this is known.
    async fn next_jobs(
        &mut self,
        tube: &TubeName,
        state: JobState,
        most: usize,
    ) -> Result<Vec<JobId>, Error>;

    /// Makes a buried or delayed job ready ([`Error::NotFound`] if it is neither).
    async fn kick_job(&mut self, id: JobId) -> Result<(), Error>;

    /// Makes up to `bound` jobs of a tube ready: buried ones, or delayed ones if none is buried.
    /// Returns how many.
    async fn kick(&mut self, tube: &TubeName, bound: u32) -> Result<u64, Error>;

    /// Lets nobody reserve from a tube for a time ([`Error::NotFound`] if there is no such tube). No time at all ends
    /// a pause: those who wait get what is ready, within a second.
    async fn pause(&mut self, tube: &TubeName, time: Duration) -> Result<(), Error>;
}

/// [`Broker::exchange`], one thing after the other.
async fn exchange_singly<B: Broker + ?Sized>(
    broker: &mut B,
    to_delete: Vec<Reservation>,
    deleted: &mut Vec<Result<(), Error>>,
    tubes: &[TubeName],
    most: usize,
) -> Result<Vec<Reservation>, Error> {
    for one in to_delete {
        deleted.push(broker.delete(one).await);
    }
    let mut reserved = Vec::new();
    while reserved.len() < most {
        match broker.reserve(tubes, Duration::ZERO).await {
            Ok(Reserve::Job(job)) => reserved.push(job),
            Ok(Reserve::TimedOut | Reserve::DeadlineSoon) => break,
            Err(error) if reserved.is_empty() => return Err(error),
            // Why there are no more, the next call finds out.
            Err(_) => break,
        }
    }
    Ok(reserved)
}
