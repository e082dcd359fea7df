//! Reaping what nobody else reaps: a process that is the first of its pid namespace, as in a container, or a subreaper,
//! is given the orphans of all below it, and what it does not wait for stays a zombie, which holds a place in the table
//! of processes.
//!
//! Whoever waits for a child of ours must find it: so only those are reaped of which the caller says that nobody waits
//! for them, one by one, on the thread that starts processes.

use std::fs;
use std::future::pending;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, child_subreaper, getpid, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::table;

/// After a child's end, others are waited for, so that a full tube costs ten looks a second and no more.
const LATER: Duration = Duration::from_millis(100);

/// Hears when there may be something to be reaped. Nothing at all in a process that is given no orphans.
#[derive(Debug)]
pub struct Reaper {
    ends: Option<Signal>,
    due_at: Option<Instant>,
}

impl Reaper {
    /// To be made within a runtime.
    ///
    /// # Errors
    /// When the ends of children cannot be listened to.
    pub fn new() -> io::Result<Reaper> {
        let is_given_orphans =
            getpid().is_init() || child_subreaper().is_ok_and(|set| set.is_some());
        let ends = is_given_orphans.then(|| signal(SignalKind::child()));
        Ok(Reaper {
            ends: ends.transpose()?,
            // There may have been some before us.
            due_at: is_given_orphans.then(Instant::now),
        })
    }

    /// Waits until it is time for [`reap`]. May be cancelled.
    pub async fn due(&mut self) {
        let Some(ends) = &mut self.ends else {
            return pending().await;
        };
        if self.due_at.is_none() {
            ends.recv().await;
        }
        let at = *self.due_at.get_or_insert_with(|| Instant::now() + LATER);
        sleep_until(at).await;
        self.due_at = None;
    }
}

/// Reaps those of our children that have ended and that nobody waits for. To be called on the only thread that starts
/// processes: a number that is not awaited could become that of one that is.
pub fn reap(is_awaited: impl Fn(Pid) -> bool) {
    for pid in children().unwrap_or_default() {
        if !is_awaited(pid) {
            // One that lives stays; one that is gone was reaped by whoever waited for it.
            let _ = waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            );
        }
    }
}

/// All of our children, whichever thread started them (proc(5)).
fn children() -> io::Result<Vec<Pid>> {
    table::is_of_our_namespace()?;
    let mut all = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread may have ended.
        let text = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        let pids = text
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok());
        all.extend(pids.filter_map(Pid::from_raw));
    }
    Ok(all)
}
