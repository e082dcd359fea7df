//! A broker in made-up time, in microseconds.

use std::collections::{BTreeMap, HashSet};

use crate::broker::{Error, JobId, Reservation};

/// Of every job.
pub const TTR: u64 = 10_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Delayed {
        until: u64,
    },
    Reserved {
        connection: u64,
        until: u64,
    },
    Buried,
    /// In none of the queues: there was no room when it was released. It is ready again after a restart.
    Nowhere,
}

#[derive(Debug)]
struct Job {
    body: Vec<u8>,
    state: State,
    ttr: u64,
    put_at: u64,
    kicks: u64,
}

/// Jobs of one tube.
#[derive(Debug, Default)]
pub struct Broker {
    instance: u64,
    ids: u64,
    connections: u64,
    connected: HashSet<u64>,
    jobs: BTreeMap<JobId, Job>,
}

impl Broker {
    pub fn new() -> Broker {
        Broker::default()
    }

    pub fn instance(&self) -> String {
        format!("instance-{}", self.instance)
    }

    pub fn is_empty(&self) -> bool {
        let is_out_of_reach = |job: &Job| matches!(job.state, State::Buried | State::Nowhere);
        self.jobs.values().all(is_out_of_reach)
    }

    /// All connections go; and all jobs, if it forgets. Then its numbers begin anew.
    pub fn restart(&mut self, forgets: bool) {
        self.instance += 1;
        self.connected.clear();
        if forgets {
            self.jobs.clear();
            self.ids = 0;
        }
        for job in self.jobs.values_mut() {
            if let State::Reserved { .. } | State::Nowhere = job.state {
                job.state = State::Ready;
            }
        }
    }

    pub fn connect(&mut self) -> u64 {
        self.connections += 1;
        self.connected.insert(self.connections);
        self.connections
    }

    pub fn is_connected(&self, connection: u64) -> bool {
        self.connected.contains(&connection)
    }

    pub fn disconnect(&mut self, gone: u64) {
        self.connected.remove(&gone);
        for job in self.jobs.values_mut() {
            if let State::Reserved { connection, .. } = job.state
                && connection == gone
            {
                job.state = State::Ready;
            }
        }
    }

    pub fn put(&mut self, body: Vec<u8>, ttr: u64, delay: u64, now: u64) -> JobId {
        self.ids += 1;
        let state = match delay {
            0 => State::Ready,
            delay => State::Delayed { until: now + delay },
        };
        let job = Job {
            body,
            state,
            ttr,
            put_at: now,
            kicks: 0,
        };
        self.jobs.insert(self.ids, job);
        self.ids
    }

    pub fn reserve(&mut self, connection: u64, now: u64) -> Option<Reservation> {
        self.catch_up(now);
        let (id, job) = self
            .jobs
            .iter_mut()
            .find(|(_, job)| job.state == State::Ready)?;
        let until = now + job.ttr;
        job.state = State::Reserved { connection, until };
        Some(Reservation {
            id: *id,
            body: job.body.clone().into(),
            connection,
        })
    }

    fn catch_up(&mut self, now: u64) {
        for job in self.jobs.values_mut() {
            match job.state {
                State::Delayed { until } | State::Reserved { until, .. } if until <= now => {
                    job.state = State::Ready;
                }
                State::Ready
                | State::Delayed { .. }
                | State::Reserved { .. }
                | State::Buried
                | State::Nowhere => {}
            }
        }
    }

    /// When a job becomes ready though nobody does anything.
    pub fn next_at(&self, now: u64) -> Option<u64> {
        let at = self.jobs.values().filter_map(|job| match job.state {
            State::Delayed { until } | State::Reserved { until, .. } => Some(until),
            State::Ready | State::Buried | State::Nowhere => None,
        });
        at.filter(|at| *at > now).min()
    }

    fn held(&mut self, id: JobId, by: u64) -> Result<&mut Job, Error> {
        let job = self.jobs.get_mut(&id).ok_or(Error::NotFound)?;
        match job.state {
            State::Reserved { connection, .. } if connection == by => Ok(job),
            State::Ready
            | State::Delayed { .. }
            | State::Reserved { .. }
            | State::Buried
            | State::Nowhere => Err(Error::NotFound),
        }
    }

    /// Only by whoever reserved it, on the connection that did.
    fn ours(reservation: &Reservation, connection: u64) -> Result<JobId, Error> {
        let id = reservation.id;
        match reservation.connection == connection {
            true => Ok(id),
            false => Err(Error::ReservationLost { id }),
        }
    }

    pub fn touch(&mut self, id: JobId, connection: u64, now: u64) -> Result<(), Error> {
        let job = self.held(id, connection)?;
        let until = now + job.ttr;
        job.state = State::Reserved { connection, until };
        Ok(())
    }

    pub fn delete(&mut self, reservation: &Reservation, connection: u64) -> Result<(), Error> {
        let id = Broker::ours(reservation, connection)?;
        // One that is ready again can be deleted by anybody.
        let is_ready = self
            .jobs
            .get(&id)
            .is_some_and(|job| job.state == State::Ready);
        if !is_ready {
            self.held(id, connection)?;
        }
        self.jobs.remove(&id);
        Ok(())
    }

    pub fn release(
        &mut self,
        reservation: &Reservation,
        connection: u64,
        delay: u64,
        now: u64,
    ) -> Result<(), Error> {
        let id = Broker::ours(reservation, connection)?;
        self.held(id, connection)?.state = match delay {
            0 => State::Ready,
            delay => State::Delayed { until: now + delay },
        };
        Ok(())
    }

    /// A release for which there is no room.
    pub fn misplace(&mut self, reservation: &Reservation, connection: u64) -> Result<(), Error> {
        let id = Broker::ours(reservation, connection)?;
        self.held(id, connection)?.state = State::Nowhere;
        Err(Error::OutOfMemory)
    }

    pub fn bury(&mut self, reservation: &Reservation, connection: u64) -> Result<(), Error> {
        let id = Broker::ours(reservation, connection)?;
        self.held(id, connection)?.state = State::Buried;
        Ok(())
    }

    pub fn peek(&self, id: JobId) -> Option<Vec<u8>> {
        self.jobs.get(&id).map(|job| job.body.clone())
    }

    pub fn kicks(&self, id: JobId) -> Option<u64> {
        self.jobs.get(&id).map(|job| job.kicks)
    }

    pub fn put_at(&self, id: JobId) -> Option<u64> {
        self.jobs.get(&id).map(|job| job.put_at)
    }
}
