//! The scheduler: makes the tasks of schedules when their times come.
//!
//! Beside each tender's loop there is one, and each looks after all schedules of the store, whoever made them and
//! whatever tube they put into. None of them is the leader: each step is compared and swapped in the row, so that of
//! several who see that a time has come one makes its task. What is to be done is decided in [`crate::schedule`].
//!
//! ```text
//! rows ─▶ decide ─▶ step: one transaction ─▶ the job is put ─▶ the rows again … ─▶ sleep until the next time
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use crate::broker::Broker;
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::announce::Again;
use crate::ledger::put::NewTask;
use crate::ledger::schedules::{FireRow, Made, Move, Moved, NewSchedule, ScheduleRow, SeenAt};
use crate::ledger::unique::Taken;
use crate::ledger::{self, Millis, Stamp, Store};
use crate::reconcile::{OpenLedger, announce, opened};
use crate::schedule::decide::{Decision, Last, Standing, Step};
use crate::schedule::spec::{Rules, Spec, Template, Timing};
use crate::service::Service;
use crate::task::hooks::Telling;
use crate::zone::Zone;

/// Somebody else may have made a schedule, or changed one, and so may the clock have been set.
const LOOK: Duration = Duration::from_secs(5);

/// While something waits for a task to end.
const LOOK_FOR_AN_END: Duration = Duration::from_millis(500);

/// So many steps of a schedule are done in a row; others have their turns then.
const IN_A_ROW: u32 = 1200;

/// The schedules of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Which file it is.
    pub source: Option<String>,
    /// Its schedules, by their names.
    pub schedules: Vec<(String, Spec)>,
    /// What is told of what comes of them.
    pub telling: Arc<Telling>,
}

/// Everything that it needs: a session and a connection that are used for nothing else.
pub struct Scheduler {
    /// The session.
    pub broker: Box<dyn Broker>,
    /// Opens the store; asked again until it can.
    pub open: Arc<OpenLedger>,
    /// What is configured, which may change while it runs.
    pub written: watch::Receiver<Written>,
}

impl Service for Scheduler {
    const NAME: &'static str = "scheduler";

    /// Begun anew, it looks at all rows again. A task that was made, and whose job was not put, reconciliation finds.
    async fn run(&mut self) -> Result<(), String> {
        let mut store: Option<Store> = None;
        let mut said = Said::default();
        let mut seen: Option<Stamp> = None;
        let mut next = Next::default();
        let mut is_new = true;
        loop {
            if store.is_none() {
                match opened(Arc::clone(&self.open)).await {
                    Ok(opened) => store = Some(opened),
                    // Told by those who have to have it.
                    Err(error) => tracing::debug!(%error, "could not open the store"),
                }
            }
            if let Some(store) = &store {
                if is_new {
                    let written = self.written.borrow_and_update().clone();
                    match keep(store, &written).await {
                        Ok(()) => is_new = false,
                        Err(error) => said
                            .trouble("could not keep the schedules of the configuration", &error),
                    }
                    seen = None;
                }
                let stamp = store.call(|db| db.stamp()).await.ok().flatten();
                let unchanged = stamp.is_some() && stamp == seen;
                if !(unchanged && next.is_to_come(now())) {
                    match self.look(store, &mut said).await {
                        Ok(found) => {
                            next = found;
                            // What was written just now others may have written to as well.
                            seen = stamp;
                            said.over();
                        }
                        Err(error) => {
                            seen = None;
                            said.trouble("could not look after the schedules", &error);
                        }
                    }
                }
                // Nobody else needs its place for long.
                store.make_room();
            }
            tokio::select! {
                () = sleep(next.pause(now())) => {}
                changed = self.written.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    is_new = true;
                }
            }
        }
    }
}

/// When there is something to do.
#[derive(Debug, Clone, Copy, Default)]
struct Next {
    at: Option<Millis>,
    waits_for_an_end: bool,
}

impl Next {
    fn is_to_come(self, now: Millis) -> bool {
        self.at.is_none_or(|at| at > now)
    }

    fn pause(self, now: Millis) -> Duration {
        let longest = match self.waits_for_an_end {
            true => LOOK_FOR_AN_END,
            false => LOOK,
        };
        let left = self
            .at
            .map(|at| u64::try_from(at.saturating_sub(now)).unwrap_or(0));
        left.map_or(longest, |left| Duration::from_millis(left).min(longest))
    }

    fn and(self, decision: Decision) -> Next {
        match decision {
            Decision::Wait(at) => Next {
                at: Some(self.at.map_or(at, |other| other.min(at))),
                ..self
            },
            Decision::WaitForEnd => Next {
                waits_for_an_end: true,
                ..self
            },
            Decision::Do(_) | Decision::Nothing => self,
        }
    }
}

/// What was said, so that it is not said again and again.
#[derive(Debug, Default)]
struct Said {
    trouble: Option<String>,
    rows: BTreeMap<String, String>,
}

