//! The workers' own rows, and whether they live.

use std::sync::Arc;

use serde_json::json;

use super::error::{Error, Failed};
use super::events::{About, tell_more};
use super::rows::{Gone, Newest, Rows};
pub use super::rows::{Known, NewWorker};
use super::{Ledger, Millis};
use crate::lives::{Alive, Holder, Lives};
use crate::task::event::What;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::state::Status;
use crate::tube::TubeName;

/// Who claims and settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// The worker.
    pub id: WorkerId,
    /// The name, with which its attempts are recorded.
    pub name: Arc<str>,
}

/// A worker that is known to the store, and lives.
#[derive(Debug)]
pub struct Registered {
    /// Who that is.
    pub me: Me,
    /// Held until the process ends; not inherited by commands.
    pub alive: Alive,
}

/// So many of a tube's workers are looked at, from the newest.
const LOOKED_AT: usize = 1000;

impl Ledger {
    /// Makes a worker known. It lives before anybody can see its row.
    pub fn register(&mut self, worker: &NewWorker, now: Millis) -> Result<Registered, Error> {
        self.make_known(worker, now, |_| Ok(()))
    }

    /// The same for a worker of a tube, whose beginning is an event.
    pub fn introduce(&mut self, worker: &NewWorker, now: Millis) -> Result<Registered, Error> {
        self.make_known(worker, now, |rows| {
            tell_of(rows, What::WorkerStart, worker, None, now)
        })
    }

    fn make_known(
        &mut self,
        worker: &NewWorker,
        now: Millis,
        and: impl Fn(&dyn Rows) -> Result<(), Failed>,
    ) -> Result<Registered, Error> {
        let lives = Arc::clone(&self.lives);
        let boot = lives.boot();
        self.change(|rows| {
            let id = rows.insert_worker(worker, &boot, now)?;
            let alive = lives.hold(Holder::Worker(id))?;
            and(rows)?;
            let name = worker.name.as_str().into();
            Ok(Registered {
                me: Me { id, name },
                alive,
            })
        })
    }

    /// Writes a worker's row as it is and asks whether it lives, to see whether the ledger takes anything.
    pub fn prove(&mut self, worker: WorkerId) -> Result<(), Error> {
        let lives = Arc::clone(&self.lives);
        self.change(|rows| {
            lives.is_held(Holder::Worker(worker))?;
            rows.set_stopped(worker, None)
        })
    }

    /// Notes that a worker is killed since it hangs: it does not answer, and its command's time is up.
    pub fn note_hung(&mut self, name: &str, pid: u32, now: Millis) -> Result<(), Error> {
        let detail = json!({ "worker": name, "pid": pid, "reason": "it hangs" });
        self.change(|rows| {
            let none = About::default();
            tell_more(rows, What::WorkerKilled, now, none, Some(&detail))?;
            rows.set_hung(name, pid, now)
        })
    }

    /// Records that a worker ends, and of which tasks it knows that their producers' own jobs are deleted.
    pub fn sign_off(
        &mut self,
        worker: WorkerId,
        deleted: &[TaskId],
        now: Millis,
    ) -> Result<(), Error> {
        self.change(|rows| {
            note_deleted(rows, deleted)?;
            rows.set_stopped(worker, Some(now))
        })
    }

    /// The same of a worker of a tube, of which is told.
    pub fn take_leave(
        &mut self,
        worker: WorkerId,
        deleted: &[TaskId],
        identity: &NewWorker,
        now: Millis,
    ) -> Result<(), Error> {
        self.change(|rows| {
            note_deleted(rows, deleted)?;
            tell_of(rows, What::WorkerFinished, identity, None, now)?;
            rows.set_stopped(worker, Some(now))
        })
    }

    /// Removes what a worker that ends has spooled, of this attempt last; unless nobody has recorded the attempt, whose
    /// output is nowhere else then.
    pub fn forget_spool(&mut self, worker: WorkerId, attempt: AttemptId) -> Result<(), Error> {
        let spools = Arc::clone(&self.spools);
        let newest = self.look(|rows| rows.newest(attempt.task.into()))?;
        let is_open =
            |newest: Newest| newest.status == Status::Running && newest.attempt == attempt.number;
        if !newest.is_some_and(is_open) {
            spools.remove(worker);
        }
        Ok(())
    }

    /// Records of which tasks it is known that their producers' own jobs are deleted.
    pub fn note_deleted(&mut self, deleted: &[TaskId]) -> Result<(), Error> {
        self.change(|rows| note_deleted(rows, deleted))
    }

    /// Whether a worker of a tube lives, or has said since then that it ended, of the newest thousand.
    pub fn has_worker(&self, tube: &TubeName, since: Millis) -> Result<bool, Error> {
        self.look(|rows| {
            for (worker, stopped) in rows.workers_of(tube, LOOKED_AT)? {
                let counts = match stopped {
                    Some(stopped) => stopped >= since,
                    None => self.lives.is_held(Holder::Worker(worker))?,
                };
                if counts {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// How many workers of a tube live, of the newest thousand.
    pub fn living_workers(&self, tube: &TubeName) -> Result<u64, Error> {
        self.look(|rows| {
            let mut living: u64 = 0;
            for (worker, stopped) in rows.workers_of(tube, LOOKED_AT)? {
                if stopped.is_none() && self.lives.is_held(Holder::Worker(worker))? {
                    living = living.saturating_add(1);
                }
            }
            Ok(living)
        })
    }

    /// Every worker that has a row, the oldest first. Looks at every attempt for each.
    pub fn workers(&self) -> Result<Vec<Known>, Error> {
        self.look(|rows| rows.workers())
    }
}

fn tell_of(
    rows: &dyn Rows,
    what: What,
    worker: &NewWorker,
    reason: Option<&str>,
    now: Millis,
) -> Result<(), Failed> {
    let NewWorker {
        name,
        tube,
        host,
        pid,
    } = worker;
    let mut detail = json!({ "worker": name, "tube": tube, "host": host, "pid": pid });
    if let (Some(reason), Some(members)) = (reason, detail.as_object_mut()) {
        members.insert("reason".into(), reason.into());
    }
    tell_more(rows, what, now, About::default(), Some(&detail))
}

/// Tells that a worker has ended that could not tell so itself, if it is dead. Once: its row says then that it has.
pub(super) fn tell_if_dead(
    rows: &dyn Rows,
    lives: &dyn Lives,
    worker: WorkerId,
    now: Millis,
) -> Result<(), Failed> {
    if lives.is_held(Holder::Worker(worker))? {
        return Ok(());
    }
    let Some(Gone { worker, was_hung }) = rows.end_worker(worker, now)? else {
        return Ok(());
    };
    // Who only reconciles is of no tube, and nothing was told of its beginning.
    if worker.tube.is_empty() {
        return Ok(());
    }
    let reason = match was_hung {
        true => "it hung, and was killed",
        false => "it died",
    };
    tell_of(rows, What::WorkerFinished, &worker, Some(reason), now)
}

/// A foreign task's row may go only when its job is deleted: the row is what tells a redelivery apart.
pub(super) fn note_deleted(rows: &dyn Rows, deleted: &[TaskId]) -> Result<(), Failed> {
    deleted.iter().try_for_each(|task| rows.note_deleted(*task))
}
