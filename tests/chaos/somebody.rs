//! Whose processes those of a world are, and how many of anything they may have.
//!
//! Root may start as many as it likes, whatever its limit says. So a root's world belongs to a user of its own.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, geteuid};

/// Where users are looked for that nobody has.
const USERS: u32 = 62_000;

/// How many of them.
const MANY: u32 = 3_000;

/// A user, if it is not the one that we are.
#[derive(Debug, Clone, Copy)]
pub struct Somebody(Option<u32>);

/// What can be had too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Processes,
    Descriptors,
}

impl Somebody {
    /// Another one where we are root, and may look at others' processes; else ourselves.
    pub fn new() -> Somebody {
        let them = Somebody(
            geteuid()
                .is_root()
                .then(|| USERS + std::process::id() % MANY),
        );
        match them.can_be_seen() {
            true => them,
            false => Somebody(None),
        }
    }

    /// Whether a limit of processes binds them.
    pub fn is_bound(self) -> bool {
        self.0.is_some() || !geteuid().is_root()
    }

    /// The environment of a process says whose it is, and root in a container may not read that.
    fn can_be_seen(self) -> bool {
        let mut command = Command::new("sleep");
        self.becomes(command.arg("10").stdin(Stdio::null()));
        let Ok(mut child) = command.spawn() else {
            return false;
        };
        let seen = fs::read(format!("/proc/{}/environ", child.id())).is_ok();
        child.kill().unwrap();
        child.wait().unwrap();
        seen
    }

    /// The command will be theirs.
    pub fn becomes(self, command: &mut Command) {
        if let Some(user) = self.0 {
            command.uid(user).gid(user);
        }
    }

    /// Gives them a file.
    pub fn owns(self, path: &Path) -> io::Result<()> {
        self.0
            .map_or(Ok(()), |user| chown(path, Some(user), Some(user)))
    }

    /// What a process of theirs may have from now on; as `/proc` says it. Only they themselves may say so.
    pub fn limit(self, pid: Pid, resource: Resource, soft: &str) -> bool {
        let mut command = Command::new("prlimit");
        command
            .args(["--pid", &pid.as_raw_nonzero().to_string()])
            .arg(format!("--{}={soft}:", resource.flag()))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        self.becomes(&mut command);
        command.status().expect("prlimit is installed").success()
    }
}

impl Resource {
    fn flag(self) -> &'static str {
        match self {
            Resource::Processes => "nproc",
            Resource::Descriptors => "nofile",
        }
    }

    /// How many a process may have now; None if it is gone.
    pub fn of(self, pid: Pid) -> Option<String> {
        let name = match self {
            Resource::Processes => "Max processes",
            Resource::Descriptors => "Max open files",
        };
        let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next().map(str::to_owned)
    }
}
