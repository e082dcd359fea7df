//! What reconciliation asks of the store: whose attempts are dead, and which tasks that wait may have no job.

use std::collections::HashMap;

use rusqlite::{Row, params};
use uuid::Uuid;

use super::ledger::{DeadAttempt, remains};
use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;
use crate::lives::Holder;
use crate::store::announce::PUT_TIME;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::tube::TubeName;

/// A task that waits, and the job that is to ring for it, if that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedJob {
    /// Its newest put.
    pub put: PutId,
    /// Its identity.
    pub uuid: Uuid,
    /// The job's number.
    pub job: Option<JobId>,
    /// The broker instance that numbered it.
    pub instance: Option<String>,
    /// How to know it from another of that number.
    pub fingerprint: Fingerprint,
}

/// How a job is known from another that has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fingerprint {
    /// It points to the task.
    Pointer,
    /// Its producer's own.
    Foreign {
        /// The first half of the SHA-256 of its body.
        hash: [u8; 16],
        /// When it was put.
        birth: Millis,
    },
}

impl Db {
    /// The tubes in which something waits or runs.
    pub fn tubes_in_use(&self) -> Result<Vec<TubeName>, Error> {
        self.look(|look, _| {
            let names: Vec<String> = look
                .prepare_cached(TUBES)?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            // One that is none is no name of a tube that a broker could have.
            Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
        })
    }

    /// Attempts in any tube whose workers died without settling them.
    pub fn abandoned(&self) -> Result<Vec<DeadAttempt>, Error> {
        let mut dead = self.running_dead(None, WorkerId::NOBODY)?;
        if dead.is_empty() {
            return Ok(dead);
        }
        // A worker may have settled and gone between the look at the row and the look at its lock. Of one that
        // was seen dead, a row that still says `running` afterwards says it for good.
        self.look(|look, _| {
            let mut same = look.prepare_cached(SAME)?;
            let mut kept = Vec::with_capacity(dead.len());
            for one in dead.drain(..) {
                if same.exists(params![one.id.task, one.id.number, one.owner])? {
                    kept.push(one);
                }
            }
            Ok(kept)
        })
    }

    /// Attempts in a tube for which nobody answers: their workers are dead, or took them over as `asks` and
    /// could not end what was left.
    pub fn dead_attempts(
        &self,
        tube: &TubeName,
        asks: WorkerId,
    ) -> Result<Vec<DeadAttempt>, Error> {
        self.running_dead(Some(tube.as_str()), asks)
    }

    fn running_dead(&self, tube: Option<&str>, asks: WorkerId) -> Result<Vec<DeadAttempt>, Error> {
        self.look(|look, locks| {
            let mut answers: HashMap<WorkerId, bool> = HashMap::new();
            let mut running = look.prepare_cached(RUNNING)?;
            let mut rows = running.query([tube])?;
            let mut dead = Vec::new();
            while let Some(row) = rows.next()? {
                let owner: WorkerId = row.get(3)?;
                let answers = match answers.get(&owner) {
                    Some(known) => *known,
                    None => {
                        let held = locks.is_held(Holder::Worker(owner));
                        let answer = owner != asks && held.map_err(Failed::Locks)?;
                        answers.insert(owner, answer);
                        answer
                    }
                };
                if !answers {
                    let id = AttemptId {
                        task: row.get(0)?,
                        number: row.get(2)?,
                    };
                    dead.push(DeadAttempt {
                        id,
                        uuid: Uuid::from_bytes(row.get(1)?),
                        owner: Some(owner),
                        priority: row.get(4)?,
                        remains: remains(locks, row.get(5)?, id, row.get(6)?),
                    });
                }
            }
            Ok(dead)
        })
    }

    /// Tasks of a tube that wait and of whose job nothing is known: the broker could not be reached, or whoever
    /// put it died in between. The newest put of each, from a task on. Those that somebody is putting are
    /// left to them.
    pub fn missing(
        &self,
        tube: &TubeName,
        after: TaskId,
        limit: u32,
        now: Millis,
    ) -> Result<Vec<PutId>, Error> {
        self.look(|look, _| {
            // Until a time that is too far away: the clock was set back.
            let latest = now.saturating_add(PUT_TIME);
            Ok(look
                .prepare_cached(MISSING)?
                .query_map(params![tube.as_str(), after, now, latest, limit], |row| {
                    Ok(PutId {
                        task: row.get(0)?,
                        generation: row.get(1)?,
                    })
                })?
                .collect::<Result<_, _>>()?)
        })
    }

