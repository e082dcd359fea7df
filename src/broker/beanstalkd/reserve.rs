//! Reserving: one job, for as long as it may take, or at once as many as there are.

use std::time::Duration;

use bytes::Bytes;

use super::client::{Client, is_deleted, reservation};
use super::connection::Connection;
use super::wire::{Command, Reply};
use crate::broker::{Broker, DEFAULT_PRIORITY, Error, Reservation, Reserve};
use crate::seconds::whole_seconds;
use crate::tube::TubeName;

/// As errors call them.
const DELETE: &str = Command::Delete(0).name();
const RESERVE: &str = Command::Reserve(0).name();

/// How much longer than its own timeout a reserve may take.
const RESERVE_GRACE: Duration = Duration::from_secs(2);

/// The longest timeout sent with a reserve, 68 years: the server keeps it in a C `int`, and waits for
/// ever when that overflows.
const MAX_RESERVE: u32 = i32::MAX.unsigned_abs();

impl Client {
    /// Reads the answer to a reserve that waits so many seconds.
    pub(super) async fn reserved(
        &mut self,
        mut connection: Connection,
        wait: u32,
    ) -> Result<Reserve, Error> {
        let mut too_big = Vec::new();
        let heard = self.hear_reserved(&mut connection, wait, &mut too_big);
        let reserved = heard.await?;
        self.put_back(connection, RESERVE)?;
        self.set_aside(too_big).await?;
        reserved
    }

    /// The same without an end. A job that is longer than we take counts as none, and is to be set aside.
    async fn hear_reserved(
        &self,
        connection: &mut Connection,
        wait: u32,
        too_big: &mut Vec<(Reservation, usize)>,
    ) -> Result<Result<Reserve, Error>, Error> {
        let number = connection.number;
        let patience = Duration::from_secs(wait.into()).saturating_add(RESERVE_GRACE);
        let read = |reply| match reply {
            Reply::Reserved(id, body) => Ok(Reserve::Job(reservation(number, (id, body)))),
            Reply::ReservedTooBig(id, size) => {
                too_big.push((reservation(number, (id, Bytes::new())), size));
                Ok(Reserve::TimedOut)
            }
            Reply::TimedOut => Ok(Reserve::TimedOut),
            Reply::DeadlineSoon => Ok(Reserve::DeadlineSoon),
            other => Err(other.into()),
        };
        self.hear(connection, RESERVE, patience, read).await
    }

    /// All of an exchange in one write.
    pub(super) async fn exchange_on(
        &mut self,
        mut connection: Connection,
        to_delete: &[Reservation],
        deleted: &mut Vec<Result<(), Error>>,
        tubes: &[TubeName],
        most: usize,
    ) -> Result<Vec<Reservation>, Error> {
        if most > 0 {
            connection.queue_watch(tubes);
        }
        for one in to_delete {
            connection.queue(Command::Delete(one.id));
        }
        for _ in 0..most {
            queue_reserve(&mut connection, Duration::ZERO);
        }
        let patience = self.answer_timeout();
        for _ in to_delete {
            let heard = self.hear(&mut connection, DELETE, patience, is_deleted);
            match heard.await {
                Ok(answer) => deleted.push(answer),
                Err(error) => {
                    deleted.resize(to_delete.len(), Err(error.clone()));
                    return Err(error);
                }
            }
        }
        let (mut reserved, mut refused, mut too_big) = (Vec::new(), None, Vec::new());
        for _ in 0..most {
            let heard = self.hear_reserved(&mut connection, 0, &mut too_big);
            match heard.await? {
                Ok(Reserve::Job(job)) => reserved.push(job),
                Ok(Reserve::TimedOut | Reserve::DeadlineSoon) => {}
                Err(error) => refused = Some(error),
            }
        }
        self.put_back(connection, if most > 0 { RESERVE } else { DELETE })?;
        // What was reserved is ours all the same.
        if let Err(error) = self.set_aside(too_big).await {
            refused = Some(error);
        }
        match refused {
            Some(error) if reserved.is_empty() => Err(error),
            Some(_) | None => Ok(reserved),
        }
    }

    /// Buries jobs that are longer than we take: given back, they would only come again.
    async fn set_aside(&mut self, too_big: Vec<(Reservation, usize)>) -> Result<(), Error> {
        for (reservation, size) in too_big {
            let job = reservation.id;
            let stats = self.stats_job(job).await?;
            let priority = stats.map_or(DEFAULT_PRIORITY, |stats| stats.priority);
            self.bury(reservation, priority).await?;
            tracing::error!(job, size, "buried a job whose body is longer than is taken");
        }
        Ok(())
    }
}

/// Queues a reserve, and says how many seconds it waits.
pub(super) fn queue_reserve(connection: &mut Connection, timeout: Duration) -> u32 {
    let wait = whole_seconds(timeout).min(MAX_RESERVE);
    connection.queue(Command::Reserve(wait));
    wait
}
