//! A broker that answers whatever it may.

use super::*;
use crate::worker::machine::Known;

impl World {
    pub(super) fn is_asked(&mut self, ask: Ask) {
        assert!(self.asked.is_none(), "two questions at once");
        match &ask {
            Ask::Reserve { .. } => {
                assert!(self.running.is_none(), "reserves while a command runs");
                assert_eq!(self.told, Mode::Working, "told to go");
                assert!(self.now.at >= self.rests_until, "reserves, and is to pause");
            }
            Ask::Exchange { to_delete, most } => {
                for ToDelete { reservation, .. } in to_delete {
                    assert!(
                        self.is_over.contains(&reservation.id),
                        "deleted before it is recorded"
                    );
                }
                assert!(*most == 0 || self.told == Mode::Working, "told to go");
            }
            Ask::Touch(_)
            | Ask::Release { .. }
            | Ask::Bury { .. }
            | Ask::Know(_)
            | Ask::KnowAmongOthers(_)
            | Ask::KnowAll(_)
            | Ask::Announce(_)
            | Ask::KeepSome(_)
            | Ask::Reconcile => {}
        }
        self.asked = Some(ask);
    }

    /// What was reserved goes back.
    pub(super) fn loses_connection(&mut self) {
        self.connection += 1;
        self.held.clear();
    }

    pub(super) fn fails(&mut self, odds: u64) -> Option<port::Error> {
        self.tape.one_in(odds).then(|| match self.tape.pick(4) {
            0 => port::Error::NotFound,
            1 => port::Error::OutOfMemory,
            _ => {
                self.loses_connection();
                lost_connection()
            }
        })
    }

    pub(super) fn new_job(&mut self) -> Reservation {
        self.jobs += 1;
        let id = self.jobs;
        // A new task, or one that had a job before.
        let task = match self.tape.pick(3) {
            0 if id > 1 => 1 + self.tape.pick(id - 1),
            _ => id,
        };
        self.held.insert(id, task.cast_signed());
        match self.tape.pick(8) {
            0 => {
                let uuid = Uuid::from_u128(task.into());
                let native = format!(r#"{{"taskqueue":1,"uuid":"{uuid}","command":"job"}}"#);
                stage::job(id, native, self.connection)
            }
            1 => stage::job(id, "raw", self.connection),
            _ => pointer_job(id, task.into(), self.connection),
        }
    }

    pub(super) fn answer(&mut self) -> Event {
        let ask = self.asked.as_ref().unwrap();
        // Where the machine has given a reservation away, whatever is answered, it is not held any more.
        let given = match ask {
            Ask::Release { reservation, .. } | Ask::Bury { reservation, .. } => {
                Some(reservation.id)
            }
            _ => None,
        };
        let (to_delete, most) = match self.asked.take() {
            Some(Ask::Exchange { to_delete, most }) => {
                self.asked = Some(Ask::Exchange {
                    to_delete: Vec::new(),
                    most,
                });
                (to_delete, most)
            }
            other => {
                self.asked = other;
                (Vec::new(), 0)
            }
        };
        Event::Answered(match self.asked.as_ref().unwrap() {
            Ask::Reserve { .. } => Answer::Reserved(match self.tape.pick(10) {
                0 => Ok(Reserve::TimedOut),
                1 => Ok(Reserve::DeadlineSoon),
                2 => {
                    self.loses_connection();
                    Err(lost_connection())
                }
                _ => Ok(Reserve::Job(self.new_job())),
            }),
            Ask::Exchange { .. } => self.exchange(to_delete, most),
            Ask::Know(job) | Ask::KnowAmongOthers(job) => {
                let others = self.tape.pick(2) == 1;
                let job = *job;
                Answer::Known(match self.tape.pick(24) {
                    22 | 23 => {
                        self.loses_connection();
                        Err(lost_connection())
                    }
                    21 => {
                        self.held.remove(&job);
                        Ok(None)
                    }
                    _ => Ok(Some(Known {
                        others,
                        ..known(self.tape.pick(2))
                    })),
                })
            }
            Ask::KnowAll(jobs) => {
                assert!(!jobs.is_empty());
                let count = jobs.len();
                Answer::AllKnown(match self.tape.pick(12) {
                    11 => {
                        self.loses_connection();
                        Err(lost_connection())
                    }
                    10 => Ok(vec![None; count]),
                    _ => Ok((0..count).map(|_| Some(known(self.tape.pick(2)))).collect()),
                })
            }
            Ask::Touch(held) => {
                let id = held.id;
                Answer::Touched(match self.fails(8) {
                    Some(error) => {
                        self.held.remove(&id);
                        Err(error)
                    }
                    None => Ok(()),
                })
            }
            Ask::Release { .. } | Ask::Bury { .. } => {
                let failed = self.fails(8);
                self.held.remove(&given.unwrap());
                Answer::Settled(failed.map_or(Ok(()), Err))
            }
            Ask::Announce(_) => Answer::Announced,
            Ask::Reconcile => Answer::Reconciled,
            Ask::KeepSome(_) => Answer::KeptSome,
        })
    }

    pub(super) fn exchange(&mut self, to_delete: Vec<ToDelete>, most: usize) -> Answer {
        let mut deleted = Vec::new();
        let broken = self.tape.one_in(12);
        for ToDelete { reservation, task } in to_delete {
            let ours = self.held.remove(&reservation.id).is_some();
            let answer = match (broken, ours) {
                (false, true) => Ok(()),
                (true, _) => Err(lost_connection()),
                (false, false) => Err(port::Error::ReservationLost { id: reservation.id }),
            };
            if let (Some(task), Ok(())) = (task, &answer) {
                *self.deleted_since.entry(task).or_default() += 1;
            }
            deleted.push(Deleted {
                job: reservation.id,
                task,
                answer,
            });
        }
        let reserved = match broken {
            true => {
                self.loses_connection();
                Err(lost_connection())
            }
            false => {
                let come = self.tape.pick(most as u64 + 1);
                // As many as are asked for, mostly.
                let come = if self.tape.one_in(3) {
                    come
                } else {
                    most as u64
                };
                Ok((0..come).map(|_| self.new_job()).collect())
            }
        };
        Answer::Exchanged { deleted, reserved }
    }
}
