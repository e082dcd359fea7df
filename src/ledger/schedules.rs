//! Schedules: rows that say when tasks are to be made.
//!
//! What is to be done about one is decided above, from the rows as they were. A step is one transaction: it compares
//! how far the schedule was decided then with how far it is decided now, moves that on, and records the task. So any
//! number of processes may try, one of them does it, and none of them need live on.

use serde_json::json;

use super::announce::{Again, Jobs};
use super::error::{Error, Failed};
use super::events::{tell, tell_more};
use super::put::{Added, NewTask, add, first_put};
pub use super::rows::{FireRow, ScheduleRow, Scheduled};
use super::rows::{NewFire, Rows};
use super::unique::{Holder, Taken};
use super::{Ledger, Millis};
use crate::task::command::Content;
use crate::task::event::What;
use crate::task::id::TaskId;
use crate::task::payload::About;
use crate::task::unique::Key;

/// So many of the newest tasks of a schedule are looked at.
const LOOKED_AT: u32 = 64;

/// A schedule as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchedule {
    /// What people call it.
    pub name: String,
    /// When.
    pub timing: String,
    /// What is done when that did not go as planned.
    pub rules: String,
    /// What is made.
    pub template: String,
    /// Up to then nothing is made, if it is new, or comes at other times than before.
    pub decided: Millis,
}

/// What became of a schedule that was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// It is new.
    New,
    /// It is otherwise than before.
    Changed,
    /// It was so before.
    Same,
}

/// Somebody else's schedule has that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTaken {
    /// The name.
    pub name: String,
    /// Whose it is: a configuration's, or else a command's.
    pub by: Option<String>,
}

/// What became of the schedules of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The names of those that are new or otherwise.
    pub set: Vec<String>,
    /// Of those that are gone.
    pub removed: Vec<String>,
    /// Those that could not be, since their names are taken.
    pub taken: Vec<NameTaken>,
}

/// How far a schedule was decided when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenAt {
    /// All its times up to then.
    pub nominal: Millis,
    /// One that waits.
    pub held: Option<Millis>,
}

/// How far it is decided then, and what is made.
#[derive(Debug, Clone)]
pub struct Move {
    /// How far.
    pub to: SeenAt,
    /// The task, and the time that it comes of.
    pub make: Option<Made>,
}

/// A task that comes of a schedule.
#[derive(Debug, Clone)]
pub struct Made {
    /// The task.
    pub task: NewTask,
    /// The time that it comes of; none: it is made by hand.
    pub nominal: Option<Millis>,
    /// The same for the command.
    pub scheduled_for: Option<String>,
    /// The time was missed.
    pub backfilled: bool,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// Somebody else was first, or the schedule is gone or paused.
    NotOurs,
    /// It is done, and nothing was to be made; or that had been made before.
    Done,
    /// A task was made, and what is to ring for it.
    Made(Again),
    /// Another task has the key of what was to be made. If it is given that, it comes of this time now; else the time
    /// is passed over.
    Taken(Taken),
}

impl Moved {
    /// What is to ring for the task that is there now.
    pub fn again(&self) -> Option<&Again> {
        match self {
            Moved::Made(again) => Some(again),
            Moved::Taken(Taken::Replaced { again, .. }) => again.as_deref(),
            Moved::NotOurs | Moved::Done | Moved::Taken(_) => None,
        }
    }
}

impl Ledger {
    /// All schedules, each with its newest tasks.
    pub fn schedules(&self) -> Result<Vec<(ScheduleRow, Vec<FireRow>)>, Error> {
        self.look(|rows| {
            let mut all = Vec::new();
            for row in rows.schedules()? {
                let fires = rows.fires(&row.name, LOOKED_AT)?;
                all.push((row, fires));
            }
            Ok(all)
        })
    }

    /// One of them.
    pub fn schedule(&self, name: &str) -> Result<Option<(ScheduleRow, Vec<FireRow>)>, Error> {
        self.look(|rows| match rows.schedule(name)? {
            Some(row) => Ok(Some((row, rows.fires(name, LOOKED_AT)?))),
            None => Ok(None),
        })
    }

