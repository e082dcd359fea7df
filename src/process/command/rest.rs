//! What comes through a command's pipe once the command has exited.

use std::future::poll_fn;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::process::test_kill_process_group;

use super::{PIPE, READ, Running, Source, read};

/// As much as is read of what was reported by a command's exit: the longest that a pipe can be made (pipe(7)).
const REPORTED: usize = 1024 * 1024;

impl Running {
    /// What the command has reported by its exit and nobody has read, piece by piece. What is left of it can report
    /// nothing from then on.
    pub fn last_reports(&mut self, mut each: impl FnMut(&[u8])) {
        let Some(reports) = self.reports.take() else {
            return;
        };
        for _ in 0..REPORTED / READ {
            match read(reports.reader.descriptor()) {
                Ok(Some(chunk)) => each(&chunk),
                // Nothing is there, or no more.
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// What the command has still printed when it has exited, piece by piece. False if that may not be all: something
    /// that the command left behind holds its pipe open.
    pub fn last_words(&mut self, mut each: impl FnMut(&[u8])) -> bool {
        let Some(printed) = &self.printed else {
            return true;
        };
        // As much as there was room for, and its end.
        for _ in 0..=PIPE / READ {
            match read(printed.descriptor()) {
                Ok(Some(chunk)) => each(&chunk),
                Ok(None) => {
                    self.printed = None;
                    return true;
                }
                Err(_) => return false,
            }
        }
        false
    }

    /// What else comes through the pipe, as far as that is listened to; `None` when nobody can print any more. May be
    /// cancelled: nothing is lost.
    pub async fn late(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_printed(cx)).await
    }

    /// Whether anybody is left in the command's process group once the command has exited. Costs no look at all
    /// processes. The group's number cannot be another's while somebody is in it; else the answer may be wrong, and no
    /// signal may rest on it.
    pub fn has_company(&self) -> bool {
        match test_kill_process_group(self.group) {
            // Somebody to whom we may send nothing is somebody.
            Ok(()) | Err(Errno::PERM) => true,
            Err(_) => false,
        }
    }

    /// The end of the pipe that is read from, where somebody may still print. Whoever drops that end has those who
    /// print ended by SIGPIPE.
    pub fn into_unread(self) -> Option<OwnedFd> {
        self.printed.map(Source::into_descriptor)
    }
}

impl Source {
    fn into_descriptor(self) -> OwnedFd {
        match self {
            Source::Unwatched(descriptor) => descriptor,
            Source::Watched(watched) => watched.into_inner(),
        }
    }
}
