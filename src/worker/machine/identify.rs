//! From a reserved job to the task that the job speaks of.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::event::{Known, Now};
use crate::broker::Reservation;
use crate::ledger::Millis;
use crate::ledger::{ForeignJob, JobRef, TaskRef};
use crate::task::command::{Commands, Content};
use crate::task::fingerprint::fingerprint;
use crate::task::payload::{self, Body, Native, Pointer};
use crate::tube::TubeName;

/// The longest that we leave a job to the workers of the store it points into.
const LONGEST_ELSEWHERE: Duration = Duration::from_secs(300);

/// What a job's body says.
#[derive(Debug)]
pub enum Read {
    /// The body points into this store.
    Ours(JobRef),
    /// What tells the job apart is not in its body alone.
    Foreign(Foreign),
}

/// What the body of a job says that does not point into this store.
#[derive(Debug)]
pub enum Foreign {
    /// The body points into another store.
    Elsewhere(Uuid),
    /// The body names what is to be run.
    Native(Native),
    /// The body is for one command, or is to be refused.
    Unread,
}

/// What a job turned out to be.
#[derive(Debug)]
pub enum Identified {
    /// A task of this store, or one that is to become one.
    Here(Box<JobRef>),
    /// A pointer into another store: not ours, and none of our rows says anything of it.
    Elsewhere {
        /// The other store's id.
        store: Uuid,
        /// How long to leave the job to somebody else.
        delay: Duration,
        /// The job's priority.
        priority: u32,
    },
}

/// Reads a job's body.
pub fn read(reservation: &Reservation, tube: &TubeName, store: Uuid, commands: &Commands) -> Read {
    let ours = |pointer: Pointer| {
        Read::Ours(JobRef {
            tube: tube.clone(),
            id: reservation.id,
            kicks: None,
            cleared: None,
            task: TaskRef::Pointer(pointer.uuid),
        })
    };
    if commands.is_raw_only(tube) {
        return match payload::read(&reservation.body) {
            // Nothing is read here but what we write ourselves, byte for byte: a task of this store has no other job.
            Body::Pointer(pointer)
                if pointer.store == store && pointer.to_body() == *reservation.body =>
            {
                ours(pointer)
            }
            Body::Pointer(_) | Body::Native(_) | Body::Refused(_) | Body::Other(_) => {
                Read::Foreign(Foreign::Unread)
            }
        };
    }
    match commands.read(&reservation.body) {
        Body::Pointer(pointer) if pointer.store == store => ours(pointer),
        Body::Pointer(pointer) => Read::Foreign(Foreign::Elsewhere(pointer.store)),
        // Or one command gets it as it is.
        Body::Native(native) if !commands.takes_every_body() => {
            Read::Foreign(Foreign::Native(native))
        }
        Body::Native(_) | Body::Refused(_) | Body::Other(_) => Read::Foreign(Foreign::Unread),
    }
}

/// Says which task a foreign job is, by what the broker knows of the job.
pub fn identify(
    reservation: &Reservation,
    foreign: Foreign,
    tube: &TubeName,
    known: Known,
    now: Now,
) -> Identified {
    let body = &reservation.body;
    let (uuid, content) = match foreign {
        Foreign::Elsewhere(store) => {
            return Identified::Elsewhere {
                store,
                delay: growing(known.stats.releases),
                priority: known.stats.priority,
            };
        }
        Foreign::Native(native) => (native.uuid, Content::Call(native.call)),
        Foreign::Unread => (None, Content::Unread(body.clone())),
    };
    let kicks = Some(known.stats.kicks);
    let job = foreign_job(body, content, known, now.wall);
    Identified::Here(Box::new(JobRef {
        tube: tube.clone(),
        id: reservation.id,
        kicks,
        cleared: None,
        task: match uuid {
            Some(uuid) => TaskRef::Named(uuid, job),
            None => TaskRef::Nameless(job),
        },
    }))
}

fn foreign_job(body: &Bytes, content: Content, known: Known, now: Millis) -> ForeignJob {
    let age = Millis::try_from(known.stats.age.as_millis()).unwrap_or(Millis::MAX);
    ForeignJob {
        content,
        body: body.clone(),
        hash: fingerprint(body),
        instance: known.instance,
        birth: now.saturating_sub(age),
        priority: known.stats.priority,
        ttr: u32::try_from(known.stats.ttr.as_secs()).unwrap_or(u32::MAX),
    }
}

/// 1, 2, 4 … seconds.
fn growing(releases: u64) -> Duration {
    let doublings = u32::try_from(releases).unwrap_or(u32::MAX).min(16);
    Duration::from_secs(1 << doublings).min(LONGEST_ELSEWHERE)
}