impl Said {
    fn trouble(&mut self, what: &'static str, error: &ledger::Error) {
        let error = error.to_string();
        if self.trouble.as_ref() != Some(&error) {
            tracing::warn!(error, "{what}; will keep trying");
            self.trouble = Some(error);
        }
    }

    fn over(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("looked after the schedules again");
        }
    }

    /// A row that makes no sense fires nothing, and keeps no other from firing.
    fn row(&mut self, name: &str, wrong: &str) {
        if self.rows.get(name).map(String::as_str) != Some(wrong) {
            tracing::error!(
                schedule = name,
                reason = wrong,
                "schedule makes no sense; nothing comes of it"
            );
            self.rows.insert(name.to_owned(), wrong.to_owned());
        }
    }
}

/// Has the rows of this configuration's schedules be what it says.
async fn keep(store: &Store, written: &Written) -> Result<(), ledger::Error> {
    let Some(source) = written.source.clone() else {
        return Ok(());
    };
    let made = now();
    let wanted: Vec<NewSchedule> = written
        .schedules
        .iter()
        .map(|(name, spec)| new_schedule(name, spec, made))
        .collect();
    let kept = store
        .call(move |db| db.keep_schedules(&source, &wanted, made))
        .await?;
    for schedule in kept.set {
        tracing::info!(schedule, "schedule is as it is configured");
    }
    for schedule in kept.removed {
        tracing::info!(schedule, "schedule is no longer configured");
    }
    for taken in kept.taken {
        let by = taken.by.unwrap_or_else(|| "taskqueue schedule add".into());
        tracing::error!(
            schedule = taken.name,
            by,
            "schedule was not taken: another has its name"
        );
    }
    Ok(())
}

/// A schedule as the ledger takes it.
pub fn new_schedule(name: &str, spec: &Spec, made: Millis) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        timing: spec.timing.written(),
        rules: spec.rules.written(),
        template: spec.template.written(),
        decided: spec.timing.decided_when_made(made),
    }
}

/// A schedule that was understood, as it stands.
#[derive(Debug, Clone)]
pub struct Understood {
    /// What it is.
    pub spec: Spec,
    /// By whose clock its times are.
    pub zone: Zone,
    /// Where it stands.
    pub standing: Standing,
}

impl Understood {
    /// Reads a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(row: &ScheduleRow, fires: &[FireRow]) -> Result<Understood, String> {
        let wrong = |column: &'static str| move |why: String| format!("its {column}: {why}");
        let spec = Spec {
            timing: Timing::read(&row.timing).map_err(wrong("timing"))?,
            rules: Rules::read(&row.rules).map_err(wrong("rules"))?,
            template: Template::read(&row.template).map_err(wrong("task"))?,
        };
        let zone = match &spec.timing {
            Timing::Cron { zone, .. } => Zone::of(zone.as_deref())?,
            Timing::Every { .. } | Timing::At(_) => Zone::system(),
        };
        let last = fires
            .first()
            .map_or(Last::None, |newest| match newest.finished {
                _ if newest.is_open => Last::Open,
                Some(ended) => Last::Ended(ended),
                None => Last::Open,
            });
        let standing = Standing {
            nominal: row.nominal,
            held: row.held,
            is_paused: row.paused.is_some(),
            is_open: fires.iter().any(|fire| fire.is_open),
            last,
            has_made: fires.iter().any(|fire| fire.nominal == Some(row.nominal)),
            made: row.made,
        };
        Ok(Understood {
            spec,
            zone,
            standing,
        })
    }

    /// What a step is to the ledger.
    fn step(&self, step: Step, now: Millis) -> Move {
        let Standing { nominal, held, .. } = self.standing;
        let on = |to: Millis| nominal.max(to);
        let (to, fires) = match step {
            Step::Fire {
                nominal,
                backfilled,
            } => (on(nominal), Some((nominal, backfilled))),
            Step::FireHeld { nominal: held } => (nominal, Some((held, false))),
            Step::Hold { nominal } | Step::PassOver { nominal } => (on(nominal), None),
        };
        let held = match step {
            Step::Hold { nominal } => Some(nominal),
            Step::FireHeld { .. } => None,
            Step::Fire { .. } | Step::PassOver { .. } => held,
        };
        Move {
            to: SeenAt { nominal: to, held },
            make: fires.map(|(nominal, backfilled)| Made {
                nominal: Some(nominal),
                scheduled_for: Some(self.zone.rfc3339(nominal)),
                backfilled,
                ..by_hand(&self.spec, now)
            }),
        }
    }
}

