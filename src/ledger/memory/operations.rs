//! The operations on rows, in memory.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Transaction;
use super::tables::{AttemptRow, ForeignMark, Numbered, Tables, TaskRow, WorkerRow};
use crate::broker::JobId;
use crate::ledger::announce::OldJob;
use crate::ledger::cleanup::{Old, Unsure};
use crate::ledger::entry::ForeignJob;
use crate::ledger::error::Failed;
use crate::ledger::read::{Attempt, DisplayedStatus, Filter, Key, Task};
use crate::ledger::recover::{Fingerprint, UnverifiedJob};
use crate::ledger::rows::{
    self, Beginning, BegunPut, Each, EndedAttempt, Ending, KeptJob, Listed, NewRow, Origin, RanBy,
    Reads, Recorded, Rows, Running, Tally,
};
use crate::ledger::worker::{Known, NewWorker};
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::retry::Budget;
use crate::task::state::Status;
use crate::tube::TubeName;

/// As far apart as two births of one job may seem.
const SAME_BIRTH: Millis = 2000;

/// So many of the newest tasks of a tube say where it has been.
const NEWEST: usize = 1000;

impl TaskRow {
    fn newest(&self, task: TaskId) -> AttemptId {
        AttemptId {
            task,
            number: self.attempt,
        }
    }

    /// Its attempt runs, and is that worker's.
    fn is_run_by(&self, attempt: AttemptId, owner: Option<WorkerId>) -> bool {
        self.status == Status::Running
            && self.attempt == attempt.number
            && owner.is_some()
            && self.owner == owner
    }

    fn is_old(&self, old: &Old) -> bool {
        self.status.is_ended()
            && old.statuses.contains(&self.status)
            && self.finished.is_some_and(|finished| finished < old.before)
    }

    fn may_go(&self, old: &Old) -> bool {
        self.is_old(old) && (self.foreign.is_none() || self.job_deleted)
    }

    /// The job that rings for it, if its newest put is noted.
    fn unverified(&self, task: TaskId) -> Option<UnverifiedJob> {
        if self.status != Status::Waiting || self.noted != self.generation {
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
    fn change(
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

    fn waits_since(&self, task: TaskId, row: &TaskRow) -> Millis {
        let ended = self.attempt(row.newest(task)).map(|ended| ended.finished);
        row.created.max(ended.unwrap_or(row.created))
    }

    fn answers_for_nothing(&self, worker: WorkerId) -> bool {
        !self.tasks().values().any(|row| {
            row.status == Status::Running
                && (row.owner == Some(worker) || row.worker == Some(worker))
        })
    }

    fn listed(&self, task: TaskId, row: &TaskRow, with_body: bool) -> Listed {
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
                output: None,
            });
        }
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
                body: body.filter(|_| with_body).map(|body| body.to_vec()),
                status: DisplayedStatus::As(row.status),
                due: row.due,
                reason: row.reason.clone(),
                priority: row.priority,
                job: row
                    .job
                    .as_ref()
                    .and_then(|known| i64::try_from(known.job).ok()),
                created: row.created,
                started: row.started,
                finished: row.finished,
                attempts,
            },
            owner: row.owner,
        }
    }
}

/// As the protocol has it.
fn row((id, row): (TaskId, &TaskRow)) -> rows::TaskRow {
    rows::TaskRow {
        id,
        uuid: row.uuid,
        tube: row.tube.clone(),
        status: row.status,
        due: row.due,
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
    }
}

fn shown(number: i64, row: &AttemptRow) -> Attempt {
    Attempt {
        number,
        worker: row.worker.clone(),
        started: row.started,
        finished: Some(row.finished),
        outcome: Some(row.outcome.word().into()),
        exit_code: row.outcome.exit_code().map(Into::into),
        signal: row.outcome.signal().map(Into::into),
        reason: row.outcome.reason().map(Into::into),
        output: None,
    }
}

