//! How long a worker, and a command, may take to go once it is told to. Tender and worker both go by these times, and
//! must agree.

use std::time::Duration;

/// How long a worker gives its command between TERM and KILL.
pub const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// When a command still runs so long after its KILL, it does not end.
pub const KILL_TO_STUCK: Duration = Duration::from_secs(1);

/// What a worker may need beyond that to settle its task and go.
pub const MARGIN: Duration = Duration::from_secs(2);

/// When a worker still lives so long after it was told to go at once, it is stuck.
pub const WORKER_STUCK: Duration = TERM_TO_KILL.saturating_add(MARGIN);

/// How long a tender that ends waits for the end of a worker that was killed. One that it may not kill, or that the
/// kernel does not let go, must not keep it.
pub const KILLED_PATIENCE: Duration = Duration::from_secs(5);

/// The same of a tender: by then it has killed its workers, left those that do not end, and looked for what the dead
/// have left running.
pub const TENDER_STUCK: Duration = WORKER_STUCK
    .saturating_add(KILLED_PATIENCE)
    .saturating_add(LAST_LOOKS);

/// How long a tender whose workers are gone looks, at most, for what they have left running.
pub const LAST_LOOKS: Duration = Duration::from_secs(10);
