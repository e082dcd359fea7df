//! How often a task is tried, how long that may take, and what tasks may say of it themselves, as it is written: the
//! same keys in `[defaults]` and in a command's table.

use std::collections::BTreeSet;
use std::time::Duration;

use super::duration::Span;
use super::file::{Backoff, OnFailure};
use super::most::{MostTime, Often};
use crate::task::command::{self, Tried};
use crate::task::own::{Bounds, MostTime as Most, VariableName};
use crate::task::retry::{Attempts, Failing, GrowingWait, Jitter, RetryOn, Rules, Waits};

/// Those keys of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    pub timeout: Option<MostTime>,
    pub max_attempts: Option<Often>,
    pub max_lost: Option<u32>,
    pub max_snoozes: Option<u32>,
    pub backoff: Option<Backoff>,
    pub retry: Option<Vec<Span>>,
    pub retry_jitter: Option<f64>,
    pub retry_on: Option<Vec<String>>,
    pub task_max_attempts: Option<Often>,
    pub task_timeout: Option<MostTime>,
    pub task_environment: Option<Vec<String>>,
    pub on_failure: Option<OnFailure>,
}

/// Takes them out of a table.
macro_rules! attempts {
    ($table:expr) => {
        $crate::config::attempts::Given {
            timeout: $table.timeout,
            max_attempts: $table.max_attempts,
            max_lost: $table.max_lost,
            max_snoozes: $table.max_snoozes,
            backoff: $table.backoff,
            retry: $table.retry.clone(),
            retry_jitter: $table.retry_jitter,
            retry_on: $table.retry_on.clone(),
            task_max_attempts: $table.task_max_attempts,
            task_timeout: $table.task_timeout,
            task_environment: $table.task_environment.clone(),
            on_failure: $table.on_failure,
        }
    };
}

pub(super) use attempts;

/// The key that is wrong, and why.
type Wrong = (String, String);

impl Given {
    /// Looks at what one table says.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let wrong = |key: &str, why: String| Err((key.to_owned(), why));
        let counts = [
            ("max_attempts", self.max_attempts.map(|often| often.0)),
            (
                "task_max_attempts",
                self.task_max_attempts.map(|often| often.0),
            ),
            ("max_lost", self.max_lost.map(Attempts::Most)),
            (
                "backoff.factor",
                self.backoff.and_then(|b| b.factor).map(Attempts::Most),
            ),
        ];
        for (key, value) in counts {
            if value == Some(Attempts::Most(0)) {
                return wrong(
                    key,
                    "must be at least 1; leave it out for the default".into(),
                );
            }
        }
        for (key, time) in [
            ("timeout", self.timeout),
            ("task_timeout", self.task_timeout),
        ] {
            if time == Some(MostTime(Some(Duration::ZERO))) {
                let why = "must be more than 0; leave it out for no timeout, or, where [defaults] has one, write \
                           \"unlimited\"";
                return wrong(key, why.into());
            }
        }
        if self.retry.is_some() && self.backoff.is_some() {
            let why = "stands beside backoff, and both say how long to wait: leave one of them out";
            return wrong("retry", why.into());
        }
        if let Some(Err(bad)) = self.retry.as_deref().map(waits) {
            return wrong("retry", bad.to_string());
        }
        if self
            .retry_jitter
            .is_some_and(|share| Jitter::of(share).is_none())
        {
            let why = "it is a share of the wait, from 0 to 1: 0.2 waits up to a fifth longer";
            return wrong("retry_jitter", why.into());
        }
        for word in self.retry_on.iter().flatten() {
            if Failing::from_word(word).is_none() {
                let words = Failing::ALL.map(|one| format!("{:?}", one.word()));
                let why = format!("{word:?} is none of {}", words.join(", "));
                return wrong("retry_on", why);
            }
        }
        for name in self.task_environment.iter().flatten() {
            if let Err(why) = name.parse::<VariableName>() {
                return wrong("task_environment", format!("{name:?}: {why}"));
            }
        }
        Ok(())
    }
}