    /// Which task has a key now.
    pub fn key_holder(&self, key: &Key, now: Millis) -> Result<Option<TaskId>, Error> {
        self.look(|rows| rows.key_holder(key, now))
    }

    /// Of which schedule a task came.
    pub fn scheduled(&self, task: TaskId) -> Result<Option<Scheduled>, Error> {
        self.look(|rows| rows.scheduled(task))
    }

    /// Makes a schedule by a command, or has that be otherwise.
    pub fn set_schedule(
        &mut self,
        new: &NewSchedule,
        now: Millis,
    ) -> Result<Result<Set, NameTaken>, Error> {
        self.change(|rows| set(rows, new, None, now))
    }

    /// Has the schedules of a configuration be these and no others.
    pub fn keep_schedules(
        &mut self,
        source: &str,
        wanted: &[NewSchedule],
        now: Millis,
    ) -> Result<Kept, Error> {
        self.change(|rows| {
            let mut kept = Kept::default();
            for row in rows.schedules()? {
                let is_wanted = || wanted.iter().any(|new| new.name == row.name);
                if row.source.as_deref() == Some(source) && !is_wanted() {
                    rows.delete_schedule(&row.name)?;
                    kept.removed.push(row.name);
                }
            }
            for new in wanted {
                match set(rows, new, Some(source), now)? {
                    Ok(Set::New | Set::Changed) => kept.set.push(new.name.clone()),
                    Ok(Set::Same) => {}
                    Err(taken) => kept.taken.push(taken),
                }
            }
            Ok(kept)
        })
    }

    /// Deletes a schedule. Its tasks stay. What it was, if there was one.
    pub fn remove_schedule(&mut self, name: &str) -> Result<Option<ScheduleRow>, Error> {
        self.change(|rows| {
            let row = rows.schedule(name)?;
            rows.delete_schedule(name)?;
            Ok(row)
        })
    }

    /// Has nothing come of a schedule until it is resumed. Whether there is one, and whether it was not paused.
    pub fn pause_schedule(&mut self, name: &str, now: Millis) -> Result<Option<bool>, Error> {
        self.change(|rows| {
            let Some(mut row) = rows.schedule(name)? else {
                return Ok(None);
            };
            let runs = row.paused.is_none();
            row.paused.get_or_insert(now);
            rows.write_schedule(&row)?;
            Ok(Some(runs))
        })
    }

    /// Goes on with a schedule. What came while it was paused is not made up for. Whether there is one, and whether it
    /// was paused.
    pub fn resume_schedule(&mut self, name: &str, now: Millis) -> Result<Option<bool>, Error> {
        self.change(|rows| {
            let Some(mut row) = rows.schedule(name)? else {
                return Ok(None);
            };
            let was_paused = row.paused.take().is_some();
            if was_paused {
                row.nominal = row.nominal.max(now);
                rows.write_schedule(&row)?;
            }
            Ok(Some(was_paused))
        })
    }

    /// Performs a step of a schedule, if that stands as it was seen, and is not paused.
    pub fn move_schedule(
        &mut self,
        name: &str,
        seen: SeenAt,
        step: &Move,
        now: Millis,
    ) -> Result<Moved, Error> {
        let jobs = self.jobs();
        let moved = self.change(|rows| {
            let Some(mut row) = rows.schedule(name)? else {
                return Ok(Moved::NotOurs);
            };
            let at = SeenAt {
                nominal: row.nominal,
                held: row.held,
            };
            if at != seen || row.paused.is_some() {
                return Ok(Moved::NotOurs);
            }
            (row.nominal, row.held) = (step.to.nominal, step.to.held);
            rows.write_schedule(&row)?;
            match &step.make {
                None => Ok(Moved::Done),
                Some(made) => make(rows, name, made, now, jobs),
            }
        })?;
        self.ring_for(&moved, jobs);
        Ok(moved)
    }

    /// Makes a task of a schedule by hand, whether that is paused or not, and whatever else of it waits or runs.
    pub fn run_schedule(&mut self, name: &str, made: &Made, now: Millis) -> Result<Moved, Error> {
        let jobs = self.jobs();
        let moved = self.change(|rows| match rows.schedule(name)? {
            None => Ok(Moved::NotOurs),
            Some(_) => make(rows, name, made, now, jobs),
        })?;
        self.ring_for(&moved, jobs);
        Ok(moved)
    }

