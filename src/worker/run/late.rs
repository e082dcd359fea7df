//! How long a command's output is read on once the command has exited.
//!
//! A script whose output goes through another program (`exec > >(tee log)`) exits before that program has written the
//! last lines. What a task leaves running on purpose holds the pipe too, perhaps for years. Nothing tells the two apart
//! but what they do:
//!
//! | in the command's process group | the output is read on |
//! |---|---|
//! | nobody is left: whoever holds the pipe has gone its own way | for [`LAST_WORDS`] after the exit |
//! | somebody | while something comes at least every [`QUIET`], for [`LATE`] after the exit |
//! | somebody, and the command was told to end: it has had its time | for [`LAST_WORDS`] after the exit |
//!
//! Whatever holds the pipe then is the sink's (`crate::process::sink`), and what it prints is in no record.

use std::time::Duration;

/// What was printed just before the exit has come through the pipe by then.
pub const LAST_WORDS: Duration = Duration::from_millis(100);

/// A program that hands output on, and has had nothing to hand on for so long, has handed on all there was.
pub const QUIET: Duration = Duration::from_secs(1);

/// However much is still printed: the worker's next job does not wait any longer.
pub const LATE: Duration = Duration::from_secs(5);

/// What is known of a command's output since the command has exited. Times count from the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Late {
    printed: Duration,
    is_hurried: bool,
}

impl Late {
    /// Something came through the pipe.
    pub fn printed(&mut self, now: Duration) {
        self.printed = now;
    }

    /// The command was told to end, or the worker is to go.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Until when the output is read on; `has_company`: somebody is left in the command's process group.
    pub fn until(self, has_company: bool) -> Duration {
        match (has_company, self.is_hurried) {
            (true, false) => LATE.min(self.printed.saturating_add(QUIET)),
            (true, true) | (false, _) => LAST_WORDS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_output_is_read_on() {
        let ms = Duration::from_millis;
        let late = |printed, is_hurried| Late {
            printed: ms(printed),
            is_hurried,
        };
        // When something was printed last, whether it is hurried, whether somebody is in the group, until when.
        for (printed, hurried, company, until) in [
            (0, false, true, QUIET),
            (700, false, true, ms(1_700)),
            (4_000, false, true, LATE),
            (4_999, false, true, LATE),
            (0, false, false, LAST_WORDS),
            (4_000, false, false, LAST_WORDS),
            (0, true, true, LAST_WORDS),
            (4_000, true, true, LAST_WORDS),
            (0, true, false, LAST_WORDS),
        ] {
            let said = late(printed, hurried).until(company);
            assert_eq!(said, until, "{printed} {hurried} {company}");
        }
    }

    #[test]
    fn what_happens_shows_in_how_long() {
        let mut late = Late::default();
        late.printed(Duration::from_secs(2));
        assert_eq!(late.until(true), Duration::from_secs(3));
        late.hurry();
        assert_eq!(late.until(true), LAST_WORDS);
    }
}
