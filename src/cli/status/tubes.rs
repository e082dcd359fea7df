//! What is to be known of each tube: the jobs at the broker, the tasks in the store, and what ended lately.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::table::{line, wrapped};
use crate::address::{BrokerUrl, StoreUrl};
use crate::broker::{self, Broker, JobState, TubeStats};
use crate::cli::configured::block_on;
use crate::cli::print::span;
use crate::clock;
use crate::connect;
use crate::control::words::Pool;
use crate::ledger::counts::Counts;
use crate::ledger::durations::Durations;
use crate::ledger::minutes::Lately;
use crate::ledger::rows::Ends;
use crate::ledger::{Error, Ledger};
use crate::tube::TubeName;

/// How long the broker has to answer, for one tube.
const PATIENCE: Duration = Duration::from_secs(2);

/// All of it, and why the jobs are not known if they are not.
#[derive(Debug, Default)]
pub(super) struct Tubes {
    lately: Lately,
    oldest: BTreeMap<String, f64>,
    jobs: BTreeMap<String, TubeStats>,
    /// Why the broker has not said of each tube how many jobs it has.
    pub unknown: Option<String>,
}

impl Tubes {
    /// What the store knows.
    pub fn of_store(
        &mut self,
        ledger: &Ledger,
        counts: &BTreeMap<String, Counts>,
    ) -> Result<(), Error> {
        let now = clock::now();
        self.lately = ledger.lately(now)?;
        for (tube, counts) in counts {
            let waits = counts.due.map(|due| now.saturating_sub(due));
            // What is due later does not wait yet.
            if let Some(waits) = waits.and_then(|waits| u64::try_from(waits).ok()) {
                let waits = Duration::from_millis(waits).as_secs_f64();
                self.oldest.insert(tube.clone(), waits);
            }
        }
        Ok(())
    }

    /// Leaves those out that are not asked for.
    pub fn retain(&mut self, named: impl Fn(&str) -> bool) {
        self.lately.tubes.retain(|tube, _| named(tube));
        self.lately.commands.retain(|(tube, _), _| named(tube));
        self.oldest.retain(|tube, _| named(tube));
    }

    /// Those that something ended in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lately.tubes.keys().map(String::as_str)
    }

    /// Asks the broker for the jobs of these tubes, one question a tube; and for the first that is ready where no
    /// task of ours is due: a job of another producer has a row only once it was reserved.
    pub fn ask(
        &mut self,
        broker: &Result<BrokerUrl, String>,
        store: &StoreUrl,
        tubes: &BTreeSet<TubeName>,
    ) {
        let broker = match broker {
            Ok(broker) => broker,
            Err(reason) => {
                self.unknown = Some(format!("which broker is meant is not known: {reason}"));
                return;
            }
        };
        let mut session = connect::broker(broker, store);
        let asked = block_on(async {
            for tube in tubes {
                let name = tube.as_str();
                let first = !self.oldest.contains_key(name);
                match ask(session.as_mut(), tube, first).await {
                    Ok((stats, age)) => {
                        self.jobs.insert(name.to_owned(), stats);
                        let age = age.map(|age| (name.to_owned(), age.as_secs_f64()));
                        self.oldest.extend(age);
                    }
                    // Whoever does not answer for one tube is not waited for again for each of the others.
                    Err(reason) => return Ok(Some(reason)),
                }
            }
            Ok(None)
        });
        self.unknown = match asked {
            Ok(None) => None,
            Ok(Some(reason)) => Some(format!("the broker {broker} did not say: {reason}")),
            Err(failure) => Some(failure.to_string()),
        };
    }

    /// What the broker has said just now goes for a pool too.
    pub fn tell(&self, pool: &mut Pool) {
        if let Some(stats) = self.jobs.get(&pool.tube) {
            pool.ready = Some(stats.ready);
            pool.paused = !stats.pause_left.is_zero();
        }
    }

    /// Each tube of which something is known, in the shape of `--json`.
    pub fn json(&self, tubes: &BTreeSet<TubeName>) -> Vec<Value> {
        let tube = |tube: &TubeName| {
            let name = tube.as_str();
            let jobs = self.jobs.get(name).map(|stats| {
                json!({
                    "ready": stats.ready,
                    "delayed": stats.delayed,
                    "buried": stats.buried,
                    "reserved": stats.reserved,
                    "paused": !stats.pause_left.is_zero(),
                    "pause_left": stats.pause_left.as_secs(),
                })
            });
            let none = Ends::default();
            let ends = self.lately.tubes.get(name).unwrap_or(&none);
            json!({
                "tube": name,
                "jobs": jobs,
                "oldest": self.oldest.get(name),
                "done": ends.done,
                "failed": ends.failed,
                "retried": ends.retried,
                "waited": durations(&ends.waited),
                "ran": durations(&ends.ran),
            })
        };
        tubes.iter().map(tube).collect()
    }

    /// Each command of which attempts ended lately, in the shape of `--json`.
    pub fn commands(&self) -> Vec<Value> {
        let command = |((tube, name), ends): (&(String, String), &Ends)| {
            json!({
                "tube": tube,
                "command": name,
                "done": ends.done,
                "failed": ends.failed,
                "retried": ends.retried,
                "waited": durations(&ends.waited),
                "ran": durations(&ends.ran),
                "cpu_time": Duration::from_micros(ends.cpu).as_secs_f64(),
                "peak_memory": ends.memory,
            })
        };
        self.lately.commands.iter().map(command).collect()
    }

    /// Seconds in which that ended which ended lately.
    pub fn within(&self) -> u64 {
        u64::try_from(self.lately.within / 1000).unwrap_or(0)
    }

    /// The jobs of a tube, if the broker has told.
    pub fn jobs(&self, tube: &str) -> Option<&TubeStats> {
        self.jobs.get(tube)
    }

    /// What ended lately in a tube, if anything did.
    pub fn ends(&self, tube: &str) -> Option<&Ends> {
        self.lately.tubes.get(tube)
    }

    /// For how many milliseconds that has waited in a tube which waits longest.
    pub fn oldest(&self, tube: &str) -> Option<u64> {
        let waits = Duration::try_from_secs_f64(*self.oldest.get(tube)?).ok()?;
        u64::try_from(waits.as_millis()).ok()
    }

    /// The tables for people.
    pub fn text(&self, text: &mut String, tubes: &BTreeSet<TubeName>) {
        if tubes.is_empty() {
            return;
        }
        text.push('\n');
        const JOBS: [usize; 7] = [20, 9, 9, 9, 9, 8, 0];
        let heads = [
            "JOBS OF", "READY", "DELAYED", "BURIED", "RESERVED", "OLDEST", "",
        ];
        line(text, JOBS, heads);
        for tube in tubes {
            let name = tube.as_str();
            let oldest = self
                .oldest
                .get(name)
                .map_or_else(|| "-".into(), |n| span(*n));
            let stats = self.jobs.get(name);
            let number = |of: fn(&TubeStats) -> u64| {
                stats.map_or_else(|| "-".to_owned(), |stats| of(stats).to_string())
            };
            let [ready, delayed, buried, reserved] = [
                number(|stats| stats.ready),
                number(|stats| stats.delayed),
                number(|stats| stats.buried),
                number(|stats| stats.reserved),
            ];
            let is_paused = stats.is_some_and(|stats| !stats.pause_left.is_zero());
            let paused = if is_paused { "paused" } else { "" };
            line(
                text,
                JOBS,
                [name, &ready, &delayed, &buried, &reserved, &oldest, paused],
            );
        }
        if let Some(unknown) = &self.unknown {
            wrapped(text, unknown);
        }
        if self.lately.tubes.is_empty() {
            return;
        }
        text.push('\n');
        const LATELY: [usize; 6] = [20, 9, 9, 9, 15, 0];
        let heads = [
            "A MINUTE",
            "DONE",
            "FAILED",
            "RETRIED",
            "WAITED 50, 95%",
            "RAN 50, 95%",
        ];
        line(text, LATELY, heads);
        for (tube, ends) in &self.lately.tubes {
            let [done, failed, retried] =
                [ends.done, ends.failed, ends.retried].map(|n| self.a_minute(n));
            let [waited, ran] = [&ends.waited, &ends.ran].map(both);
            line(
                text,
                LATELY,
                [tube, &done, &failed, &retried, &waited, &ran],
            );
        }
    }

    /// So many in the time that is lately, in a minute.
    pub fn a_minute(&self, count: u64) -> String {
        let seconds = self.within().max(1);
        let tenths = count.saturating_mul(600) / seconds;
        match tenths {
            0 if count > 0 => "<0.1".into(),
            0..100 => format!("{}.{}", tenths / 10, tenths % 10),
            tenths => (tenths / 10).to_string(),
        }
    }
}

