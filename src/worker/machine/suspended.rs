//! Looking at the command: how far it says that it is, whether it is stopped, which is said (`suspension.rs`), and
//! whether it is still wanted.

use super::event::{Effect, Now, Said};
use super::mode::CallOff;
use super::phase::Phase;
use super::state::{Effects, Machine};
use super::suspension::{LOOK_EVERY, News, name};
use crate::task::id::AttemptId;
use crate::task::report::Progress;

impl Machine {
    /// Has the command looked at, and its task's row, when that is due. So whoever runs for less costs no look, and a
    /// worker hears what nobody could tell it.
    pub(super) fn look_at_command(&mut self, now: Now, out: &mut Effects) {
        let Phase::Running(running) = &self.phase else {
            return;
        };
        let look_at = running.look_at;
        if self.is_due(look_at, now) {
            let next = now.at.saturating_add(LOOK_EVERY);
            if let Phase::Running(running) = &mut self.phase {
                running.look_at = next;
                if running.called_off != Some(CallOff::Kill) {
                    out.push(Effect::AskForWish(running.facts.id));
                }
            }
            self.wake_at(next);
            out.push(Effect::Look);
        }
    }

    /// The command has said how far it is. It may have ended since: then all that it said comes with its end.
    pub(super) fn reported(&mut self, progress: Progress) {
        if let Phase::Running(running) = &self.phase {
            self.notes.progress = Some((running.facts.id, progress));
        }
    }

    /// The command was looked at: which signal has stopped it, if it is stopped. It may have ended since.
    pub(super) fn looked(&mut self, stopped_by: Option<i32>, now: Now, out: &mut Effects) {
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        let (suspension, news) = running.suspension.seen(stopped_by.is_some(), now.at);
        running.suspension = suspension;
        let attempt = running.facts.id;
        let Some(news) = news else {
            return;
        };
        let signal = stopped_by.map_or_else(String::new, name);
        running.notice = match news {
            News::Stopped(_) => Some(notice(attempt, &signal)),
            News::GoesOn(_) => None,
        };
        let times_out = running.times_out_at.is_some();
        out.push(Effect::Say(match news {
            News::Stopped(since) => Said::IsStopped {
                attempt,
                signal,
                since,
                times_out,
            },
            News::GoesOn(after) => Said::GoesOn { attempt, after },
        }));
        self.report_running(now, out);
    }
}

/// What `status` shows.
fn notice(attempt: AttemptId, signal: &str) -> String {
    let task = attempt.task;
    format!("the command of task {task} is stopped, by {signal}")
}
