//! What became of what was asked for, and how much there is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::api::bulk;
use crate::api::cancel;
use crate::api::cleanup;
use crate::api::error::Error;
use crate::api::put::{Existing, Receipt};
use crate::api::wait::Waited;
use crate::ledger::cancel::NotCancelled;
use crate::ledger::counts;
use crate::task::id::TaskId;

/// A task that was recorded, as `put` has it.
#[derive(Debug, Serialize)]
pub struct Put {
    /// The task was there before, and has the key that was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    existing: bool,
    id: i64,
    /// It is given what was put.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replaced: bool,
    uuid: String,
}

impl Put {
    /// Its shape.
    pub fn of(receipt: &Receipt) -> Put {
        Put {
            existing: receipt.existing.is_some(),
            id: receipt.id.0,
            replaced: receipt.existing == Some(Existing::Replaced),
            uuid: receipt.uuid.to_string(),
        }
    }
}

/// What became of one task that was named, as `regenerate` and its like have it. `done` is the word for what was to be
/// done to it, and the key of whether it was.
pub fn answer(
    done: &'static str,
    id: TaskId,
    answer: &Result<Receipt, Error>,
) -> BTreeMap<&'static str, Value> {
    let mut object = BTreeMap::from([("id", id.0.into()), (done, answer.is_ok().into())]);
    match answer {
        Ok(receipt) => object.insert("uuid", receipt.uuid.to_string().into()),
        Err(error) => object.insert("error", error.to_string().into()),
    };
    object
}

/// What came of doing something to tasks that nobody has named one by one.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// So many of those that were changed run, and are told to end; only of `cancel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<u64>,
    changed: u64,
    dry_run: bool,
    matched: u64,
    refused: u64,
}

impl Changed {
    /// Its shape.
    pub fn of(matched: u64, summary: &bulk::Summary, dry_run: bool) -> Changed {
        Changed {
            asked: None,
            changed: summary.changed,
            dry_run,
            matched,
            refused: summary.refused,
        }
    }

    /// With those that are told to end.
    #[must_use]
    pub fn asked(self, asked: u64) -> Changed {
        let asked = Some(asked);
        Changed { asked, ..self }
    }
}

/// What became of one task that was to be cancelled, as `cancel` has it.
#[derive(Debug, Serialize)]
pub struct Cancelled {
    cancelled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    id: i64,
    /// How the task stands, where it is not known to be cancelled.
    status: Option<&'static str>,
}

impl Cancelled {
    /// Its shape.
    pub fn of(id: TaskId, cancelled: &Result<cancel::Cancelled, Error>) -> Cancelled {
        let status = match cancelled {
            Ok(cancel::Cancelled::Now | cancel::Cancelled::Before) => Some("cancelled"),
            Ok(cancel::Cancelled::Asked { .. }) => Some("running"),
            Err(Error::NotCancelled(NotCancelled::Ended { status, .. })) => Some(status.as_str()),
            Err(_) => None,
        };
        Cancelled {
            cancelled: status == Some("cancelled"),
            error: cancelled.as_ref().err().map(Error::to_string),
            id: id.0,
            status,
        }
    }
}

/// How a task that was waited for has ended, as `wait` has it.
#[derive(Debug, Serialize)]
pub struct Ended {
    ended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    id: i64,
    /// None where it has not ended.
    status: Option<&'static str>,
}

impl Ended {
    /// Its shape: of those that have ended, of those that have not, and of those that are not there.
    pub fn all(waited: &Waited) -> Vec<Ended> {
        let open = |id: &TaskId| Ended {
            ended: false,
            error: None,
            id: id.0,
            status: None,
        };
        let ended = waited.ended.iter().map(|(id, ended)| Ended {
            ended: true,
            status: Some(ended.as_str()),
            ..open(id)
        });
        let gone = waited.gone.iter().map(|id| Ended {
            error: Some(NotCancelled::NoSuchTask { id: *id }.to_string()),
            ..open(id)
        });
        ended
            .chain(waited.open.iter().map(open))
            .chain(gone)
            .collect()
    }
}

/// What `cleanup` came to.
#[derive(Debug, Serialize)]
pub struct Cleaned {
    deleted: u64,
    would_delete: u64,
}

impl Cleaned {
    /// Its shape.
    pub fn of(cleaned: &cleanup::Cleaned) -> Cleaned {
        Cleaned {
            deleted: cleaned.deleted,
            would_delete: cleaned.would_delete,
        }
    }
}

/// How many tasks of a tube stand where, as `status` has it.
#[derive(Debug, Serialize)]
pub struct Counts<'a> {
    cancelled: u64,
    failed: u64,
    running: u64,
    stalled: u64,
    tube: &'a str,
    waiting: u64,
    waiting_for_others: u64,
}

impl<'a> Counts<'a> {
    /// Its shape.
    pub fn of(tube: &'a str, counts: &counts::Counts) -> Counts<'a> {
        let counts::Counts {
            waiting,
            waiting_for_others,
            running,
            stalled,
            failed,
            due: _,
            cancelled,
        } = *counts;
        Counts {
            cancelled,
            failed,
            running,
            stalled,
            tube,
            waiting,
            waiting_for_others,
        }
    }
}