    fn ring_for(&self, moved: &Moved, jobs: Option<Jobs>) {
        if jobs.is_some() && moved.again().is_some() {
            self.backend.ring();
        }
    }
}

fn set(
    rows: &dyn Rows,
    new: &NewSchedule,
    source: Option<&str>,
    now: Millis,
) -> Result<Result<Set, NameTaken>, Failed> {
    let before = rows.schedule(&new.name)?;
    let fresh = || ScheduleRow {
        name: new.name.clone(),
        source: source.map(str::to_owned),
        timing: new.timing.clone(),
        rules: new.rules.clone(),
        template: new.template.clone(),
        nominal: new.decided,
        held: None,
        paused: None,
        made: now,
    };
    let Some(before) = before else {
        rows.write_schedule(&fresh())?;
        return Ok(Ok(Set::New));
    };
    if before.source.as_deref() != source {
        return Ok(Err(NameTaken {
            name: before.name,
            by: before.source,
        }));
    }
    let after = match before.timing == new.timing {
        true => ScheduleRow {
            rules: new.rules.clone(),
            template: new.template.clone(),
            ..before.clone()
        },
        // Its times before now are none of those that it has now.
        false => ScheduleRow {
            paused: before.paused,
            ..fresh()
        },
    };
    if after == before {
        return Ok(Ok(Set::Same));
    }
    rows.write_schedule(&after)?;
    Ok(Ok(Set::Changed))
}

fn make(
    rows: &dyn Rows,
    name: &str,
    made: &Made,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Moved, Failed> {
    if let Some(nominal) = made.nominal
        && rows.has_fired(name, nominal)?
    {
        return Ok(Moved::Done);
    }
    let task = &made.task;
    let id = match add(rows, task, now, jobs)? {
        Added::New { id } => id,
        Added::Taken(taken) => {
            match &taken {
                Taken::Kept { id, .. } | Taken::Refused(Holder { id, .. }) => {
                    tell_passed_over(rows, name, made, *id, now)?;
                }
                Taken::Replaced { id, .. } => note_fire(rows, name, made, *id, now)?,
            }
            return Ok(Moved::Taken(taken));
        }
        Added::Later { .. } | Added::Known { .. } | Added::UuidTaken | Added::NotAfter(_) => {
            return Err(Failed::row(None, "a uuid that is new is another task's"));
        }
    };
    note_fire(rows, name, made, id, now)?;
    let announced = first_put(id, task, now);
    if let Some(jobs) = jobs {
        jobs.put(rows, &announced)?;
    }
    let about = match &task.content {
        Content::Call(call) => Some(About::command(call.command.as_str())),
        Content::Raw(_) | Content::Unread(_) => None,
    };
    Ok(Moved::Made(Again {
        put: announced.put,
        uuid: task.uuid,
        about,
        tube: task.tube.clone(),
        priority: task.priority,
        ttr: task.ttr,
        due_in: announced.due_in,
        old_job: None,
        has_job: jobs.is_some(),
    }))
}

/// Has a task come of a schedule.
fn note_fire(
    rows: &dyn Rows,
    name: &str,
    made: &Made,
    task: TaskId,
    now: Millis,
) -> Result<(), Failed> {
    rows.set_fire(&NewFire {
        task,
        schedule: name,
        nominal: made.nominal,
        scheduled_for: made.scheduled_for.as_deref(),
        backfilled: made.backfilled,
    })?;
    tell(rows, What::Fired, now, task.into())
}

/// Who makes a task by hand is told what became of it.
fn tell_passed_over(
    rows: &dyn Rows,
    name: &str,
    made: &Made,
    holder: TaskId,
    now: Millis,
) -> Result<(), Failed> {
    if made.nominal.is_none() {
        return Ok(());
    }
    let detail = json!({ "schedule": name, "scheduled_for": made.scheduled_for });
    tell_more(rows, What::PassedOver, now, holder.into(), Some(&detail))
}
