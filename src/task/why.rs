//! Why a task does not run, or no more: one sentence, with what to do where there is something to do. Decided from what
//! is known of the task and of what is around it, by the functions that decide what becomes of its job.

use std::fmt;
use std::time::Duration;

use super::state::{self, Found, Verdict, judge};

mod seen;

pub use seen::{Held, Last, Pool, Seen, SharedPool, Standing, Tube, Waiting, Workers};

/// Why a task does not run, or no more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is done.
    Done,
    /// It was called off.
    Cancelled,
    /// What it asks for may not run.
    Refused,
    /// It has failed.
    Failed,
    /// It runs.
    Runs,
    /// Its worker died, and it is put right by whoever looks next.
    Stalled,
    /// Something of an attempt cannot be ended.
    Stuck,
    /// It waits for other tasks.
    AfterOthers,
    /// A task that it waits for has failed, and a person is to say.
    OnHold,
    /// A limit holds it.
    Held,
    /// It is not due.
    NotDue,
    /// Its next attempt is not due.
    BackingOff,
    /// It is not due, for its command said "not now".
    Deferred,
    /// Its command is not configured.
    Parked,
    /// Workers would refuse it.
    WouldBeRefused,
    /// The broker cannot be asked.
    BrokerSilent,
    /// Nobody may have a job of its tube.
    Paused,
    /// Its job was not put yet.
    Unannounced,
    /// No worker works for its tube.
    NoWorker,
    /// Its pool starts no workers.
    Withheld,
    /// Those that there are lack something.
    Troubled,
    /// Its pool is on its way out.
    Leaving,
    /// All that may be are busy.
    AllBusy,
    /// A worker begins.
    Starting,
    /// Nothing is in its way.
    Soon,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Which.
    pub why: Why,
    /// One sentence.
    pub sentence: String,
    /// What to do, where there is something to do.
    pub next: Option<String>,
}

impl Why {
    /// Every one.
    pub const ALL: [Why; 25] = [
        Why::Done,
        Why::Cancelled,
        Why::Refused,
        Why::Failed,
        Why::Runs,
        Why::Stalled,
        Why::Stuck,
        Why::AfterOthers,
        Why::OnHold,
        Why::Held,
        Why::NotDue,
        Why::BackingOff,
        Why::Deferred,
        Why::Parked,
        Why::WouldBeRefused,
        Why::BrokerSilent,
        Why::Paused,
        Why::Unannounced,
        Why::NoWorker,
        Why::Withheld,
        Why::Troubled,
        Why::Leaving,
        Why::AllBusy,
        Why::Starting,
        Why::Soon,
    ];

    /// The word for it, in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Why::Done => "done",
            Why::Cancelled => "cancelled",
            Why::Refused => "refused",
            Why::Failed => "failed",
            Why::Runs => "running",
            Why::Stalled => "stalled",
            Why::Stuck => "stuck",
            Why::AfterOthers => "after_others",
            Why::OnHold => "on_hold",
            Why::Held => "held",
            Why::NotDue => "not_due",
            Why::BackingOff => "backing_off",
            Why::Deferred => "deferred",
            Why::Parked => "parked",
            Why::WouldBeRefused => "would_be_refused",
            Why::BrokerSilent => "broker_silent",
            Why::Paused => "paused",
            Why::Unannounced => "unannounced",
            Why::NoWorker => "no_worker",
            Why::Withheld => "withheld",
            Why::Troubled => "troubled",
            Why::Leaving => "leaving",
            Why::AllBusy => "all_busy",
            Why::Starting => "starting",
            Why::Soon => "soon",
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        match &self.next {
            Some(next) => write!(f, "; {next}"),
            None => Ok(()),
        }
    }
}

fn say(why: Why, sentence: impl Into<String>) -> Answer {
    Answer {
        why,
        sentence: sentence.into(),
        next: None,
    }
}

impl Answer {
    fn next(self, next: impl Into<String>) -> Answer {
        Answer {
            next: Some(next.into()),
            ..self
        }
    }
}

