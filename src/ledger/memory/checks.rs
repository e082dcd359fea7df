//! What no row may be, whoever writes it: the CHECKs of `migrations/`, once more.

use super::records::{AttemptRow, ReportRow, TaskRow, WorkerRow};
use crate::ledger::error::Failed;
use crate::task::id::{AttemptId, TaskId};
use crate::task::output::{Captured, KEPT};
use crate::task::report::{RESULT, TEXT};
use crate::task::state::{Outcome, Status};

fn all(task: Option<TaskId>, which: &str, rules: &[(&str, bool)]) -> Result<(), Failed> {
    match rules.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((rule, _)) => Err(Failed::row(
            task,
            format!("the store refused a row: {which}: not so: {rule}"),
        )),
    }
}

pub(super) fn task(id: TaskId, row: &TaskRow) -> Result<(), Failed> {
    let is = |status| row.status == status;
    let (spent, lost) = (i64::from(row.budget.spent), i64::from(row.budget.lost));
    all(
        Some(id),
        &format!("task {id}"),
        &[
            ("who waits is due", is(Status::Waiting) == row.due.is_some()),
            (
                "who runs is owned",
                is(Status::Running) == row.owner.is_some(),
            ),
            (
                "who runs has a worker",
                !is(Status::Running) || row.worker.is_some(),
            ),
            (
                "who ended has finished",
                row.status.is_ended() == row.finished.is_some(),
            ),
            (
                "who runs or is done was tried",
                !(is(Status::Running) || is(Status::Done)) || row.attempt > 0,
            ),
            (
                "who is to be cancelled runs",
                row.cancel_asked.is_none() || is(Status::Running),
            ),
            (
                "who is to be cancelled at once is to be cancelled",
                !row.cancel_now || row.cancel_asked.is_some(),
            ),
            (
                "who has no job yet waits",
                !row.later || is(Status::Waiting),
            ),
            ("an attempt has a number", row.attempt >= 0),
            (
                "who was tried has started",
                (row.attempt > 0) == row.started.is_some(),
            ),
            ("each attempt is counted once", spent + lost <= row.attempt),
            ("a TTR is a second at least", row.ttr >= 1),
            ("kicks are counted up", row.kicks >= 0),
            ("puts are counted up", row.generation >= 0),
            (
                "what is noted was begun",
                (0..=row.generation).contains(&row.noted),
            ),
            (
                "a foreign job is known",
                row.foreign.is_none() || row.job.is_some(),
            ),
            (
                "a pointer rings for a foreign task",
                row.pointer.is_none() || row.foreign.is_some(),
            ),
        ],
    )
}

pub(super) fn attempt(id: AttemptId, row: &AttemptRow, is_new: bool) -> Result<(), Failed> {
    let code_fits = |code: Option<i32>| code.is_none_or(|code| (0..=255).contains(&code));
    let has = |outcome: &Outcome| (outcome.exit_code().is_some(), outcome.signal().is_some());
    let outcome = match &row.outcome {
        Outcome::GaveUp { ended, .. } => ended,
        outcome => outcome,
    };
    let fits = match outcome {
        Outcome::Exited(_) | Outcome::Deferred { .. } => has(&row.outcome) == (true, false),
        Outcome::Signalled(_) | Outcome::OutOfMemory => has(&row.outcome) == (false, true),
        Outcome::TimedOut(_) | Outcome::Cancelled(_) | Outcome::Interrupted(_) => {
            has(&row.outcome) != (true, true)
        }
        Outcome::CutOff
        | Outcome::Refused { .. }
        | Outcome::CouldNotStart { .. }
        | Outcome::Lost(_) => has(&row.outcome) == (false, false),
        Outcome::GaveUp { .. } => false,
    };
    all(
        Some(id.task),
        &format!("attempt {id}"),
        &[
            ("it is its task's, and new", is_new),
            ("it has a number", id.number > 0),
            ("its worker has a name", !row.worker.is_empty()),
            ("an exit code is a byte", code_fits(row.outcome.exit_code())),
            (
                "a signal has a number",
                row.outcome.signal().is_none_or(|signal| signal > 0),
            ),
            ("its code and its signal go with its outcome", fits),
        ],
    )
}

pub(super) fn output(id: AttemptId, output: &Captured, is_new: bool) -> Result<(), Failed> {
    let (head, tail) = (output.head.len(), output.tail.len());
    all(
        Some(id.task),
        &format!("what attempt {id} printed"),
        &[
            ("it is its attempt's, and new", is_new),
            ("it is cut", head <= KEPT && tail <= KEPT),
            (
                "its end comes after its beginning",
                tail == 0 || head == KEPT,
            ),
            (
                "what is dropped is between the two",
                output.dropped == 0 || (head == KEPT && tail == KEPT),
            ),
        ],
    )
}

pub(super) fn fire(id: TaskId, is_new: bool, has_task: bool) -> Result<(), Failed> {
    all(
        Some(id),
        &format!("what task {id} came of"),
        &[
            ("no time of a schedule has two", is_new),
            ("it is a task's", has_task),
        ],
    )
}

pub(super) fn report(id: TaskId, row: &ReportRow, is_there: bool) -> Result<(), Failed> {
    let is_within =
        |text: &Option<String>, most| text.as_ref().is_none_or(|text| text.len() <= most);
    let percent = row.progress.percent;
    all(
        Some(id),
        &format!("what the command of task {id} said"),
        &[
            ("its task is there", is_there),
            ("its attempt has a number", row.number > 0),
            (
                "progress is from 0 to 100",
                percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)),
            ),
            ("a message is cut", is_within(&row.progress.message, TEXT)),
            ("a result has its limit", is_within(&row.result, RESULT)),
        ],
    )
}

pub(super) fn worker(row: &WorkerRow) -> Result<(), Failed> {
    all(
        None,
        &format!("worker {}", row.worker.name),
        &[
            ("it has a name", !row.worker.name.is_empty()),
            ("it has a process", row.worker.pid > 0),
        ],
    )
}
