//! The programs that somebody keeps running: tenders, and a worker without one.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::world::{CALLS, RAW, World};

/// How soon one that ended by itself is started again.
const AGAIN: Duration = Duration::from_millis(500);

/// One of them.
pub struct Tended {
    name: &'static str,
    arguments: &'static [&'static str],
    child: Option<Child>,
    start_at: Instant,
    /// It was told to end.
    asked: bool,
    /// How often it ended though nobody had asked it to.
    pub gave_up: u64,
}

/// Two tenders, and a worker that has none.
pub fn all() -> Vec<Tended> {
    let tended = |name, arguments| Tended {
        name,
        arguments,
        child: None,
        start_at: Instant::now(),
        asked: false,
        gave_up: 0,
    };
    vec![
        tended(
            "tender-calls",
            &[
                "tender",
                "--use-tube",
                CALLS,
                "--min-workers",
                "2",
                "--max-workers",
                "4",
                "--max-worker-age",
                "10",
                "--grace-period",
                "1",
            ],
        ),
        tended(
            "tender-raw",
            &[
                "tender",
                "--use-tube",
                RAW,
                "--min-workers",
                "1",
                "--max-workers",
                "2",
                "--grace-period",
                "1",
            ],
        ),
        tended(
            "worker-alone",
            &["worker", "--use-tube", CALLS, "--grace-period", "1"],
        ),
    ]
}

impl Tended {
    pub fn is_tender(&self) -> bool {
        self.arguments.first() == Some(&"tender")
    }

    pub fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Pid::from_child)
    }

    /// Starts it if it is time to; notices its end.
    pub fn tend(&mut self, world: &World) {
        if let Some(child) = &mut self.child {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                self.start_at = Instant::now() + AGAIN;
                // Whom a signal ended, we killed.
                self.gave_up += u64::from(!self.asked && status.code().is_some());
            }
        } else if self.start_at <= Instant::now() {
            self.asked = false;
            self.child = Some(world.start(self.name, self.arguments));
        }
    }

    /// Kills it; it stays away for a while.
    pub fn kill(&mut self, away: Duration) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.start_at = Instant::now() + away;
        }
    }

    /// Tells it to end.
    pub fn terminate(&mut self) {
        self.asked = true;
        if let Some(pid) = self.pid() {
            kill_process(pid, Signal::TERM).unwrap();
        }
    }

    /// Whether it has ended, after it was told to.
    pub fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_none_or(|child| child.try_wait().unwrap().is_some())
    }
}

impl Drop for Tended {
    fn drop(&mut self) {
        self.kill(Duration::ZERO);
    }
}