    /// Tasks of a tube that wait, from a row on, and whose job is known; of those of `instance` only if none is
    /// named.
    pub fn unverified(
        &self,
        tube: &TubeName,
        instance: Option<&str>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<UnverifiedJob>, Error> {
        self.look(|look, _| {
            Ok(look
                .prepare_cached(&unverified_sql())?
                .query_map(
                    params![tube.as_str(), instance, after, limit],
                    unverified_job,
                )?
                .collect::<Result<_, _>>()?)
        })
    }

    /// The same of certain tasks.
    pub fn unverified_of(&self, tasks: &[TaskId]) -> Result<Vec<UnverifiedJob>, Error> {
        self.look(|look, _| {
            let mut select = look.prepare_cached(&format!("{UNVERIFIED} AND id = ?1"))?;
            let mut found = Vec::new();
            for task in tasks {
                for row in select.query_map([task], unverified_job)? {
                    found.push(row?);
                }
            }
            Ok(found)
        })
    }

    /// Whether a task of a tube waits, announced or not.
    pub fn anything_waits(&self, tube: &TubeName) -> Result<bool, Error> {
        self.look(|look, _| Ok(look.prepare_cached(WAITS)?.exists([tube.as_str()])?))
    }

    /// Whether a task of a tube is due and has been announced.
    pub fn anything_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Error> {
        self.look(|look, _| {
            Ok(look
                .prepare_cached(DUE)?
                .exists(params![tube.as_str(), now])?)
        })
    }

    /// Notes that jobs were found in an instance of the broker that calls itself otherwise than before: the puts
    /// that they came from.
    pub fn note_found(&mut self, instance: &str, found: &[PutId]) -> Result<(), Error> {
        self.change(|change, _| {
            let mut note = change.prepare_cached(
                "UPDATE tasks SET job_instance = iif(pointer_job IS NULL, ?3, job_instance),
                    pointer_instance = iif(pointer_job IS NULL, NULL, ?3)
                 WHERE id = ?1 AND put_generation = ?2",
            )?;
            for PutId { task, generation } in found {
                note.execute(params![task, generation, instance])?;
            }
            Ok(())
        })
    }
}

const TUBES: &str =
    "SELECT DISTINCT tube FROM tasks WHERE status IN ('waiting', 'running') AND status <> 'done'";

// A plus keeps SQLite from the index by tube, which has all that ever was in it.
const RUNNING: &str = "SELECT id, uuid, attempt, owner, priority, worker, ahead FROM tasks
    WHERE status = 'running' AND status <> 'done' AND (?1 IS NULL OR tube = ?1) ORDER BY id";

const SAME: &str =
    "SELECT 1 FROM tasks WHERE id = ?1 AND attempt = ?2 AND owner = ?3 AND status = 'running'";

pub(super) const MISSING: &str = "SELECT id, put_generation FROM tasks
    WHERE tube = ?1 AND status = 'waiting' AND put_noted < put_generation AND id > ?2
        AND (put_until IS NULL OR put_until <= ?3 OR put_until > ?4)
    ORDER BY id LIMIT ?5";

const UNVERIFIED: &str = "SELECT id, uuid, put_generation, coalesce(pointer_job, job),
        coalesce(pointer_instance, job_instance), foreign_job AND pointer_job IS NULL, job_hash, job_birth
    FROM tasks WHERE status = 'waiting' AND status <> 'done' AND put_noted = put_generation";

fn unverified_sql() -> String {
    format!(
        "{UNVERIFIED} AND +tube = ?1 AND coalesce(pointer_instance, job_instance) IS NOT ?2 AND id > ?3
         ORDER BY id LIMIT ?4"
    )
}

const WAITS: &str =
    "SELECT 1 FROM tasks WHERE status = 'waiting' AND status <> 'done' AND +tube = ?1";

const DUE: &str = "SELECT 1 FROM tasks WHERE status = 'waiting' AND status <> 'done' AND +tube = ?1
    AND due <= ?2 AND put_noted = put_generation";

fn unverified_job(row: &Row<'_>) -> rusqlite::Result<UnverifiedJob> {
    let fingerprint = if row.get(5)? {
        Fingerprint::Foreign {
            hash: row.get(6)?,
            birth: row.get(7)?,
        }
    } else {
        Fingerprint::Pointer
    };
    Ok(UnverifiedJob {
        put: PutId {
            task: row.get(0)?,
            generation: row.get(2)?,
        },
        uuid: Uuid::from_bytes(row.get(1)?),
        job: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
        instance: row.get(4)?,
        fingerprint,
    })
}

/// For the tests of query plans.
#[cfg(test)]
pub(super) fn queries() -> [String; 5] {
    [
        WAITS.into(),
        RUNNING.into(),
        unverified_sql(),
        DUE.into(),
        TUBES.into(),
    ]
}
