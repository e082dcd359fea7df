//! What a worker logs.

use super::machine::{By, CallOff, Said};
use crate::clock;
use crate::reconcile::often_interrupted;
use crate::tube::TubeName;

mod ended;

/// Logs it.
pub fn say(said: &Said, worker: &str, tube: &TubeName, command: &str) {
    match said {
        // The tender says why, once the worker has gone.
        Said::Told {
            mode,
            by: By::Tender,
        } => tracing::debug!(worker, order = %mode, "was told to go"),
        Said::Told {
            mode,
            by: By::Signal,
        } => tracing::info!(worker, order = %mode, "was told to go"),
        Said::LetsFinish {
            attempt,
            since,
            until,
        } => {
            let until = until.map_or_else(|| "its end".into(), clock::written);
            let (task, attempt, since) = (attempt.task, attempt.number, clock::written(*since));
            let said = "was told to go; lets its command run until then";
            tracing::info!(worker, %task, attempt, command, since, until, "{said}");
        }
        Said::CallsOff { attempt, how } => {
            let (task, attempt) = (attempt.task, attempt.number);
            let said = match how {
                CallOff::Ask => "ends the command of a task that is to be cancelled",
                CallOff::Kill => "kills the command of a task that is to be cancelled",
            };
            tracing::info!(worker, %task, attempt, command, "{said}");
        }
        Said::Withdrawn(attempt) => {
            let task = attempt.task;
            tracing::info!(worker, %task, "did not begin a task that is to be cancelled");
        }
        Said::Unreachable(error) => {
            tracing::warn!(worker, %error, "could not reserve; will keep trying")
        }
        Said::Reachable => tracing::info!(worker, "reached the broker again"),
        Said::Elsewhere { job, store } => {
            tracing::warn!(job, %tube, %store, "left a job to the workers of another store");
        }
        Said::LeftToOthers { job, refusal } => tracing::warn!(
            job,
            %tube,
            refusal,
            "left a job that nothing is configured for here to the others who watch its tube"
        ),
        Said::BuriedElsewhere { job, store, buried } => tracing::warn!(
            worker,
            job,
            %tube,
            %store,
            buried,
            "buried a job of another store: for a day nobody of that store has come for it"
        ),
        Said::InVain => tracing::warn!(
            worker,
            %tube,
            "the broker answers at once, and has nothing; asks it no more often than every two seconds"
        ),
        Said::CouldNotClaim {
            job,
            error,
            buried: true,
        } => {
            tracing::error!(job, error, "could not claim a task; buried its job");
        }
        Said::CouldNotClaim {
            job,
            error,
            buried: false,
        } => {
            tracing::error!(job, error, "could not claim a task; left its job");
        }
        Said::Refused { task, reason } => {
            tracing::warn!(worker, %task, %tube, outcome = "refused", reason, "refused a task and buried its job")
        }
        Said::NoRow {
            job,
            uuid,
            missing: true,
        } => tracing::warn!(
            worker,
            job,
            %tube,
            %uuid,
            "buried a pointer to a task that the store lacks, and that was recorded after what it has: was an older \
             store put in its place?"
        ),
        Said::NoRow {
            job,
            uuid,
            missing: false,
        } => tracing::warn!(
            worker,
            job,
            %tube,
            %uuid,
            "deleted a pointer to a task that the store has no more, as after a cleanup"
        ),
        Said::GivenUp { task, reason } => {
            tracing::error!(worker, %task, %tube, reason, "gave up a task and buried its job")
        }
        Said::Buried(task) => tracing::warn!(%task, "buried the job of a task that had failed"),
        Said::TookOver(attempt) => {
            tracing::warn!(task = %attempt.task, attempt = attempt.number, "took over a dead worker's attempt");
        }
        Said::DoesNotEnd { attempt, reason } => tracing::warn!(
            worker,
            task = %attempt.task,
            attempt = attempt.number,
            command,
            reason,
            "cannot end a command; waits for it to end by itself, or for whoever may end it"
        ),
        Said::IsStopped {
            attempt,
            signal,
            since,
            times_out,
        } => {
            let (task, attempt, for_s) = (attempt.task, attempt.number, since.as_secs());
            let said = match times_out {
                true => {
                    "a command is stopped; it goes on after SIGCONT, or is ended when its time is up"
                }
                false => "a command is stopped; it goes on after SIGCONT, and has no timeout",
            };
            tracing::warn!(worker, %task, attempt, command, signal, for_s, "{said}");
        }
        Said::GoesOn { attempt, after } => tracing::info!(
            worker,
            task = %attempt.task,
            attempt = attempt.number,
            command,
            after_s = after.as_secs(),
            "a command that was stopped goes on"
        ),
        Said::LeftBehind { attempt, who } => tracing::warn!(
            worker,
            task = %attempt.task,
            attempt = attempt.number,
            command,
            reason = who,
            "cannot end what a command left running; waits for it, for whoever may end it, or for another order"
        ),
        Said::LeftRunning { attempt, reason } => tracing::warn!(
            worker,
            task = %attempt.task,
            attempt = attempt.number,
            command,
            reason,
            "left what it cannot end; the task runs again once that has ended"
        ),
        Said::Stuck { attempt, reason } => tracing::error!(
            task = %attempt.task,
            attempt = attempt.number,
            reason,
            "could not end what an attempt left running; did not run its task again"
        ),
        Said::Unsettled { job, error } => {
            tracing::warn!(job, %error, "could not settle a job; it may come round again");
        }
        Said::LostJob { job, error } => {
            tracing::warn!(job, %error, "lost a job that was to be released")
        }
        Said::LostReservation { job, error } => {
            tracing::warn!(job, %error, "lost a reservation while its command ran");
        }
        Said::CouldNotStart { attempt, reason } => tracing::warn!(
            worker,
            task = %attempt.task,
            reason,
            "could not start a command; gave its job back, and will keep trying"
        ),
        Said::StartsAgain { program } => {
            tracing::info!(worker, program, "could start commands again")
        }
        Said::OftenInterrupted { task, times } => often_interrupted(*task, *times),
        Said::Ended { settlement, long } => ended::say(settlement, *long, (worker, tube, command)),
        Said::NotOurs(attempt) => tracing::warn!(
            task = %attempt.task,
            attempt = attempt.number,
            "found an attempt taken over; left its task alone"
        ),
        Said::CouldNotRecord { attempt, error } => tracing::error!(
            task = attempt.map(|attempt| attempt.task.0),
            attempt = attempt.map(|attempt| attempt.number),
            error,
            "could not record an outcome; will keep trying"
        ),
        Said::RecordedAtLast(attempt) => tracing::info!(
            task = attempt.map(|attempt| attempt.task.0),
            attempt = attempt.map(|attempt| attempt.number),
            "recorded an outcome at last"
        ),
        Said::LeftUnrecorded(attempt) => tracing::error!(
            task = attempt.map(|attempt| attempt.task.0),
            attempt = attempt.map(|attempt| attempt.number),
            "left before an outcome was recorded; whoever has its task next finds it lost"
        ),
        Said::CouldNotRecordBatch(error) => {
            tracing::error!(
                error,
                "could not record what was before a command; will keep trying"
            );
        }
        Said::CouldNotNote { told: true, error } => {
            tracing::warn!(worker, error, "could not note that it was told to go");
        }
        Said::CouldNotNote { told: false, error } => {
            tracing::warn!(
                worker,
                error,
                "could not note what became of its jobs, or how far its command is"
            );
        }
        Said::LedgerBack => tracing::info!("reached the store again"),
    }
}
