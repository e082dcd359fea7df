//! Where lines of the log are written, and what becomes of those that cannot be.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{fstat, lstat, stat};
use rustix::io::{Errno, write};
use serde_json::json;
use tracing::Level;

use super::shape;
use crate::errno;
use crate::trust::Found;

/// A pipe that has room at all has room for so much.
const PIECE: usize = 4096;

/// Between two tries where a descriptor has room, and still does not take what is written.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a reader who sleeps is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// For ever: nobody waits for this thread.
    Thread,
    /// Not at all: this thread has work to do.
    Work,
}

/// Writes whole lines, and knows how many were lost.
#[derive(Debug)]
pub(super) struct Sink {
    to: To,
    /// Whether what the sink has to say itself is to be JSON, as the events are.
    json: bool,
    /// The latest line was written in part.
    torn: bool,
    lost: Option<Lost>,
}

#[derive(Debug)]
enum To {
    Stderr,
    File { path: PathBuf, file: File },
}

/// Lines that were lost and of which nothing is written yet.
#[derive(Debug)]
struct Lost {
    lines: u64,
    /// Why the latest of them was.
    reason: String,
}

impl Sink {
    /// Writes to stderr.
    pub(super) const fn stderr(json: bool) -> Sink {
        Sink {
            to: To::Stderr,
            json,
            torn: false,
            lost: None,
        }
    }

    /// Appends to a file, which is made where there is none.
    pub(super) fn file(path: PathBuf, json: bool) -> io::Result<Sink> {
        let file = open(&path)?;
        Ok(Sink {
            to: To::File { path, file },
            ..Sink::stderr(json)
        })
    }

    /// Whether what it has to say itself is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Opens the file again by its name, if there is one.
    pub(super) fn reopen(&mut self) {
        let To::File { path, file } = &mut self.to else {
            return;
        };
        match open(path) {
            Ok(opened) => {
                *file = opened;
                self.torn = false;
                tracing::info!("log file opened again");
            }
            Err(error) => {
                tracing::error!(path = %path.display(), reason = errno::said(&error), "log file was not opened again");
            }
        }
    }

    /// Writes a line, or counts it as lost.
    pub(super) fn line(&mut self, line: &[u8], patience: Patience) {
        // One attempt for each line: a disk that is full may stay so for days.
        if !self.say_lost(patience) {
            self.lose(1, None);
        } else if let Err(error) = self.put(line, patience) {
            self.lose(1, Some(errno::said(&error)));
        }
    }

    /// Takes note of lines that nobody had room for, and says so.
    pub(super) fn dropped(&mut self, lines: u64, patience: Patience) {
        if lines > 0 {
            self.lose(lines, Some("they came faster than they were read".into()));
        }
        self.say_lost(patience);
    }

    /// Whether lines were lost and that is not said yet.
    pub(super) fn is_in_debt(&self) -> bool {
        self.lost.is_some()
    }

    fn lose(&mut self, lines: u64, reason: Option<String>) {
        let lost = self.lost.get_or_insert_with(|| Lost {
            lines: 0,
            reason: String::new(),
        });
        lost.lines = lost.lines.saturating_add(lines);
        if let Some(reason) = reason {
            lost.reason = reason;
        }
    }

    /// Says how many lines were lost. False if that cannot be written either.
    fn say_lost(&mut self, patience: Patience) -> bool {
        let Some(lost) = self.lost.take() else {
            return true;
        };
        let note = note(&lost, self.json);
        match self.put(&note, patience) {
            Ok(()) => true,
            Err(error) => {
                self.lost = Some(Lost {
                    reason: errno::said(&error),
                    ..lost
                });
                false
            }
        }
    }

    fn put(&mut self, line: &[u8], patience: Patience) -> io::Result<()> {
        let mended;
        let line = if self.torn {
            mended = [b"\n", line].concat();
            &mended
        } else {
            line
        };
        let mut rest = line;
        while !rest.is_empty() {
            match write_some(self.descriptor(), rest, patience) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => {
                    self.torn |= rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Where it goes now.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.to {
            // Past the lock of the standard library: whoever else writes there is not to wait for this thread.
            To::Stderr => rustix::stdio::stderr(),
            To::File { file, .. } => file.as_fd(),
        }
    }
}

/// Writes as much as is taken, and at least a byte.
fn write_some(to: BorrowedFd<'_>, bytes: &[u8], patience: Patience) -> io::Result<usize> {
    let piece = match patience {
        Patience::Thread => bytes,
        Patience::Work => bytes.get(..PIECE).unwrap_or(bytes),
    };
    loop {
        if patience == Patience::Work && !has_room(to, Some(&Timespec::default()))? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match write(to, piece) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            // Somebody else has made it so, for all who have it.
            Err(Errno::AGAIN) if patience == Patience::Thread => {
                has_room(to, None)?;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn has_room(descriptor: BorrowedFd<'_>, patience: Option<&Timespec>) -> io::Result<bool> {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)];
    match poll(&mut descriptors, patience) {
        // Also when nobody reads any more: the write then says so.
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The line that says it.
fn note(lost: &Lost, json: bool) -> Vec<u8> {
    let Lost { lines, reason } = lost;
    let fields = [("lines", json!(lines)), ("reason", json!(reason))];
    shape::line(Level::WARN, "lines of the log were lost", &fields, json)
}

/// Where its folder is somebody else's, they may have put a link there to a file of ours, or a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    match lstat(path).map(Found::from) {
        Ok(found) => match found.is_trap() {
            Some(trap) => return Err(trap.into()),
            None if found.is_link() => {}
            None => drop(options.custom_flags(libc::O_NOFOLLOW)),
        },
        Err(_) => drop(options.custom_flags(libc::O_NOFOLLOW)),
    }
    let file = options.open(path)?;
    let found = Found::from(fstat(&file)?);
    let folder = path.parent().unwrap_or(Path::new("/"));
    if found.is_regular() && !Found::from(stat(folder)?).is_ours() {
        found.has_one_name()?;
    }
    Ok(file)
}
