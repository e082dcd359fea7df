//! Schedules: making them, looking at them, and having them make a task by hand.

use super::error::Error;
use super::put::{Receipt, existing};
use super::queue::Queue;
use crate::clock::now;
use crate::ledger::Millis;
use crate::ledger::schedules::{FireRow, Moved, ScheduleRow};
pub use crate::ledger::schedules::{NameTaken, Set};
use crate::reconcile::announce;
use crate::schedule::decide::lateness;
use crate::schedule::spec::{From, Spec, Timing};
use crate::scheduler::{Understood, by_hand, new_schedule};
use crate::task::id::TaskId;
use crate::zone::Zone;

/// A schedule as it is recorded.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What people call it.
    pub name: String,
    /// The configuration that it is of; none: it was made by a command.
    pub source: Option<String>,
    /// Since when it is paused, if it is.
    pub paused: Option<Millis>,
    /// The newest of its tasks that are there, the newest first, each with the time that it came of.
    pub tasks: Vec<(TaskId, Option<Millis>)>,
    /// What it is and where it stands; or what is wrong with its row, of which nothing comes then.
    understood: Result<Understood, String>,
}

impl Schedule {
    fn of(row: ScheduleRow, fires: &[FireRow]) -> Schedule {
        let understood = Understood::of(&row, fires);
        Schedule {
            name: row.name,
            source: row.source,
            paused: row.paused,
            tasks: fires.iter().map(|fire| (fire.task, fire.nominal)).collect(),
            understood,
        }
    }

    /// What it is.
    ///
    /// # Errors
    /// What is wrong with its row.
    pub fn spec(&self) -> Result<&Spec, &str> {
        match &self.understood {
            Ok(understood) => Ok(&understood.spec),
            Err(wrong) => Err(wrong),
        }
    }

    /// By whose clock its times are.
    pub fn zone(&self) -> Zone {
        let zone = self
            .understood
            .as_ref()
            .map(|understood| understood.zone.clone());
        zone.unwrap_or_else(|_| Zone::system())
    }

    /// So many of its next times after one, without what its jitter adds. None while it is paused. What is counted from
    /// the end of its task has one at most.
    pub fn next(&self, after: Millis, count: usize) -> Vec<Millis> {
        let Ok(Understood {
            spec,
            zone,
            standing,
        }) = &self.understood
        else {
            return Vec::new();
        };
        if standing.is_paused {
            return Vec::new();
        }
        if let Timing::Every {
            period,
            from: From::End,
            first,
        } = &spec.timing
        {
            let next = crate::schedule::decide::from_end(
                *period,
                first.unwrap_or(standing.made),
                standing,
            );
            return next
                .map(|at| at.max(after))
                .into_iter()
                .take(count)
                .collect();
        }
        let after = standing.nominal.max(after);
        spec.timing
            .after(zone, standing.made, after)
            .take(count)
            .collect()
    }

    /// By how many milliseconds it fires later than its times say.
    pub fn lateness(&self) -> Millis {
        self.spec()
            .map_or(0, |spec| lateness(&self.name, spec.rules.jitter))
    }

    /// Whether something of it waits for its tasks to end.
    pub fn waits_for_an_end(&self) -> bool {
        self.understood.as_ref().is_ok_and(|understood| {
            let standing = &understood.standing;
            let by_end = matches!(
                understood.spec.timing,
                Timing::Every {
                    from: From::End,
                    ..
                }
            );
            standing.is_open && (standing.held.is_some() || by_end)
        })
    }
}

