//! The rows of a ledger: the thinnest possible layer of operations, which every adapter has. Nothing here knows what
//! the operations are for; that is the protocol's, above.
//!
//! What an adapter must never let stand, whoever writes it, is what the CHECKs of `migrations/` say.

use std::ops::{Range, RangeInclusive};

use uuid::Uuid;

use super::error::Failed;
use super::read::{Attempt, Filter, Key, Report};
use crate::broker::JobId;
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

mod ends;
mod events;
mod kin;
mod limits;
mod schedules;
mod types;

pub use ends::{Ends, Of};
pub use events::{About, EventFilter, EventRow, NewEvent, Told};
pub use kin::{Awaiting, Edge, Kin, KinReads, KinRows};
pub use limits::{HeldLine, HeldRow, LATE, LimitReads, LimitRows, Line};
pub use schedules::{FireRow, NewFire, ScheduleRow, Scheduled};
pub use types::{
    Backlog, Beginning, BegunPut, EndedAttempt, Ending, Fingerprint, ForeignJob, Gone, Held,
    KeptJob, Known, Listed, NewRow, NewWorker, Newest, Old, OldJob, Origin, Ran, RanBy, Recorded,
    Running, Said, Tally, TaskRow, Unsure, UnverifiedJob, Wants, Wish,
};

/// Hears of one task of a list after the other, and ends it by returning false.
pub type Each<'a> = dyn FnMut(Listed) -> Result<bool, Failed> + 'a;

/// Hears of one task that is picked after the other, with who answers for it if that was asked; ends it by returning
/// false.
pub type EachPicked<'a> = dyn FnMut(TaskId, Option<WorkerId>) -> Result<bool, Failed> + 'a;

/// What may be looked at in one moment of the rows.
pub trait Reads: KinReads + LimitReads {
    /// The tubes in which something waits or runs, by name.
    fn tubes_in_use(&self) -> Result<Vec<String>, Failed>;

    /// All attempts that have not ended, or those of a tube, in the order of their tasks.
    fn running(&self, tube: Option<&TubeName>) -> Result<Vec<Running>, Failed>;

    /// Whether an attempt has not ended, and that worker answers for it.
    fn is_running(&self, attempt: AttemptId, owner: Option<WorkerId>) -> Result<bool, Failed>;

    /// That the attempt of a task that runs is to be cancelled, if somebody has asked for that.
    fn wish(&self, task: TaskId) -> Result<Option<Wish>, Failed>;

    /// Where a task stands.
    fn status(&self, task: TaskId) -> Result<Option<Status>, Failed>;

    /// Tasks of a tube that wait, from one on, the newest puts of which are not noted: those that nobody is left to at
    /// `now`, or until later than `latest`.
    fn missing(
        &self,
        tube: &TubeName,
        after: TaskId,
        now: Millis,
        latest: Millis,
        limit: u32,
    ) -> Result<Vec<PutId>, Failed>;

    /// Tasks of a tube that have no job yet and are due by then, behind one of them by their due times, in the order
    /// of these.
    fn near(
        &self,
        tube: &TubeName,
        after: (Millis, TaskId),
        until: Millis,
        limit: u32,
    ) -> Result<Vec<(Millis, PutId)>, Failed>;

