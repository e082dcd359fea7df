//! Claims and settlements: the two transactions that every attempt has.
//!
//! A job only says "look at this task now"; whether it runs is decided here, from the row. In one
//! transaction a claim finds the row (or makes it, for a foreign producer's job), lets the core judge,
//! and begins the attempt: status, owner and attempt lock appear together or not at all. The attempt's own row is
//! written when it has ended.
//!
//! Where short jobs follow each other, several have one transaction: those of a round are settled together, and those
//! of the next are claimed. What the store does not know meanwhile, the worker's slate does.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;
use uuid::Uuid;

use super::locks::Lock;
use super::reconcile::AfterLoss;
use super::slate::Key;
use super::worker::{Me, note_gone};
use super::{Db, Error, Millis};
use crate::broker::JobId;
use crate::crash::{self, Point};
use crate::task::command::{Commands, Content, Plan};
use crate::task::output::Kept;
use crate::task::retry::{Budget, Next};
use crate::task::state::Outcome;
use crate::tube::TubeName;

mod claim;
mod loss;
mod row;
mod settle;

use claim::{Claiming, answers};
use loss::give_up;
pub(super) use loss::left;
#[cfg(test)]
pub(super) use row::{by_foreign_job, by_uuid};
use settle::settle_all;

/// A reserved job, as the claim needs to know it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The tube it came from.
    pub tube: TubeName,
    /// Its number.
    pub job: JobId,
    /// How often it was kicked, if that was asked for.
    pub kicks: Option<u64>,
    /// Which task it is.
    pub who: Who,
}

impl Arrival {
    /// The job is one that we put, whoever put the task's first.
    pub fn is_pointer(&self) -> bool {
        match self.who {
            Who::Pointer(_) => true,
            Who::Named(..) | Who::Nameless(_) => false,
        }
    }
}

/// How a job says which task it is.
#[derive(Debug, Clone)]
pub enum Who {
    /// It points to a row of this store.
    Pointer(Uuid),
    /// A foreign producer gave it a uuid.
    Named(Uuid, Stranger),
    /// Nothing but its number, its bytes and its age.
    Nameless(Stranger),
}

/// A job of a foreign producer.
#[derive(Debug, Clone)]
pub struct Stranger {
    /// What it asks for.
    pub content: Content,
    /// Its body as it came, for when `content` may not become a row of its own.
    pub body: bytes::Bytes,
    /// The first half of the SHA-256 of its body.
    pub hash: [u8; 16],
    /// The broker instance that numbered it.
    pub instance: String,
    /// When it was put, by its age.
    pub birth: Millis,
    /// Its priority.
    pub priority: u32,
    /// Its TTR in seconds.
    pub ttr: u32,
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claim {
    /// An attempt has begun.
    Begun(Box<Attempt>),
    /// The task may not run: it has failed, its job is to be buried.
    Refused {
        /// Its row.
        task: i64,
        /// Why.
        reason: String,
        /// Its job's priority.
        priority: u32,
    },
    /// The task has lost too many attempts and has failed with the last of them: its job is to be buried.
    GivenUp {
        /// Its row.
        task: i64,
        /// Why.
        reason: String,
        /// Its job's priority.
        priority: u32,
    },
    /// The task had failed before, and its job was to be buried.
    BuryJob {
        /// Its row.
        task: i64,
        /// Its job's priority.
        priority: u32,
    },
    /// Not now: release the job for this long.
    Later {
        /// Its row.
        task: i64,
        /// How long.
        delay: Duration,
        /// Its job's priority.
        priority: u32,
        /// The put that its job came from.
        generation: i64,
    },
    /// The job is one too many. The row is named where there is one.
    DeleteJob {
        /// The row.
        task: Option<i64>,
    },
    /// Claim again, with `kicks`.
    AskForKicks,
    /// The worker that ran it died: take it over, end what is left, claim again.
    Dead(DeadAttempt),
    /// Something of an attempt that has ended still runs: end it, claim again.
    Remains(DeadAttempt),
}

/// An attempt whose processes have to go before the next one may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadAttempt {
    /// The task's row.
    pub task: i64,
    /// Its identity.
    pub uuid: Uuid,
    /// The attempt's number.
    pub number: i64,
    /// The worker that answers for it.
    pub owner: Option<i64>,
    /// Its job's priority.
    pub priority: u32,
    /// What its worker has left.
    pub left: Left,
}

/// What a dead worker has left of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nobody knows how it ended, nor what of it still runs.
    Unknown,
    /// It had ended well. What of it still runs was to stay.
    Done,
    /// It had not begun.
    Unbegun,
}

/// An attempt that has begun and is ours.
#[derive(Debug)]
pub struct Attempt {
    /// The task's row.
    pub task: i64,
    /// The task's identity.
    pub uuid: Uuid,
    /// The attempt's number.
    pub number: i64,
    /// What to start.
    pub plan: Plan,
    /// The lock that the command inherits.
    pub lock: Lock,
    /// What the task has used up before it.
    pub budget: Budget,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds, where known.
    pub ttr: Option<u32>,
    /// The put that its job came from.
    pub generation: i64,
    /// It came by its producer's own job, of which it matters whether it is known to be gone.
    pub foreign: bool,
    /// It is to begin only when others have ended: the slate says when it does.
    pub ahead: bool,
}

/// How an attempt of ours ended.
#[derive(Debug)]
pub struct Settlement {
    /// The task's row.
    pub task: i64,
    /// The attempt's number.
    pub number: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What becomes of the task.
    pub next: Next,
    /// What the task has used up now.
    pub budget: Budget,
    /// What the command printed.
    pub output: Kept,
    /// How often its job was kicked, where that was asked for. Kicking it once more asks for a failed task to be run
    /// again.
    pub kicks: Option<u64>,
    /// When it began, if it was claimed ahead of its turn.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Millis,
}

