//! A command that is stopped, as job control stops what it does not end: state T.
//!
//! Such a command shows as running, and does nothing: somebody sent SIGSTOP, or the command wants a terminal that is
//! not its own (SIGTTIN, SIGTTOU). Nobody hears of that but who looks, so the worker looks now and then. A command that
//! is stopped at look after look is said, once, to people and to the tender; and so is that it goes on. A moment is
//! nothing. Looks are counted, and not only time: a worker that was itself stopped in between knows nothing of the time
//! between two looks.
//!
//! Nothing else is changed by a stop. The command's time counts on, and what ends the command reaches it: CONT follows
//! TERM, and KILL needs none.
//!
//! ```text
//!            stopped                  for LOOKS_TO_SAY looks              goes on
//!   Going ────────────▶ Stopped ─────────────────────────────▶ Said ────────────────▶ Going, which is said
//!     ◀───────────────────┘ goes on
//! ```

use std::time::Duration;

/// Between two looks. What runs for less is never looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is stopped at so many looks, one after the other, is said.
pub const LOOKS_TO_SAY: u32 = 4;

/// Signals that stop a process, by their numbers and names (signal(7)).
const SIGNALS: [(i32, &str); 4] = [
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
];

/// Whether a command is stopped, as far as was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suspension {
    /// It goes on.
    #[default]
    Going,
    /// It was stopped when it was looked at, and perhaps for a moment only.
    Stopped {
        /// When that was seen first.
        since: Duration,
        /// At how many looks.
        looks: u32,
    },
    /// It is stopped, which was said.
    Said {
        /// When that was seen first.
        since: Duration,
    },
}

/// What is to be said after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The command has been stopped for so long.
    Stopped(Duration),
    /// The command goes on, after so long.
    GoesOn(Duration),
}

impl Suspension {
    /// Where it stands after a look at which the command was stopped, or was not; and what is to be said.
    pub fn seen(self, is_stopped: bool, now: Duration) -> (Suspension, Option<News>) {
        let stopped = |since: Duration, looks: u32| match looks < LOOKS_TO_SAY {
            true => (Suspension::Stopped { since, looks }, None),
            false => {
                let news = News::Stopped(now.saturating_sub(since));
                (Suspension::Said { since }, Some(news))
            }
        };
        match (self, is_stopped) {
            (Suspension::Going, true) => stopped(now, 1),
            (Suspension::Stopped { since, looks }, true) => stopped(since, looks.saturating_add(1)),
            (Suspension::Said { .. }, true) => (self, None),
            (Suspension::Going | Suspension::Stopped { .. }, false) => (Suspension::Going, None),
            (Suspension::Said { since }, false) => {
                let news = News::GoesOn(now.saturating_sub(since));
                (Suspension::Going, Some(news))
            }
        }
    }
}

/// What people call a signal.
pub fn name(signal: i32) -> String {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    known.map_or_else(
        || format!("signal {signal}"),
        |(_, name)| (*name).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_said_of_looks() {
        use Suspension::{Going, Said, Stopped};
        let stopped = |since, looks| Stopped {
            since: s(since),
            looks,
        };
        let said = Said { since: s(10) };
        let last = LOOKS_TO_SAY - 1;
        // Where it stood, whether it was stopped at 13 s, where it stands, and what is said.
        let table = [
            (Going, false, Going, None),
            (Going, true, stopped(13, 1), None),
            (stopped(12, 1), true, stopped(12, 2), None),
            (stopped(12, 1), false, Going, None),
            // Whoever looks was stopped too: a long time, and few looks.
            (stopped(0, 1), true, stopped(0, 2), None),
            (stopped(10, last), true, said, Some(News::Stopped(s(3)))),
            (stopped(10, last), false, Going, None),
            (said, true, said, None),
            (said, false, Going, Some(News::GoesOn(s(3)))),
        ];
        for (before, is_stopped, after, news) in table {
            let seen = before.seen(is_stopped, s(13));
            assert_eq!(seen, (after, news), "{before:?} {is_stopped}");
        }
    }

    #[test]
    fn signals_have_names() {
        let names = [19, 20, 21, 22, 40].map(name);
        let expected = ["SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "signal 40"];
        assert_eq!(names, expected);
    }
}
