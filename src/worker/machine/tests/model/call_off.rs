//! Tasks that are called off at any moment.

use super::*;
use crate::ledger::cancel::{CallOff as How, CalledOff};
use crate::worker::machine::mode::CallOff;

impl Model {
    /// Of tasks that run more often than of others. Their workers hear of it at once, a little later, or by a look of
    /// their own.
    pub(super) fn call_some_off(&mut self) {
        if self.kind.cancels == 0 || !self.dice.one_in(self.kind.cancels) {
            return;
        }
        let mut run: Vec<TaskId> = self.alive.keys().copied().collect();
        run.sort();
        let put = self.kind.tasks + self.kind.foreign;
        let task = match run.get(self.dice.below(run.len().max(1) as u64) as usize) {
            // Those next to it may be claimed ahead.
            Some(task) if self.dice.one_in(3) => {
                TaskId(task.0 + 1 + self.dice.below(3).cast_signed())
            }
            Some(task) if !self.dice.one_in(4) => *task,
            Some(_) | None => TaskId(1 + self.dice.below(put).cast_signed()),
        };
        let how = How {
            now: self.dice.one_in(3),
            reason: None,
        };
        let wall = self.wall();
        // The ledger may be in trouble: nothing was asked for then.
        let Ok(answer) = self.tender.change_one(&how, task, wall) else {
            return;
        };
        match &answer {
            Ok(CalledOff::Cancelled) => {
                self.tally.called_off.0 += 1;
                self.cancelled.insert(task);
            }
            Ok(CalledOff::Asked { attempt, worker }) => {
                let before = self.wished.insert(task, *attempt);
                self.tally.called_off.1 += u64::from(before.is_none());
                assert!(before.is_none_or(|before| before == *attempt));
                let event = Event::CalledOff {
                    attempt: *attempt,
                    how: CallOff::of(how.now),
                    ticket: None,
                };
                let mut workers = self.workers.iter_mut();
                let named = workers.find(|one| one.me.name.to_string() == *worker);
                if let Some(one) = named {
                    match self.dice.below(4) {
                        0 | 1 => one.ready.push_front(event),
                        2 => one.ready.push_back(event),
                        _ => {}
                    }
                }
            }
            Err(_ended_or_gone) => {}
        }
    }

    /// Nothing of a task begins that was called off, but for what was on its way.
    pub(super) fn may_begin(&self, id: AttemptId) {
        assert!(
            !self.cancelled.contains(&id.task),
            "cancelled, and attempt {id} begins"
        );
        let wished = self.wished.get(&id.task);
        assert!(
            wished.is_none_or(|wished| *wished == id),
            "{wished:?} was called off, and attempt {id} begins"
        );
    }
}