/// A number as SQLite's columns have it.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn limited(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Reads for Transaction<'_> {
    fn tubes_in_use(&self) -> Result<Vec<String>, Failed> {
        let tables = self.0.borrow();
        let open = tables.tasks().values().filter(|row| !row.status.is_ended());
        let tubes: BTreeSet<String> = open.map(|row| row.tube.to_string()).collect();
        Ok(tubes.into_iter().collect())
    }

    fn running(&self, tube: Option<&TubeName>) -> Result<Vec<Running>, Failed> {
        let tables = self.0.borrow();
        let of_tube = |row: &TaskRow| tube.is_none_or(|tube| *tube == row.tube);
        let running = tables.tasks().iter().filter_map(|(id, row)| {
            let owner = row.owner.filter(|_| row.status == Status::Running)?;
            of_tube(row).then(|| Running {
                id: row.newest(*id),
                uuid: row.uuid,
                owner,
                worker: row.worker,
                priority: row.priority,
                ahead: row.ahead,
            })
        });
        Ok(running.collect())
    }

    fn is_running(&self, attempt: AttemptId, owner: Option<WorkerId>) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let row = tables.task(attempt.task);
        Ok(row.is_some_and(|row| row.is_run_by(attempt, owner)))
    }

    fn missing(
        &self,
        tube: &TubeName,
        after: TaskId,
        now: Millis,
        latest: Millis,
        limit: u32,
    ) -> Result<Vec<PutId>, Failed> {
        let tables = self.0.borrow();
        let is_left = |until: Millis| until <= now || until > latest;
        let missing = tables.tasks().iter().filter(|(id, row)| {
            **id > after
                && row.tube == *tube
                && row.status == Status::Waiting
                && row.noted < row.generation
                && row.put_until.is_none_or(is_left)
        });
        let puts = missing.map(|(id, row)| PutId {
            task: *id,
            generation: row.generation,
        });
        Ok(puts.take(limited(limit)).collect())
    }

    fn unverified(
        &self,
        tube: &TubeName,
        instance: Option<&str>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<UnverifiedJob>, Failed> {
        let tables = self.0.borrow();
        let of = tables
            .tasks()
            .iter()
            .filter(|(id, row)| **id > after && row.tube == *tube);
        let unverified = of
            .filter_map(|(id, row)| row.unverified(*id))
            .filter(|job| job.instance.as_deref() != instance);
        Ok(unverified.take(limited(limit)).collect())
    }

    fn unverified_of(&self, task: TaskId) -> Result<Option<UnverifiedJob>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.task(task).and_then(|row| row.unverified(task)))
    }

    fn waits(&self, tube: &TubeName) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let waits = |row: &TaskRow| row.status == Status::Waiting && row.tube == *tube;
        Ok(tables.tasks().values().any(waits))
    }

    fn is_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let is_due = |row: &TaskRow| {
            row.tube == *tube
                && row.due.is_some_and(|due| due <= now)
                && row.noted == row.generation
        };
        Ok(tables.tasks().values().any(is_due))
    }

    fn unsure(&self, old: &Old, after: TaskId, limit: usize) -> Result<Vec<Unsure>, Failed> {
        let tables = self.0.borrow();
        let unsure = tables.tasks().iter().filter_map(|(id, row)| {
            let is_unsure = *id > after && row.is_old(old) && !row.job_deleted;
            let (mark, numbered) = (row.foreign?, row.job.as_ref()?);
            is_unsure.then(|| Unsure {
                id: *id,
                job: numbered.job,
                hash: mark.hash,
                tube: row.tube.to_string(),
                instance: numbered.instance.clone(),
            })
        });
        Ok(unsure.take(limit).collect())
    }

    fn has_been_at(&self, tube: &str, instance: &str) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let of = tables.tasks().values().rev();
        let mut newest = of.filter(|row| row.tube.as_str() == tube).take(NEWEST);
        Ok(newest.any(|row| {
            let mut jobs = row.job.iter().chain(&row.pointer);
            jobs.any(|job| job.instance == instance)
        }))
    }

    fn count_old(&self, old: &Old) -> Result<u64, Failed> {
        let tables = self.0.borrow();
        let count = tables.tasks().values().filter(|row| row.may_go(old));
        Ok(count.count() as u64)
    }

    fn old(&self, old: &Old, from: Millis, limit: usize) -> Result<Vec<(TaskId, Millis)>, Failed> {
        let tables = self.0.borrow();
        let may_go = tables.tasks().iter().filter(|(_, row)| row.may_go(old));
        let mut found: Vec<(TaskId, Millis)> = may_go
            .filter_map(|(id, row)| Some((*id, row.finished?)))
            .filter(|(_, finished)| *finished >= from)
            .collect();
        found.sort_by_key(|(id, finished)| (*finished, *id));
        found.truncate(limit);
        Ok(found)
    }

    fn idle_workers(&self, after: WorkerId, limit: usize) -> Result<Vec<WorkerId>, Failed> {
        let tables = self.0.borrow();
        let newest = tables.workers().keys().next_back().copied();
        let others = tables.workers().keys().copied();
        let idle = others
            .filter(|id| *id > after && Some(*id) != newest && tables.answers_for_nothing(*id));
        Ok(idle.take(limit).collect())
    }

    fn tallies(&self) -> Result<Vec<Tally>, Failed> {
        let tables = self.0.borrow();
        let mut counts: BTreeMap<(String, &str, Option<WorkerId>), (Status, u64)> = BTreeMap::new();
        for row in tables.tasks().values() {
            let key = (row.tube.to_string(), row.status.as_str(), row.owner);
            counts.entry(key).or_insert((row.status, 0)).1 += 1;
        }
        let tallies = counts
            .into_iter()
            .map(|((tube, _, owner), (status, count))| Tally {
                tube,
                status,
                owner,
                count,
            });
        let is_open = |tally: &Tally| !matches!(tally.status, Status::Done | Status::Cancelled);
        Ok(tallies.filter(is_open).collect())
    }

    fn page(&self, filter: &Filter, below: TaskId, each: &mut Each<'_>) -> Result<(), Failed> {
        let tables = self.0.borrow();
        for (id, row) in tables.tasks().range(..below).rev() {
            let status = filter.status.map(DisplayedStatus::recorded);
            let passes = status.is_none_or(|status| status == row.status)
                && filter
                    .tube
                    .as_deref()
                    .is_none_or(|tube| tube == row.tube.as_str())
                && filter
                    .command
                    .as_deref()
                    .is_none_or(|command| Some(command) == row.command.as_deref());
            if passes && !each(tables.listed(*id, row, false))? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn shown(&self, key: Key) -> Result<Option<Listed>, Failed> {
        let tables = self.0.borrow();
        let found = match key {
            Key::Id(id) => tables.task(id).map(|row| (id, row)),
            Key::Uuid(uuid) => tables.by_uuid(uuid),
        };
        Ok(found.map(|(id, row)| tables.listed(id, row, true)))
    }

    fn output(&self, attempt: AttemptId) -> Result<Option<Captured>, Failed> {
        Ok(self.0.borrow().output(attempt).cloned())
    }

    fn workers(&self) -> Result<Vec<Known>, Failed> {
        let tables = self.0.borrow();
        let known = tables.workers().iter().map(|(id, row)| {
            let name = &row.worker.name;
            let of = tables.attempts().values().filter(|one| one.worker == *name);
            let (well, otherwise): (Vec<_>, Vec<_>) =
                of.partition(|one| one.outcome.exit_code() == Some(0));
            let runs = |task: &TaskRow| {
                task.status == Status::Running && task.worker == Some(*id) && !task.ahead
            };
            let mut newest = tables.tasks().iter().rev();
            Known {
                name: name.clone(),
                pid: row.worker.pid,
                ended: (well.len() as u64, otherwise.len() as u64),
                task: newest.find(|(_, task)| runs(task)).map(|(id, _)| *id),
            }
        });
        Ok(known.collect())
    }
}

impl Rows for Transaction<'_> {
    fn task(&self, uuid: &Uuid) -> Result<Option<rows::TaskRow>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.by_uuid(*uuid).map(row))
    }

    fn foreign_task(
        &self,
        job: JobId,
        foreign: &ForeignJob,
    ) -> Result<Option<rows::TaskRow>, Failed> {
        let tables = self.0.borrow();
        let is_it = |row: &TaskRow| {
            row.foreign
                .zip(row.job.as_ref())
                .is_some_and(|(mark, known)| {
                    let apart = mark.birth.saturating_sub(foreign.birth).saturating_abs();
                    known.job == job
                        && mark.hash == foreign.hash
                        && (known.instance == foreign.instance || apart <= SAME_BIRTH)
                })
        };
        let newest = tables.tasks().iter().rev().find(|(_, row)| is_it(row));
        Ok(newest.map(|(id, found)| row((*id, found))))
    }

    fn same_task(&self, uuid: &Uuid, content: &Content) -> Result<Option<TaskId>, Failed> {
        let tables = self.0.borrow();
        let asks_the_same = |row: &TaskRow| match (&row.content, content) {
            (Content::Call(one), Content::Call(other)) => {
                one.command == other.command
                    && one.arguments_json() == other.arguments_json()
                    && one.options_json() == other.options_json()
            }
            (
                Content::Raw(one) | Content::Unread(one),
                Content::Raw(other) | Content::Unread(other),
            ) => one == other,
            (Content::Call(_), Content::Raw(_) | Content::Unread(_))
            | (Content::Raw(_) | Content::Unread(_), Content::Call(_)) => false,
        };
        let found = tables.by_uuid(*uuid);
        Ok(found
            .filter(|(_, row)| asks_the_same(row))
            .map(|(id, _)| id))
    }

    fn status(&self, task: TaskId) -> Result<Option<Status>, Failed> {
        Ok(self.0.borrow().task(task).map(|row| row.status))
    }

    fn insert(&self, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed> {
        let command = match row.content {
            Content::Call(call) => Some(call.command.as_str().to_owned()),
            Content::Raw(_) | Content::Unread(_) => None,
        };
        let mut new = TaskRow {
            uuid: row.uuid,
            tube: row.tube.clone(),
            status: Status::Waiting,
            due: Some(row.due),
            command,
            content: row.content.clone(),
            priority: row.priority,
            ttr: row.ttr,
            attempt: 0,
            budget: Budget::default(),
            owner: None,
            worker: None,
            ahead: false,
            reason: None,
            created: row.created,
            started: None,
            finished: None,
            foreign: None,
            job: None,
            pointer: None,
            kicks: 0,
            job_deleted: false,
            generation: 0,
            noted: 0,
            put_until: None,
        };
        match row.origin {
            Origin::Ours { put_until } => {
                new.generation = 1;
                new.put_until = Some(put_until);
            }
            Origin::Foreign {
                job,
                foreign,
                kicks,
            } => {
                new.foreign = Some(ForeignMark {
                    hash: foreign.hash,
                    birth: foreign.birth,
                });
                new.job = Some(Numbered {
                    job,
                    instance: foreign.instance.clone(),
                });
                new.kicks = column(kicks);
            }
        }
        self.0.borrow_mut().add_task(new)
    }

    fn begin(&self, beginning: &Beginning) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(
            beginning.id.task,
            |_| true,
            |row| {
                row.status = Status::Running;
                (row.due, row.finished, row.reason) = (None, None, None);
                row.attempt = beginning.id.number;
                row.owner = Some(beginning.worker);
                row.worker = Some(beginning.worker);
                row.started = Some(beginning.started);
                row.budget = beginning.budget;
                row.ahead = beginning.ahead;
            },
        )?;
        Ok(())
    }

    fn name_command(&self, task: TaskId, command: &str) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        let name = |row: &mut TaskRow| row.command = Some(command.to_owned());
        tables.change(task, |_| true, name)?;
        Ok(())
    }

    fn end(&self, ending: &Ending<'_>) -> Result<bool, Failed> {
        self.0.borrow_mut().change(
            ending.id.task,
            |row| row.is_run_by(ending.id, Some(ending.owner)),
            |row| {
                row.status = ending.status;
                row.due = ending.due;
                row.reason = ending.reason.map(str::to_owned);
                row.owner = None;
                row.finished = ending.finished;
                row.budget = ending.budget;
                row.kicks = ending.kicks.map_or(row.kicks, column);
                row.started = ending.started.or(row.started);
                row.ahead = false;
            },
        )
    }

    fn unclaim(&self, attempt: AttemptId, owner: WorkerId) -> Result<bool, Failed> {
        self.0.borrow_mut().change(
            attempt.task,
            |row| row.ahead && row.is_run_by(attempt, Some(owner)),
            |row| {
                row.status = Status::Waiting;
                row.due = Some(row.created);
                (row.owner, row.worker, row.started) = (None, None, None);
                (row.attempt, row.ahead) = (0, false);
            },
        )
    }

    fn renew(&self, task: TaskId, now: Millis, tube: Option<&TubeName>) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == Status::Failed,
            |row| {
                row.status = Status::Waiting;
                row.due = Some(row.finished.map_or(now, |finished| finished.min(now)));
                (row.finished, row.reason) = (None, None);
                row.budget = Budget::default();
                if let Some(tube) = tube {
                    row.tube = tube.clone();
                }
            },
        )?;
        Ok(())
    }

    fn take_over(
        &self,
        attempt: AttemptId,
        from: Option<WorkerId>,
        to: WorkerId,
    ) -> Result<bool, Failed> {
        let is_theirs = |row: &TaskRow| row.is_run_by(attempt, from);
        let mut tables = self.0.borrow_mut();
        tables.change(attempt.task, is_theirs, |row| row.owner = Some(to))
    }

    fn note_begun(
        &self,
        attempt: AttemptId,
        owner: WorkerId,
        started: Millis,
    ) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            attempt.task,
            |row| row.is_run_by(attempt, Some(owner)),
            |row| (row.ahead, row.started) = (false, Some(started)),
        )?;
        Ok(())
    }

    fn add_attempt(&self, ended: &EndedAttempt<'_>) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        let Some(started) = tables.task(ended.id.task).and_then(|row| row.started) else {
            return Ok(());
        };
        let row = AttemptRow {
            worker: ended.worker.to_owned(),
            started,
            finished: ended.finished,
            outcome: ended.outcome.clone(),
        };
        tables.add_attempt(ended.id, row)
    }

    fn add_output(&self, attempt: AttemptId, output: &Captured) -> Result<(), Failed> {
        self.0.borrow_mut().add_output(attempt, output.clone())
    }

    fn outcome(&self, attempt: AttemptId) -> Result<Option<Recorded>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.attempt(attempt).map(|row| Recorded {
            outcome: row.outcome.word().to_owned(),
            exit_code: row.outcome.exit_code(),
        }))
    }

    fn ran_by(&self, task: TaskId) -> Result<RanBy, Failed> {
        let tables = self.0.borrow();
        let worker = tables.task(task).and_then(|row| row.worker);
        let known = worker.and_then(|worker| tables.worker(worker));
        Ok(RanBy {
            name: match (known, worker) {
                (Some(known), _) => known.worker.name.clone(),
                (None, Some(worker)) => worker.to_string(),
                (None, None) => String::new(),
            },
            boot: known.map(|known| known.boot.clone()),
        })
    }

    fn waits_since(&self, task: TaskId) -> Result<Millis, Failed> {
        let tables = self.0.borrow();
        let since = tables.task(task).map(|row| tables.waits_since(task, row));
        since.ok_or_else(|| Failed::row(format!("there is no task {task}")))
    }

    fn set_due(&self, task: TaskId, due: Millis) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.due = Some(due))?;
        Ok(())
    }

    fn raise_kicks(&self, task: TaskId, kicks: u64) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == Status::Failed,
            |row| row.kicks = row.kicks.max(column(kicks)),
        )?;
        Ok(())
    }

    fn begin_put(
        &self,
        task: TaskId,
        generation: Option<i64>,
        until: Millis,
        now: Millis,
    ) -> Result<Option<BegunPut>, Failed> {
        let mut tables = self.0.borrow_mut();
        let is_it = |row: &TaskRow| {
            row.status == Status::Waiting && generation.is_none_or(|known| known == row.generation)
        };
        let begun = tables.change(task, is_it, |row| {
            row.generation = row.generation.saturating_add(1);
            row.put_until = Some(until);
        })?;
        let Some(row) = tables.task(task).filter(|_| begun) else {
            return Ok(None);
        };
        let since = now.max(tables.waits_since(task, row));
        let old_job = row.job.as_ref().filter(|_| !row.job_deleted);
        Ok(Some(BegunPut {
            put: PutId {
                task,
                generation: row.generation,
            },
            uuid: row.uuid,
            tube: row.tube.clone(),
            priority: row.priority,
            ttr: Some(row.ttr),
            due_in: row.due.unwrap_or(since).saturating_sub(since),
            old_job: old_job.map(|old| OldJob {
                id: old.job,
                instance: Some(old.instance.clone()),
            }),
        }))
    }

    fn note_put(&self, put: PutId, job: JobId, instance: &str) -> Result<(), Failed> {
        let numbered = Some(Numbered {
            job,
            instance: instance.to_owned(),
        });
        self.0.borrow_mut().change(
            put.task,
            |row| row.generation == put.generation,
            |row| {
                row.noted = put.generation;
                row.put_until = None;
                if row.foreign.is_some() {
                    row.pointer = numbered;
                } else {
                    (row.job, row.pointer) = (numbered, None);
                    (row.kicks, row.job_deleted) = (0, false);
                }
            },
        )?;
        Ok(())
    }

    fn give_up_put(&self, put: PutId) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            put.task,
            |row| row.generation == put.generation,
            |row| row.put_until = None,
        )?;
        Ok(())
    }

    fn note_found(&self, put: PutId, instance: &str) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            put.task,
            |row| row.generation == put.generation,
            |row| {
                if let Some(rings) = row.pointer.as_mut().or(row.job.as_mut()) {
                    rings.instance = instance.to_owned();
                }
            },
        )?;
        Ok(())
    }

    fn note_deleted(&self, task: TaskId) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.job_deleted = true)?;
        Ok(())
    }

    fn put_job(&self, _: &KeptJob<'_>) -> Result<JobId, Failed> {
        Err(Failed::Trouble {
            what: "it keeps no jobs".into(),
        })
    }

    fn insert_worker(&self, worker: &NewWorker, boot: &str, _: Millis) -> Result<WorkerId, Failed> {
        self.0.borrow_mut().add_worker(WorkerRow {
            worker: worker.clone(),
            boot: boot.to_owned(),
        })
    }

    /// Nobody reads it.
    fn set_stopped(&self, _: WorkerId, _: Option<Millis>) -> Result<(), Failed> {
        Ok(())
    }

    fn forget_worker(&self, worker: WorkerId) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        if tables.worker(worker).is_none() || !tables.answers_for_nothing(worker) {
            return Ok(false);
        }
        tables.write_worker(worker, None);
        Ok(true)
    }

    fn delete_old(&self, old: &Old, task: TaskId) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        if !tables.task(task).is_some_and(|row| row.may_go(old)) {
            return Ok(false);
        }
        tables.delete_task(task);
        Ok(true)
    }
}