/// Why the task does not run, or no more.
pub fn why(seen: &Seen) -> Answer {
    let Seen { id, tube, standing } = seen;
    match standing {
        Standing::Done { attempts: 1 } => say(Why::Done, "it is done, at the first attempt"),
        Standing::Done { attempts } => {
            say(Why::Done, format!("it is done, after {attempts} attempts"))
        }
        Standing::Cancelled { reason } => say(
            Why::Cancelled,
            format!("it was called off{}", because(reason.as_deref())),
        ),
        Standing::Failed {
            reason,
            is_refused,
            refusal,
        } => failed(*id, reason.as_deref(), *is_refused, refusal.as_deref()),
        Standing::Running {
            attempt,
            worker,
            owner_lives,
            running_for,
            said,
            remains,
        } => {
            let found = Found::Running {
                owner_lives: *owner_lives,
                running_for: *running_for,
            };
            match (judge(found), remains) {
                (Verdict::Recover, Some(who)) => stuck(*attempt, who),
                (Verdict::Recover, None) => say(
                    Why::Stalled,
                    format!("its worker {worker} died in attempt {attempt}, and nobody has taken it over yet"),
                )
                .next("a tender does within 30 s; at once: taskqueue reconcile"),
                (
                    Verdict::Begin
                    | Verdict::BeginEarly
                    | Verdict::BeginAnew
                    | Verdict::Later(_)
                    | Verdict::DeleteJob
                    | Verdict::BuryJob
                    | Verdict::AskForKicks,
                    _,
                ) => say(
                    Why::Runs,
                    format!(
                        "it runs: attempt {attempt}, by {worker}, for {}{}",
                        span(millis(*running_for)),
                        because(said.as_deref())
                    ),
                ),
            }
        }
        Standing::Awaiting { what, is_held } => awaits(*id, what, *is_held),
        Standing::Waiting(waiting) => waits(*id, tube, waiting),
    }
}

fn failed(id: i64, reason: Option<&str>, is_refused: bool, refusal: Option<&str>) -> Answer {
    let again = match refusal {
        None => format!("to let it run again: taskqueue regenerate {id}"),
        Some(why) => format!(
            "it would be refused today, for {why}; mend that first, then: taskqueue regenerate {id}"
        ),
    };
    let (why, what) = match is_refused {
        true => (Why::Refused, "it was refused"),
        false => (Why::Failed, "it has failed"),
    };
    say(why, format!("{what}{}", because(reason))).next(again)
}

fn awaits(id: i64, what: &str, is_held: bool) -> Answer {
    match is_held {
        true => say(Why::OnHold, format!("it {what}")).next(format!(
            "let that task run again with regenerate; to run this one all the same: taskqueue run-now {id}"
        )),
        false => say(Why::AfterOthers, format!("it {what}")).next(format!(
            "to see them: taskqueue show --tree {id}; to run it before: taskqueue run-now {id}"
        )),
    }
}

fn stuck(attempt: i64, who: &str) -> Answer {
    say(
        Why::Stuck,
        format!("it is stuck: {who} of attempt {attempt} cannot be ended, and nothing else begins before it is gone"),
    )
    .next("end it by hand, as the user that it runs as")
}

fn waits(id: i64, tube: &str, waiting: &Waiting) -> Answer {
    let Waiting {
        due_in,
        parked_for,
        last,
        remains,
        refusal,
        held,
        is_announced,
        broker,
        workers,
    } = waiting;
    if let Some(Held { words, limit }) = held {
        let held = say(Why::Held, format!("it is {words}"));
        return match limit {
            Some(limit) => held.next(format!("for more at a time: [limits.{limit}], and: taskqueue reload")),
            None => held.next(format!(
                "that is no limit any more: a tender of its tube lets it go, or at once: taskqueue run-now {id}"
            )),
        };
    }
    let is_parked = parked_for.is_some();
    // One that is parked is due.
    let found = Found::Waiting {
        due_in: if is_parked { 0 } else { *due_in },
        // Whoever kicks its job has it reserved, and it begins.
        kicked: Some(false),
    };
    if let Verdict::Later(left) = judge(found) {
        let now = format!("sooner: taskqueue run-now {id}");
        return match last {
            Some(Last::Deferred { message }) => say(
                Why::Deferred,
                format!(
                    "its command has put it off, for another {}{}",
                    span(left),
                    because(message.as_deref())
                ),
            )
            .next(now),
            Some(Last::Ended(last)) => say(
                Why::BackingOff,
                format!(
                    "it waits for its next attempt, in {}, after {last}",
                    span(left)
                ),
            )
            .next(now),
            None => say(Why::NotDue, format!("it is not due for {}", span(left))).next(now),
        };
    }
    if let Some((attempt, who)) = remains {
        return stuck(*attempt, who);
    }
    if let Some(why) = refusal {
        return match parked_for.map(state::parked) {
            Some(Some(_)) => say(Why::Parked, format!("it waits for its command: {why}"))
                .next("configure it, and: taskqueue reload"),
            Some(None) | None => say(
                Why::WouldBeRefused,
                format!("workers would refuse it by this configuration: {why}"),
            )
            .next("mend the configuration, or: taskqueue edit"),
        };
    }
    let known = match broker {
        Err(error) => {
            return say(
                Why::BrokerSilent,
                format!("the broker cannot be asked: {error}"),
            )
            .next("it is put when the broker is back");
        }
        Ok(known) => known,
    };
    if !known.paused.is_zero() {
        return say(
            Why::Paused,
            format!(
                "its tube {tube} is paused for another {}",
                span(known.paused)
            ),
        )
        .next(format!("to end that: taskqueue resume --use-tube {tube}"));
    }
    by_workers(tube, known, workers, *is_announced)
}