/// What there is to know of a tube, and the age of the first job that is ready, if that is asked for.
async fn ask(
    broker: &mut dyn Broker,
    tube: &TubeName,
    first: bool,
) -> Result<(TubeStats, Option<Duration>), String> {
    let asked = async {
        let stats = match broker.stats_tube(tube).await {
            Ok(Some(stats)) => stats,
            // What nobody uses is empty.
            Ok(None) | Err(broker::Error::NotFound) => TubeStats {
                ready: 0,
                reserved: 0,
                delayed: 0,
                buried: 0,
                waiting: 0,
                watching: None,
                pause_left: Duration::ZERO,
            },
            Err(error) => return Err(error),
        };
        let age = match first && stats.ready > 0 {
            true => age_of_first(broker, tube).await?,
            false => None,
        };
        Ok((stats, age))
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(known)) => Ok(known),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// How long ago the job was put that is reserved next. `None`: somebody has just taken it.
async fn age_of_first(
    broker: &mut dyn Broker,
    tube: &TubeName,
) -> Result<Option<Duration>, broker::Error> {
    let next = broker.next_jobs(tube, JobState::Ready, 1).await?;
    let Some(first) = next.first() else {
        return Ok(None);
    };
    Ok(broker.stats_job(*first).await?.map(|stats| stats.age))
}

/// In seconds.
fn durations(some: &Durations) -> Value {
    let seconds = |milliseconds: u64| Duration::from_millis(milliseconds).as_secs_f64();
    let at = |percent| some.percentile(percent).map(seconds);
    json!({
        "count": some.count(),
        "total": seconds(some.total()),
        "p50": at(50),
        "p95": at(95),
    })
}

fn both(some: &Durations) -> String {
    match (some.percentile(50), some.percentile(95)) {
        (Some(half), Some(most)) => format!("{} {}", short(half), short(most)),
        (_, _) => "-".into(),
    }
}

/// A duration in at most five columns.
pub(super) fn short(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds}ms"),
        1000..10_000 => format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100),
        10_000..100_000 => format!("{}s", milliseconds / 1000),
        100_000..6_000_000 => format!("{}m", milliseconds / 60_000),
        6_000_000..360_000_000 => format!("{}h", milliseconds / 3_600_000),
        _ => format!("{}d", milliseconds / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_little_room() {
        for (milliseconds, said) in [
            (0, "0ms"),
            (999, "999ms"),
            (1234, "1.2s"),
            (99_999, "99s"),
            (100_000, "1m"),
            (5_999_999, "99m"),
            (6_000_000, "1h"),
            (360_000_000, "4d"),
        ] {
            assert_eq!(short(milliseconds), said);
        }
    }
}
