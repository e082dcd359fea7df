//! A stop of all processes at once.

use super::*;
use crate::worker::machine::event::By;

impl Model {
    /// Every worker is sent TERM, and every command, in any order.
    pub(super) fn is_stopped(&mut self) {
        for at in 0..self.workers.len() {
            let told = Event::Told {
                mode: Mode::Draining { until: None },
                ticket: None,
                by: By::Signal,
            };
            let (now, first) = (self.now, self.dice.one_in(3));
            let soon = now + self.dice.below(20_000);
            let exit = match self.dice.below(3) {
                0 => Exit::Code(0),
                1 => Exit::Code(143),
                _ => Exit::Signal(stage::TERM),
            };
            // What has ended by then cannot hear it, nor what we have told to end.
            let run = self.workers[at].run.as_mut();
            if let Some(run) = run.filter(|run| run.ends_at > soon && !run.is_signalled) {
                self.tally.stopped += 1;
                self.stopped.insert(run.attempt.id);
                (run.ends_at, run.exit) = (soon, exit);
                if first && exit != Exit::Code(0) {
                    run.ends_at = now;
                    let ended = self.command_ends(at, false);
                    self.workers[at].ready.push_back(ended);
                }
            }
            self.workers[at].ready.extend([told, Event::ToldAll]);
        }
    }
}