/// A task of a schedule that is made by hand.
pub fn by_hand(spec: &Spec, now: Millis) -> Made {
    let Template {
        tube,
        content,
        priority,
        ttr,
        tags,
        own,
        unique,
    } = spec.template.clone();
    Made {
        task: NewTask {
            uuid: Uuid::now_v7(),
            tube,
            content,
            priority,
            ttr,
            due: now,
            tags,
            unique,
            own,
            after: None,
        },
        nominal: None,
        scheduled_for: None,
        backfilled: false,
    }
}

impl Scheduler {
    /// Does all that there is to do now, and says when there is more.
    async fn look(&mut self, store: &Store, said: &mut Said) -> Result<Next, ledger::Error> {
        let mut next = Next::default();
        for (row, fires) in store.call(|db| db.schedules()).await? {
            let name = row.name.clone();
            match self.look_after(store, row, fires).await {
                Ok(Ok(decision)) => {
                    said.rows.remove(&name);
                    next = next.and(decision);
                }
                Ok(Err(wrong)) => said.row(&name, &wrong),
                Err(error) if error.is_of_one_row() => said.row(&name, &error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(next)
    }

    /// The inner error says what is wrong with the row.
    async fn look_after(
        &mut self,
        store: &Store,
        row: ScheduleRow,
        fires: Vec<FireRow>,
    ) -> Result<Result<Decision, String>, ledger::Error> {
        let (mut row, mut fires) = (row, fires);
        for _ in 0..IN_A_ROW {
            let understood = match Understood::of(&row, &fires) {
                Ok(understood) => understood,
                Err(wrong) => return Ok(Err(wrong)),
            };
            let now = now();
            let Understood {
                spec,
                zone,
                standing,
            } = &understood;
            let step = match spec.decide(&row.name, zone, standing, now) {
                Decision::Do(step) => step,
                decision @ (Decision::Wait(_) | Decision::WaitForEnd | Decision::Nothing) => {
                    return Ok(Ok(decision));
                }
            };
            self.perform(store, &row.name, standing, understood.step(step, now), now)
                .await?;
            let name = row.name.clone();
            match store.call(move |db| db.schedule(&name)).await? {
                Some(again) => (row, fires) = again,
                None => return Ok(Ok(Decision::Nothing)),
            }
        }
        Ok(Ok(Decision::Wait(now())))
    }

    async fn perform(
        &mut self,
        store: &Store,
        name: &str,
        standing: &Standing,
        step: Move,
        now: Millis,
    ) -> Result<(), ledger::Error> {
        let seen = SeenAt {
            nominal: standing.nominal,
            held: standing.held,
        };
        let to = step.to;
        let makes = step.make.is_some();
        if makes {
            crash::here(Point::FireDecided);
        }
        let of = name.to_owned();
        let telling = Arc::clone(&self.written.borrow().telling);
        let (moved, fired) = store
            .call(move |db| db.told_by(&telling, |db| db.move_schedule(&of, seen, &step, now)))
            .await?;
        match moved {
            Moved::Made(again) => {
                let task = again.put.task.0;
                tracing::info!(schedule = name, task, "schedule made a task");
                self.ring(store, name, [again].into_iter().chain(fired))
                    .await;
            }
            Moved::Taken(taken) => self.taken(store, name, taken, fired).await,
            Moved::Done if to.held.is_some() && seen.held.is_none() => {
                tracing::info!(schedule = name, "schedule waits for its task to end");
            }
            Moved::Done => {
                tracing::info!(schedule = name, "schedule passed over a time");
            }
            Moved::NotOurs => {}
        }
        Ok(())
    }

    /// Says what became of a time whose key another task has, and puts the jobs that come of it.
    async fn taken(&mut self, store: &Store, name: &str, taken: Taken, fired: Vec<Again>) {
        let again = match taken {
            Taken::Replaced { id, again, .. } => {
                tracing::info!(
                    schedule = name,
                    task = id.0,
                    "schedule gave its time to the task that has the key"
                );
                again.map(|again| *again)
            }
            Taken::Kept { id, because, .. } => {
                let reason = because.map(|why| why.to_string());
                tracing::info!(
                    schedule = name,
                    task = id.0,
                    reason,
                    "schedule passed over a time: another task has the key"
                );
                None
            }
            Taken::Refused(holder) => {
                tracing::warn!(
                    schedule = name,
                    task = holder.id.0,
                    "schedule was refused a task: another has the key"
                );
                None
            }
        };
        self.ring(store, name, again.into_iter().chain(fired)).await;
    }

    /// Puts the jobs of what was recorded.
    async fn ring(&mut self, store: &Store, name: &str, all: impl IntoIterator<Item = Again>) {
        crash::here(Point::Fired);
        let all: Vec<Again> = all.into_iter().collect();
        if let Err(error) = announce(self.broker.as_mut(), store, &all).await {
            // Recorded it is, and its job is put when the broker is back.
            tracing::warn!(schedule = name, %error, "could not put the job of a schedule's task");
        }
        crash::here(Point::FireRung);
    }
}
