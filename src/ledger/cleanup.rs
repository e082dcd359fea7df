//! Deleting what ended long ago, without keeping anybody waiting.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::error::Error;
use super::events::tell_more;
use super::pace::PAUSE;
use super::rows::About;
pub use super::rows::{Old, Unsure};
use super::worker::{note_deleted, tell_if_dead};
use super::{Folded, Journal, Ledger, Millis, Room};
use crate::crash::{self, Point};
use crate::lives::Holder;
use crate::task::event::What;
use crate::task::id::{TaskId, WorkerId};
use crate::task::refused::Keep;
use crate::task::state::Status;
use crate::tube::TubeName;

/// Tasks deleted in one transaction. Each goes with its attempts, its output and their index entries.
const BATCH: usize = 500;

/// A batch that there is no room to delete is tried again as such a part of itself.
const SMALLER: usize = 5;

/// Tasks whose jobs may still be there, looked up at a time.
const UNSURE: usize = 4096;

/// How far a cleanup has come. It begins with the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SoFar {
    /// So many tasks are deleted.
    pub deleted: u64,
    spare: Spare,
    /// So many are deleted at once where that is not the usual number.
    most: Option<usize>,
    at: At,
}

/// What free room a cleanup leaves, for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spare {
    /// None: it is meant to give the disk back.
    #[default]
    Nothing,
    /// A tenth of all: whoever cleans up all the time gives nothing back that is needed again at once.
    Tenth,
}

/// Free room of which so much is not worth moving anything.
const LITTLE: u64 = 1 << 20;

impl Spare {
    fn of(self, room: Room) -> u64 {
        match self {
            Spare::Nothing => 0,
            Spare::Tenth => LITTLE.max(room.all / 10),
        }
    }
}

/// Some tasks that were deleted in one transaction.
struct Batch {
    /// So many were.
    deleted: u64,
    /// Of so many that were to be.
    tasks: usize,
    /// When the last of them ended.
    last: Millis,
}

/// What a cleanup does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Deletes tasks that ended from then on.
    Tasks { from: Millis },
    /// Forgets dead workers, from a row on. `has_forgotten`: the step before this one has forgotten some.
    Workers {
        after: WorkerId,
        has_forgotten: bool,
    },
    /// Gives free room back. `has_given`: the step before this one has given some.
    Room { has_given: bool },
    /// Nothing.
    End,
}

/// What became of dead workers that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// So many were forgotten.
    pub workers: usize,
    /// Where to go on, if there are more to be looked at.
    pub next: Option<WorkerId>,
}

impl Default for At {
    fn default() -> At {
        At::Tasks { from: Millis::MIN }
    }
}

impl SoFar {
    /// The beginning of a cleanup that leaves so much free room.
    pub fn leaving(spare: Spare) -> SoFar {
        SoFar {
            spare,
            ..SoFar::default()
        }
    }

    /// Whether all is done.
    pub fn is_over(&self) -> bool {
        match self.at {
            At::End => true,
            At::Tasks { .. } | At::Workers { .. } | At::Room { .. } => false,
        }
    }

    /// How long whoever does the next step waits before it. Where the last one only looked, nobody was kept waiting.
    pub fn pause(&self) -> Option<Duration> {
        match self.at {
            At::Tasks { .. }
            | At::Workers {
                has_forgotten: true,
                ..
            }
            | At::Room { has_given: true } => Some(PAUSE),
            At::Workers {
                has_forgotten: false,
                ..
            }
            | At::Room { has_given: false }
            | At::End => None,
        }
    }

    fn most(&self) -> usize {
        self.most.unwrap_or(BATCH)
    }

    fn is_at_tasks(&self) -> bool {
        match self.at {
            At::Tasks { .. } => true,
            At::Workers { .. } | At::Room { .. } | At::End => false,
        }
    }

    fn to(self, at: At) -> SoFar {
        SoFar { at, ..self }
    }
}

impl Ledger {
    /// Tasks that would go if it were known that their jobs are deleted, from one on.
    pub fn unsure(&self, old: &Old, after: TaskId) -> Result<Vec<Unsure>, Error> {
        self.look(|rows| rows.unsure(old, after, UNSURE))
    }

