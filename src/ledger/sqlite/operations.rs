//! The operations on rows, each by its statement.

use std::ops::{Range, RangeInclusive};

use uuid::Uuid;

use super::{
    Connected, attempts, cleanup, events, filter, keys, minutes, own, puts, read, recover, reports,
    schedules, tags, tasks, workers,
};
use crate::broker::JobId;
use crate::ledger::error::Failed;
use crate::ledger::read::{Attempt, Filter, Key, Report};
use crate::ledger::rows::{
    Backlog, Beginning, BegunPut, Each, EachPicked, EndedAttempt, Ending, ForeignJob, Held,
    KeptJob, Kin, Known, Listed, NewRow, NewWorker, Newest, Old, Ran, RanBy, Reads, Recorded, Rows,
    Running, Said, Tally, TaskRow, Unsure, UnverifiedJob, Wish,
};
use crate::ledger::rows::{Ends, Of};
use crate::ledger::rows::{EventFilter, EventRow, Gone, NewEvent, Told};
use crate::ledger::rows::{FireRow, NewFire, ScheduleRow, Scheduled};
use crate::sqlite;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::own::Own;
use crate::task::refused::Keep;
use crate::task::state::Status;
use crate::task::tag::Tag;
use crate::task::unique::{Hold, Key as UniqueKey};
use crate::tube::TubeName;

