//! How long a worker, and a command, may take to go once it is told to. Tender and worker both go by these times, and
//! must agree.

use std::time::Duration;

/// How long a worker gives its command between TERM and KILL.
pub const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// What a worker may need beyond that to settle its task and go.
pub const MARGIN: Duration = Duration::from_secs(2);

/// When a worker still lives so long after it was told to go at once, it is stuck.
pub const WORKER_STUCK: Duration = TERM_TO_KILL.saturating_add(MARGIN);

/// The same of a tender: by then it has killed its workers.
pub const TENDER_STUCK: Duration = WORKER_STUCK.saturating_add(Duration::from_secs(3));
