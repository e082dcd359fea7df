//! From a reserved job to the task that the job speaks of.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::event::{Known, Now};
use crate::broker::{JobId, JobStats, Reservation};
use crate::ledger::Millis;
use crate::ledger::{ForeignJob, JobRef, TaskRef};
use crate::task::command::{Commands, Content};
use crate::task::fingerprint::fingerprint;
use crate::task::payload::{self, Body, Native, Pointer, Refusal};
use crate::tube::TubeName;

/// The longest that we leave a job to the workers of the store it points into.
const LONGEST_ELSEWHERE: Duration = Duration::from_secs(300);

/// So many times they have a second.
const AT_FIRST: u64 = 7;

/// How often a job is left to others, and for how long at the least since it was put.
struct Left {
    rounds: u64,
    time: Duration,
}

/// A pointer into another store is nobody else's: at these pauses, about a day.
const ELSEWHERE: Left = Left {
    rounds: 303,
    time: Duration::from_secs(24 * 60 * 60),
};

/// What nothing is configured for may be nobody's, whoever watches the tube: about an hour.
const FOR_OTHERS: Left = Left {
    rounds: 26,
    time: Duration::from_secs(60 * 60),
};

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
        /// How long to leave the job to somebody else; `None`: it has been left to them for long enough.
        leave: Option<Duration>,
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
                if pointer.store == store && pointer.is_as_written(&reservation.body) =>
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

/// That nothing is configured here for a foreign job, in words; `None` where something is, or where the job is wrong in
/// itself.
pub fn wanting(
    reservation: &Reservation,
    foreign: &Foreign,
    tube: &TubeName,
    commands: &Commands,
) -> Option<Refusal> {
    let refusal = match foreign {
        Foreign::Elsewhere(_) => None,
        Foreign::Native(native) => commands.want_of(native.call.command.as_str()),
        // Whatever it says, there is a command for it.
        Foreign::Unread if commands.takes_raw(tube) => None,
        Foreign::Unread => {
            let body = Content::Unread(reservation.body.clone());
            commands.plan(Uuid::nil(), tube, &body).err()
        }
    };
    refusal.filter(Refusal::is_for_want_of_a_command)
}

