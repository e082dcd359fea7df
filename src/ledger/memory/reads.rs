//! What may be looked at, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::queries::{self, limited, reported, shown};
use super::records::TaskRow;
use super::{Transaction, events};
use crate::ledger::announce::OldJob;
use crate::ledger::cleanup::{Old, Unsure};
use crate::ledger::error::Failed;
use crate::ledger::read::{Attempt, Filter, Key, Report};
use crate::ledger::recover::UnverifiedJob;
use crate::ledger::rows::{
    self, Backlog, Each, EachPicked, Ends, EventFilter, EventRow, FireRow, Held, Listed, Newest,
    Of, Reads, Running, ScheduleRow, Scheduled, Tally, Wants, Wish,
};
use crate::ledger::worker::Known;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::refused::{Counted, Keep};
use crate::task::state::{Outcome, Status};
use crate::task::tag::Tag;
use crate::task::unique::{Hold, Key as UniqueKey};
use crate::tube::TubeName;

/// So many of the newest tasks of a tube say where it has been.
const NEWEST: usize = 1000;

impl Reads for Transaction<'_> {
    fn may_lack(&self, recorded: Millis) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let newest = tables.tasks().values().next_back();
        let newest = newest.map(|row| row.created).max(tables.deleted());
        Ok(newest.is_none_or(|newest| newest <= recorded))
    }

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

    fn wish(&self, task: TaskId) -> Result<Option<Wish>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.task(task).and_then(|row| {
            row.cancel_asked.map(|asked| Wish {
                attempt: row.newest(task),
                asked,
                now: row.cancel_now,
                reason: row.reason.clone(),
                budget: row.budget,
            })
        }))
    }

    fn status(&self, task: TaskId) -> Result<Option<Status>, Failed> {
        Ok(self.0.borrow().task(task).map(|row| row.status))
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

    fn near(
        &self,
        tube: &TubeName,
        after: (Millis, TaskId),
        until: Millis,
        limit: u32,
    ) -> Result<Vec<(Millis, PutId)>, Failed> {
        let tables = self.0.borrow();
        let later = tables.tasks().iter();
        let later = later.filter(|(_, row)| row.later && row.tube == *tube);
        let mut near: Vec<(Millis, PutId)> = later
            .filter_map(|(id, row)| Some((row.due?, *id, row.generation)))
            .filter(|(due, id, _)| (*due, *id) > after && *due <= until)
            .map(|(due, task, generation)| (due, PutId { task, generation }))
            .collect();
        near.sort_by_key(|(due, put)| (*due, put.task));
        near.truncate(limited(limit));
        Ok(near)
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
        let waits =
            |row: &TaskRow| row.status == Status::Waiting && !row.later && row.tube == *tube;
        Ok(tables.tasks().values().any(waits))
    }

    fn is_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let is_due = |row: &TaskRow| {
            row.tube == *tube
                && row.due.is_some_and(|due| due <= now)
                && !row.later
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

    fn refused_beyond(
        &self,
        tube: &TubeName,
        keep: Keep,
        limit: usize,
    ) -> Result<Vec<Unsure>, Failed> {
        let tables = self.0.borrow();
        let mut counted = Counted::default();
        let refused = tables.tasks().iter().rev().filter_map(|(id, row)| {
            let newest = AttemptId {
                task: *id,
                number: row.attempt,
            };
            let (mark, numbered) = (row.foreign?, row.job.as_ref()?);
            let outcome = &tables.attempt(newest)?.outcome;
            let is_refused =
                row.status == Status::Failed && matches!(outcome, Outcome::Refused { .. });
            (is_refused && row.tube == *tube).then(|| {
                let unsure = Unsure {
                    id: *id,
                    job: numbered.job,
                    hash: mark.hash,
                    tube: row.tube.to_string(),
                    instance: numbered.instance.clone(),
                };
                (unsure, row.content.size() as u64)
            })
        });
        let beyond = refused.skip_while(|(_, size)| keep.has_room(&mut counted, *size));
        Ok(beyond.map(|(unsure, _)| unsure).take(limit).collect())
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
        let count = tables
            .tasks()
            .iter()
            .filter(|(id, row)| row.may_go(old) && !tables.is_needed(**id));
        Ok(count.count() as u64)
    }

    fn old(&self, old: &Old, from: Millis, limit: usize) -> Result<Vec<(TaskId, Millis)>, Failed> {
        let tables = self.0.borrow();
        let may_go = tables
            .tasks()
            .iter()
            .filter(|(id, row)| row.may_go(old) && !tables.is_needed(**id));
        let mut found: Vec<(TaskId, Millis)> = may_go
            .filter_map(|(id, row)| Some((*id, row.finished?)))
            .filter(|(_, finished)| *finished >= from)
            .collect();
        found.sort_by_key(|(id, finished)| (*finished, *id));
        found.truncate(limit);
        Ok(found)
    }

    fn unended_workers(&self) -> Result<Vec<WorkerId>, Failed> {
        let tables = self.0.borrow();
        let workers = tables.workers().iter();
        let unended = workers.filter(|(_, row)| row.stopped.is_none());
        Ok(unended.map(|(id, _)| *id).collect())
    }

    fn idle_workers(&self, after: WorkerId, limit: usize) -> Result<Vec<WorkerId>, Failed> {
        let tables = self.0.borrow();
        let newest = tables.workers().keys().next_back().copied();
        let others = tables.workers().keys().copied();
        let idle = others
            .filter(|id| *id > after && Some(*id) != newest && tables.answers_for_nothing(*id));
        Ok(idle.take(limit).collect())
    }

    fn tallies(&self, most: u64) -> Result<Vec<Tally>, Failed> {
        let tables = self.0.borrow();
        let mut tallies: BTreeMap<(String, &str, Option<WorkerId>), Tally> = BTreeMap::new();
        for row in tables.tasks().values() {
            let key = (row.tube.to_string(), row.status.as_str(), row.owner);
            let tally = tallies.entry(key).or_insert_with(|| Tally {
                tube: row.tube.to_string(),
                status: row.status,
                owner: row.owner,
                due: None,
                count: 0,
            });
            if tally.owner.is_some() || tally.count < most {
                tally.count += 1;
            }
            tally.due = tally.due.into_iter().chain(row.due).min();
        }
        let tallies = tallies.into_values();
        let is_open = |tally: &Tally| tally.status != Status::Done;
        Ok(tallies.filter(is_open).collect())
    }

    fn backlog(&self) -> Result<Vec<Backlog>, Failed> {
        let tables = self.0.borrow();
        let mut counts: BTreeMap<(String, Wants), u64> = BTreeMap::new();
        let rows = tables.tasks().values();
        for row in rows.filter(|row| row.status == Status::Waiting) {
            let wants = match (&row.foreign, &row.content) {
                (Some(_), _) => Wants::Unknown,
                (None, Content::Call(call)) => Wants::Command(call.command.as_str().to_owned()),
                (None, Content::Raw(_) | Content::Unread(_)) => Wants::RawCommand,
            };
            *counts.entry((row.tube.to_string(), wants)).or_default() += 1;
        }
        let backlog =
            counts
                .into_iter()
                .map(|((tube, wants), count)| Backlog { tube, wants, count });
        Ok(backlog.collect())
    }

    fn ends(&self, from: i64, to: i64) -> Result<Vec<(Of, Ends)>, Failed> {
        let tables = self.0.borrow();
        let ends = tables.ends().iter();
        let within = ends.filter(|(of, _)| (from..=to).contains(&of.minute));
        Ok(within
            .map(|(of, ends)| (of.clone(), ends.clone()))
            .collect())
    }

    fn page(
        &self,
        filter: &Filter,
        within: Range<TaskId>,
        attempts: u32,
        each: &mut Each<'_>,
    ) -> Result<(), Failed> {
        let tables = self.0.borrow();
        if within.is_empty() {
            return Ok(());
        }
        for (id, row) in tables.tasks().range(within).rev() {
            if filter.passes(&row.seen(*id)) && !each(tables.listed(*id, row, false, attempts))? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn pick(
        &self,
        filter: &Filter,
        within: Range<TaskId>,
        each: &mut EachPicked<'_>,
    ) -> Result<(), Failed> {
        let tables = self.0.borrow();
        if within.is_empty() {
            return Ok(());
        }
        for (id, row) in tables.tasks().range(within) {
            if filter.passes(&row.seen(*id)) && !each(*id, row.owner)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn recorded_from(&self, from: TaskId) -> Result<Option<(TaskId, Millis)>, Failed> {
        let tables = self.0.borrow();
        let mut those = tables.tasks().range(from..);
        Ok(those.next().map(|(id, row)| (*id, row.created)))
    }

    fn shown(&self, key: Key, attempts: u32) -> Result<Option<Listed>, Failed> {
        let tables = self.0.borrow();
        let found = match key {
            Key::Id(id) => tables.task(id).map(|row| (id, row)),
            Key::Uuid(uuid) => tables.by_uuid(uuid),
        };
        Ok(found.map(|(id, row)| tables.listed(id, row, true, attempts)))
    }

    fn row(&self, task: TaskId) -> Result<Option<rows::TaskRow>, Failed> {
        let tables = self.0.borrow();
        Ok(tables
            .task(task)
            .map(|found| queries::row(&tables, (task, found))))
    }

    fn held(&self, task: TaskId) -> Result<Option<Held>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.task(task).map(|row| {
            let (ours, theirs) = match row.foreign {
                None => (row.job.as_ref().filter(|_| !row.job_deleted), None),
                Some(mark) => {
                    let theirs = row.job.as_ref().filter(|_| !row.job_deleted);
                    (row.pointer.as_ref(), theirs.map(|job| (mark, job)))
                }
            };
            Held {
                uuid: row.uuid,
                status: row.status,
                job: ours.map(|job| OldJob {
                    id: job.job,
                    instance: Some(job.instance.clone()),
                }),
                foreign_job: theirs.map(|(mark, job)| Unsure {
                    id: task,
                    job: job.job,
                    hash: mark.hash,
                    tube: row.tube.to_string(),
                    instance: job.instance.clone(),
                }),
            }
        }))
    }

    fn tags(&self, task: TaskId) -> Result<Vec<Tag>, Failed> {
        let tables = self.0.borrow();
        Ok(tables
            .task(task)
            .map(|row| row.tags.clone())
            .unwrap_or_default())
    }

    fn newest(&self, key: Key) -> Result<Option<Newest>, Failed> {
        let tables = self.0.borrow();
        let found = match key {
            Key::Id(id) => tables.task(id).map(|row| (id, row)),
            Key::Uuid(uuid) => tables.by_uuid(uuid),
        };
        Ok(found.map(|(task, row)| Newest {
            task,
            status: row.status,
            due: row.due,
            attempt: row.attempt,
            worker: row.worker,
            owner: row.owner,
        }))
    }

    fn attempt(&self, attempt: AttemptId) -> Result<Option<Attempt>, Failed> {
        let tables = self.0.borrow();
        let found = tables.attempt(attempt);
        Ok(found.map(|row| shown(attempt.number, row)))
    }

    fn output(&self, attempt: AttemptId) -> Result<Option<Captured>, Failed> {
        Ok(self.0.borrow().output(attempt).cloned())
    }

    fn events(
        &self,
        after: i64,
        filter: &EventFilter,
        newest_first: bool,
        limit: u32,
    ) -> Result<Vec<EventRow>, Failed> {
        let tables = self.0.borrow();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let of_it = tables.events().range(after.saturating_add(1)..);
        let joined = of_it.map(|(_, row)| events::joined(&tables, row));
        let meant = joined.filter(|row| events::passes(filter, row));
        let mut meant: Vec<EventRow> = meant.collect();
        if newest_first {
            meant.reverse();
        }
        meant.truncate(limit);
        Ok(meant)
    }

    fn kept_events(&self) -> Result<Option<(i64, i64)>, Failed> {
        let tables = self.0.borrow();
        let (first, last) = (
            tables.events().first_key_value(),
            tables.events().last_key_value(),
        );
        Ok(first
            .zip(last)
            .map(|((first, _), (last, _))| (*first, *last)))
    }

    fn oldest_events(&self, limit: u32) -> Result<Vec<(i64, Millis)>, Failed> {
        let tables = self.0.borrow();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let oldest = tables.events().iter().take(limit);
        Ok(oldest.map(|(number, row)| (*number, row.at)).collect())
    }

    fn event_of(&self, task: TaskId, attempt: Option<i64>) -> Result<Option<EventRow>, Failed> {
        let tables = self.0.borrow();
        let row = EventRow {
            task: Some(task.0),
            attempt,
            ..EventRow::default()
        };
        let is_there = tables.task(task).is_some();
        let joined = events::joined(&tables, &row);
        Ok(is_there.then_some(EventRow {
            task: None,
            attempt: None,
            ..joined
        }))
    }

    fn schedules(&self) -> Result<Vec<ScheduleRow>, Failed> {
        Ok(self.0.borrow().schedules().values().cloned().collect())
    }

    fn schedule(&self, name: &str) -> Result<Option<ScheduleRow>, Failed> {
        Ok(self.0.borrow().schedules().get(name).cloned())
    }

    fn fires(&self, schedule: &str, limit: u32) -> Result<Vec<FireRow>, Failed> {
        let tables = self.0.borrow();
        let of = tables.fires().iter().rev();
        let fires = of.filter(|(_, fire)| fire.schedule == schedule);
        let fires = fires.filter_map(|(task, fire)| {
            let row = tables.task(*task)?;
            Some(FireRow {
                task: *task,
                nominal: fire.nominal,
                is_open: row.finished.is_none(),
                finished: row.finished,
            })
        });
        Ok(fires.take(limited(limit)).collect())
    }

    fn has_fired(&self, schedule: &str, nominal: Millis) -> Result<bool, Failed> {
        let tables = self.0.borrow();
        let mut fires = tables.fires().values();
        Ok(fires.any(|fire| fire.schedule == schedule && fire.nominal == Some(nominal)))
    }

    fn scheduled(&self, task: TaskId) -> Result<Option<Scheduled>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.fires().get(&task).map(|fire| Scheduled {
            schedule: fire.schedule.clone(),
            scheduled_for: fire.scheduled_for.clone(),
            backfilled: fire.backfilled,
        }))
    }

    fn workers_of(
        &self,
        tube: &TubeName,
        most: usize,
    ) -> Result<Vec<(WorkerId, Option<Millis>)>, Failed> {
        let tables = self.0.borrow();
        let newest = tables.workers().iter().rev().take(most);
        let of = newest.filter(|(_, row)| row.worker.tube == tube.as_str());
        Ok(of.map(|(id, row)| (*id, row.stopped)).collect())
    }

    fn hold(&self, task: TaskId) -> Result<Option<Hold>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.task(task).and_then(|row| row.hold.clone()))
    }

    fn key_holder(&self, key: &UniqueKey, now: Millis) -> Result<Option<TaskId>, Failed> {
        let tables = self.0.borrow();
        let holder = tables.holder(key);
        let has_it = |hold: &Hold| hold.span.until().is_none_or(|until| until > now);
        Ok(holder
            .filter(|(_, hold)| has_it(hold))
            .map(|(task, _)| task))
    }

    fn report(&self, task: TaskId) -> Result<Option<Report>, Failed> {
        let tables = self.0.borrow();
        Ok(tables.report(task).map(|said| reported(said, false)))
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
