//! What is lacking for a while: room, on a disk and for processes and files; a lock; somebody who reads the log.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::super::somebody::Resource;
use super::super::store;
use super::super::world::{Process, Role};
use super::{Stage, Undo};

/// How many more files may be opened than are.
const MORE_FILES: u64 = 4;

/// A process that may have less than before.
pub struct Limited {
    process: Process,
    resource: Resource,
    /// What it had.
    soft: String,
}

impl Stage {
    pub(super) fn fill(&mut self, until: Instant) -> Option<String> {
        let but = self.random.below(64 * 1024);
        self.disk.as_ref()?.fill(but).ok()?;
        self.later(until, Undo::Empty);
        Some(format!("{but} bytes are left"))
    }

    pub(super) fn fill_log(&mut self, until: Instant) -> Option<String> {
        self.log_disk.as_ref()?.fill(0).ok()?;
        self.later(until, Undo::EmptyLog);
        // The rest of the page that each ends in.
        for log in fs::read_dir(self.shared.world.logs()).ok()?.flatten() {
            write_until_full(log.path());
        }
        Some(String::new())
    }

    pub(super) fn lock(&mut self, until: Instant) -> Option<String> {
        let connection = store::open(&self.shared.world.store()).ok()?;
        connection.busy_timeout(Duration::from_secs(1)).ok()?;
        connection.execute_batch("BEGIN IMMEDIATE").ok()?;
        self.later(until, Undo::Unlock(connection));
        Some(String::new())
    }

    /// A tender or a worker can have no more of it than it has; of processes, all workers of a tender can have no more
    /// either, as where a service may have so many.
    pub(super) fn limit(&mut self, resource: Resource, until: Instant) -> Option<String> {
        let owner = self.shared.world.owner;
        if resource == Resource::Processes && !owner.is_bound() {
            return None;
        }
        let process = self.any(&[Role::Tender, Role::Worker])?;
        let is_limited =
            |undo: &Undo| matches!(undo, Undo::Limit(of) if of.process.pid == process.pid);
        if self.undos.iter().any(|(_, undo)| is_limited(undo)) {
            return None;
        }
        let soft = resource.of(process.pid)?;
        let few = match resource {
            Resource::Processes => 1,
            Resource::Descriptors => {
                let open = fs::read_dir(format!("/proc/{}/fd", process.pid.as_raw_nonzero()));
                open.ok()?.count() as u64 + self.random.below(MORE_FILES)
            }
        };
        let few = few.to_string();
        let line = format!("{few} instead of {soft}, {process}");
        // It is limited with its tender, or has gone.
        if few == soft || !owner.limit(process.pid, resource, &few) {
            return None;
        }
        if resource == Resource::Processes {
            let mut workers = self.shared.world.all(Role::Worker);
            workers.retain(|worker| worker.parent == process.pid.as_raw_nonzero().get());
            for worker in workers {
                owner.limit(worker.pid, resource, &few);
            }
        }
        let limited = Limited {
            process,
            resource,
            soft,
        };
        self.later(until, Undo::Limit(limited));
        Some(line)
    }

    /// Gives it, and whom it has started since, what it had.
    pub(super) fn unlimit(&self, limited: &Limited) {
        let world = &self.shared.world;
        let pid = limited.process.pid;
        let mut all = world.processes();
        all.retain(|process| process.pid == pid || process.parent == pid.as_raw_nonzero().get());
        for process in all {
            // It may have ended, but nobody has its number if it is in the list still.
            world
                .owner
                .limit(process.pid, limited.resource, &limited.soft);
        }
    }

    /// Nobody reads a log any more, for a while or for good.
    pub(super) fn deafen(&mut self, gone: bool, until: Instant) -> Option<String> {
        let read: Vec<usize> = (0..self.tended.len())
            .filter(|at| {
                let tap = self.tended.get(*at).and_then(|tended| tended.tap());
                tap.is_some_and(|tap| tap.is_read())
            })
            .collect();
        let at = *self.random.pick(&read)?;
        let tended = self.tended.get(at)?;
        let (tap, pid) = (tended.tap()?, tended.pid()?);
        if gone {
            tap.close();
            self.later(until, Undo::StartAgain(at, pid));
        } else {
            tap.sleep();
            write_until_full(format!("/proc/{}/fd/2", pid.as_raw_nonzero()));
            self.later(until, Undo::Read(tap));
        }
        Some(format!("{pid:?}"))
    }
}

/// Ends of lines, which say nothing, until there is no room left. Whoever writes there too is not made to wait by it.
fn write_until_full(path: impl AsRef<Path>) {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let file = OpenOptions::new()
        .append(true)
        .custom_flags(flags)
        .open(path);
    // It may have gone.
    while file
        .as_ref()
        .is_ok_and(|mut file| file.write(b"\n").is_ok())
    {}
}
