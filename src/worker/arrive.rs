//! From a reserved job to the task it speaks of.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::broker::{self, Broker, JobStats, Reservation};
use crate::clock::now;
use crate::ledger::Millis;
use crate::ledger::{ForeignJob, JobRef, TaskRef};
use crate::task::command::{Commands, Content};
use crate::task::payload::Body;
use crate::tube::TubeName;

/// What a reserved job turned out to be.
#[derive(Debug)]
pub enum Arrived {
    /// A task of this store, or one that is to become one.
    Here(Box<JobRef>),
    /// A pointer into another store: not ours, and none of our rows says anything of it.
    Elsewhere {
        /// The other store's id.
        store: Uuid,
        /// How long to leave it to somebody else.
        delay: Duration,
        /// Its priority.
        priority: u32,
    },
    /// It is not ours any more.
    Vanished,
}

/// The longest that we leave a job to the workers of the store it points into.
const LONGEST_ELSEWHERE: Duration = Duration::from_secs(300);

/// Finds out which task a job speaks of.
pub async fn arrive(
    broker: &mut dyn Broker,
    tube: &TubeName,
    reservation: &Reservation,
    store: Uuid,
    commands: &Commands,
) -> Result<Arrived, broker::Error> {
    let body = &reservation.body;
    let here = |task, kicks| {
        Arrived::Here(Box::new(JobRef {
            tube: tube.clone(),
            id: reservation.id,
            kicks,
            task,
            cleared: None,
        }))
    };
    let read = commands.read(body);
    if let Body::Pointer(pointer) = &read
        && pointer.store == store
    {
        return Ok(here(TaskRef::Pointer(pointer.uuid), None));
    }
    // Anything else is a foreign job: what tells it apart is not in its body alone.
    let Some(stats) = broker.stats_job(reservation.id).await? else {
        return Ok(Arrived::Vanished);
    };
    let kicks = Some(stats.kicks);
    let named = match read {
        Body::Pointer(pointer) => {
            return Ok(Arrived::Elsewhere {
                store: pointer.store,
                delay: growing(stats.releases),
                priority: stats.priority,
            });
        }
        // Or one command gets it as it is.
        Body::Native(native) if !commands.takes_every_body() => Some(native),
        Body::Native(_) | Body::Refused(_) | Body::Other(_) => None,
    };
    let instance = broker.instance().await?.id;
    let (uuid, content) = match named {
        Some(native) => (native.uuid, Content::Call(native.call)),
        None => (None, Content::Unread(body.clone())),
    };
    let stranger = stranger(body, content, &stats, instance, now());
    Ok(match uuid {
        Some(uuid) => here(TaskRef::Named(uuid, stranger), kicks),
        None => here(TaskRef::Nameless(stranger), kicks),
    })
}

fn stranger(
    body: &Bytes,
    content: Content,
    stats: &JobStats,
    instance: String,
    now: Millis,
) -> ForeignJob {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let mut hash = [0; 16];
    hash.iter_mut().zip(digest).for_each(|(h, d)| *h = d);
    let age = Millis::try_from(stats.age.as_millis()).unwrap_or(Millis::MAX);
    ForeignJob {
        content,
        body: body.clone(),
        hash,
        instance,
        birth: now.saturating_sub(age),
        priority: stats.priority,
        ttr: u32::try_from(stats.ttr.as_secs()).unwrap_or(u32::MAX),
    }
}

/// 1, 2, 4 … seconds.
fn growing(releases: u64) -> Duration {
    let doublings = u32::try_from(releases).unwrap_or(u32::MAX).min(16);
    Duration::from_secs(1 << doublings).min(LONGEST_ELSEWHERE)
}
