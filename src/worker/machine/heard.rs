//! Whether a command ended by itself, or was stopped together with its worker.
//!
//! Whoever stops a service may send the signal to each of its processes at once, as systemd does by default: to the
//! tender, to the workers, and to the commands. A command that ends by that signal has not failed, and one that exits
//! with 0 for it is not done. The signals come to one process after the other, in any order, within moments:
//!
//! ```text
//!  the worker hears    ────────────── told ─────────────────────────────────────────────▶
//!  the command ends     by TERM ──▶ held back, for HELD_BACK at most: it may be told yet
//!                            by TERM: interrupted, however long the worker has drained
//!                            with a code: held back until it is known who else was told;
//!                              interrupted, if all were and that was less than BELIEVED_AFTER ago
//! ```

use std::time::Duration;

use super::event::{By, Ended, How};
use crate::grace::TERM_TO_KILL;
use crate::task::state::Exit;

/// How long an end is held back, and how long it is listened whether all were told: signals that are sent to all
/// processes of a service in one loop have come by then.
pub const HELD_BACK: Duration = Duration::from_millis(250);

/// What exits so long after all were told did not do so for that. As long as a command has that we ask to end.
const BELIEVED_AFTER: Duration = TERM_TO_KILL;

/// HUP, INT, QUIT and TERM: those that ask for an end.
const ENDS: [i32; 4] = [1, 2, 3, 15];

/// The kernel's own, and everybody's: a stop ends with it.
const KILL: i32 = 9;

/// Shells, and what calls programs as they do, exit with this and the signal's number where a program that they ran was
/// ended by a signal.
const BY_SIGNAL: i32 = 128;

/// By whom a worker was told to go, and when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard {
    by_signal: Option<Duration>,
    by_tender: Option<Duration>,
    /// All around the worker were told by the same signal.
    all: bool,
}

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// For reasons of its own, or of ours.
    Itself,
    /// It was stopped with all around it.
    WithAll,
}

/// What is to be believed of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// That.
    Known(Stop),
    /// It shows by then: if nothing else is heard, the command ended for reasons of its own.
    Until(Duration),
}

impl Heard {
    /// The worker was told to go.
    pub fn told(&mut self, by: By, now: Duration) {
        match by {
            By::Signal => {
                self.by_signal.get_or_insert(now);
            }
            By::Tender => self.by_tender = Some(now),
        }
        // A tender that is told by the same signal says so at once, and may be heard before the signal is. What it said
        // long before, or says long after, is another story.
        let both = self.by_signal.zip(self.by_tender);
        self.all |= both.is_some_and(|(signal, tender)| signal.abs_diff(tender) <= HELD_BACK);
    }

    /// All around the worker were told by the same signal. Of a tender that goes too this need not be said.
    pub fn all(&mut self) {
        self.all = true;
    }

    fn is_told(&self) -> bool {
        self.by_signal.is_some() || self.by_tender.is_some()
    }

    /// What is to be believed of a command's end.
    pub fn judge(&self, ended: &Ended, now: Duration) -> Belief {
        let (exit, memory) = match &ended.how {
            How::Exit { exit, memory } => (*exit, *memory),
            How::NotStarted { .. } => return Belief::Known(Stop::Itself),
        };
        if !ended.by_itself {
            return Belief::Known(Stop::Itself);
        }
        match (Manner::of(exit), self.is_told()) {
            (Manner::Asked, true) => Belief::Known(Stop::WithAll),
            (Manner::Asked, false) => Belief::Until(now.saturating_add(HELD_BACK)),
            (Manner::Killed, true) if !memory => Belief::Known(Stop::WithAll),
            (Manner::Code, true) => self.judge_code(now),
            (Manner::Killed | Manner::Crashed, _) | (Manner::Code, false) => {
                Belief::Known(Stop::Itself)
            }
        }
    }

    fn judge_code(&self, now: Duration) -> Belief {
        let Some(since) = self.by_signal else {
            // Nobody but the worker was told, by its tender.
            return Belief::Known(Stop::Itself);
        };
        let known_by = since.saturating_add(HELD_BACK);
        match self.all {
            true if now < since.saturating_add(BELIEVED_AFTER) => Belief::Known(Stop::WithAll),
            false if now < known_by => Belief::Until(known_by),
            true | false => Belief::Known(Stop::Itself),
        }
    }
}

/// The manner of an end, as far as it tells whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As one ends that is asked to.
    Asked,
    /// By KILL.
    Killed,
    /// By another signal, which nobody sends to all.
    Crashed,
    /// With a code, which may be the answer to a signal.
    Code,
}