    /// Tasks of a tube that wait, from one on, and whose job is known; of those of `instance` only if none is named.
    fn unverified(
        &self,
        tube: &TubeName,
        instance: Option<&str>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<UnverifiedJob>, Failed>;

    /// The job of a task, if the task waits and its job is known.
    fn unverified_of(&self, task: TaskId) -> Result<Option<UnverifiedJob>, Failed>;

    /// Whether a task that was recorded at that time, and has no row, may be missing for another reason than that it
    /// was deleted here: it is newer than the newest, or of a time that a restored file lacks.
    fn may_lack(&self, recorded: Millis) -> Result<bool, Failed>;

    /// Whether a task of a tube waits, and has or needs a job.
    fn waits(&self, tube: &TubeName) -> Result<bool, Failed>;

    /// Whether a task of a tube waits, is due by then and has been announced.
    fn is_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Failed>;

    /// Tasks that would go if it were known that their jobs are deleted, from one on.
    fn unsure(&self, old: &Old, after: TaskId, limit: usize) -> Result<Vec<Unsure>, Failed>;

    /// Refused tasks of a tube that came by others' jobs: those beyond what is kept, the newest first.
    fn refused_beyond(
        &self,
        tube: &TubeName,
        keep: Keep,
        limit: usize,
    ) -> Result<Vec<Unsure>, Failed>;

    /// Whether any of the newest tasks of a tube has had a job in this instance of the broker.
    fn has_been_at(&self, tube: &str, instance: &str) -> Result<bool, Failed>;

    /// How many old tasks may go.
    fn count_old(&self, old: &Old) -> Result<u64, Failed>;

    /// Old tasks that may go and ended at that time or later, in the order of their ends, each with its end.
    fn old(&self, old: &Old, from: Millis, limit: usize) -> Result<Vec<(TaskId, Millis)>, Failed>;

    /// The workers whose rows do not say that they have ended.
    fn unended_workers(&self) -> Result<Vec<WorkerId>, Failed>;

    /// Workers, from one on, who run nothing and answer for nothing; never the newest.
    fn idle_workers(&self, after: WorkerId, limit: usize) -> Result<Vec<WorkerId>, Failed>;

    /// How many tasks that wait, run, have failed or are cancelled stand where, by tube. Of those of a tube that wait,
    /// that have failed and that are cancelled, `most` each are counted.
    fn tallies(&self, most: u64) -> Result<Vec<Tally>, Failed>;

    /// How many tasks wait, by tube, and by what they want, as far as `put` recorded that.
    fn backlog(&self) -> Result<Vec<Backlog>, Failed>;

    /// What ended from one minute to another, both of them too, in no order.
    fn ends(&self, from: i64, to: i64) -> Result<Vec<(Of, Ends)>, Failed>;

    /// The tasks of some numbers that pass the filter as far as the rows tell, the newest first, without bodies and
    /// output. Each comes with so many of its newest attempts, at most.
    fn page(
        &self,
        filter: &Filter,
        within: Range<TaskId>,
        attempts: u32,
        each: &mut Each<'_>,
    ) -> Result<(), Failed>;

    /// The tasks of some numbers that pass the filter as far as the rows tell, the oldest first. Where the filter asks
    /// who lives, those that run come with who answers for them.
    fn pick(
        &self,
        filter: &Filter,
        within: Range<TaskId>,
        each: &mut EachPicked<'_>,
    ) -> Result<(), Failed>;

    /// The first task of that number or a higher one, and when it was recorded.
    fn recorded_from(&self, from: TaskId) -> Result<Option<(TaskId, Millis)>, Failed>;

    /// One task, with its body, and with so many of its newest attempts, at most.
    fn shown(&self, key: Key, attempts: u32) -> Result<Option<Listed>, Failed>;

    /// The task of that number.
    fn row(&self, task: TaskId) -> Result<Option<TaskRow>, Failed>;

    /// Where a task stands, and what rings for it.
    fn held(&self, task: TaskId) -> Result<Option<Held>, Failed>;

    /// What a task is called, by the names.
    fn tags(&self, task: TaskId) -> Result<Vec<Tag>, Failed>;

    /// Where a task stands, and its newest attempt.
    fn newest(&self, key: Key) -> Result<Option<Newest>, Failed>;

    /// An attempt that has ended, without what it printed.
    fn attempt(&self, attempt: AttemptId) -> Result<Option<Attempt>, Failed>;

    /// What an attempt printed.
    fn output(&self, attempt: AttemptId) -> Result<Option<Captured>, Failed>;

    /// All schedules, by their names.
    fn schedules(&self) -> Result<Vec<ScheduleRow>, Failed>;

    /// The schedule of that name.
    fn schedule(&self, name: &str) -> Result<Option<ScheduleRow>, Failed>;

    /// So many of the newest tasks that came of a schedule, the newest first.
    fn fires(&self, schedule: &str, limit: u32) -> Result<Vec<FireRow>, Failed>;

    /// Whether a task that is there came of that time of a schedule.
    fn has_fired(&self, schedule: &str, nominal: Millis) -> Result<bool, Failed>;

    /// Of which schedule a task came.
    fn scheduled(&self, task: TaskId) -> Result<Option<Scheduled>, Failed>;

    /// The newest workers of a tube, among so many of the newest of all tubes, each with when it said that it ended.
    fn workers_of(
        &self,
        tube: &TubeName,
        most: usize,
    ) -> Result<Vec<(WorkerId, Option<Millis>)>, Failed>;

    /// The key that a task has or had, and for how long.
    fn hold(&self, task: TaskId) -> Result<Option<Hold>, Failed>;

    /// Who has a key at `now`.
    fn key_holder(&self, key: &UniqueKey, now: Millis) -> Result<Option<TaskId>, Failed>;

    /// What a task's command has said of it, without its result.
    fn report(&self, task: TaskId) -> Result<Option<Report>, Failed>;

    /// Every worker that has a row, the oldest first.
    fn workers(&self) -> Result<Vec<Known>, Failed>;

    /// What has happened, after a number, as far as it passes the filter: so many of the oldest, or of the newest.
    fn events(
        &self,
        after: i64,
        filter: &EventFilter,
        newest_first: bool,
        limit: u32,
    ) -> Result<Vec<EventRow>, Failed>;

    /// The numbers of the oldest event that is kept and of the newest.
    fn kept_events(&self) -> Result<Option<(i64, i64)>, Failed>;

    /// So many of the oldest, each with its time.
    fn oldest_events(&self, limit: u32) -> Result<Vec<(i64, Millis)>, Failed>;

    /// What an event says of a task and its attempt beside what has happened.
    fn event_of(&self, task: TaskId, attempt: Option<i64>) -> Result<Option<EventRow>, Failed>;
}

/// What may be done in one transaction.
pub trait Rows: Reads + KinRows + LimitRows {
    /// Runs a part of the transaction that may fail by itself: what the part has written by then is undone, and the
    /// transaction goes on. No part has parts.
    fn part(&self, part: &mut dyn FnMut() -> Result<(), Failed>) -> Result<(), Failed>;

