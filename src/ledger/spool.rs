//! A worker's spool: what its command has printed so far, for those who want to read that while the command runs, and
//! for whoever finds the worker dead.
//!
//! A spool outlives its worker, but not the machine. It holds the output of one attempt: the beginning, and as much of
//! the end as is in a ring. The worker writes, and nobody else does. Whoever reads takes no lock and is not waited for:
//! a reader that is slower than the command misses bytes, and knows how many.

use std::fmt;

use crate::task::id::{AttemptId, WorkerId};
use crate::task::output::{Captured, KEPT};

pub mod files;
mod layout;
mod medium;
pub mod memory;

pub use medium::{Medium, Trouble};

use layout::{HEAD, Numbers, RING};

/// The spools of a ledger's workers.
pub trait Spools: Send + Sync + fmt::Debug {
    /// A worker's, to write to; made where there is none.
    ///
    /// # Errors
    /// Also where readers could not believe what is in it.
    fn make(&self, worker: WorkerId) -> Result<Box<dyn Medium>, Trouble>;

    /// A worker's, to read; `None` if there is none that can be believed.
    fn open(&self, worker: WorkerId) -> Option<Box<dyn Medium>>;

    /// Removes that of a worker: nobody asks for what is in it any more.
    fn remove(&self, worker: WorkerId);
}

/// A spool, as its worker writes it.
#[derive(Debug)]
pub struct Writer {
    medium: Box<dyn Medium>,
    written: u64,
    /// So many bytes are there or may come without another word to readers.
    announced: u64,
    /// What was added since, and is not there yet.
    pending: Vec<u8>,
}

/// As much as is written down at once.
const MOST_PENDING: usize = 64 * 1024;

impl Writer {
    /// Writes the output of this attempt from now on, of which so much was printed before.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn begin(
        mut medium: Box<dyn Medium>,
        attempt: AttemptId,
        so_far: &Captured,
    ) -> Result<Writer, Trouble> {
        let written = so_far.size();
        let base = written.saturating_sub(so_far.tail.len() as u64);
        let announced = written.saturating_add(layout::AHEAD).max(HEAD + RING);
        // It is nobody's until all of it is there.
        layout::disown(&mut *medium)?;
        layout::write(&mut *medium, 0, &so_far.head)?;
        layout::write(&mut *medium, base, &so_far.tail)?;
        let numbers = Numbers {
            attempt,
            base,
            announced,
            written,
            is_over: false,
        };
        layout::own(&mut *medium, &numbers)?;
        Ok(Writer {
            medium,
            written,
            announced,
            pending: Vec::new(),
        })
    }

    /// Adds what the command has printed. Readers see it after [`Writer::flush`] at the latest: a command that prints
    /// without a pause is written down in great pieces.
    ///
    /// # Errors
    /// When that cannot be written; then nothing more is to be added.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.pending.extend_from_slice(bytes);
        match self.pending.len() < MOST_PENDING {
            true => Ok(()),
            false => self.flush(),
        }
    }

    /// Whether readers could see all that was added.
    pub fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }

    /// Has readers see all that was added.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn flush(&mut self) -> Result<(), Trouble> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let end = self.written.saturating_add(self.pending.len() as u64);
        if end > self.announced {
            // Before the first of the bytes that are there now is written over.
            self.announced = end.saturating_add(layout::AHEAD);
            layout::announce(&mut *self.medium, self.announced)?;
        }
        layout::write(&mut *self.medium, self.written, &self.pending)?;
        self.pending.clear();
        self.written = end;
        layout::note_written(&mut *self.medium, end)
    }

    /// Nothing more will be printed.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn end(mut self) -> Result<(), Trouble> {
        self.flush()?;
        layout::note_over(&mut *self.medium)
    }
}

/// What a look into a spool has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The spool is of another attempt by now, or of none.
    Gone,
    /// What there is of the output from where it was asked for.
    Has {
        /// So many bytes come first that are there no more, or never were.
        missed: u64,
        /// What follows them; not all, if there is more than was asked for.
        bytes: Vec<u8>,
        /// How many bytes the command has printed.
        written: u64,
        /// Nothing more will be printed.
        is_over: bool,
    },
}

/// A spool, as others read it.
#[derive(Debug)]
pub struct Reader {
    medium: Box<dyn Medium>,
    attempt: AttemptId,
}

impl Reader {
    /// Reads what an attempt prints.
    pub fn of(medium: Box<dyn Medium>, attempt: AttemptId) -> Reader {
        Reader { medium, attempt }
    }

    /// What the command has printed from so many bytes on, and no more of it than that. May be called at any moment,
    /// whatever the writer is about.
    pub fn look(&self, from: u64, most: usize) -> Looked {
        // What cannot be read is as good as gone: the rest comes from the ledger.
        self.try_to_look(from, most)
            .ok()
            .flatten()
            .unwrap_or(Looked::Gone)
    }

    fn try_to_look(&self, from: u64, most: usize) -> Result<Option<Looked>, Trouble> {
        let Some(before) = self.numbers()? else {
            return Ok(None);
        };
        let start = before.first_from(from).min(before.written.max(from));
        let end = start.saturating_add(most as u64).min(before.written);
        // What follows the beginning in the ring may never have been there.
        let end = if start < HEAD { end.min(HEAD) } else { end };
        let Some(mut bytes) = layout::read(&*self.medium, start, end)? else {
            return Ok(None);
        };
        // Only now is it known what was written over meanwhile.
        let Some(after) = self.numbers()? else {
            return Ok(None);
        };
        if after.written < before.written {
            return Ok(None);
        }
        let gone = after.first_from(start).saturating_sub(start);
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(bytes.len());
        bytes.drain(..gone);
        let start = start.saturating_add(gone as u64);
        Ok(Some(Looked::Has {
            missed: start.saturating_sub(from),
            bytes,
            written: before.written,
            is_over: before.is_over,
        }))
    }

    fn numbers(&self) -> Result<Option<Numbers>, Trouble> {
        let numbers = layout::numbers(&*self.medium)?;
        Ok(numbers.filter(|numbers| numbers.attempt == self.attempt))
    }

    /// All that is kept of what the attempt of a dead worker has printed.
    fn captured(&self) -> Captured {
        let Looked::Has {
            bytes: head,
            written,
            ..
        } = self.look(0, KEPT)
        else {
            return Captured::default();
        };
        let rest = written.saturating_sub(KEPT as u64).max(head.len() as u64);
        let tail = match self.look(rest, KEPT) {
            Looked::Has { bytes, .. } => bytes,
            Looked::Gone => Vec::new(),
        };
        let kept = (head.len() as u64).saturating_add(tail.len() as u64);
        Captured {
            head,
            tail,
            dropped: written.saturating_sub(kept),
        }
    }
}

/// What a dead worker's attempt had printed, as far as that was spooled.
pub fn captured(spools: &dyn Spools, worker: WorkerId, attempt: AttemptId) -> Captured {
    match spools.open(worker) {
        Some(medium) => Reader::of(medium, attempt).captured(),
        None => Captured::default(),
    }
}

#[cfg(test)]
mod tests;