impl Manner {
    fn of(exit: Exit) -> Manner {
        match exit {
            Exit::Signal(KILL) => Manner::Killed,
            Exit::Signal(signal) if ENDS.contains(&signal) => Manner::Asked,
            Exit::Signal(_) => Manner::Crashed,
            Exit::Code(code) if ENDS.contains(&code.saturating_sub(BY_SIGNAL)) => Manner::Asked,
            Exit::Code(_) => Manner::Code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::output::Captured;
    use crate::task::report::Reported;

    fn ended(exit: Exit, memory: bool, by_itself: bool) -> Ended {
        Ended {
            how: How::Exit { exit, memory },
            output: Captured::default(),
            reported: Reported::default(),
            took: None,
            at: 0,
            quick: false,
            by_itself,
            has_remains: false,
        }
    }

    #[test]
    fn whose_end_it_was() {
        let ms = Duration::from_millis;
        let known = Belief::Known;
        let (itself, with_all) = (known(Stop::Itself), known(Stop::WithAll));
        let begin = ms(10_000);
        let until = Belief::Until;
        let heard_then = |words: &[(By, Duration)]| {
            let mut heard = Heard::default();
            for (by, at) in words {
                heard.told(*by, *at);
            }
            heard
        };
        let heard = |words: &[By], all: bool| {
            let words: Vec<_> = words.iter().map(|by| (*by, begin)).collect();
            let mut heard = heard_then(&words);
            if all {
                heard.all();
            }
            heard
        };
        let nothing = heard(&[], false);
        let order = heard(&[By::Tender], false);
        let signal = heard(&[By::Signal], false);
        let service = heard(&[By::Signal], true);
        let tended = heard(&[By::Tender, By::Signal], false);
        let order_at = |at| heard_then(&[(By::Tender, at), (By::Signal, begin)]);
        let order_after = |after| heard_then(&[(By::Signal, begin), (By::Tender, begin + after)]);
        let (term, code) = (Exit::Signal(15), Exit::Code);
        // What was heard at 10 s; how the command ended, and how long after; what is believed.
        let table = [
            (nothing, term, 0, until(begin + HELD_BACK)),
            (nothing, Exit::Signal(1), 0, until(begin + HELD_BACK)),
            (nothing, code(143), 0, until(begin + HELD_BACK)),
            (nothing, code(0), 0, itself),
            (nothing, code(1), 0, itself),
            (nothing, Exit::Signal(9), 0, itself),
            (nothing, Exit::Signal(11), 0, itself),
            // Ended by a signal while the worker drains, however long after.
            (order, term, 0, with_all),
            (order, term, 60_000, with_all),
            (signal, Exit::Signal(2), 60_000, with_all),
            (signal, Exit::Signal(3), 60_000, with_all),
            (signal, code(130), 60_000, with_all),
            (signal, Exit::Signal(9), 60_000, with_all),
            (signal, Exit::Signal(11), 0, itself),
            // With a code: only if all were told, and soon after.
            (order, code(0), 0, itself),
            (order, code(1), 10, itself),
            (signal, code(0), 10, until(begin + HELD_BACK)),
            (signal, code(0), 250, itself),
            (service, code(0), 0, with_all),
            (service, code(1), 4_999, with_all),
            (service, code(0), 5_000, itself),
            (tended, code(0), 4_999, with_all),
            (tended, code(1), 5_000, itself),
            // Which of both is heard first, is chance; that they are heard together is none.
            (order_at(begin - HELD_BACK), code(0), 1_000, with_all),
            (order_at(ms(0)), code(0), 10, until(begin + HELD_BACK)),
            (order_at(ms(0)), code(0), 1_000, itself),
            (order_after(HELD_BACK), code(0), 1_000, with_all),
            (order_after(ms(900)), code(0), 1_000, itself),
            (order_at(ms(0)), term, 1_000, with_all),
        ];
        for (heard, exit, after, belief) in table {
            let judged = heard.judge(&ended(exit, false, true), begin + ms(after));
            assert_eq!(judged, belief, "{exit:?} {after} ms after {heard:?}");
            // What we ended ourselves is judged by why we did.
            let judged = heard.judge(&ended(exit, false, false), begin + ms(after));
            assert_eq!(judged, itself);
        }
        let for_memory = ended(Exit::Signal(9), true, true);
        assert_eq!(signal.judge(&for_memory, begin), itself);
    }
}
