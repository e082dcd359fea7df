//! How many descriptors this process may have.
//!
//! The soft limit is often 1024, for the sake of programs that keep descriptors in tables of that size (select(2)). We
//! do not, so we may have as many as the hard limit lets us. What we start gets the limit that we were started with.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::task::conditions::Limit;

/// The environment variable that tells a worker which soft limit its commands are to have, where its tender has raised
/// its own. A worker takes it out of the environment of its commands.
pub const VARIABLE: &str = "TASKQUEUE_NOFILE";

/// As many are of use.
const MOST: u64 = 65_536;

/// As many are kept for what passes: those who ask, files that are read, a look at all processes.
const RESERVE: u64 = 24;

/// The limit as it was, if it was raised.
static BEFORE: OnceLock<Option<Rlimit>> = OnceLock::new();

/// Raises the limit, as far as that is of use. `before`: the soft limit that commands are to have, if it was raised
/// for us by who started us. To be called before anything is started; only the first call counts.
pub fn raise(before: Option<u64>) {
    BEFORE.get_or_init(|| {
        let found = getrlimit(Resource::Nofile);
        let commands = Rlimit {
            current: before.or(found.current),
            ..found
        };
        let wanted = found.maximum.map_or(MOST, |hard| hard.min(MOST));
        if found.current.is_some_and(|soft| soft < wanted) {
            let raised = Rlimit {
                current: Some(wanted),
                ..found
            };
            // It stays as it is then.
            let _ = setrlimit(Resource::Nofile, raised);
        }
        (getrlimit(Resource::Nofile).current != commands.current).then_some(commands)
    });
}

/// The limit that what we start is to have, where that is not ours.
pub fn before() -> Option<Rlimit> {
    BEFORE.get().copied().flatten()
}

/// The same, as [`VARIABLE`] holds it.
pub fn told() -> Option<String> {
    before()
        .and_then(|limit| limit.current)
        .map(|soft| soft.to_string())
}

/// As many as the kernel lets anybody have (proc(5), "nr_open"), where that is known.
pub fn most_descriptors() -> Option<u64> {
    let said = fs::read_to_string("/proc/sys/fs/nr_open").ok()?;
    said.trim().parse().ok()
}

/// What the system calls it.
pub fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::Nofile => Resource::Nofile,
        Limit::Nproc => Resource::Nproc,
        Limit::Core => Resource::Core,
        Limit::Cpu => Resource::Cpu,
        Limit::Memory => Resource::As,
        Limit::FileSize => Resource::Fsize,
    }
}

/// Gives a process the limit that it is to have. One that is gone needs none.
pub fn give(pid: Pid) {
    if let Some(limit) = before() {
        let _ = prlimit(Some(pid), Resource::Nofile, limit);
    }
}

/// Whether enough may be opened beside this descriptor, which has just been opened: the lowest number is given that is
/// free.
///
/// # Errors
/// When only those are left that are kept for what passes.
pub fn leaves_room(newest: impl AsFd) -> io::Result<()> {
    match left(newest) {
        Some((soft, 0)) => Err(io::Error::other(format!(
            "the limit of {soft} open files leaves no room for another; raise it, with ulimit -n or LimitNOFILE="
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The limit, and how many may be opened beside this descriptor and those that are kept for what passes; `None`: as
/// many as we like.
pub fn left(newest: impl AsFd) -> Option<(u64, u64)> {
    let soft = getrlimit(Resource::Nofile).current?;
    let used = u64::try_from(newest.as_fd().as_raw_fd()).unwrap_or(0) + 1;
    Some((soft, soft.saturating_sub(RESERVE).saturating_sub(used)))
}