fn waits(given: &[Span]) -> Result<Waits, crate::task::retry::BadWaits> {
    let waits: Vec<Duration> = given.iter().map(|span| span.0).collect();
    Waits::new(&waits)
}

/// What tables say together, the narrowest first. How often and after what wait a task is tried is said by the first
/// that says it; a list of waits says both. How many attempts may be lost, a tube may say as well, and is not among it.
pub(super) fn settled(tables: &[&Given]) -> Tried {
    fn first<T>(tables: &[&Given], value: impl Fn(&Given) -> Option<T>) -> Option<T> {
        tables.iter().find_map(|given| value(given))
    }
    let usual = Rules::default();
    let list = |given: &Given| given.retry.as_deref().and_then(|list| waits(list).ok());
    let often = |given: &Given| {
        let of_list = || list(given).map(|waits| Attempts::Most(waits.attempts()));
        given.max_attempts.map(|often| often.0).or_else(of_list)
    };
    // A wait that grows in a narrower table is not that of a list in a wider one.
    let says_wait = |given: &&&Given| given.retry.is_some() || given.backoff.is_some();
    let waits = tables.iter().find(says_wait).and_then(|given| list(given));
    let timeout = first(tables, |given| given.timeout).and_then(|time| time.0);
    let variables = first(tables, |given| given.task_environment.clone()).unwrap_or_default();
    let known: BTreeSet<VariableName> = variables.iter().filter_map(|n| n.parse().ok()).collect();
    let jitter = first(tables, |given| given.retry_jitter).and_then(Jitter::of);
    let words = first(tables, |given| given.retry_on.clone());
    Tried {
        timeout,
        retry: Rules {
            max_attempts: first(tables, often).unwrap_or(usual.max_attempts),
            max_lost: None,
            max_snoozes: first(tables, |given| given.max_snoozes).unwrap_or(usual.max_snoozes),
            backoff: backoff(tables),
            waits,
            jitter: jitter.unwrap_or(usual.jitter),
            retry_on: words.map_or(usual.retry_on, |words| {
                RetryOn::these(words.iter().filter_map(|word| Failing::from_word(word)))
            }),
        },
        bounds: Bounds {
            max_attempts: first(tables, |given| given.task_max_attempts).map(|often| often.0),
            timeout: match first(tables, |given| given.task_timeout) {
                None => Most::AsTheCommand,
                Some(MostTime(None)) => Most::Any,
                Some(MostTime(Some(most))) => Most::Most(most),
            },
            environment: known,
        },
        on_failure: match first(tables, |given| given.on_failure) {
            Some(OnFailure::Bury) => command::OnFailure::Bury,
            Some(OnFailure::Delete) | None => command::OnFailure::Delete,
        },
    }
}

/// Part by part.
fn backoff(tables: &[&Given]) -> GrowingWait {
    let usual = GrowingWait::default();
    let parts = tables.iter().filter_map(|given| given.backoff);
    let span = |part: fn(&Backoff) -> Option<Span>| parts.clone().find_map(|b| part(&b));
    GrowingWait {
        first: span(|b| b.first).map_or(usual.first, |span| span.0),
        factor: parts.clone().find_map(|b| b.factor).unwrap_or(usual.factor),
        max: span(|b| b.max).map_or(usual.max, |span| span.0),
    }
}

/// Looks at what tables say together.
pub(super) fn check(tried: &Tried) -> Result<(), Wrong> {
    let rules = &tried.retry;
    let most = tried.bounds.max_attempts.max(Some(rules.max_attempts));
    let most = most.unwrap_or(rules.max_attempts);
    let (key, pause) = match &rules.waits {
        Some(waits) => ("retry", waits.pause(most)),
        None => {
            let grows = Waits::new(&[rules.backoff.first.min(rules.backoff.max)]);
            ("backoff", grows.is_ok_and(|waits| waits.pause(most)))
        }
    };
    if pause {
        return Ok(());
    }
    let why = "its last wait is none, and a task may be tried very often: it would be tried without pause";
    Err((key.into(), why.into()))
}

#[cfg(test)]
mod tests;