/// How long a job that nothing is configured for is left to the others who watch its tube: to another store's workers,
/// or to another system's. `None`: nobody else watches the tube, or they have not come for the job.
pub fn for_others(known: &Known) -> Option<Duration> {
    known
        .others
        .then(|| left(&known.stats, &FOR_OTHERS))
        .flatten()
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
    let (uuid, content, tags, at, unique, (own, after)) = match foreign {
        Foreign::Elsewhere(store) => {
            return Identified::Elsewhere {
                store,
                leave: left(&known.stats, &ELSEWHERE),
                priority: known.stats.priority,
            };
        }
        Foreign::Native(native) => {
            let Native {
                uuid,
                call,
                tags,
                at,
                unique,
                own,
                links,
            } = native;
            let after = links.and_then(|links| links.after());
            (uuid, Content::Call(call), tags, at, unique, (own, after))
        }
        Foreign::Unread => {
            let content = Content::Unread(body.clone());
            (None, content, Vec::new(), None, None, (None, None))
        }
    };
    let kicks = Some(known.stats.kicks);
    let job = ForeignJob {
        tags,
        at,
        unique,
        after,
        own,
        ..foreign_job(body, content, known, now.wall)
    };
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

/// The foreign ones of some jobs, in order.
pub fn foreign_jobs(jobs: &[(Reservation, Read)]) -> impl Iterator<Item = JobId> {
    let foreign = jobs.iter().filter(|(_, read)| match read {
        Read::Foreign(_) => true,
        Read::Ours(_) => false,
    });
    foreign.map(|(reservation, _)| reservation.id)
}

/// Says which tasks some jobs are, by what the broker knows of the foreign ones, in order. From the first one on that
/// is not to be claimed, or about which nothing could be learnt, jobs are to be looked at when their turns come.
pub fn tell_apart(
    jobs: Vec<(Reservation, Read)>,
    known: Vec<Option<Known>>,
    tube: &TubeName,
    commands: &Commands,
    now: Now,
) -> (Vec<(Reservation, JobRef)>, Vec<Reservation>) {
    let (mut found, mut later) = (Vec::new(), Vec::new());
    let mut known = known.into_iter();
    for (reservation, read) in jobs {
        let job = match read {
            _ if !later.is_empty() => None,
            Read::Ours(job) => Some(job),
            Read::Foreign(foreign) => {
                let known = known.next().flatten();
                // Whether others watch the tube is asked when its turn comes.
                let is_wanted = wanting(&reservation, &foreign, tube, commands).is_none();
                let identified = known
                    .filter(|_| is_wanted)
                    .map(|known| identify(&reservation, foreign, tube, known, now));
                match identified {
                    Some(Identified::Here(job)) => Some(*job),
                    Some(Identified::Elsewhere { .. }) | None => None,
                }
            }
        };
        match job {
            Some(job) => found.push((reservation, job)),
            None => later.push(reservation),
        }
    }
    (found, later)
}

fn foreign_job(body: &Bytes, content: Content, known: Known, now: Millis) -> ForeignJob {
    let age = Millis::try_from(known.stats.age.as_millis()).unwrap_or(Millis::MAX);
    ForeignJob {
        content,
        tags: Vec::new(),
        at: None,
        unique: None,
        own: None,
        after: None,
        body: body.clone(),
        hash: fingerprint(body),
        instance: known.instance,
        birth: now.saturating_sub(age),
        priority: known.stats.priority,
        ttr: u32::try_from(known.stats.ttr.as_secs()).unwrap_or(u32::MAX),
    }
}

/// How long a job that is somebody else's is left to them this time. `None` once they have not come for it for so
/// long, since it was put or last kicked: it goes round for nobody. Where the job is released by others too, so that
/// the count means less time, its age says so.
fn left(stats: &JobStats, most: &Left) -> Option<Duration> {
    let rounds = stats.kicks.saturating_add(1).saturating_mul(most.rounds);
    let is_left = stats.releases < rounds || stats.age < most.time;
    is_left.then(|| growing(stats.releases))
}

/// A second at first, for those who serve the tube are as likely to have it next as we; then 2, 4, 8 … seconds.
fn growing(releases: u64) -> Duration {
    let doublings = u32::try_from(releases.saturating_sub(AT_FIRST))
        .unwrap_or(u32::MAX)
        .min(16);
    Duration::from_secs(1 << doublings).min(LONGEST_ELSEWHERE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::machine::tests::stage;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_pointer_into_another_store_is_left_to_it_for_a_day_and_then_no_more() {
        for (releases, kicks, age, leave) in [
            (0, 0, 0, Some(1)),
            (7, 0, 7, Some(1)),
            (10, 0, 15, Some(8)),
            (15, 0, 600, Some(256)),
            (16, 0, 900, Some(300)),
            (302, 0, DAY, Some(300)),
            (303, 0, DAY - 1, Some(300)),
            (303, 0, DAY, None),
            (u64::MAX, 0, u64::MAX, None),
            // Whoever kicks it wants it to be tried again.
            (303, 1, 2 * DAY, Some(300)),
            (606, 1, 2 * DAY, None),
            (u64::MAX, u64::MAX, u64::MAX, None),
        ] {
            let mut stats = stage::known(kicks).stats;
            (stats.releases, stats.age) = (releases, Duration::from_secs(age));
            let expected = leave.map(Duration::from_secs);
            assert_eq!(
                left(&stats, &ELSEWHERE),
                expected,
                "{releases} {kicks} {age}"
            );
        }
        for (most, time) in [(ELSEWHERE, DAY), (FOR_OTHERS, 3600)] {
            let rounds: Duration = (0..most.rounds).map(growing).sum();
            let about = Duration::from_secs(time - 600)..Duration::from_secs(time + 600);
            assert!(about.contains(&rounds), "{rounds:?}");
        }
    }
}
