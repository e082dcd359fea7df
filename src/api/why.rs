//! Why a task does not run, or no more.

use super::error::Error;
use super::queue::Queue;
use crate::clock::now;
use crate::ledger::Millis;
use crate::ledger::read::{Attempt, HeldBy, Key, Report};
use crate::ledger::why::Known;
use crate::reconcile::look_for_remains;
use crate::task::command::Commands;
use crate::task::state::Status;
use crate::task::why::{Answer, Held, Last, Seen, Standing, Tube, Waiting, Workers, why};

impl Queue {
    /// One sentence on why a task does not run, or no more, and what to do. `workers` is asked who could run it, with
    /// its tube, where that matters: [`Workers::Unknown`] will do. `None`: there is no such task.
    ///
    /// ```
    /// use taskqueue::api::{Why, Workers};
    /// use taskqueue::task::command::Commands;
    /// use taskqueue::{Put, Queue, StoreUrl};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let later = Put::command("report").delay(Duration::from_secs(3600));
    /// let task = queue.put(&"t".parse()?, later).await?;
    /// let answer = queue.why(task.id, &Commands::default(), |_| Workers::Unknown).await?;
    /// let answer = answer.ok_or("gone")?;
    /// assert_eq!(answer.why, Why::NotDue);
    /// println!("{answer}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read, or the task's row makes no sense.
    pub async fn why(
        &self,
        key: impl Into<Key>,
        commands: &Commands,
        workers: impl FnOnce(&str) -> Workers,
    ) -> Result<Option<Answer>, Error> {
        let key = key.into();
        let Some(known) = self.store().call(move |db| db.known(key)).await? else {
            return Ok(None);
        };
        let standing = self.standing(&known, commands, workers).await;
        let seen = Seen {
            id: known.task.id.0,
            tube: known.task.tube,
            standing,
        };
        Ok(Some(why(&seen)))
    }

    async fn standing(
        &self,
        known: &Known,
        commands: &Commands,
        workers: impl FnOnce(&str) -> Workers,
    ) -> Standing {
        let Known { task, row, .. } = known;
        let newest = task.attempts.last();
        let is_its = |said: &&Report| newest.is_some_and(|one| one.number == said.attempt);
        let said = task.report.as_ref().filter(is_its);
        let refusal = || {
            let plan = commands.plan_with(row.uuid, &row.tube, &row.content, row.own.as_deref());
            plan.err().map(|refusal| refusal.to_string())
        };
        let remains = match &known.left {
            Some(left) => Some(look_for_remains(self.store(), left).await),
            None => None,
        };
        match row.status {
            Status::Done => Standing::Done {
                attempts: task.attempts_total,
            },
            Status::Cancelled => Standing::Cancelled {
                reason: task.reason.clone(),
            },
            Status::Failed => Standing::Failed {
                reason: task.reason.clone(),
                is_refused: newest.is_some_and(|one| one.outcome.as_deref() == Some("refused")),
                refusal: refusal(),
            },
            Status::Running => Standing::Running {
                attempt: row.attempt,
                worker: newest.map(|one| one.worker.clone()).unwrap_or_default(),
                owner_lives: known.owner_lives,
                running_for: now().saturating_sub(row.started.unwrap_or_else(now)),
                said: said.and_then(Report::words),
                remains,
            },
            Status::Waiting if known.waits_for.is_some() => {
                let waits = known.waits_for.as_ref();
                Standing::Awaiting {
                    what: waits.map(ToString::to_string).unwrap_or_default(),
                    is_held: waits.is_some_and(|waits| waits.held.is_some()),
                }
            }
            Status::Waiting => {
                let due = row.due.unwrap_or_else(now);
                Standing::Waiting(Box::new(Waiting {
                    due_in: due.saturating_sub(now()),
                    parked_for: row.is_parked.then(|| since(due)),
                    last: newest.map(|attempt| ended(attempt, said)),
                    remains: remains.map(|who| (row.attempt, who)),
                    refusal: refusal(),
                    held: task.held.as_ref().map(|held| held_by(held, commands)),
                    is_announced: known.is_announced,
                    broker: self.look_at(row.tube.as_str()).await,
                    workers: workers(row.tube.as_str()),
                }))
            }
        }
    }

    async fn look_at(&self, tube: &str) -> Result<Tube, String> {
        let mut session = self.session().await.map_err(|error| error.to_string())?;
        let tube = tube.parse().map_err(|error| format!("{error}"))?;
        let stats = session.broker.stats_tube(&tube).await;
        let stats = stats.map_err(|error| error.to_string())?;
        Ok(stats.map_or_else(Tube::default, |stats| Tube {
            paused: stats.pause_left,
            ready: stats.ready,
            waiting: stats.waiting,
            reserved: stats.reserved,
        }))
    }
}

fn held_by(held: &HeldBy, commands: &Commands) -> Held {
    let is_limit = commands
        .limits()
        .iter()
        .any(|limit| limit.name == held.limit);
    Held {
        words: held.words(now()),
        limit: is_limit.then(|| held.limit.clone()),
    }
}

fn since(at: Millis) -> Millis {
    now().saturating_sub(at)
}

/// How an attempt ended, and what its command has said.
fn ended(attempt: &Attempt, said: Option<&Report>) -> Last {
    let message = said.and_then(|said| said.message.clone());
    match (
        attempt.exit_code,
        attempt.signal,
        attempt.outcome.as_deref(),
    ) {
        (_, _, Some("deferred")) => Last::Deferred { message },
        (Some(code), _, _) => Last::Ended(format!("exit code {code}")),
        (None, Some(signal), _) => Last::Ended(format!("signal {signal}")),
        (None, None, outcome) => Last::Ended(outcome.unwrap_or("an attempt").to_owned()),
    }
}
