//! What the worker wants done, and the rules that it keeps in that.

use super::*;

impl World {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(ask) => self.is_asked(ask),
            Effect::Interrupt => {
                let is_asked = matches!(
                    self.asked,
                    Some(Ask::Reserve { .. } | Ask::KeepSome(_) | Ask::Reconcile)
                );
                assert!(is_asked);
                // Two words may come before the answer to the first.
                let is_interrupted =
                    |event: &Event| matches!(event, Event::Answered(Answer::Interrupted));
                if !self.ready.iter().any(is_interrupted) {
                    self.loses_connection();
                    self.ready.push_back(Event::Answered(Answer::Interrupted));
                }
            }
            Effect::Enter { entry, haste } => self.is_told(entry, haste),
            Effect::Prove => {
                assert!(self.pending.is_none() && !self.proving);
                self.proving = true;
            }
            Effect::MakeJournal => {
                let made = !self.tape.one_in(10);
                self.ready.push_back(Event::JournalMade(made));
            }
            Effect::WipeJournal => self.journal.clear(),
            Effect::LeaveJournal => {}
            Effect::Journal(settlement) => {
                let well = !self.tape.one_in(20);
                if well {
                    self.journal.insert(settlement.id);
                }
                self.ready.push_back(Event::Journaled(well));
            }
            Effect::Begin {
                attempt,
                job,
                journal,
                ..
            } => {
                assert!(self.running.is_none(), "two attempts at once");
                assert!(self.now.at >= self.rests_until, "begins, and is to pause");
                assert!(
                    !self.clearing,
                    "an attempt begins while another's remains are being ended"
                );
                assert_eq!(
                    self.cleaning, None,
                    "begins while another is cleaned up after"
                );
                assert_eq!(
                    self.rows[&attempt.id.task.0],
                    Row::Ours(attempt.id),
                    "not claimed"
                );
                assert!(!self.has_ended.contains(&attempt.id), "begun twice");
                assert_eq!(
                    journal.is_some(),
                    attempt.ahead,
                    "journaled if it was claimed ahead"
                );
                if attempt.ahead && self.tape.one_in(20) {
                    self.wished.insert(attempt.id);
                    drop(attempt);
                    self.ready.push_back(Event::Withdrawn);
                    return;
                }
                if attempt.ahead && self.tape.one_in(8) {
                    self.ready.push_back(Event::NotJournaled);
                    return;
                }
                self.of_job.insert(attempt.id, job);
                if self.tape.one_in(25) {
                    self.has_ended.insert(attempt.id);
                    let mut ended = ended(0, false, false);
                    let lack = match self.tape.pick(4) {
                        0 => Lack::Room,
                        1 => Lack::Folder,
                        2 => Lack::Program,
                        _ => Lack::Sense,
                    };
                    self.unstarted.insert(attempt.id, lack);
                    if self.is_worker_s_trouble(attempt.id) {
                        self.rests_until = self.now.at + Duration::from_millis(500);
                    }
                    ended.how = How::NotStarted {
                        lack,
                        reason: "no such file".into(),
                    };
                    self.ready.push_back(Event::Ended(ended));
                    return;
                }
                self.running = Some(attempt.id);
                (self.signalled, self.was_sent) = (false, false);
                self.ready.push_back(Event::Began(7));
            }
            Effect::WaitBriefly { until } => {
                assert!(until > self.now.at);
                if self.running.is_some() && !self.tape.one_in(4) {
                    let event = self.end(true);
                    self.ready.push_back(event);
                }
            }
            // Or it has ended in this instant.
            Effect::Terminate | Effect::Kill => {
                assert!(
                    self.running.is_some() || !self.ready.is_empty(),
                    "nothing runs"
                );
                self.was_sent = true;
                if self.running.is_some() && self.tape.one_in(4) {
                    let who = "somebody".to_owned();
                    self.ready.push_back(Event::NotSignalled(who));
                } else {
                    self.signalled |= self.running.is_some();
                }
            }
            Effect::Look => {
                assert!(self.running.is_some(), "looks at nothing");
                let stopped_by = (self.tape.one_in(2)).then_some(19);
                self.ready.push_back(Event::Looked(stopped_by));
                if self.tape.one_in(2) {
                    self.ready.push_back(Event::Reported(stage::progress(40.0)));
                }
            }
            Effect::AskForWish(attempt) => {
                assert!(self.running.is_some(), "looks at nothing");
                if self.wished.contains(&attempt) || self.tape.one_in(4) {
                    self.wished.insert(attempt);
                    let how = CallOff::of(self.tape.one_in(4));
                    let ticket = None;
                    self.ready.push_back(Event::CalledOff {
                        attempt,
                        how,
                        ticket,
                    });
                }
            }
            Effect::Abandon => {
                assert_ne!(self.told, Mode::Working, "leaves its command for no reason");
                assert!(self.running.take().is_some(), "nothing runs");
            }
            Effect::EndRemains(_) => {
                assert!(!self.clearing && self.running.is_none());
                self.clearing = true;
            }
            Effect::CleanUp(cleanup) => {
                assert!(!self.clearing && self.running.is_none());
                assert_eq!(self.cleaning, None, "two cleanups at once");
                assert!(World::has_cleanup(cleanup.attempt));
                assert!(
                    self.has_ended.contains(&cleanup.attempt),
                    "cleaned up after what has not ended"
                );
                self.cleaning = Some(cleanup.attempt);
            }
            Effect::Report(report) => self.hears(report),
            Effect::Gap(_) | Effect::Say(_) => {}
            Effect::Leave {
                deleted,
                remove_journal,
            } => {
                assert!(self.asked.is_none() && self.running.is_none());
                assert_eq!(self.cleaning, None);
                assert!(
                    !remove_journal || self.journal.is_empty(),
                    "removes what is not recorded"
                );
                self.is_all_that_is_deleted(&deleted);
                // What is on its connection goes with it.
                self.left = true;
            }
        }
    }
}
