//! Where what stands in a spool.
//!
//! ```text
//! 0        whose it is (files only)
//! 128      task, attempt, base, announced, written, over: numbers of 8 bytes
//! 4096     the first HEAD bytes that were printed: never written over while the attempt lasts
//! 69632    a ring of RING bytes: what was printed after those
//! ```
//!
//! Readers and the writer do not wait for each other, so the order of the writer's steps is what counts:
//!
//! | the writer | so a reader that |
//! |---|---|
//! | names the attempt last, and nobody before it begins to write over what was another's | finds the same attempt before and after it reads has read that attempt's bytes |
//! | says `announced` before it writes over anything: all bytes older than that less a ring may go | reads `announced` after the bytes knows which of them may have been others by then |
//! | says `written` after the bytes | reads `written` before the bytes has read no bytes from before |
//!
//! `base` is where the ring begins to be right: what was printed before the spool was begun may be lacking in the
//! middle.

use super::medium::{Medium, Trouble};
use crate::task::id::{AttemptId, TaskId};
use crate::task::output::KEPT;

/// How much of the beginning is kept.
pub const HEAD: u64 = KEPT as u64;

/// How much can be read of what comes after that, and is not yet written over.
pub const RING: u64 = 1024 * 1024;

/// How far ahead bytes are announced: so the writer has to say so once in as many bytes.
pub const AHEAD: u64 = 64 * 1024;

/// So many bytes at the beginning are left to whoever keeps it.
pub const OWN: usize = 128;

const NUMBERS: u64 = OWN as u64;
const BASE: u64 = NUMBERS + 16;
const ANNOUNCED: u64 = NUMBERS + 24;
const WRITTEN: u64 = NUMBERS + 32;
const OVER: u64 = NUMBERS + 40;
const BYTES: u64 = 4096;

/// What is said of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Whose output it is.
    pub attempt: AttemptId,
    /// From which byte on the ring is right.
    pub base: u64,
    /// So many bytes are there, or may come.
    pub announced: u64,
    /// So many bytes are there.
    pub written: u64,
    /// No more will come.
    pub is_over: bool,
}

impl Numbers {
    /// The first byte, from that one on, that is there for certain if it was printed.
    pub fn first_from(&self, from: u64) -> u64 {
        match from < HEAD {
            true => from,
            false => from.max(self.base).max(self.announced.saturating_sub(RING)),
        }
    }
}

/// Takes the spool from whose it was.
pub fn disown(medium: &mut dyn Medium) -> Result<(), Trouble> {
    medium.write_at(&[0; 16], NUMBERS)
}

/// Gives the spool, in which the bytes are, to an attempt.
pub fn own(medium: &mut dyn Medium, numbers: &Numbers) -> Result<(), Trouble> {
    let Numbers {
        attempt,
        base,
        announced,
        written,
        is_over,
    } = *numbers;
    let of_bytes = [base, announced, written, is_over.into()].map(u64::to_le_bytes);
    medium.write_at(of_bytes.as_flattened(), BASE)?;
    let whose = [attempt.task.0, attempt.number].map(i64::to_le_bytes);
    medium.write_at(whose.as_flattened(), NUMBERS)
}

/// Says how many bytes may come.
pub fn announce(medium: &mut dyn Medium, announced: u64) -> Result<(), Trouble> {
    medium.write_at(&announced.to_le_bytes(), ANNOUNCED)
}

/// Says how many bytes are there.
pub fn note_written(medium: &mut dyn Medium, written: u64) -> Result<(), Trouble> {
    medium.write_at(&written.to_le_bytes(), WRITTEN)
}

/// Says that no more will come.
pub fn note_over(medium: &mut dyn Medium) -> Result<(), Trouble> {
    medium.write_at(&1u64.to_le_bytes(), OVER)
}

/// What is said of the bytes; `None` while they are nobody's.
pub fn numbers(medium: &dyn Medium) -> Result<Option<Numbers>, Trouble> {
    let mut numbers = [[0; 8]; 6];
    if !fill(medium, numbers.as_flattened_mut(), NUMBERS)? {
        return Ok(None);
    }
    let [task, number] = [numbers[0], numbers[1]].map(i64::from_le_bytes);
    let [_, _, base, announced, written, is_over] = numbers.map(u64::from_le_bytes);
    let task = TaskId(task);
    Ok((number > 0).then_some(Numbers {
        attempt: AttemptId { task, number },
        base,
        announced,
        written,
        is_over: is_over > 0,
    }))
}

/// Writes bytes that were printed, from so many on.
pub fn write(medium: &mut dyn Medium, from: u64, mut bytes: &[u8]) -> Result<(), Trouble> {
    let mut from = from;
    while !bytes.is_empty() {
        let (at, room) = place(from);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(room);
        medium.write_at(now, at)?;
        from = from.saturating_add(room as u64);
        bytes = later;
    }
    Ok(())
}

/// Reads bytes that were printed; `None` where not all of them are there.
pub fn read(medium: &dyn Medium, from: u64, to: u64) -> Result<Option<Vec<u8>>, Trouble> {
    let size = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
    let mut bytes = vec![0; size];
    let (mut from, mut left) = (from, bytes.as_mut_slice());
    while !left.is_empty() {
        let (at, room) = place(from);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(left.len());
        let (now, later) = left.split_at_mut(room);
        if !fill(medium, now, at)? {
            return Ok(None);
        }
        from = from.saturating_add(room as u64);
        left = later;
    }
    Ok(Some(bytes))
}

/// Where a byte is, by how many were printed before it, and how many come after it without a gap.
fn place(printed: u64) -> (u64, u64) {
    match printed.checked_sub(HEAD) {
        None => (BYTES + printed, HEAD - printed),
        Some(after) => {
            let turn = after % RING;
            (BYTES + HEAD + turn, RING - turn)
        }
    }
}

/// Reads until there is no room left; false where there is less.
fn fill(medium: &dyn Medium, room: &mut [u8], at: u64) -> Result<bool, Trouble> {
    let (mut at, mut room) = (at, room);
    while !room.is_empty() {
        let read = medium.read_at(room, at)?.min(room.len());
        if read == 0 {
            return Ok(false);
        }
        at = at.saturating_add(read as u64);
        room = room.split_at_mut(read).1;
    }
    Ok(true)
}
