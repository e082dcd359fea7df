//! What may be done, in memory.

use std::ops::RangeInclusive;

use uuid::Uuid;

use super::Transaction;
use super::queries::{column, row};
use super::records::{AttemptRow, Fire, ForeignMark, Numbered, ReportRow, TaskRow, WorkerRow};
use crate::broker::JobId;
use crate::ledger::announce::OldJob;
use crate::ledger::cleanup::Old;
use crate::ledger::entry::ForeignJob;
use crate::ledger::error::Failed;
use crate::ledger::rows::{
    self, Beginning, BegunPut, EndedAttempt, Ending, Gone, KeptJob, Kin, NewRow, Origin, Ran,
    RanBy, Recorded, Rows, Said,
};
use crate::ledger::rows::{Ends, EventRow, NewEvent, NewFire, Of, ScheduleRow, Told};
use crate::ledger::worker::NewWorker;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::own::Own;
use crate::task::retry::Budget;
use crate::task::state::Status;
use crate::task::tag::Tag;
use crate::task::unique::{Hold, Key as UniqueKey};
use crate::tube::TubeName;

/// As far apart as two births of one job may seem.
const SAME_BIRTH: Millis = 2000;

impl Rows for Transaction<'_> {
    fn part(&self, part: &mut dyn FnMut() -> Result<(), Failed>) -> Result<(), Failed> {
        let before = self.0.borrow().written();
        let done = part();
        if done.is_err() {
            self.0.borrow_mut().undo_to(before);
        }
        done
    }

    fn task(&self, uuid: &Uuid) -> Result<Option<rows::TaskRow>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.by_uuid(*uuid).map(|found| row(&tables, found)))
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
        Ok(newest.map(|(id, found)| row(&tables, (*id, found))))
    }

    fn same_task(&self, uuid: &Uuid, content: &Content) -> Result<Option<TaskId>, Failed> {
        let tables = self.0.borrow();
        let asks_the_same = |row: &TaskRow| match (&row.content, content) {
            (Content::Call(one), Content::Call(other)) => {
                one.command == other.command
                    && [other.arguments_json(), other.arguments_as_texts()]
                        .contains(&one.arguments_json())
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

    fn holder(&self, key: &UniqueKey, now: Millis) -> Result<Option<TaskId>, Failed> {
        let mut tables = self.0.borrow_mut();
        let Some((id, hold)) = tables.holder(key) else {
            return Ok(None);
        };
        match hold.span.until() {
            Some(until) if until <= now => {
                tables.change(id, |_| true, |row| row.hold = None)?;
                Ok(None)
            }
            Some(_) | None => Ok(Some(id)),
        }
    }

    fn set_hold(&self, task: TaskId, hold: &Hold) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.hold = Some(hold.clone()))?;
        Ok(())
    }

    fn set_own(&self, task: TaskId, own: Option<&Own>) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        let own = own.cloned().map(Box::new);
        tables.change(task, |_| true, |row| row.own = own)?;
        Ok(())
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
            cancel_asked: None,
            cancel_now: false,
            reason: None,
            tags: row.tags.to_vec(),
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
            later: false,
            hold: row.hold.cloned(),
            own: row.own.cloned().map(Box::new),
            kin: Kin::default(),
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
                row.later = false;
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

    fn end(&self, ending: &Ending<'_>) -> Result<Option<bool>, Failed> {
        let mut tables = self.0.borrow_mut();
        let ended = tables.change(
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
                (row.cancel_asked, row.cancel_now) = (None, false);
            },
        )?;
        let kin = tables.kin(ending.id.task).filter(|_| ended);
        Ok(kin.map(|kin| kin.has_children))
    }

    fn ran(&self, task: TaskId) -> Result<Ran, Failed> {
        let tables = self.0.borrow();
        let row = tables.task(task);
        let row = row.ok_or_else(|| Failed::row(Some(task), "a row vanished"))?;
        Ok(Ran {
            tube: row.tube.to_string(),
            command: row.command.clone().unwrap_or_default(),
            started: row.started.unwrap_or_default(),
            since: None,
            is_limited: false,
        })
    }

    fn unclaim(&self, attempt: AttemptId, owner: WorkerId) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        let before = AttemptId {
            number: attempt.number.saturating_sub(1),
            ..attempt
        };
        let before = tables.attempt(before).cloned();
        tables.change(
            attempt.task,
            |row| row.is_run_by(attempt, Some(owner)),
            |row| {
                row.status = Status::Waiting;
                row.due = Some(before.as_ref().map_or(row.created, |one| one.finished));
                row.started = before.as_ref().map(|one| one.started);
                (row.owner, row.worker) = (None, None);
                (row.attempt, row.ahead) = (row.attempt.saturating_sub(1), false);
                (row.cancel_asked, row.cancel_now) = (None, false);
            },
        )
    }

    fn cancel(
        &self,
        task: TaskId,
        at: Millis,
        reason: Option<&str>,
    ) -> Result<Option<Kin>, Failed> {
        let mut tables = self.0.borrow_mut();
        let waited = tables.change(
            task,
            |row| row.status == Status::Waiting,
            |row| {
                row.status = Status::Cancelled;
                (row.due, row.finished, row.later) = (None, Some(at), false);
                row.reason = reason.map(str::to_owned);
            },
        )?;
        Ok(tables.kin(task).filter(|_| waited))
    }

    fn ask_to_cancel(
        &self,
        task: TaskId,
        asked: Millis,
        now: bool,
        reason: Option<&str>,
    ) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == Status::Running,
            |row| {
                row.cancel_asked.get_or_insert(asked);
                row.cancel_now |= now;
                row.reason = reason.map(str::to_owned).or(row.reason.take());
            },
        )?;
        Ok(())
    }

    fn renew(&self, task: TaskId, now: Millis, tube: Option<&TubeName>) -> Result<Kin, Failed> {
        let mut tables = self.0.borrow_mut();
        let renewed = tables.change(
            task,
            |row| matches!(row.status, Status::Failed | Status::Cancelled),
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
        let kin = tables.kin(task).filter(|_| renewed);
        Ok(kin.unwrap_or_default())
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
            took: ended.took,
        };
        tables.add_attempt(ended.id, row)
    }

    fn forget_attempts(&self, last: AttemptId) -> Result<(), Failed> {
        self.0.borrow_mut().forget_attempts(last);
        Ok(())
    }

    fn add_output(&self, attempt: AttemptId, output: &Captured) -> Result<(), Failed> {
        self.0.borrow_mut().add_output(attempt, output.clone())
    }

    fn set_report(&self, said: &Said<'_>) -> Result<(), Failed> {
        let row = ReportRow {
            number: said.id.number,
            at: said.at,
            progress: said.progress.clone(),
            result: said.result.map(str::to_owned),
        };
        self.0.borrow_mut().set_report(said.id.task, row)
    }

    fn outcome(&self, attempt: AttemptId) -> Result<Option<Recorded>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.attempt(attempt).map(|row| Recorded {
            outcome: row.outcome.word().to_owned(),
            exit_code: row.outcome.exit_code(),
            has_reason: row.outcome.reason().is_some(),
        }))
    }

    fn interrupted_in_a_row(&self, task: TaskId) -> Result<u32, Failed> {
        let tables = self.0.borrow();
        let of_task = tables.attempts().iter().rev();
        let of_task = of_task.filter(|(id, _)| id.task == task);
        let latest = of_task.take_while(|(_, row)| row.outcome.is_interrupted());
        Ok(u32::try_from(latest.count()).unwrap_or(u32::MAX))
    }

    fn ran_by(&self, task: TaskId) -> Result<RanBy, Failed> {
        let tables = self.0.borrow();
        let worker = tables.task(task).and_then(|row| row.worker);
        let known = worker.and_then(|worker| tables.worker(worker));
        Ok(RanBy {
            worker,
            name: match (known, worker) {
                (Some(known), _) => known.worker.name.clone(),
                (None, Some(worker)) => worker.to_string(),
                (None, None) => String::new(),
            },
            boot: known.map(|known| known.boot.clone()),
            was_told: known.is_some_and(|known| known.told.is_some()),
            was_hung: known.is_some_and(|known| known.hung.is_some()),
        })
    }

    fn waits_since(&self, task: TaskId) -> Result<Millis, Failed> {
        let tables = self.0.borrow();
        let since = tables.task(task).map(|row| tables.waits_since(task, row));
        since.ok_or_else(|| Failed::row(task, format!("there is no task {task}")))
    }

    fn set_reason(&self, task: TaskId, reason: &str) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == Status::Waiting,
            |row| row.reason = Some(reason.to_owned()),
        )?;
        Ok(())
    }

    fn make_due(&self, task: TaskId, due: Millis) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == Status::Waiting,
            |row| (row.due, row.reason) = (Some(due), None),
        )?;
        Ok(())
    }

    fn set_priority(&self, task: TaskId, priority: u32) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.priority = priority)?;
        Ok(())
    }

    fn set_content(&self, task: TaskId, content: &Content) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.content = content.clone())?;
        Ok(())
    }

    fn set_tags(&self, task: TaskId, tags: &[Tag]) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.tags = tags.to_vec())?;
        Ok(())
    }

    fn delete(&self, task: TaskId) -> Result<Kin, Failed> {
        let mut tables = self.0.borrow_mut();
        let kin = tables.kin(task).unwrap_or_default();
        tables.delete_task(task);
        Ok(kin)
    }

    fn set_due(&self, task: TaskId, due: Millis) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.change(task, |_| true, |row| row.due = Some(due))?;
        Ok(())
    }

    fn raise_kicks(&self, task: TaskId, status: Status, kicks: u64) -> Result<(), Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == status,
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
            (row.put_until, row.later) = (Some(until), false);
        })?;
        let Some(row) = tables.task(task).filter(|_| begun) else {
            return Ok(None);
        };
        let since = now.max(tables.waits_since(task, row));
        let due = row.due.filter(|_| !row.is_parked()).unwrap_or(since);
        let old_job = row.job.as_ref().filter(|_| !row.job_deleted);
        Ok(Some(BegunPut {
            put: PutId {
                task,
                generation: row.generation,
            },
            uuid: row.uuid,
            command: row.command.clone(),
            tube: row.tube.clone(),
            priority: row.priority,
            ttr: Some(row.ttr),
            due_in: due.saturating_sub(since),
            old_job: old_job.map(|old| OldJob {
                id: old.job,
                instance: Some(old.instance.clone()),
            }),
        }))
    }

    fn set_later(&self, task: TaskId) -> Result<bool, Failed> {
        self.0.borrow_mut().change(
            task,
            |row| row.status == Status::Waiting,
            |row| {
                (row.later, row.put_until) = (true, None);
                row.generation = row.noted;
            },
        )
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
            stopped: None,
            told: None,
            hung: None,
        })
    }

    fn set_stopped(&self, worker: WorkerId, stopped: Option<Millis>) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        if let Some(mut row) = tables.workers().get(&worker).cloned() {
            row.stopped = stopped;
            tables.write_worker(worker, Some(row));
        }
        Ok(())
    }

    fn set_hung(&self, name: &str, pid: u32, at: Millis) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        let is_meant = |row: &WorkerRow| row.worker.name == name && row.worker.pid == pid;
        let mut newest = tables.workers().iter().rev();
        let found = newest.find(|(_, row)| is_meant(row));
        if let Some((id, mut row)) = found.map(|(id, row)| (*id, row.clone())) {
            row.hung.get_or_insert(at);
            tables.write_worker(id, Some(row));
        }
        Ok(())
    }

    fn set_told(&self, worker: WorkerId, told: Millis) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        if let Some(mut row) = tables.worker(worker).cloned() {
            row.told.get_or_insert(told);
            tables.write_worker(worker, Some(row));
        }
        Ok(())
    }

    fn end_worker(&self, worker: WorkerId, now: Millis) -> Result<Option<Gone>, Failed> {
        let mut tables = self.0.borrow_mut();
        let unended = tables.worker(worker).filter(|row| row.stopped.is_none());
        let Some(mut row) = unended.cloned() else {
            return Ok(None);
        };
        row.stopped = Some(now);
        let gone = Gone {
            worker: row.worker.clone(),
            was_hung: row.hung.is_some(),
        };
        tables.write_worker(worker, Some(row));
        Ok(Some(gone))
    }

    fn forget_worker(&self, worker: WorkerId) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        if tables.worker(worker).is_none() || !tables.answers_for_nothing(worker) {
            return Ok(false);
        }
        tables.write_worker(worker, None);
        Ok(true)
    }

    fn add_ends(
        &self,
        of: &Of,
        more: &Ends,
        kept: RangeInclusive<i64>,
        commands: usize,
    ) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        let is_of = |other: &&Of| (other.minute, &other.tube) == (of.minute, &of.tube);
        let is_one_too_many = !of.command.is_empty()
            && !tables.ends().contains_key(of)
            && tables.ends().keys().filter(is_of).count() >= commands;
        let of = match is_one_too_many {
            true => of.nameless(),
            false => of.clone(),
        };
        let before = tables.ends().get(&of).cloned();
        if before.is_none() {
            let minutes = || tables.ends().keys().map(|of| of.minute);
            let old = minutes().min().filter(|minute| minute < kept.start());
            let to_come = minutes().max().filter(|minute| minute > kept.end());
            let goes = |of: &&Of| [old, to_come].contains(&Some(of.minute));
            let gone: Vec<Of> = tables.ends().keys().filter(goes).cloned().collect();
            for of in gone {
                tables.write_ends(of, None);
            }
        }
        let mut ends = before.unwrap_or_default();
        ends.add(more);
        tables.write_ends(of, Some(ends));
        Ok(())
    }

    fn write_schedule(&self, row: &ScheduleRow) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.write_schedule(&row.name, Some(row.clone()));
        Ok(())
    }

    fn delete_schedule(&self, name: &str) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        let is_there = tables.schedules().contains_key(name);
        if is_there {
            tables.write_schedule(name, None);
        }
        Ok(is_there)
    }

    fn set_fire(&self, fire: &NewFire<'_>) -> Result<(), Failed> {
        let row = Fire {
            schedule: fire.schedule.to_owned(),
            nominal: fire.nominal,
            scheduled_for: fire.scheduled_for.map(str::to_owned),
            backfilled: fire.backfilled,
        };
        self.0.borrow_mut().set_fire(fire.task, row)
    }

    fn told(&self) -> &Told {
        self.1
    }

    fn add_event(&self, event: &NewEvent<'_>) -> Result<(), Failed> {
        let row = EventRow {
            at: event.at,
            what: event.what.number(),
            task: event.about.task.map(|task| task.0),
            attempt: event.about.attempt,
            detail: event.detail.map(str::to_owned),
            ..EventRow::default()
        };
        self.0.borrow_mut().add_event(row);
        Ok(())
    }

    fn last_event(&self) -> Result<Option<i64>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.events().last_key_value().map(|(number, _)| *number))
    }

    fn forget_events(&self, up_to: i64) -> Result<u64, Failed> {
        Ok(self.0.borrow_mut().forget_events(up_to))
    }

    fn delete_old(&self, old: &Old, tasks: &[TaskId]) -> Result<u64, Failed> {
        let mut tables = self.0.borrow_mut();
        let mut deleted = 0;
        for task in tasks {
            let may_go = tables.task(*task).is_some_and(|row| row.may_go(old));
            if may_go && !tables.is_needed(*task) {
                tables.delete_task(*task);
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}