impl Reads for Connected<'_> {
    fn tubes_in_use(&self) -> Result<Vec<String>, Failed> {
        recover::tubes_in_use(self.0)
    }

    fn running(&self, tube: Option<&TubeName>) -> Result<Vec<Running>, Failed> {
        recover::running(self.0, tube)
    }

    fn is_running(&self, attempt: AttemptId, owner: Option<WorkerId>) -> Result<bool, Failed> {
        recover::is_running(self.0, attempt, owner)
    }

    fn wish(&self, task: TaskId) -> Result<Option<Wish>, Failed> {
        tasks::wish(self.0, task)
    }

    fn status(&self, task: TaskId) -> Result<Option<Status>, Failed> {
        tasks::status(self.0, task)
    }

    fn missing(
        &self,
        tube: &TubeName,
        after: TaskId,
        now: Millis,
        latest: Millis,
        limit: u32,
    ) -> Result<Vec<PutId>, Failed> {
        recover::missing(self.0, tube, after, now, latest, limit)
    }

    fn near(
        &self,
        tube: &TubeName,
        after: (Millis, TaskId),
        until: Millis,
        limit: u32,
    ) -> Result<Vec<(Millis, PutId)>, Failed> {
        recover::near(self.0, tube, after, until, limit)
    }

    fn unverified(
        &self,
        tube: &TubeName,
        instance: Option<&str>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<UnverifiedJob>, Failed> {
        recover::unverified(self.0, tube, instance, after, limit)
    }

    fn unverified_of(&self, task: TaskId) -> Result<Option<UnverifiedJob>, Failed> {
        recover::unverified_of(self.0, task)
    }

    fn waits(&self, tube: &TubeName) -> Result<bool, Failed> {
        recover::waits(self.0, tube)
    }

    fn is_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Failed> {
        recover::is_due(self.0, tube, now)
    }

    fn unsure(&self, old: &Old, after: TaskId, limit: usize) -> Result<Vec<Unsure>, Failed> {
        cleanup::unsure(self.0, old, after, limit)
    }

    fn refused_beyond(
        &self,
        tube: &TubeName,
        keep: Keep,
        limit: usize,
    ) -> Result<Vec<Unsure>, Failed> {
        cleanup::refused_beyond(self.0, tube, keep, limit)
    }

    fn has_been_at(&self, tube: &str, instance: &str) -> Result<bool, Failed> {
        cleanup::has_been_at(self.0, tube, instance)
    }

    fn count_old(&self, old: &Old) -> Result<u64, Failed> {
        cleanup::count(self.0, old)
    }

    fn old(&self, old: &Old, from: Millis, limit: usize) -> Result<Vec<(TaskId, Millis)>, Failed> {
        cleanup::old(self.0, old, from, limit)
    }

    fn unended_workers(&self) -> Result<Vec<WorkerId>, Failed> {
        workers::unended(self.0)
    }

    fn idle_workers(&self, after: WorkerId, limit: usize) -> Result<Vec<WorkerId>, Failed> {
        workers::idle(self.0, after, limit)
    }

    fn tallies(&self, most: u64) -> Result<Vec<Tally>, Failed> {
        recover::tallies(self.0, most)
    }

    fn backlog(&self) -> Result<Vec<Backlog>, Failed> {
        recover::backlog(self.0)
    }

    fn ends(&self, from: i64, to: i64) -> Result<Vec<(Of, Ends)>, Failed> {
        minutes::ends(self.0, from, to)
    }

    fn page(
        &self,
        filter: &Filter,
        within: Range<TaskId>,
        attempts: u32,
        each: &mut Each<'_>,
    ) -> Result<(), Failed> {
        read::page(self.0, filter, within, attempts, each)
    }

    fn pick(
        &self,
        filter: &Filter,
        within: Range<TaskId>,
        each: &mut EachPicked<'_>,
    ) -> Result<(), Failed> {
        filter::pick(self.0, filter, within, each)
    }

    fn recorded_from(&self, from: TaskId) -> Result<Option<(TaskId, Millis)>, Failed> {
        read::recorded_from(self.0, from)
    }

    fn shown(&self, key: Key, attempts: u32) -> Result<Option<Listed>, Failed> {
        read::shown(self.0, key, attempts)
    }

    fn row(&self, task: TaskId) -> Result<Option<TaskRow>, Failed> {
        tasks::row(self.0, task)
    }

    fn held(&self, task: TaskId) -> Result<Option<Held>, Failed> {
        puts::held(self.0, task)
    }

    fn tags(&self, task: TaskId) -> Result<Vec<Tag>, Failed> {
        tags::of(self.0, task)
    }

    fn newest(&self, key: Key) -> Result<Option<Newest>, Failed> {
        read::newest(self.0, key)
    }

    fn attempt(&self, attempt: AttemptId) -> Result<Option<Attempt>, Failed> {
        read::attempt(self.0, attempt)
    }

    fn output(&self, attempt: AttemptId) -> Result<Option<Captured>, Failed> {
        attempts::output(self.0, attempt)
    }

    fn report(&self, task: TaskId) -> Result<Option<Report>, Failed> {
        reports::one(self.0, task)
    }

    fn hold(&self, task: TaskId) -> Result<Option<Hold>, Failed> {
        keys::of(self.0, task)
    }

    fn key_holder(&self, key: &UniqueKey, now: Millis) -> Result<Option<TaskId>, Failed> {
        keys::seen_holder(self.0, key, now)
    }

    fn may_lack(&self, recorded: Millis) -> Result<bool, Failed> {
        tasks::may_lack(self.0, recorded)
    }

    fn schedules(&self) -> Result<Vec<ScheduleRow>, Failed> {
        schedules::all(self.0)
    }

    fn schedule(&self, name: &str) -> Result<Option<ScheduleRow>, Failed> {
        schedules::one(self.0, name)
    }

    fn fires(&self, schedule: &str, limit: u32) -> Result<Vec<FireRow>, Failed> {
        schedules::fires(self.0, schedule, limit)
    }

    fn has_fired(&self, schedule: &str, nominal: Millis) -> Result<bool, Failed> {
        schedules::has_fired(self.0, schedule, nominal)
    }

    fn scheduled(&self, task: TaskId) -> Result<Option<Scheduled>, Failed> {
        schedules::of_task(self.0, task)
    }

    fn workers_of(
        &self,
        tube: &TubeName,
        most: usize,
    ) -> Result<Vec<(WorkerId, Option<Millis>)>, Failed> {
        workers::of(self.0, tube, most)
    }

    fn workers(&self) -> Result<Vec<Known>, Failed> {
        workers::all(self.0)
    }

    fn events(
        &self,
        after: i64,
        filter: &EventFilter,
        newest_first: bool,
        limit: u32,
    ) -> Result<Vec<EventRow>, Failed> {
        events::some(self.0, after, filter, newest_first, limit)
    }

    fn kept_events(&self) -> Result<Option<(i64, i64)>, Failed> {
        events::kept(self.0)
    }

    fn oldest_events(&self, limit: u32) -> Result<Vec<(i64, Millis)>, Failed> {
        events::oldest(self.0, limit)
    }

    fn event_of(&self, task: TaskId, attempt: Option<i64>) -> Result<Option<EventRow>, Failed> {
        events::of_task(self.0, task, attempt)
    }
}

