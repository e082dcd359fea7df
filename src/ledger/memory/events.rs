//! What has happened, as it is read.

use super::tables::Tables;
use crate::ledger::rows::{EventFilter, EventRow};
use crate::task::id::{AttemptId, TaskId};
use crate::task::state::Status;

/// An event, with what other rows say of it now.
pub(super) fn joined(tables: &Tables, event: &EventRow) -> EventRow {
    let mut event = event.clone();
    let Some(id) = event.task.map(TaskId) else {
        return event;
    };
    if let Some(row) = tables.task(id) {
        event.uuid = Some(row.uuid);
        event.tube = Some(row.tube.to_string());
        event.command = row.command.clone();
        event.reason = match row.status {
            Status::Failed | Status::Cancelled => row.reason.clone(),
            Status::Waiting | Status::Running | Status::Done => None,
        };
    }
    let attempt = event.attempt.map(|number| AttemptId { task: id, number });
    if let Some(row) = attempt.and_then(|attempt| tables.attempt(attempt)) {
        event.outcome = Some(row.outcome.word().to_owned());
        event.exit_code = row.outcome.exit_code().map(i64::from);
        event.signal = row.outcome.signal().map(i64::from);
        event.reason = row.outcome.reason().map(str::to_owned).or(event.reason);
        event.worker = Some(row.worker.clone());
    }
    event.schedule = tables.fires().get(&id).map(|fire| fire.schedule.clone());
    event
}

pub(super) fn passes(filter: &EventFilter, event: &EventRow) -> bool {
    let detail = event.detail.as_deref().map(serde_json::from_str);
    let detail: Option<serde_json::Value> = detail.and_then(Result::ok);
    let written = detail
        .as_ref()
        .and_then(|detail| detail.get("tube")?.as_str());
    let tube = event.tube.as_deref().or(written);
    (filter.what.is_empty() || filter.what.iter().any(|what| what.number() == event.what))
        && filter.tube.as_deref().is_none_or(|name| tube == Some(name))
        && filter.task.is_none_or(|task| event.task == Some(task.0))
}
