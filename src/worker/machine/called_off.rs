//! An attempt whose task is called off: what is done where it stands.

use super::event::{Effect, Now, Said};
use super::mode::CallOff;
use super::phase::{Last, Phase, Running};
use super::state::{Effects, Machine, gap};
use crate::crash::Point;
use crate::link::{Reply, Report, Ticket};
use crate::task::id::AttemptId;

impl Machine {
    /// An attempt is to be cancelled: the tender says so, or its task's row does.
    pub(super) fn called_off(
        &mut self,
        attempt: AttemptId,
        how: CallOff,
        ticket: Option<Ticket>,
        out: &mut Effects,
    ) {
        let is_here = self.call_off(attempt, how, out);
        if let Some(ticket) = ticket {
            let reply = match is_here {
                true => Reply::Done,
                false => Reply::Refused {
                    reason: format!("attempt {attempt} does not run here"),
                },
            };
            self.report(Report::Answered { ticket, reply }, out);
        }
    }

    /// Whether the attempt is this worker's, and not over.
    fn call_off(&mut self, attempt: AttemptId, how: CallOff, out: &mut Effects) -> bool {
        let running = match &mut self.phase {
            Phase::Beginning(running) | Phase::Running(running) | Phase::Held { running, .. } => {
                Some(running)
            }
            Phase::Idle
            | Phase::Identifying { .. }
            | Phase::Claiming { .. }
            | Phase::Counting(_)
            | Phase::TakingOver { .. }
            | Phase::Clearing { .. }
            | Phase::CleaningUpLost { .. }
            | Phase::Leftovers { .. }
            | Phase::CleaningUp(_)
            | Phase::Journaling(_)
            | Phase::Looking(_)
            | Phase::Recording(_)
            | Phase::Sifting(_)
            | Phase::Disposing { .. }
            | Phase::Gone => None,
        };
        let Some(running) = running.filter(|running| running.facts.id == attempt) else {
            let is_to_come = self.batch.withdraw(attempt);
            if is_to_come {
                out.push(Effect::Say(Said::Withdrawn(attempt)));
                out.push(gap(Point::WithdrawnAhead));
            }
            return is_to_come;
        };
        let how = how.with(running.called_off);
        if running.called_off.replace(how) != Some(how) {
            out.push(Effect::Say(Said::CallsOff { attempt, how }));
        }
        true
    }

    /// An attempt that was claimed ahead does not begin: its task was called off before its turn came.
    pub(super) fn withdrawn(&mut self, running: Running, now: Now, out: &mut Effects) {
        self.keep_alive = None;
        let attempt = running.facts.id;
        out.push(Effect::Say(Said::Withdrawn(attempt)));
        out.push(gap(Point::WithdrawnAhead));
        self.batch.withdrawn(running.reservation, attempt);
        self.record(Last::Nothing, now);
    }
}