fn by_workers(tube: &str, known: &Tube, workers: &Workers, is_announced: bool) -> Answer {
    let pool = match workers {
        // Whoever waits for a job of the tube is a worker.
        Workers::Unknown | Workers::Untended if known.waiting + known.reserved > 0 => {
            return match (is_announced, known.waiting) {
                (false, _) => unannounced(),
                (true, 0) => say(
                    Why::AllBusy,
                    format!(
                        "all workers of the tube {tube} are busy; {}",
                        queued(known.ready)
                    ),
                ),
                (true, _) => soon(),
            };
        }
        Workers::Unknown | Workers::Untended => {
            return say(
                Why::NoWorker,
                format!("no worker works for the tube {tube}"),
            )
            .next(format!("start some: taskqueue tender --use-tube {tube}"));
        }
        Workers::Tended(pool) => pool,
    };
    let Pool {
        idle,
        busy,
        starting,
        max,
        troubled,
        withheld,
        is_leaving,
        shared,
    } = pool;
    let is_full = idle + starting == 0;
    match withheld {
        _ if *is_leaving && *idle == 0 => say(
            Why::Leaving,
            format!("the tender of the tube {tube} is on its way out, and takes no more jobs"),
        )
        .next(format!("start another: taskqueue tender --use-tube {tube}")),
        Some(why) if is_full => say(
            Why::Withheld,
            format!("the tender of the tube {tube} starts no worker now: {why}"),
        )
        .next("see: taskqueue status"),
        _ if !is_announced => unannounced(),
        _ if is_full && busy >= max => say(
            Why::AllBusy,
            format!(
                "all {max} workers of the tube {tube} are busy; {}",
                queued(known.ready)
            ),
        )
        .next(format!(
            "for more: taskqueue scale --use-tube {tube} --max-workers N"
        )),
        _ if is_full && shared.as_ref().is_some_and(SharedPool::is_full) => shared
            .as_ref()
            .map_or_else(soon, |shared| its_turn(tube, *busy, shared, known.ready)),
        _ if *troubled > 0 && *troubled >= idle + busy => say(
            Why::Troubled,
            format!("the workers of the tube {tube} lack what their work takes, and try again"),
        )
        .next("see what: taskqueue status"),
        _ if *idle == 0 && *starting > 0 => say(
            Why::Starting,
            format!("a worker for the tube {tube} begins"),
        ),
        _ if is_full && *busy == 0 => say(
            Why::NoWorker,
            format!("no worker works for the tube {tube} yet"),
        )
        .next(format!("see why: taskqueue explain {tube}")),
        _ => soon(),
    }
}

fn its_turn(tube: &str, busy: u32, shared: &SharedPool, ready: u64) -> Answer {
    let SharedPool { name, max, .. } = shared;
    let next = queued(ready);
    let said = format!(
        "the pool {name} has all its {max} workers, {busy} of them for the tube {tube}, which waits its turn; {next}"
    );
    say(Why::AllBusy, said).next(format!("see more: taskqueue explain {tube}"))
}

fn unannounced() -> Answer {
    say(
        Why::Unannounced,
        "its job was not put yet, or whoever put it could not note that",
    )
    .next("a tender puts it within 30 s; at once: taskqueue reconcile")
}

fn soon() -> Answer {
    say(
        Why::Soon,
        "nothing is in its way: it begins as soon as a worker takes its job",
    )
}

fn because(reason: Option<&str>) -> String {
    reason
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default()
}

/// How many are in the same place.
fn queued(ready: u64) -> String {
    match ready {
        0 | 1 => "it is the next".into(),
        ready => format!("it is one of {ready} that are ready"),
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

/// For people, in two units at most.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {}m", minutes % 60),
        (days, hours, _) => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests;
