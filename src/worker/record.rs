//! Recording what became of an attempt, however long the store takes. No outcome is thrown away: the job is kept and
//! touched meanwhile, and no other is taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::control::{Control, Mode};
use crate::clock::now;
use crate::ledger::worker::Me;
use crate::ledger::{Entered, Entry};
use crate::ledger::{Error, Store};
use crate::link::Report;
use crate::task::command::Commands;
use crate::task::id::{AttemptId, TaskId, WorkerId};

/// Between two tries.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Even a worker that is to leave at once gives the store so long.
pub const LAST_TRY: Duration = Duration::from_secs(2);

/// Records what has happened. Of each attempt that has ended, false if it was not ours to record. `None` if we were told to
/// leave before we could: then all stay ours until we are gone, and whoever gets the jobs next finds out.
pub async fn record(
    store: &Store,
    control: &mut Control,
    me: &Me,
    commands: &Arc<Commands>,
    entry: &Arc<Entry>,
) -> Option<Vec<bool>> {
    let ended = entry.settle.iter();
    let ended = ended.map(|settlement| settlement.id);
    let all: Vec<AttemptId> = ended.chain(entry.unclaim.iter().copied()).collect();
    let newest = entry.settle.len().saturating_sub(1);
    let (task, attempt) = all.get(newest).map_or((0, 0), |id| (id.task.0, id.number));
    let begun = Instant::now();
    let mut in_trouble = false;
    loop {
        let (entry, commands, me) = (Arc::clone(entry), Arc::clone(commands), me.clone());
        let call = store.soon(move |db| db.enter(&entry, &commands, &me, now()));
        let recorded = match unless_to_leave(control, begun, call).await {
            Some(recorded) => recorded,
            None => return gave_up(task, attempt),
        };
        match recorded {
            Ok(Entered { ours, .. }) => {
                for (id, ours) in all.iter().zip(&ours) {
                    let (task, attempt) = (id.task.0, id.number);
                    if !ours {
                        tracing::warn!(
                            task,
                            attempt,
                            "found an attempt taken over; left its task alone"
                        );
                    } else if in_trouble {
                        tracing::info!(task, attempt, "recorded an outcome at last");
                    }
                }
                return Some(ours);
            }
            // Once, and not for every try.
            Err(error) if !in_trouble => {
                in_trouble = true;
                tracing::error!(task, attempt, %error, "could not record an outcome; will keep trying");
                control.report(Report::Troubled { task });
            }
            Err(_) => {}
        }
        let pause = tokio::time::sleep(AGAIN);
        if unless_to_leave(control, begun, pause).await.is_none() {
            return gave_up(task, attempt);
        }
    }
}

fn gave_up(task: i64, attempt: i64) -> Option<Vec<bool>> {
    tracing::error!(
        task,
        attempt,
        "left before an outcome was recorded; whoever has its task next finds it lost"
    );
    None
}

/// Waits for something while there is time for it; `None` once there is none.
async fn unless_to_leave<T>(
    control: &mut Control,
    begun: Instant,
    something: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(something);
    loop {
        let leave = leave_at(control.mode(), begun);
        tokio::select! {
            biased;
            result = &mut something => return Some(result),
            _ = control.changed() => {}
            () = sleep_until(leave.unwrap_or(begun)), if leave.is_some() => return None,
        }
    }
}

/// When we go though an outcome is not recorded that we have tried to record since `begun`.
fn leave_at(mode: Mode, begun: Instant) -> Option<Instant> {
    match mode {
        Mode::Working | Mode::Draining { until: None } => None,
        Mode::Draining { until: Some(until) } => Some(until.max(begun + LAST_TRY)),
        Mode::Stopping => Some(begun + LAST_TRY),
    }
}

/// Waits until the store takes a row again. False if something else is to be done.
pub async fn outlast(store: &Store, control: &mut Control, worker: WorkerId) -> bool {
    loop {
        let proving = async {
            tokio::time::sleep(AGAIN).await;
            store.call(move |db| db.prove(worker)).await
        };
        tokio::select! {
            biased;
            _ = control.changed() => return false,
            // What is wrong was said when it began.
            proved = proving => if proved.is_ok() {
                tracing::info!("reached the store again");
                return true;
            },
        }
    }
}

/// Says goodbye to the store, if it can be said soon: that we are gone, our lock tells.
pub async fn sign_off(store: &Store, worker: WorkerId, gone: Vec<TaskId>) -> Result<(), Error> {
    let call = store.call(move |db| db.sign_off(worker, &gone, now()));
    match timeout(LAST_TRY, call).await {
        Ok(signed) => signed,
        Err(_) => Err(Error::too_slow(LAST_TRY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_worker_tries_to_record() {
        let begun = Instant::now();
        let later = |seconds| begun + Duration::from_secs(seconds);
        let draining = |until| Mode::Draining { until };
        for (mode, leaves) in [
            (Mode::Working, None),
            (draining(None), None),
            // Its grace period is over, and the command has only just ended.
            (draining(Some(begun)), Some(begun + LAST_TRY)),
            (draining(Some(later(30))), Some(later(30))),
            (Mode::Stopping, Some(begun + LAST_TRY)),
        ] {
            assert_eq!(leave_at(mode, begun), leaves, "{mode:?}");
        }
    }
}
