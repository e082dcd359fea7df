//! Telling the ledger and the batch journal what the machine says: nothing is decided here.

use std::sync::Arc;

use super::Worker;
use super::machine::{CallOff, Event, Haste, Unentered};
use crate::clock;
use crate::ledger::batch_journal::{self, Done};
use crate::ledger::rows::Wish;
use crate::ledger::{self, Entry, Ledger, Settlement};
use crate::task::id::AttemptId;

impl Worker {
    /// Tells the ledger: here, where that takes a fraction of a millisecond, or else on its thread.
    pub(super) fn enter(&mut self, entry: Arc<Entry>, haste: Haste) {
        let (commands, me) = (Arc::clone(&self.questions.commands), self.me.clone());
        let entering = move |db: &mut Ledger| db.enter(&entry, &commands, &me, clock::now());
        let done = self.questions.store.at_once(entering.clone());
        match (done, haste) {
            (Some(Ok(entered)), _) => self.ready.push_back(Event::Entered(Ok(Box::new(entered)))),
            (None, Haste::AtOnce) => self.ready.push_back(Event::Entered(Err(Unentered::Busy))),
            (Some(Err(error)), Haste::AtOnce) => {
                self.ready.push_back(Event::Entered(Err(refusal(&error))))
            }
            (Some(Err(error)), Haste::Patient) if !error.is_locked() => {
                self.ready.push_back(Event::Entered(Err(refusal(&error))));
            }
            (None | Some(Err(_)), Haste::Patient) => {
                let store = self.questions.store.clone();
                self.telling = Some(Box::pin(async move {
                    let entered = store.call(entering).await;
                    Event::Entered(
                        entered
                            .map(Box::new)
                            .map_err(|error| patient_refusal(&error)),
                    )
                }));
            }
        }
    }

    /// Whether an attempt that was claimed ahead is to be cancelled by now: a look that takes microseconds, where the
    /// ledger is here. Where it cannot be asked now, the attempt begins, and is called off a second later.
    pub(super) fn is_withdrawn(&self, attempt: AttemptId) -> bool {
        let store = &self.questions.store;
        let wish = store.at_once(|db| db.wish(attempt));
        matches!(wish, Some(Ok(Some(_))))
    }

    /// Looks whether the attempt whose command runs is to be cancelled. What goes wrong comes again with the next look.
    pub(super) fn ask_for_wish(&mut self, attempt: AttemptId) {
        let called_off = move |wish: Option<Wish>| {
            wish.map(|wish| Event::CalledOff {
                attempt,
                how: CallOff::of(wish.now),
                ticket: None,
            })
        };
        let store = &self.questions.store;
        match store.at_once(|db| db.wish(attempt)) {
            Some(looked) => self.ready.extend(looked.ok().and_then(called_off)),
            None if self.wishing.is_some() => {}
            None => {
                let store = store.clone();
                self.wishing = Some(Box::pin(async move {
                    let looked = store.call(move |db| db.wish(attempt)).await;
                    looked.ok().and_then(called_off)
                }));
            }
        }
    }

    pub(super) fn make_journal(&mut self) {
        let made = self.questions.store.journals().make(self.me.id);
        let is_made = made.is_ok();
        match made {
            Ok(journal) => self.journal = Some(journal),
            Err(error) => self.lose_journal(&error),
        }
        self.ready.push_back(Event::JournalMade(is_made));
    }

    pub(super) fn lose_journal(&mut self, error: &batch_journal::Trouble) {
        tracing::warn!(%error, "has no batch journal; claims each task by itself from now on");
        self.journal = None;
    }

    pub(super) fn journal(&mut self, settlement: &Settlement) {
        let done = Done {
            started: settlement.started,
            finished: settlement.finished,
            output: settlement.output.head.clone(),
        };
        let written = self
            .journal
            .as_mut()
            .map(|journal| journal.is_done(settlement.id, &done));
        if let Some(Err(error)) = &written {
            self.lose_journal(error);
        }
        let is_written = matches!(written, Some(Ok(())));
        self.ready.push_back(Event::Journaled(is_written));
    }
}

/// Why an entry was not made that was tried at once.
fn refusal(error: &ledger::Error) -> Unentered {
    match error.is_locked() {
        true => Unentered::Busy,
        false => patient_refusal(error),
    }
}

/// Why an entry was not made, however long it was tried.
fn patient_refusal(error: &ledger::Error) -> Unentered {
    match error.is_of_one_row() {
        true => Unentered::OfOneRow(error.to_string()),
        false => Unentered::Trouble(error.to_string()),
    }
}
