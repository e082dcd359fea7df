//! Deleting what ended long ago, without keeping anybody waiting.

use std::thread;
use std::time::Duration;

use rusqlite::params;

use super::batch_journal::Journals;
use super::batch_journal::files::Files;
use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;
use crate::crash::{self, Point};
use crate::lives::Holder;
use crate::task::id::{TaskId, WorkerId};
use crate::task::state::Status;

/// Tasks deleted in one transaction. Each goes with its attempts, its output and their index entries.
const BATCH: usize = 500;

/// Between two transactions: without it the deleter wins the lock again and again.
const PAUSE: Duration = Duration::from_millis(5);

/// Tasks whose jobs may still be there, looked up at a time.
const UNSURE: usize = 4096;

/// A task that ended and may go, if its producer's own job has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsure {
    /// Its row.
    pub id: TaskId,
    /// Its job's number.
    pub job: JobId,
    /// The first half of the SHA-256 of its job's body.
    pub hash: [u8; 16],
    /// Its tube.
    pub tube: String,
    /// The broker instance that numbered its job.
    pub instance: String,
}

/// Which tasks are to go.
#[derive(Debug, Clone)]
pub struct Old {
    /// Those that stand there; only ended ones are ever deleted.
    pub statuses: Vec<Status>,
    /// Those that ended before then.
    pub before: Millis,
}

impl Old {
    fn condition(&self) -> String {
        let words: Vec<String> = self
            .statuses
            .iter()
            .filter(|status| status.is_ended())
            .map(|status| format!("'{status}'"))
            .collect();
        // A foreign job that may come round again needs its row, to be known as done.
        format!(
            "finished >= ?1 AND finished < ?2 AND status IN ({})",
            words.join(", ")
        )
    }

    /// Those that may go: a foreign job that may come round again needs its row, to be known as done.
    fn gone(&self) -> String {
        format!("{} AND (foreign_job = 0 OR job_gone = 1)", self.condition())
    }

    /// Those that wait for their jobs to be known to be gone, a few at a time.
    fn unsure(&self) -> String {
        format!(
            "SELECT id, job, job_hash, tube, job_instance FROM tasks WHERE {} AND foreign_job = 1 AND job_gone = 0 AND id > ?3
             ORDER BY +id LIMIT {UNSURE}",
            self.condition()
        )
    }

    /// The next batch from a time on.
    pub(super) fn select(&self) -> String {
        format!(
            "SELECT id, finished FROM tasks WHERE {} ORDER BY finished LIMIT {BATCH}",
            self.gone()
        )
    }
}

const BEEN_AT: &str = "SELECT 1 FROM
    (SELECT job_instance, pointer_instance FROM tasks WHERE tube = ?1 ORDER BY id DESC LIMIT 1000)
    WHERE ?2 IN (job_instance, pointer_instance)";

impl Db {
    /// Tasks that would go if it were known that their jobs have gone, from a row on.
    pub fn unsure(&self, old: &Old, after: TaskId) -> Result<Vec<Unsure>, Error> {
        let sql = old.unsure();
        self.look(|look, _| {
            let unsure = |row: &rusqlite::Row<'_>| {
                Ok(Unsure {
                    id: row.get(0)?,
                    job: row.get::<_, i64>(1)?.unsigned_abs(),
                    hash: row.get(2)?,
                    tube: row.get(3)?,
                    instance: row.get(4)?,
                })
            };
            Ok(look
                .prepare_cached(&sql)?
                .query_map(params![Millis::MIN, old.before, after], unsure)?
                .collect::<Result<_, _>>()?)
        })
    }

    /// Whether any of the newest tasks of a tube has had a job in this instance of the broker.
    pub fn has_been_at(&self, tube: &str, instance: &str) -> Result<bool, Error> {
        self.look(|look, _| Ok(look.prepare_cached(BEEN_AT)?.exists([tube, instance])?))
    }

    /// How many tasks [`Db::cleanup`] would delete.
    pub fn count_old(&self, old: &Old) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM tasks WHERE {}", old.gone());
        self.look(|look, _| {
            let count: i64 =
                look.query_row(&sql, params![Millis::MIN, old.before], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Deletes old tasks with their attempts and output, in the order in which they ended, a few at a
    /// time. Returns how many; `progress` hears how many so far and ends it by returning false.
    pub fn cleanup(
        &mut self,
        old: &Old,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<u64, Error> {
        let mut deleted = 0u64;
        let mut from = Millis::MIN;
        while let Some((count, last)) = self.delete_batch(old, from)? {
            crash::here(Point::BatchDeleted);
            deleted = deleted.saturating_add(count as u64);
            from = last;
            if !progress(deleted) {
                return Ok(deleted);
            }
            thread::sleep(PAUSE);
        }
        self.forget_workers()?;
        Ok(deleted)
    }

    /// Deletes the next batch; how many it was, and when the last of them ended. They are looked for
    /// before the write lock is taken: there may be a million to pass over.
    fn delete_batch(&mut self, old: &Old, from: Millis) -> Result<Option<(usize, Millis)>, Error> {
        let batch: Vec<(TaskId, Millis)> = self.look(|look, _| {
            Ok(look
                .prepare_cached(&old.select())?
                .query_map(params![from, old.before], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect::<Result<_, _>>()?)
        })?;
        let Some(&(_, last)) = batch.last() else {
            return Ok(None);
        };
        self.change(|change, _| {
            // One that was regenerated meanwhile stays.
            let mut delete = change.prepare_cached(&format!(
                "DELETE FROM tasks WHERE id = ?3 AND {}",
                old.gone()
            ))?;
            let mut deleted = 0;
            for (id, _) in &batch {
                deleted += delete.execute(params![from, old.before, id])?;
            }
            Ok(Some((deleted, last)))
        })
    }

    /// Deletes the rows of workers that are dead and have nothing running.
    fn forget_workers(&mut self) -> Result<(), Error> {
        let mut after = WorkerId::NOBODY;
        loop {
            let idle: Vec<WorkerId> = self.look(|look, _| {
                Ok(look
                    .prepare_cached(&idle_workers())?
                    .query_map([after], |row| row.get(0))?
                    .collect::<Result<_, _>>()?)
            })?;
            let Some(&last) = idle.last() else {
                return Ok(());
            };
            after = last;
            self.change(|change, locks| {
                // Meanwhile it may have begun an attempt, and died of it.
                let mut delete = change.prepare_cached(&format!(
                    "DELETE FROM workers WHERE id = ?1 AND {ANSWERS_FOR_NOTHING}"
                ))?;
                for worker in idle {
                    if !locks
                        .is_held(Holder::Worker(worker))
                        .map_err(Failed::Locks)?
                        && delete.execute([worker])? == 1
                    {
                        Files::beside(locks.database(), locks.store()).remove(worker);
                    }
                }
                Ok(())
            })?;
            thread::sleep(PAUSE);
        }
    }
}

const ANSWERS_FOR_NOTHING: &str =
    "NOT EXISTS (SELECT 1 FROM tasks WHERE status = 'running' AND status <> 'done'
                 AND (owner = workers.id OR worker = workers.id))";

/// Workers of whom nothing is left but their rows, and perhaps themselves. The newest stays: as long as the machine runs, it
/// says that somebody may hold a lock.
pub(super) fn idle_workers() -> String {
    format!(
        "SELECT id FROM workers WHERE id > ?1 AND id < (SELECT max(id) FROM workers)
            AND {ANSWERS_FOR_NOTHING}
         ORDER BY id LIMIT {BATCH}"
    )
}