    /// Whether any of the newest tasks of a tube has had a job in this instance of the broker.
    pub fn has_been_at(&self, tube: &str, instance: &str) -> Result<bool, Error> {
        self.look(|rows| rows.has_been_at(tube, instance))
    }

    /// The newest refused tasks of a tube that came by others' jobs and are beyond what is kept. Not all at once, and
    /// never more of them than a little: who has deleted them asks again.
    pub fn refused_beyond(&self, tube: &TubeName, keep: Keep) -> Result<Vec<Unsure>, Error> {
        self.look(|rows| rows.refused_beyond(tube, keep, BATCH))
    }

    /// Deletes tasks that have failed and whose jobs are gone. How many there were.
    pub fn delete_refused(&mut self, tasks: &[TaskId]) -> Result<u64, Error> {
        let failed = Old {
            statuses: vec![Status::Failed],
            before: Millis::MAX,
        };
        self.change(|rows| {
            note_deleted(rows, tasks)?;
            rows.delete_old(&failed, tasks)
        })
    }

    /// How many tasks [`Ledger::cleanup`] would delete.
    pub fn count_old(&self, old: &Old) -> Result<u64, Error> {
        self.look(|rows| rows.count_old(old))
    }

    /// Deletes old tasks with their attempts and output, in the order in which they ended, a few at a
    /// time. Returns how many; `progress` hears how many so far and ends it by returning false.
    pub fn cleanup(
        &mut self,
        old: &Old,
        now: Millis,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<u64, Error> {
        let mut so_far = SoFar::default();
        while !so_far.is_over() {
            so_far = self.clean_up_some(old, so_far, now)?;
            if so_far.is_at_tasks() && !progress(so_far.deleted) {
                break;
            }
            if let Some(pause) = so_far.pause() {
                thread::sleep(pause);
            }
        }
        Ok(so_far.deleted)
    }

    /// The next step of a cleanup, in one short transaction, which tells of what it deletes; after it, whoever goes on
    /// waits for [`SoFar::pause`].
    pub fn clean_up_some(&mut self, old: &Old, so_far: SoFar, now: Millis) -> Result<SoFar, Error> {
        Ok(match so_far.at {
            At::Tasks { from } => match self.delete_some(old, from, so_far.most(), now)? {
                Some(batch) => {
                    crash::here(Point::BatchDeleted);
                    SoFar {
                        deleted: so_far.deleted.saturating_add(batch.deleted),
                        most: Some(batch.tasks.saturating_mul(2).clamp(1, BATCH)),
                        ..so_far.to(At::Tasks { from: batch.last })
                    }
                }
                None => so_far.to(At::Workers {
                    after: WorkerId::NOBODY,
                    has_forgotten: false,
                }),
            },
            At::Workers { after, .. } => {
                let Forgotten { workers, next } =
                    self.in_need_of_room(|ledger| ledger.forget_workers(after, now))?;
                let go_on = |after| At::Workers {
                    after,
                    has_forgotten: workers > 0,
                };
                so_far.to(next.map_or(At::Room { has_given: false }, go_on))
            }
            At::Room { .. } => {
                let spare = so_far.spare.of(self.backend.room()?);
                match self.in_need_of_room(|ledger| ledger.backend.give_back(spare))? {
                    true => so_far.to(At::Room { has_given: true }),
                    false => {
                        self.backend.settle();
                        so_far.to(At::End)
                    }
                }
            }
            At::End => so_far,
        })
    }

    /// Does a step that takes room to write. Where there was none, once more with what is kept back for that.
    fn in_need_of_room<R>(
        &mut self,
        mut step: impl FnMut(&mut Ledger) -> Result<R, Error>,
    ) -> Result<R, Error> {
        match step(self) {
            Err(error) if error.is_full() => {
                self.backend.keep_up();
                self.is_in_need = true;
                let done = step(self);
                self.is_in_need = false;
                done
            }
            done => done,
        }
    }

    /// Deletes the next batch. On a full disk there is little room for what is written of a deletion, too: there it is
    /// ever fewer.
    fn delete_some(
        &mut self,
        old: &Old,
        from: Millis,
        mut most: usize,
        now: Millis,
    ) -> Result<Option<Batch>, Error> {
        loop {
            match self.in_need_of_room(|ledger| ledger.delete_batch(old, from, most, now)) {
                Err(error) if error.is_full() && most > 1 => most = most.div_ceil(SMALLER),
                done => return done,
            }
        }
    }

    /// How much room it takes.
    pub fn room(&self) -> Result<Room, Error> {
        self.backend.room()
    }

    /// Keeps some room back for the day when there is none left.
    pub fn keep_reserve(&mut self) {
        self.backend.keep_reserve();
    }

    /// How the journal stands.
    pub fn journal(&self) -> Journal {
        self.backend.journal()
    }

    /// Puts what is in the journal where it belongs, and says who is in the way.
    pub fn fold(&mut self) -> Result<Folded, Error> {
        self.backend.fold()
    }

    /// Writes all rows anew, so that the ledger can give room back from then on. Nobody may work meanwhile.
    ///
    /// # Errors
    /// When somebody does, and when there is no room for it.
    pub fn compact(&mut self) -> Result<(), Error> {
        self.backend.compact()
    }

    /// Deletes the next batch; how many it was, and when the last of them ended. They are looked for
    /// before the write lock is taken: there may be a million to pass over.
    fn delete_batch(
        &mut self,
        old: &Old,
        from: Millis,
        most: usize,
        now: Millis,
    ) -> Result<Option<Batch>, Error> {
        let batch = self.look(|rows| rows.old(old, from, most))?;
        let Some(&(_, last)) = batch.last() else {
            return Ok(None);
        };
        let tasks: Vec<TaskId> = batch.iter().map(|(task, _)| *task).collect();
        // What a power cut brings back, the next cleanup deletes.
        let deleted = self.change_lightly(|rows| {
            // A task that was regenerated meanwhile stays.
            let deleted = rows.delete_old(old, &tasks)?;
            if deleted > 0 {
                let status = match old.statuses.as_slice() {
                    [status] => Some(status.as_str()),
                    _ => None,
                };
                let detail = json!({ "tasks": deleted, "status": status });
                let none = About::default();
                tell_more(rows, What::CleanedUp, now, none, Some(&detail))?;
            }
            Ok(deleted)
        })?;
        Ok(Some(Batch {
            deleted,
            last,
            tasks: tasks.len(),
        }))
    }

    /// Deletes the rows, batch journals and spools of workers that are dead and answer for nothing: of a few, from a
    /// row on. Of all who are dead and did not say that they end, it is told before that they have.
    pub fn forget_workers(&mut self, after: WorkerId, now: Millis) -> Result<Forgotten, Error> {
        let (lives, journals) = (Arc::clone(&self.lives), Arc::clone(&self.journals));
        let spools = Arc::clone(&self.spools);
        let (next, untold, idle) = self.look(|rows| {
            let mut idle = rows.idle_workers(after, BATCH)?;
            let last = idle.last().copied().filter(|_| idle.len() == BATCH);
            let mut untold = rows.unended_workers()?;
            for workers in [&mut idle, &mut untold] {
                let mut dead = Vec::new();
                for worker in workers.iter() {
                    if !lives.is_held(Holder::Worker(*worker))? {
                        dead.push(*worker);
                    }
                }
                *workers = dead;
            }
            // Where an earlier version has told of nobody, there are many.
            untold.truncate(BATCH);
            Ok((last, untold, idle))
        })?;
        // Mostly all live, and nobody is kept waiting for the write lock.
        let workers = match idle.is_empty() && untold.is_empty() {
            true => 0,
            false => self.change_lightly(|rows| {
                // One of the idle may have died since it was asked for those of whom is not told.
                for worker in untold.iter().chain(&idle) {
                    tell_if_dead(rows, &*lives, *worker, now)?;
                }
                let mut forgotten = 0;
                for worker in &idle {
                    // Meanwhile it may have begun an attempt, and died of it.
                    if rows.forget_worker(*worker)? {
                        journals.remove(*worker);
                        spools.remove(*worker);
                        forgotten += 1;
                    }
                }
                Ok(forgotten)
            })?,
        };
        Ok(Forgotten { workers, next })
    }
}