/// What is to be recorded of attempts that were claimed together.
#[derive(Debug, Default)]
pub struct Settlements {
    /// Those that have ended.
    pub ended: Vec<Arc<Settlement>>,
    /// One claimed ahead that has begun since, and when.
    pub begun: Option<(Key, Millis)>,
    /// Those claimed ahead whose turn does not come: their tasks wait again.
    pub unbegun: Vec<Key>,
}

/// What came of settling and claiming together.
#[derive(Debug)]
pub struct Claimed {
    /// As of [`Db::settle`].
    pub ours: Vec<bool>,
    /// The next.
    pub next: Claim,
    /// Those after it, in order, as far as they may begin. The others are to be claimed when it is their turn.
    pub ahead: Vec<Option<Box<Attempt>>>,
}

impl Db {
    /// Decides what becomes of a reserved job, and begins an attempt where it may. `gone` are tasks
    /// whose jobs are known to be gone, noted on the way.
    pub fn claim(
        &mut self,
        arrival: &Arrival,
        commands: &Arc<Commands>,
        me: &Me,
        gone: &[i64],
        now: Millis,
    ) -> Result<Claim, Error> {
        self.change(|change, locks| {
            note_gone(change, gone)?;
            Claiming {
                change,
                locks,
                commands,
                me,
                now,
            }
            .claim(arrival)
        })
    }

    /// Makes a dead worker's attempt ours, so that of several that find it only one goes on. True if
    /// it is ours now.
    pub fn take_over(&mut self, dead: &DeadAttempt, worker: i64) -> Result<bool, Error> {
        let taken = self.change(|change, locks| {
            if let Some(owner) = dead.owner
                && answers(locks, owner, worker)?
            {
                return Ok(false);
            }
            let taken = change.execute(
                "UPDATE tasks SET owner = ?4
                 WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
                params![dead.task, dead.number, dead.owner, worker],
            )?;
            Ok(taken == 1)
        })?;
        crash::here(Point::TakenOver);
        Ok(taken)
    }

    /// Records an attempt that we took over, and of which nothing runs any more, as [`Db::lose`] does, and claims its
    /// task anew, both in one transaction.
    pub fn lose_and_claim(
        &mut self,
        dead: &DeadAttempt,
        arrival: &Arrival,
        commands: &Arc<Commands>,
        me: &Me,
        now: Millis,
    ) -> Result<Claim, Error> {
        let claimed = self.change(|change, locks| {
            let claiming = Claiming {
                change,
                locks,
                commands,
                me,
                now,
            };
            match claiming.lose(dead)? {
                // Not asked for its kicks: an old one must not pass for the wish to try again.
                AfterLoss::Failed { reason } => Ok(Claim::GivenUp {
                    task: dead.task,
                    reason,
                    priority: dead.priority,
                }),
                AfterLoss::Waits | AfterLoss::Done | AfterLoss::Unbegun | AfterLoss::NotOurs => {
                    claiming.claim(arrival)
                }
            }
        });
        match claimed {
            Err(error) if error.is_of_one_row() => {
                self.give_up(dead, &error, me, now)?;
                Ok(Claim::GivenUp {
                    task: dead.task,
                    reason: error.to_string(),
                    priority: dead.priority,
                })
            }
            claimed => claimed,
        }
    }

    /// Records an attempt that we took over, and claims nothing.
    pub(super) fn lose_only(
        &mut self,
        dead: &DeadAttempt,
        commands: &Arc<Commands>,
        me: &Me,
        now: Millis,
    ) -> Result<AfterLoss, Error> {
        self.change(|change, locks| {
            Claiming {
                change,
                locks,
                commands,
                me,
                now,
            }
            .lose(dead)
        })
    }

    /// Records an attempt that we took over, and whose task's row makes no sense, by what `wrong` says.
    pub(super) fn give_up(
        &mut self,
        dead: &DeadAttempt,
        wrong: &Error,
        me: &Me,
        now: Millis,
    ) -> Result<AfterLoss, Error> {
        self.change(|change, locks| give_up(change, locks, dead, &wrong.to_string(), me, now))
    }

    /// Records what has happened as [`Db::settle`] does, and claims the next task as [`Db::claim`] does, all in one
    /// transaction. If that may begin, those `ahead` of their turns are claimed too, of which nothing else is to be
    /// said than that they may begin.
    pub fn settle_and_claim(
        &mut self,
        settlements: &Settlements,
        next: &Arrival,
        ahead: &[Arrival],
        commands: &Arc<Commands>,
        me: &Me,
        now: Millis,
    ) -> Result<Claimed, Error> {
        self.change(|change, locks| {
            let ours = settle_all(change, settlements, me)?;
            let claiming = Claiming {
                change,
                locks,
                commands,
                me,
                now,
            };
            let next = claiming.claim(next)?;
            let ahead = match &next {
                Claim::Begun(_) => ahead,
                _ => &[],
            };
            let ahead = ahead.iter().map(|arrival| claiming.claim_ahead(arrival));
            let ahead = ahead.collect::<Result<_, _>>()?;
            Ok(Claimed { ours, next, ahead })
        })
    }

    /// Records what has happened. Of each attempt that has ended, false if it was not ours to settle: somebody took it
    /// over, and nothing else of it may be touched then.
    pub fn settle(&mut self, settlements: &Settlements, me: &Me) -> Result<Vec<bool>, Error> {
        self.change(|change, _| settle_all(change, settlements, me))
    }
}
