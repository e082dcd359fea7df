//! The broker's answers.

use super::*;

impl Model {
    pub(super) fn reconnect(&mut self, at: usize) {
        let old = self.workers[at].connection;
        self.broker.disconnect(old);
        self.workers[at].connection = self.broker.connect();
    }

    pub(super) fn answer(&mut self, at: usize) -> Option<Answer> {
        let connection = self.workers[at].connection;
        // A connection breaks now and then, and after every restart.
        if self.dice.one_in(200) || !self.broker.is_connected(connection) {
            return Some(self.breaks(at));
        }
        let now = self.now;
        let (ask, since) = self.workers[at].asked.take()?;
        Some(match ask {
            Ask::Reserve { wait } => {
                let until = since + u64::try_from(wait.as_micros()).unwrap();
                match self.broker.reserve(connection, now) {
                    Some(job) => Answer::Reserved(Ok(port::Reserve::Job(job))),
                    None if until <= now => Answer::Reserved(Ok(port::Reserve::TimedOut)),
                    None => {
                        self.workers[at].asked = Some((Ask::Reserve { wait }, since));
                        return None;
                    }
                }
            }
            Ask::Exchange { to_delete, most } => {
                let deleted = to_delete
                    .into_iter()
                    .map(|one| Deleted {
                        job: one.reservation.id,
                        task: one.task,
                        answer: self.broker.delete(&one.reservation, connection),
                    })
                    .collect();
                let reserved = (0..most)
                    .map_while(|_| self.broker.reserve(connection, now))
                    .collect();
                Answer::Exchanged {
                    deleted,
                    reserved: Ok(reserved),
                }
            }
            Ask::Know(job) | Ask::KnowAmongOthers(job) => Answer::Known(Ok(self.known(job))),
            Ask::KnowAll(jobs) => {
                Answer::AllKnown(Ok(jobs.iter().map(|job| self.known(*job)).collect()))
            }
            Ask::Touch(held) => Answer::Touched(self.broker.touch(held.id, connection, now)),
            Ask::Release {
                reservation, delay, ..
            } => {
                // Room is needed for a delay alone.
                let has_no_room = !delay.is_zero() && self.dice.one_in(20);
                let delay = u64::try_from(delay.as_micros()).unwrap();
                Answer::Settled(match has_no_room {
                    true => self.broker.misplace(&reservation, connection),
                    false => self.broker.release(&reservation, connection, delay, now),
                })
            }
            Ask::Bury { reservation, .. } => {
                Answer::Settled(self.broker.bury(&reservation, connection))
            }
            Ask::Announce(puts) => {
                self.announce(puts);
                Answer::Announced
            }
            Ask::Reconcile => Answer::Reconciled,
            Ask::KeepSome(_) => Answer::KeptSome,
        })
    }

    pub(super) fn known(&self, job: JobId) -> Option<Known> {
        let mut known = stage::known(self.broker.kicks(job)?);
        known.instance = self.broker.instance();
        known.stats.age = Duration::from_micros(self.now - self.broker.put_at(job)?);
        Some(known)
    }

    pub(super) fn breaks(&mut self, at: usize) -> Answer {
        self.reconnect(at);
        let error = stage::lost_connection;
        match self.workers[at].asked.take().unwrap().0 {
            Ask::Reserve { .. } => Answer::Reserved(Err(error())),
            Ask::Exchange { to_delete, .. } => {
                let deleted = to_delete.into_iter().map(|one| Deleted {
                    job: one.reservation.id,
                    task: one.task,
                    answer: Err(error()),
                });
                Answer::Exchanged {
                    deleted: deleted.collect(),
                    reserved: Err(error()),
                }
            }
            Ask::Know(_) | Ask::KnowAmongOthers(_) => Answer::Known(Err(error())),
            Ask::KnowAll(_) => Answer::AllKnown(Err(error())),
            Ask::Touch(_) => Answer::Touched(Err(error())),
            Ask::Release { .. } | Ask::Bury { .. } => Answer::Settled(Err(error())),
            Ask::Announce(_) => Answer::Announced,
            Ask::Reconcile => Answer::Reconciled,
            Ask::KeepSome(_) => Answer::KeptSome,
        }
    }
}
