//! What a worker's own files beside the store begin with: whose they are. They are never flushed, and what was written
//! in another boot of the machine may be there in part.

use uuid::Uuid;

use crate::clock::boot_id;
use crate::task::id::WorkerId;

/// How long that is, filled up with spaces.
pub const LENGTH: usize = 128;

/// What a worker's begins with; `None` where the system does not tell which boot this is.
pub fn file(store: Uuid, worker: WorkerId) -> Option<String> {
    let boot = boot_id();
    let whose = format!("{store} {worker} {boot}");
    (!boot.is_empty()).then(|| format!("{whose:<width$}\n", width = LENGTH - 1))
}
