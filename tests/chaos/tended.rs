//! The programs that somebody keeps running: tenders, and a worker without one.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::tap::Tap;
use super::world::{CALLS, World};

/// How soon one that ended by itself is started again.
const AGAIN: Duration = Duration::from_millis(500);

/// One of them.
pub struct Tended {
    name: &'static str,
    arguments: &'static [&'static str],
    child: Option<Child>,
    /// Who was told to end when the next one was started, and has not ended yet.
    leaving: Vec<Child>,
    /// Who reads what it logs to stderr.
    tap: Option<Tap>,
    start_at: Instant,
    /// It was told to end.
    asked: bool,
    /// How often it ended though nobody had asked it to.
    pub gave_up: u64,
}

/// Two tenders, and a worker that has none. What may change while they run is in their configuration. One tender logs
/// to a file on a disk of its own, the others to whoever reads.
pub fn all() -> Vec<Tended> {
    let tended = |name, arguments| Tended {
        name,
        arguments,
        child: None,
        leaving: Vec::new(),
        tap: None,
        start_at: Instant::now(),
        asked: false,
        gave_up: 0,
    };
    vec![
        tended(
            "tender-calls",
            &["tender", "--use-tube", CALLS, "--grace-period", "1"],
        ),
        tended(
            "tender-raw",
            &[
                "tender",
                "--config",
                "raw.toml",
                "--log-file",
                "logs/tender-raw",
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

    /// It, and those before it that have not ended yet.
    pub fn pids(&self) -> impl Iterator<Item = Pid> {
        self.child.iter().chain(&self.leaving).map(Pid::from_child)
    }

    /// Who reads its log, if that is somebody.
    pub fn tap(&self) -> Option<Tap> {
        let to_file = self.arguments.contains(&"--log-file");
        self.tap
            .clone()
            .filter(|_| !to_file && self.child.is_some())
    }

    /// Starts it if it is time to; notices its end.
    pub fn tend(&mut self, world: &World) {
        self.leaving
            .retain_mut(|child| child.try_wait().unwrap().is_none());
        if let Some(child) = &mut self.child {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                self.start_at = Instant::now() + AGAIN;
                // Whom a signal ended, we killed; and one that drains may keep the next from beginning.
                let by_itself = !self.asked && self.leaving.is_empty();
                self.gave_up += u64::from(by_itself && status.code().is_some());
            }
        } else if self.start_at <= Instant::now() {
            self.start(world);
        }
    }

    fn start(&mut self, world: &World) {
        let (tap, writer) = Tap::open(world.log(self.name));
        let mut command = world.taskqueue(self.arguments);
        command.stdout(world.log(self.name)).stderr(writer);
        self.child = Some(command.spawn().unwrap());
        self.tap = Some(tap);
        self.asked = false;
    }

    /// Kills it, and who drains before it; it stays away for a while.
    pub fn kill(&mut self, away: Duration) {
        let killed = self.child.is_some();
        for mut child in self.child.take().into_iter().chain(self.leaving.drain(..)) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if killed {
            self.start_at = Instant::now() + away;
        }
    }

    /// Tells it to end.
    pub fn terminate(&mut self) {
        self.is_asked();
        if let Some(pid) = self.pid() {
            kill_process(pid, Signal::TERM).unwrap();
        }
    }

    /// Somebody has told it to end.
    pub fn is_asked(&mut self) {
        self.asked = true;
    }

    /// Tells it to end, and has the next one begin at once.
    pub fn hand_over(&mut self) {
        self.terminate();
        self.leaving.extend(self.child.take());
        self.start_at = Instant::now();
    }

    /// Whether it has ended, after it was told to.
    pub fn has_ended(&mut self) -> bool {
        let mut children = self.child.iter_mut().chain(&mut self.leaving);
        children.all(|child| child.try_wait().unwrap().is_some())
    }
}

impl Drop for Tended {
    fn drop(&mut self) {
        self.kill(Duration::ZERO);
    }
}
