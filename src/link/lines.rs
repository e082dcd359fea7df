//! Bytes in, lines out, with a bound.

use super::word::{BadLine, MAX_LINE};

/// What has been read and not yet been taken as a line; never more than [`MAX_LINE`] bytes beyond
/// what one [`Lines::push`] brings.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// In the middle of a line that is too long.
    passing_over: bool,
    /// As many bytes have come in all.
    pushed: u64,
}

impl Lines {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.pushed = self.pushed.saturating_add(size(bytes.len()));
    }

    /// How many bytes have come in all.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many of them were in lines that have been taken or passed over.
    pub fn taken(&self) -> u64 {
        self.pushed.saturating_sub(size(self.buffer.len()))
    }

    /// The next whole line without its end; empty ones are passed over.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, BadLine>> {
        loop {
            let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
                return self.unfinished();
            };
            let rest = self.buffer.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            line.truncate(end);
            if std::mem::take(&mut self.passing_over) {
                continue;
            }
            if end >= MAX_LINE {
                return Some(Err(BadLine::TooLong));
            }
            if !line.trim_ascii().is_empty() {
                return Some(Ok(line));
            }
        }
    }

    /// No line ends in the buffer: what can no longer become a line is dropped.
    fn unfinished(&mut self) -> Option<Result<Vec<u8>, BadLine>> {
        if self.passing_over {
            self.buffer.clear();
            return None;
        }
        if self.buffer.len() < MAX_LINE {
            return None;
        }
        self.buffer.clear();
        self.passing_over = true;
        Some(Err(BadLine::TooLong))
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