    /// The task of that uuid.
    fn task(&self, uuid: &Uuid) -> Result<Option<TaskRow>, Failed>;

    /// The newest task that came by this job: the same number and bytes, and either the same instance or a birth
    /// within 2 s.
    fn foreign_task(&self, job: JobId, foreign: &ForeignJob) -> Result<Option<TaskRow>, Failed>;

    /// The task of that uuid, if it asks for the same thing.
    fn same_task(&self, uuid: &Uuid, content: &Content) -> Result<Option<TaskId>, Failed>;

    /// Who has a key at `now`. Whose time with that key is over then, has it no longer.
    fn holder(&self, key: &UniqueKey, now: Millis) -> Result<Option<TaskId>, Failed>;

    /// Has a task have a key that no other has.
    fn set_hold(&self, task: TaskId, hold: &Hold) -> Result<(), Failed>;

    /// Has a task say that of its own attempts, or nothing.
    fn set_own(&self, task: TaskId, own: Option<&Own>) -> Result<(), Failed>;

    /// Adds a task that waits; `None` if its uuid is another's.
    fn insert(&self, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed>;

    /// Begins an attempt: its task runs.
    fn begin(&self, beginning: &Beginning) -> Result<(), Failed>;

    /// Names the command that a task runs.
    fn name_command(&self, task: TaskId, command: &str) -> Result<(), Failed>;

    /// Ends an attempt, if its task runs, the attempt is the task's newest, and its owner is that one. That it was to
    /// be cancelled is no longer said then. If the task waits again and another has got its key meanwhile, the task has
    /// none any more; so it is wherever a task waits again. Whether others wait for the task, if
    /// so; and nothing if not.
    fn end(&self, ending: &Ending<'_>) -> Result<Option<bool>, Failed>;

    /// What is counted of a task's newest attempt, whatever else its row says.
    fn ran(&self, task: TaskId) -> Result<Ran, Failed>;

    /// Has a task wait as if its newest attempt had not been claimed, if it runs and its owner is that one. The task is
    /// due, and no longer to be cancelled. True if so.
    fn unclaim(&self, attempt: AttemptId, owner: WorkerId) -> Result<bool, Failed>;

    /// Has a task that waits be cancelled since then. Returns with whom it has to do, if it waited.
    fn cancel(&self, task: TaskId, at: Millis, reason: Option<&str>)
    -> Result<Option<Kin>, Failed>;

    /// Writes that the attempt of a task that runs is to be cancelled. What was asked for before, is kept: since when,
    /// that it is to be at once, and why, unless another reason is given.
    fn ask_to_cancel(
        &self,
        task: TaskId,
        asked: Millis,
        now: bool,
        reason: Option<&str>,
    ) -> Result<(), Failed>;

    /// Has a task wait that has failed or was cancelled, due now or when it ended if that was earlier, with a fresh
    /// budget. Returns with whom it has to do.
    fn renew(&self, task: TaskId, now: Millis, tube: Option<&TubeName>) -> Result<Kin, Failed>;

    /// Gives an attempt that has not ended another owner, if that is the one expected. True if so.
    fn take_over(
        &self,
        attempt: AttemptId,
        from: Option<WorkerId>,
        to: WorkerId,
    ) -> Result<bool, Failed>;

    /// Notes that an attempt that was claimed ahead has begun, if its owner is that one.
    fn note_begun(
        &self,
        attempt: AttemptId,
        owner: WorkerId,
        started: Millis,
    ) -> Result<(), Failed>;

    /// Writes how an attempt has ended.
    fn add_attempt(&self, ended: &EndedAttempt<'_>) -> Result<(), Failed>;

    /// Forgets how a task's attempts up to that one have ended, and what they printed.
    fn forget_attempts(&self, last: AttemptId) -> Result<(), Failed>;

    /// Writes what an attempt printed.
    fn add_output(&self, attempt: AttemptId, output: &Captured) -> Result<(), Failed>;

    /// Writes what a task's command has said of its attempt, in the place of what there is.
    fn set_report(&self, said: &Said<'_>) -> Result<(), Failed>;

    /// How an attempt is recorded to have ended.
    fn outcome(&self, attempt: AttemptId) -> Result<Option<Recorded>, Failed>;

    /// How many of a task's newest attempts, one after the other, were interrupted.
    fn interrupted_in_a_row(&self, task: TaskId) -> Result<u32, Failed>;

    /// Who runs or ran the newest attempt of a task.
    fn ran_by(&self, task: TaskId) -> Result<RanBy, Failed>;

    /// When a task that waits began to: since its newest attempt ended, or else since it was recorded.
    fn waits_since(&self, task: TaskId) -> Result<Millis, Failed>;

    /// Writes anew when a task is due.
    fn set_due(&self, task: TaskId, due: Millis) -> Result<(), Failed>;

    /// Has a task that waits be due then, and parked no more.
    fn make_due(&self, task: TaskId, due: Millis) -> Result<(), Failed>;

    /// Has a task be of another priority.
    fn set_priority(&self, task: TaskId, priority: u32) -> Result<(), Failed>;

    /// Has a task ask for something else.
    fn set_content(&self, task: TaskId, content: &Content) -> Result<(), Failed>;

    /// Has a task have these tags and no others.
    fn set_tags(&self, task: TaskId, tags: &[Tag]) -> Result<(), Failed>;

    /// Deletes a task, with its attempts and what they printed. Returns with whom it had to do.
    fn delete(&self, task: TaskId) -> Result<Kin, Failed>;

    /// Notes why a task that waits is not run: the task is parked until it begins, or is renewed.
    fn set_reason(&self, task: TaskId, reason: &str) -> Result<(), Failed>;

    /// Notes how often the job of a task was kicked, if the task stands so and that is more than was known. Of one that
    /// stands otherwise by now, it may have been another job.
    fn raise_kicks(&self, task: TaskId, status: Status, kicks: u64) -> Result<(), Failed>;

    /// Begins another put of a task that waits, if its newest is that one, or whichever that is; it is left until
    /// then to whoever begins it.
    fn begin_put(
        &self,
        task: TaskId,
        generation: Option<i64>,
        until: Millis,
        now: Millis,
    ) -> Result<Option<BegunPut>, Failed>;

    /// Has a task that waits have no job yet, nor a put that has begun: another put is begun when the task is near.
    /// True if so; false if it does not wait, or if these rows cannot say it.
    fn set_later(&self, task: TaskId) -> Result<bool, Failed>;

    /// Notes the job of a put, unless there has been another put since. A foreign task's row goes on naming the
    /// producer's job as well, which may come round again and is known by nothing else.
    fn note_put(&self, put: PutId, job: JobId, instance: &str) -> Result<(), Failed>;

    /// Leaves a put that came to nothing to whoever is next.
    fn give_up_put(&self, put: PutId) -> Result<(), Failed>;

    /// Notes that the job of a put is in an instance of the broker that calls itself otherwise than before.
    fn note_found(&self, put: PutId, instance: &str) -> Result<(), Failed>;

    /// Notes that the producer's own job of a task is deleted, if there is such a task.
    fn note_deleted(&self, task: TaskId) -> Result<(), Failed>;

    /// Puts a job beside the tasks. Only asked of those who keep jobs.
    fn put_job(&self, job: &KeptJob<'_>) -> Result<JobId, Failed>;

    /// Adds a worker.
    fn insert_worker(
        &self,
        worker: &NewWorker,
        boot: &str,
        now: Millis,
    ) -> Result<WorkerId, Failed>;

    /// Writes that a worker has stopped, or that it has not.
    fn set_stopped(&self, worker: WorkerId, stopped: Option<Millis>) -> Result<(), Failed>;

    /// Writes that a worker was told to go, unless that is written.
    fn set_told(&self, worker: WorkerId, told: Millis) -> Result<(), Failed>;

    /// Writes that the latest worker of that name and process is killed since it hangs, unless that is written.
    fn set_hung(&self, name: &str, pid: u32, at: Millis) -> Result<(), Failed>;

    /// Writes that a worker has ended, of whom it is not written. Who that was; `None` if it is written.
    fn end_worker(&self, worker: WorkerId, now: Millis) -> Result<Option<Gone>, Failed>;

    /// Deletes a worker, if it runs nothing and answers for nothing. True if so.
    fn forget_worker(&self, worker: WorkerId) -> Result<bool, Failed>;

    /// Counts what ended. What is the first of its minute, tube and command has the oldest minute forgotten, and the
    /// newest, if those are not of the minutes that are kept. A command that is not among the first `commands` of its
    /// minute and tube is counted without its name.
    fn add_ends(
        &self,
        of: &Of,
        more: &Ends,
        kept: RangeInclusive<i64>,
        commands: usize,
    ) -> Result<(), Failed>;

    /// Writes a schedule, in the place of the one of its name.
    fn write_schedule(&self, row: &ScheduleRow) -> Result<(), Failed>;

    /// Deletes a schedule. True if there was one.
    fn delete_schedule(&self, name: &str) -> Result<bool, Failed>;

    /// Writes that a task came of a schedule. No time of a schedule has two.
    fn set_fire(&self, fire: &NewFire<'_>) -> Result<(), Failed>;

    /// Deletes those of the tasks that are old and may go, with their attempts and what they printed. Returns how many.
    fn delete_old(&self, old: &Old, tasks: &[TaskId]) -> Result<u64, Failed>;

    /// Who is told of what happens.
    fn told(&self) -> &Told;

    /// Records what has happened, with a number greater than all before, by the end of the transaction at the latest.
    fn add_event(&self, event: &NewEvent<'_>) -> Result<(), Failed>;

    /// The number of the event that was added last in this transaction; `None` if these rows keep none.
    fn last_event(&self) -> Result<Option<i64>, Failed>;

    /// Deletes the events up to a number. How many.
    fn forget_events(&self, up_to: i64) -> Result<u64, Failed>;
}

/// [`Rows::part`], with what comes of it.
pub fn part<R>(rows: &dyn Rows, mut part: impl FnMut() -> Result<R, Failed>) -> Result<R, Failed> {
    let mut done = None;
    rows.part(&mut || {
        done = Some(part()?);
        Ok(())
    })?;
    done.ok_or_else(|| Failed::Trouble {
        what: "a part of a transaction was not run".into(),
    })
}