impl Rows for Connected<'_> {
    fn part(&self, part: &mut dyn FnMut() -> Result<(), Failed>) -> Result<(), Failed> {
        // What happened before it is not undone with it.
        self.2.write(self.0)?;
        let done = sqlite::part(self.0, part);
        if done.is_err() {
            self.2.forget();
        }
        done
    }

    fn task(&self, uuid: &Uuid) -> Result<Option<TaskRow>, Failed> {
        tasks::task(self.0, uuid)
    }

    fn foreign_task(&self, job: JobId, foreign: &ForeignJob) -> Result<Option<TaskRow>, Failed> {
        tasks::foreign_task(self.0, job, foreign)
    }

    fn same_task(&self, uuid: &Uuid, content: &Content) -> Result<Option<TaskId>, Failed> {
        tasks::same_task(self.0, uuid, content)
    }

    fn holder(&self, key: &UniqueKey, now: Millis) -> Result<Option<TaskId>, Failed> {
        keys::holder(self.0, key, now)
    }

    fn set_own(&self, task: TaskId, own: Option<&Own>) -> Result<(), Failed> {
        own::set(self.0, task, own)
    }

    fn set_hold(&self, task: TaskId, hold: &Hold) -> Result<(), Failed> {
        keys::set(self.0, task, hold)
    }

    fn insert(&self, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed> {
        tasks::insert(self.0, row)
    }

    fn begin(&self, beginning: &Beginning) -> Result<(), Failed> {
        tasks::begin(self.0, beginning)
    }

    fn name_command(&self, task: TaskId, command: &str) -> Result<(), Failed> {
        tasks::name_command(self.0, task, command)
    }

    fn end(&self, ending: &Ending<'_>) -> Result<Option<bool>, Failed> {
        tasks::end(self.0, ending)
    }

    fn ran(&self, task: TaskId) -> Result<Ran, Failed> {
        tasks::ran(self.0, task)
    }

    fn unclaim(&self, attempt: AttemptId, owner: WorkerId) -> Result<bool, Failed> {
        tasks::unclaim(self.0, attempt, owner)
    }

    fn cancel(
        &self,
        task: TaskId,
        at: Millis,
        reason: Option<&str>,
    ) -> Result<Option<Kin>, Failed> {
        tasks::cancel(self.0, task, at, reason)
    }

    fn ask_to_cancel(
        &self,
        task: TaskId,
        asked: Millis,
        now: bool,
        reason: Option<&str>,
    ) -> Result<(), Failed> {
        tasks::ask_to_cancel(self.0, task, asked, now, reason)
    }

    fn renew(&self, task: TaskId, now: Millis, tube: Option<&TubeName>) -> Result<Kin, Failed> {
        tasks::renew(self.0, task, now, tube)
    }

    fn take_over(
        &self,
        attempt: AttemptId,
        from: Option<WorkerId>,
        to: WorkerId,
    ) -> Result<bool, Failed> {
        tasks::take_over(self.0, attempt, from, to)
    }

    fn note_begun(
        &self,
        attempt: AttemptId,
        owner: WorkerId,
        started: Millis,
    ) -> Result<(), Failed> {
        tasks::note_begun(self.0, attempt, owner, started)
    }

    fn forget_attempts(&self, last: AttemptId) -> Result<(), Failed> {
        attempts::forget(self.0, last)
    }

    fn add_attempt(&self, ended: &EndedAttempt<'_>) -> Result<(), Failed> {
        attempts::add(self.0, ended)
    }

    fn add_output(&self, attempt: AttemptId, output: &Captured) -> Result<(), Failed> {
        attempts::add_output(self.0, attempt, output)
    }

    fn set_report(&self, said: &Said<'_>) -> Result<(), Failed> {
        reports::set(self.0, said)
    }

    fn outcome(&self, attempt: AttemptId) -> Result<Option<Recorded>, Failed> {
        attempts::outcome(self.0, attempt)
    }

    fn interrupted_in_a_row(&self, task: TaskId) -> Result<u32, Failed> {
        attempts::interrupted_in_a_row(self.0, task)
    }

    fn ran_by(&self, task: TaskId) -> Result<RanBy, Failed> {
        attempts::ran_by(self.0, task)
    }

    fn waits_since(&self, task: TaskId) -> Result<Millis, Failed> {
        attempts::waits_since(self.0, task)
    }

    fn make_due(&self, task: TaskId, due: Millis) -> Result<(), Failed> {
        tasks::make_due(self.0, task, due)
    }

    fn set_priority(&self, task: TaskId, priority: u32) -> Result<(), Failed> {
        tasks::set_priority(self.0, task, priority)
    }

    fn set_content(&self, task: TaskId, content: &Content) -> Result<(), Failed> {
        tasks::set_content(self.0, task, content)
    }

    fn set_tags(&self, task: TaskId, tags: &[Tag]) -> Result<(), Failed> {
        tags::set(self.0, task, tags)
    }

    fn delete(&self, task: TaskId) -> Result<Kin, Failed> {
        tasks::delete(self.0, task)
    }

    fn set_reason(&self, task: TaskId, reason: &str) -> Result<(), Failed> {
        tasks::set_reason(self.0, task, reason)
    }

    fn set_due(&self, task: TaskId, due: Millis) -> Result<(), Failed> {
        tasks::set_due(self.0, task, due)
    }

    fn raise_kicks(&self, task: TaskId, status: Status, kicks: u64) -> Result<(), Failed> {
        puts::raise_kicks(self.0, task, status, kicks)
    }

    fn begin_put(
        &self,
        task: TaskId,
        generation: Option<i64>,
        until: Millis,
        now: Millis,
    ) -> Result<Option<BegunPut>, Failed> {
        puts::begin(self.0, task, generation, until, now)
    }

    fn set_later(&self, task: TaskId) -> Result<bool, Failed> {
        puts::set_later(self.0, task)
    }

    fn note_put(&self, put: PutId, job: JobId, instance: &str) -> Result<(), Failed> {
        puts::note(self.0, put, job, instance)
    }

    fn give_up_put(&self, put: PutId) -> Result<(), Failed> {
        puts::give_up(self.0, put)
    }

    fn note_found(&self, put: PutId, instance: &str) -> Result<(), Failed> {
        puts::note_found(self.0, put, instance)
    }

    fn note_deleted(&self, task: TaskId) -> Result<(), Failed> {
        puts::note_deleted(self.0, task)
    }

    fn put_job(&self, job: &KeptJob<'_>) -> Result<JobId, Failed> {
        puts::put_job(self.0, job)
    }

    fn insert_worker(
        &self,
        worker: &NewWorker,
        boot: &str,
        now: Millis,
    ) -> Result<WorkerId, Failed> {
        workers::insert(self.0, worker, boot, now)
    }

    fn set_stopped(&self, worker: WorkerId, stopped: Option<Millis>) -> Result<(), Failed> {
        workers::set_stopped(self.0, worker, stopped)
    }

    fn set_told(&self, worker: WorkerId, told: Millis) -> Result<(), Failed> {
        workers::set_told(self.0, worker, told)
    }

    fn set_hung(&self, name: &str, pid: u32, at: Millis) -> Result<(), Failed> {
        workers::set_hung(self.0, name, pid, at)
    }

    fn end_worker(&self, worker: WorkerId, now: Millis) -> Result<Option<Gone>, Failed> {
        workers::end(self.0, worker, now)
    }

    fn forget_worker(&self, worker: WorkerId) -> Result<bool, Failed> {
        workers::forget(self.0, worker)
    }

    fn add_ends(
        &self,
        of: &Of,
        more: &Ends,
        kept: RangeInclusive<i64>,
        commands: usize,
    ) -> Result<(), Failed> {
        minutes::add(self.0, of, more, &kept, commands)
    }

    fn write_schedule(&self, row: &ScheduleRow) -> Result<(), Failed> {
        schedules::write(self.0, row)
    }

    fn delete_schedule(&self, name: &str) -> Result<bool, Failed> {
        schedules::delete(self.0, name)
    }

    fn set_fire(&self, fire: &NewFire<'_>) -> Result<(), Failed> {
        schedules::set_fire(self.0, fire)
    }

    fn delete_old(&self, old: &Old, tasks: &[TaskId]) -> Result<u64, Failed> {
        cleanup::delete(self.0, old, tasks)
    }

    fn told(&self) -> &Told {
        self.1
    }

    fn add_event(&self, event: &NewEvent<'_>) -> Result<(), Failed> {
        self.2.add(event);
        Ok(())
    }

    fn last_event(&self) -> Result<Option<i64>, Failed> {
        self.2.write(self.0)?;
        events::last(self.0)
    }

    fn forget_events(&self, up_to: i64) -> Result<u64, Failed> {
        events::forget(self.0, up_to)
    }
}
