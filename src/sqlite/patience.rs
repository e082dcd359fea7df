//! How long a statement waits for another process's lock.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// As long as a statement waits unless it is told to be brief.
pub const BUSY_WAIT: Duration = Duration::from_secs(10);

/// As long as a loop can spare: nothing else of it goes on meanwhile.
const BRIEF: Duration = Duration::from_millis(10);

thread_local! {
    /// When this thread began to wait for the lock that it waits for.
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// How long this thread waits.
    static PATIENCE: Cell<Duration> = const { Cell::new(BUSY_WAIT) };
}

/// Has statements on this thread wait no longer than a loop can spare, as long as `f` runs.
pub fn briefly<R>(f: impl FnOnce() -> R) -> R {
    patiently(BRIEF, f)
}

/// Has statements on this thread wait so long, as long as `f` runs.
pub(super) fn patiently<R>(patience: Duration, f: impl FnOnce() -> R) -> R {
    let before = PATIENCE.replace(patience);
    let result = f();
    PATIENCE.set(before);
    result
}

/// SQLite's own handler sleeps up to 100 ms between tries, so that under load one process gets every turn
/// and another none. Short waits, a little apart from each other, share the lock out.
pub(super) fn wait_for_lock(tries: i32) -> bool {
    let now = Instant::now();
    if tries == 0 {
        WAITING_SINCE.set(Some(now));
    }
    let waited = WAITING_SINCE
        .get()
        .map_or(Duration::ZERO, |since| now.duration_since(since));
    if waited >= PATIENCE.get() {
        return false;
    }
    // 0.1 to 1 ms while it may go fast, then up to 5 ms: nobody should spin for seconds.
    let step = u64::from(tries.unsigned_abs() % 10) + 1;
    let unit = if waited < Duration::from_millis(200) {
        100
    } else {
        500
    };
    sleep(Duration::from_micros(step * unit));
    true
}
