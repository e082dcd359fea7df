//! A task's row, as far as a claim needs it.

use rusqlite::Row;
use uuid::Uuid;

use crate::store::put::content;
use crate::store::{Failed, Millis};
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::retry::Budget;
use crate::task::state::Status;
use crate::tube::TubeName;

/// A task's row, as far as a claim needs it.
pub(super) struct TaskRow {
    pub id: TaskId,
    pub uuid: Uuid,
    pub tube: TubeName,
    pub status: Status,
    pub due: Option<Millis>,
    pub command: Option<String>,
    pub content: Content,
    pub priority: u32,
    pub ttr: Option<u32>,
    pub attempt: i64,
    pub budget: Budget,
    pub owner: Option<WorkerId>,
    pub worker: Option<WorkerId>,
    pub ahead: bool,
    pub started: Option<Millis>,
    pub kicks: i64,
    pub generation: i64,
    pub foreign: bool,
}

const SELECT_TASK: &str =
    "SELECT id, uuid, tube, status, due, foreign_job, command, arguments, options, body,
    priority, ttr, attempt, spent, lost, owner, started, job_kicks, put_generation,
    worker, ahead
    FROM tasks";

pub fn by_uuid() -> String {
    format!("{SELECT_TASK} WHERE uuid = ?1")
}

pub fn by_foreign_job() -> String {
    format!(
        "{SELECT_TASK} WHERE job = ?1 AND job_hash = ?2
            AND (job_instance = ?3 OR abs(job_birth - ?4) <= 2000) ORDER BY id DESC LIMIT 1"
    )
}

impl TaskRow {
    /// The attempt that has begun last.
    pub fn newest(&self) -> AttemptId {
        AttemptId {
            task: self.id,
            number: self.attempt,
        }
    }

    /// The put that was begun last.
    pub fn put(&self) -> PutId {
        PutId {
            task: self.id,
            generation: self.generation,
        }
    }

    /// The outer error is SQLite's, the inner one is about what the row holds.
    pub fn read(row: &Row<'_>) -> rusqlite::Result<Result<TaskRow, Failed>> {
        let id = row.get(0)?;
        let uuid = Uuid::from_bytes(row.get(1)?);
        let tube = row.get_ref(2)?.as_str()?.parse::<TubeName>();
        let status = Status::from_word(row.get_ref(3)?.as_str()?);
        let content = content(
            id,
            row.get(5)?,
            row.get_ref(6)?.as_str_or_null()?,
            row.get_ref(7)?.as_str_or_null()?,
            row.get_ref(8)?.as_str_or_null()?,
            row.get(9)?,
        );
        let foreign = row.get(5)?;
        let command = row.get(6)?;
        let corrupt = |what: String| Failed::Corrupt(format!("task {id}: {what}"));
        let budget = Budget {
            spent: row.get(13)?,
            lost: row.get(14)?,
        };
        let (due, priority, ttr, attempt) = (row.get(4)?, row.get(10)?, row.get(11)?, row.get(12)?);
        let (owner, started, kicks, generation) =
            (row.get(15)?, row.get(16)?, row.get(17)?, row.get(18)?);
        let (worker, ahead) = (row.get(19)?, row.get(20)?);
        let read = || {
            Ok(TaskRow {
                id,
                uuid,
                tube: tube.map_err(|e| corrupt(e.to_string()))?,
                status: status.ok_or_else(|| corrupt("unknown status".into()))?,
                due,
                command,
                content: content?,
                priority,
                ttr,
                attempt,
                budget,
                owner,
                worker,
                ahead,
                started,
                kicks,
                generation,
                foreign,
            })
        };
        Ok(read())
    }
}
