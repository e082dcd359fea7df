//! What is asked of the tables, and how a row is changed.

use super::records::{AttemptRow, ForeignMark, ReportRow, TaskRow};
use super::tables::Tables;
use crate::ledger::cleanup::Old;
use crate::ledger::error::Failed;
use crate::ledger::filter::Seen;
use crate::ledger::read::{Attempt, Report, Task};
use crate::ledger::recover::{Fingerprint, UnverifiedJob};
use crate::ledger::rows::{self, Listed};
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::state::Status;

impl TaskRow {
    pub fn newest(&self, task: TaskId) -> AttemptId {
        AttemptId {
            task,
            number: self.attempt,
        }
    }

    /// As a filter looks at it.
    pub fn seen(&self, id: TaskId) -> Seen<'_> {
        Seen {
            id,
            status: self.status,
            tube: self.tube.as_str(),
            command: self.command.as_deref(),
            created: self.created,
            reason: self.reason.as_deref(),
            tags: &self.tags,
        }
    }

    /// Its attempt runs, and is that worker's.
    pub fn is_run_by(&self, attempt: AttemptId, owner: Option<WorkerId>) -> bool {
        self.status == Status::Running
            && self.attempt == attempt.number
            && owner.is_some()
            && self.owner == owner
    }

    /// Why it waits is said only of a task whose command is missing.
    pub fn is_parked(&self) -> bool {
        self.status == Status::Waiting && self.reason.is_some()
    }

    pub fn is_old(&self, old: &Old) -> bool {
        self.status.is_ended()
            && old.statuses.contains(&self.status)
            && self.finished.is_some_and(|finished| finished < old.before)
    }

    pub fn may_go(&self, old: &Old) -> bool {
        self.is_old(old) && (self.foreign.is_none() || self.job_deleted)
    }

    /// The job that rings for it, if its newest put is noted.
    pub fn unverified(&self, task: TaskId) -> Option<UnverifiedJob> {
        if self.status != Status::Waiting || self.later || self.noted != self.generation {
            return None;
        }
        let rings = self.pointer.as_ref().or(self.job.as_ref());
        let fingerprint = match self.foreign {
            Some(ForeignMark { hash, birth }) if self.pointer.is_none() => {
                Fingerprint::Foreign { hash, birth }
            }
            Some(_) | None => Fingerprint::Pointer,
        };
        Some(UnverifiedJob {
            put: PutId {
                task,
                generation: self.generation,
            },
            uuid: self.uuid,
            job: rings.map(|rings| rings.job),
            instance: rings.map(|rings| rings.instance.clone()),
            fingerprint,
        })
    }
}

impl Tables {
    /// Changes a task, if there is one of which that holds. True if so.
    pub fn change(
        &mut self,
        task: TaskId,
        holds: impl FnOnce(&TaskRow) -> bool,
        change: impl FnOnce(&mut TaskRow),
    ) -> Result<bool, Failed> {
        let Some(mut row) = self.task(task).filter(|row| holds(row)).cloned() else {
            return Ok(false);
        };
        change(&mut row);
        self.write_task(task, row)?;
        Ok(true)
    }

    pub fn waits_since(&self, task: TaskId, row: &TaskRow) -> Millis {
        let ended = self.attempt(row.newest(task)).map(|ended| ended.finished);
        row.created.max(ended.unwrap_or(row.created))
    }

    pub fn answers_for_nothing(&self, worker: WorkerId) -> bool {
        !self.tasks().values().any(|row| {
            row.status == Status::Running
                && (row.owner == Some(worker) || row.worker == Some(worker))
        })
    }

    pub fn listed(&self, task: TaskId, row: &TaskRow, with_body: bool, most: u32) -> Listed {
        let first = AttemptId { task, number: 0 };
        let last = AttemptId {
            task,
            number: i64::MAX,
        };
        let ended = self.attempts().range(first..=last);
        let mut attempts: Vec<Attempt> = ended.map(|(id, row)| shown(id.number, row)).collect();
        if let (Status::Running, Some(worker)) = (row.status, row.worker) {
            let name = self.worker(worker).map(|known| known.worker.name.clone());
            attempts.push(Attempt {
                number: row.attempt,
                worker: name.unwrap_or_else(|| worker.to_string()),
                started: row.started.unwrap_or_default(),
                finished: None,
                outcome: None,
                exit_code: None,
                signal: None,
                reason: None,
                took: None,
                output: None,
            });
        }
        let over = attempts.len().saturating_sub(limited(most));
        attempts.drain(..over);
        let (arguments, options, body) = match &row.content {
            Content::Call(call) => (call.arguments_json(), call.options_json(), None),
            Content::Raw(body) | Content::Unread(body) => ("[]".into(), "{}".into(), Some(body)),
        };
        let size = |body: &bytes::Bytes| i64::try_from(body.len()).unwrap_or(i64::MAX);
        Listed {
            task: Task {
                id: task,
                uuid: row.uuid,
                tube: row.tube.to_string(),
                command: row.command.clone(),
                arguments,
                options,
                body_size: body.map(size),
                tags: row.tags.clone(),
                key: row.hold.as_ref().map(|hold| hold.key.to_string()),
                schedule: self.fires().get(&task).map(|fire| fire.schedule.clone()),
                body: body.filter(|_| with_body).map(|body| body.to_vec()),
                status: row.status.into(),
                due: row.due,
                reason: row.reason.clone(),
                cancel_asked: row.cancel_asked,
                own: row.own.clone(),
                priority: row.priority,
                job: row
                    .pointer
                    .as_ref()
                    .or(row.job.as_ref())
                    .and_then(|known| i64::try_from(known.job).ok()),
                created: row.created,
                started: row.started,
                finished: row.finished,
                attempts_total: row.attempt.unsigned_abs(),
                attempts,
                report: self.report(task).map(|said| reported(said, with_body)),
                waits_for: None,
                kin: None,
                held: None,
            },
            owner: row.owner,
        }
    }
}

/// As the protocol has it.
pub(super) fn row(tables: &Tables, (id, row): (TaskId, &TaskRow)) -> rows::TaskRow {
    rows::TaskRow {
        id,
        uuid: row.uuid,
        tube: row.tube.clone(),
        status: row.status,
        due: row.due,
        is_parked: row.is_parked(),
        command: row.command.clone(),
        content: row.content.clone(),
        priority: row.priority,
        ttr: Some(row.ttr),
        attempt: row.attempt,
        budget: row.budget,
        owner: row.owner,
        worker: row.worker,
        ahead: row.ahead,
        started: row.started,
        kicks: row.kicks,
        generation: row.generation,
        foreign: row.foreign.is_some(),
        scheduled: tables.fires().contains_key(&id),
        own: row.own.clone(),
        has_parents: row.kin.has_parents,
    }
}

pub(super) fn shown(number: i64, row: &AttemptRow) -> Attempt {
    Attempt {
        number,
        worker: row.worker.clone(),
        started: row.started,
        finished: Some(row.finished),
        outcome: Some(row.outcome.word().into()),
        exit_code: row.outcome.exit_code().map(Into::into),
        signal: row.outcome.signal().map(Into::into),
        reason: row.outcome.reason().map(Into::into),
        took: row.took,
        output: None,
    }
}

pub(super) fn reported(row: &ReportRow, whole: bool) -> Report {
    Report {
        attempt: row.number,
        at: row.at,
        percent: row.progress.percent,
        message: row.progress.message.clone(),
        result: row.result.clone().filter(|_| whole),
        has_result: row.result.is_some(),
    }
}

/// A number as SQLite's columns have it.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn limited(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
