//! What comes of events for whether a worker answers.

use std::time::Duration;

use super::pulse::{Beat, Pulse};
use super::{Effect, Event, KILLED_PATIENCE, State, Why, Worker};

impl Worker {
    /// What comes of an event for whether it answers, once the event has happened.
    pub(super) fn beat(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        let was_unresponsive = self.pulse.unresponsive_since().is_some();
        let mut effects = Vec::new();
        match event {
            Event::Watched { left } => self.pulse = Pulse::watch(left, now),
            Event::Ready | Event::Troubled { .. } | Event::Answered => {
                self.pulse = self.pulse.spoke(now);
            }
            // How long the command may run that it has now, is said by the next event.
            Event::Busy { .. } | Event::Idle { .. } => self.pulse = Pulse::Unwatched,
            Event::Due => {
                let (pulse, beat) = self.pulse.due(now);
                self.pulse = pulse;
                effects.extend(beat.map(|beat| match beat {
                    Beat::Ping => Effect::Ping,
                    Beat::Look => Effect::Look,
                }));
            }
            Event::Looked { is_stopped } => effects = self.look(is_stopped, now),
            Event::Spawned { .. }
            | Event::CouldNotSpawn
            | Event::Measured { .. }
            | Event::Retire { .. }
            | Event::Drain { .. }
            | Event::Stop
            | Event::LinkClosed
            | Event::Ended(_) => {}
        }
        if !self.may_answer() {
            self.pulse = Pulse::Unwatched;
            effects.retain(|effect| !matches!(effect, Effect::Ping | Effect::Look));
        } else if was_unresponsive && self.pulse.unresponsive_since().is_none() {
            effects.push(Effect::Responsive);
        }
        effects
    }

    fn look(&mut self, is_stopped: bool, now: Duration) -> Vec<Effect> {
        let (pulse, found) = self.pulse.looked(is_stopped, now);
        self.pulse = pulse;
        let mut effects = Vec::new();
        if found.is_news {
            effects.push(Effect::Unresponsive);
        }
        if found.is_over {
            let ends = match self.state {
                State::Stopping { why, .. } => why == Why::Shutdown,
                State::Spawning
                | State::Starting { .. }
                | State::Idle { .. }
                | State::Busy { .. }
                | State::Killed { .. }
                | State::Gone => false,
            };
            self.state = State::Killed {
                why: Why::Unresponsive,
                running: self.running(),
                leave_at: ends.then(|| now.saturating_add(KILLED_PATIENCE)),
            };
            effects.push(Effect::Kill);
        }
        effects
    }

    /// Whether there is a link to it that a ping could go by, and somebody who waits for its command.
    fn may_answer(&self) -> bool {
        match self.state {
            State::Idle { .. } | State::Busy { .. } => true,
            State::Stopping { why, .. } => why != Why::LinkClosed,
            State::Spawning | State::Starting { .. } | State::Killed { .. } | State::Gone => false,
        }
    }
}