impl Queue {
    /// All schedules, by their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, Error> {
        let all = self.store().call(|db| db.schedules()).await?;
        Ok(all
            .into_iter()
            .map(|(row, fires)| Schedule::of(row, &fires))
            .collect())
    }

    /// The task that has the key of what a schedule makes, if there is one: nothing comes of a time meanwhile, or that
    /// task is given what the schedule makes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn key_holder(&self, schedule: &Schedule) -> Result<Option<TaskId>, Error> {
        match schedule.spec().ok().and_then(|spec| spec.template.key()) {
            Some(key) => Ok(self
                .store()
                .call(move |db| db.key_holder(&key, now()))
                .await?),
            None => Ok(None),
        }
    }

    /// One of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn schedule(&self, name: &str) -> Result<Option<Schedule>, Error> {
        let name = name.to_owned();
        let found = self.store().call(move |db| db.schedule(&name)).await?;
        Ok(found.map(|(row, fires)| Schedule::of(row, &fires)))
    }

    /// Makes a schedule, or has the one of that name be so. Tenders see it within five seconds; without a tender
    /// nothing comes of it.
    ///
    /// # Errors
    /// [`Error::ScheduleTaken`] if the name is that of a configuration's.
    pub async fn set_schedule(&self, name: &str, spec: &Spec) -> Result<Set, Error> {
        let now = now();
        let new = new_schedule(name, spec, now);
        let set = self
            .store()
            .call(move |db| db.set_schedule(&new, now))
            .await?;
        set.map_err(Error::ScheduleTaken)
    }

    /// Has nothing come of a schedule until it is resumed. False if it was paused.
    ///
    /// # Errors
    /// [`Error::NoSchedule`] if there is none of that name.
    pub async fn pause_schedule(&self, name: &str) -> Result<bool, Error> {
        let of = name.to_owned();
        let paused = self
            .store()
            .call(move |db| db.pause_schedule(&of, now()))
            .await?;
        paused.ok_or_else(|| Error::no_schedule(name))
    }

    /// Goes on with a schedule. What came while it was paused is not made up for. False if it was not paused.
    ///
    /// # Errors
    /// [`Error::NoSchedule`] if there is none of that name.
    pub async fn resume_schedule(&self, name: &str) -> Result<bool, Error> {
        let of = name.to_owned();
        let resumed = self
            .store()
            .call(move |db| db.resume_schedule(&of, now()))
            .await?;
        resumed.ok_or_else(|| Error::no_schedule(name))
    }

    /// Deletes a schedule, and leaves its tasks. Returns the configuration that it was of: a tender that starts, or
    /// reads that again, makes the schedule anew.
    ///
    /// # Errors
    /// [`Error::NoSchedule`] if there is none of that name.
    pub async fn remove_schedule(&self, name: &str) -> Result<Option<String>, Error> {
        let of = name.to_owned();
        let removed = self.store().call(move |db| db.remove_schedule(&of)).await?;
        removed
            .map(|row| row.source)
            .ok_or_else(|| Error::no_schedule(name))
    }

    /// Makes a task of a schedule now, whether that is paused or not. None of its times is used up. Where another task
    /// has the key of what it makes, that task is the answer, as with a put.
    ///
    /// # Errors
    /// [`Error::NoSchedule`] if there is none of that name, [`Error::ScheduleWrong`] if its row makes no sense,
    /// [`Error::KeyTaken`] if another task has the key and the schedule says that it makes none then.
    pub async fn run_schedule(&self, name: &str) -> Result<Receipt, Error> {
        let schedule = self
            .schedule(name)
            .await?
            .ok_or_else(|| Error::no_schedule(name))?;
        let spec = schedule.spec().map_err(|why| Error::ScheduleWrong {
            name: name.to_owned(),
            why: why.to_owned(),
        })?;
        let now = now();
        let made = by_hand(spec, now);
        let of = name.to_owned();
        let moved = self
            .change_rows(move |db| db.run_schedule(&of, &made, now))
            .await?;
        let again = moved.again().cloned();
        let (id, uuid, existing) = match moved {
            Moved::Made(again) => (again.put.task, again.uuid, None),
            Moved::Taken(taken) => {
                let (id, uuid, existing) = existing(&taken)?;
                (id, uuid, Some(existing))
            }
            Moved::Done | Moved::NotOurs => return Err(Error::no_schedule(name)),
        };
        let announced = match (again, self.session().await) {
            (None, _) => Ok(0),
            (Some(again), Ok(mut session)) => {
                announce(session.broker.as_mut(), self.store(), &[again]).await
            }
            (Some(_), Err(error)) => Err(error),
        };
        Ok(Receipt {
            existing,
            id,
            uuid,
            trouble: announced.err(),
        })
    }
}
