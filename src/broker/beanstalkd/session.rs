//! [`Client`] as a [`Broker`].

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;

use super::client::{Client, First, Reading, Unfit, about, found, is_deleted, not_found_or};
use super::connection::Connection;
use super::reserve::queue_reserve;
use super::stats::Dictionary;
use super::wire::{Command, Reply};
use crate::broker::{
    Broker, Capabilities, Delivery, Error, Held, Instance, InstanceId, JobId, JobState, JobStats,
    NewJob, Reservation, Reserve, TubeStats, exchange_singly,
};
use crate::seconds::whole_seconds;
use crate::tube::TubeName;

/// How many puts may be on their way at once.
const MAX_PUTS: usize = 64;

/// How many bytes of bodies may be on their way at once; one body always may.
const MAX_PUT_BYTES: usize = 256 * 1024;

/// The largest body that any beanstalkd can be told to take (`-z`). A larger one is not even sent:
/// the server would read on behind a length that it cannot represent, and take the body for commands.
const MAX_BODY: usize = 1024 * 1024 * 1024;

#[async_trait]
impl Broker for Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            deadline_soon: true,
            drain: true,
        }
    }

    async fn instance(&mut self) -> Result<InstanceId, Error> {
        let (connection, instance) = self.take_known_connection().await?;
        self.put_back(connection, Command::Stats.name())?;
        Ok(instance)
    }

    async fn about(&mut self) -> Result<Instance, Error> {
        self.ask(First::Nothing, Command::Stats, about).await
    }

    async fn put(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Vec<Result<JobId, Error>> {
        if jobs.is_empty() {
            return Vec::new();
        }
        match self.take_connection().await {
            Ok(connection) => self.put_on(connection, tube, jobs).await,
            Err(error) => vec![Err(error); jobs.len()],
        }
    }

    async fn deliver(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Delivery {
        match self.take_known_connection().await {
            Ok((connection, instance)) => Delivery {
                instance: Some(instance),
                // On this connection or on none: another may lead to another instance.
                answers: self.put_on(connection, tube, jobs).await,
            },
            Err(error) => Delivery::to_nobody(jobs.len(), &error),
        }
    }

    async fn reserve(&mut self, tubes: &[TubeName], timeout: Duration) -> Result<Reserve, Error> {
        if tubes.is_empty() {
            sleep(timeout).await;
            return Ok(Reserve::TimedOut);
        }
        let mut connection = self.take_connection().await?;
        connection.queue_watch(tubes);
        let wait = queue_reserve(&mut connection, timeout);
        self.reserved(connection, wait).await
    }

    async fn exchange(
        &mut self,
        to_delete: Vec<Reservation>,
        deleted: &mut Vec<Result<(), Error>>,
        tubes: &[TubeName],
        most: usize,
    ) -> Result<Vec<Reservation>, Error> {
        let most = if tubes.is_empty() { 0 } else { most };
        let taken = match to_delete.first() {
            None if most == 0 => return Ok(Vec::new()),
            None => Some(self.take_connection().await?),
            // All on one connection, and on the one that there is.
            Some(first)
                if to_delete
                    .iter()
                    .all(|one| one.connection == first.connection) =>
            {
                self.take_connection_of(first.id, first.connection).ok()
            }
            Some(_) => None,
        };
        let Some(connection) = taken else {
            return exchange_singly(self, to_delete, deleted, tubes, most).await;
        };
        self.exchange_on(connection, &to_delete, deleted, tubes, most)
            .await
    }

    async fn touch(&mut self, held: Held) -> Result<(), Error> {
        let command = Command::Touch(held.id);
        self.settle(held, command, |reply| match reply {
            Reply::Touched => Ok(()),
            other => Err(not_found_or(other)),
        })
        .await
    }

    async fn delete(&mut self, reservation: Reservation) -> Result<(), Error> {
        let command = Command::Delete(reservation.id);
        self.settle(reservation.held(), command, is_deleted).await
    }

    async fn release(
        &mut self,
        reservation: Reservation,
        priority: u32,
        delay: Duration,
    ) -> Result<(), Error> {
        let command = Command::Release {
            id: reservation.id,
            priority,
            delay: whole_seconds(delay),
        };
        self.settle(reservation.held(), command, |reply| match reply {
            // Buried for want of memory: it is ours no more, and it is not lost.
            Reply::Released | Reply::Buried => Ok(()),
            other => Err(not_found_or(other)),
        })
        .await
    }

    async fn bury(&mut self, reservation: Reservation, priority: u32) -> Result<(), Error> {
        let id = reservation.id;
        let command = Command::Bury { id, priority };
        self.settle(reservation.held(), command, |reply| match reply {
            Reply::Buried => Ok(()),
            other => Err(not_found_or(other)),
        })
        .await
    }

    async fn remove(&mut self, id: JobId) -> Result<(), Error> {
        self.ask(First::Nothing, Command::Delete(id), is_deleted)
            .await
    }

    async fn remove_all(&mut self, ids: &[JobId]) -> Result<Vec<bool>, Error> {
        let removed = |reply| match reply {
            Reply::Deleted => Ok(true),
            Reply::NotFound => Ok(false),
            other => Err(other.into()),
        };
        self.ask_of_each(ids, "delete", Command::Delete, removed)
            .await
    }

    async fn peek(&mut self, id: JobId) -> Result<Option<Bytes>, Error> {
        let job = self.ask(First::Nothing, Command::Peek(id), found).await?;
        Ok(job.map(|(_, body)| body))
    }

    async fn peek_all(&mut self, ids: &[JobId]) -> Result<Vec<Option<Bytes>>, Error> {
        let found = |reply| Ok(found(reply)?.map(|(_, body)| body));
        self.ask_of_each(ids, "peek", Command::Peek, found).await
    }

    async fn stats_job(&mut self, id: JobId) -> Result<Option<JobStats>, Error> {
        self.ask(First::Nothing, Command::StatsJob(id), job_stats)
            .await
    }

    async fn stats_jobs(&mut self, ids: &[JobId]) -> Result<Vec<Option<JobStats>>, Error> {
        self.ask_of_each(ids, "stats-job", Command::StatsJob, job_stats)
            .await
    }

    async fn stats_tube(&mut self, tube: &TubeName) -> Result<Option<TubeStats>, Error> {
        let read = |reply| match reply {
            Reply::Data(data) => Ok(Some(TubeStats::try_from(&Dictionary::parse(&data)?)?)),
            Reply::NotFound => Ok(None),
            other => Err(other.into()),
        };
        let command = Command::StatsTube(tube);
        self.ask(First::Nothing, command, read).await
    }

    async fn next_jobs(
        &mut self,
        tube: &TubeName,
        state: JobState,
        _: usize,
    ) -> Result<Vec<JobId>, Error> {
        let command = match state {
            JobState::Ready => Command::PeekReady,
            JobState::Delayed => Command::PeekDelayed,
            JobState::Buried => Command::PeekBuried,
            JobState::Reserved => return Ok(Vec::new()),
        };
        let next = self.ask(First::Use(tube), command, found).await?;
        Ok(next.map(|(id, _)| id).into_iter().collect())
    }

    async fn kick_job(&mut self, id: JobId) -> Result<(), Error> {
        let read = |reply| match reply {
            Reply::KickedJob => Ok(()),
            other => Err(not_found_or(other)),
        };
        self.ask(First::Nothing, Command::KickJob(id), read).await
    }

    async fn kick(&mut self, tube: &TubeName, bound: u32) -> Result<u64, Error> {
        let read = |reply| match reply {
            Reply::Kicked(count) => Ok(count),
            other => Err(other.into()),
        };
        self.ask(First::Use(tube), Command::Kick(bound), read).await
    }

    async fn pause(&mut self, tube: &TubeName, time: Duration) -> Result<(), Error> {
        let read = |reply| match reply {
            Reply::Paused => Ok(()),
            other => Err(not_found_or(other)),
        };
        // A pause that runs out wakes those who wait with every server. One of 0 does with 1.12, and was reported
        // not to with others (beanstalkd's issue 113).
        let command = Command::PauseTube(tube, whole_seconds(time).max(1));
        self.ask(First::Nothing, command, read).await
    }
}

impl Client {
    /// Does something to a reserved job on the connection that reserved it, or not at all.
    async fn settle(
        &mut self,
        held: Held,
        command: Command<'_>,
        read: impl FnOnce(Reply) -> Reading<()>,
    ) -> Result<(), Error> {
        let connection = self.take_connection_of(held.id, held.connection)?;
        let patience = self.answer_timeout();
        self.ask_on(connection, First::Nothing, command, patience, read)
            .await
    }

    /// Asks the same of several jobs, many of them in one write.
    async fn ask_of_each<T>(
        &mut self,
        ids: &[JobId],
        name: &'static str,
        command: fn(JobId) -> Command<'static>,
        read: impl Fn(Reply) -> Reading<T>,
    ) -> Result<Vec<T>, Error> {
        let mut answers = Vec::with_capacity(ids.len());
        for some in ids.chunks(MAX_PUTS) {
            let mut connection = self.take_connection().await?;
            for id in some {
                connection.queue(command(*id));
            }
            for _ in some {
                let patience = self.answer_timeout();
                let heard = self.hear(&mut connection, name, patience, &read).await?;
                // After a refusal there are answers to come that nobody will read: the connection is given up.
                answers.push(heard?);
            }
            self.put_back(connection, name)?;
        }
        Ok(answers)
    }

    /// Puts them on a connection that was taken. What ends it is the answer to every job that has none then.
    async fn put_on(
        &mut self,
        connection: Connection,
        tube: &TubeName,
        jobs: &[NewJob],
    ) -> Vec<Result<JobId, Error>> {
        let mut answers = Vec::with_capacity(jobs.len());
        if let Err(error) = self.put_all(connection, tube, jobs, &mut answers).await {
            answers.resize(jobs.len(), Err(error));
        }
        answers
    }

    /// Appends answers as they come.
    async fn put_all(
        &mut self,
        mut connection: Connection,
        tube: &TubeName,
        jobs: &[NewJob],
        answers: &mut Vec<Result<JobId, Error>>,
    ) -> Result<(), Error> {
        connection.queue_use(tube);
        let mut window = Window::default();
        let mut waiting = jobs.iter();
        let mut next = waiting.next();
        loop {
            while let Some(job) = next.filter(|job| window.has_room_for(job)) {
                window.send(job, &mut connection);
                next = waiting.next();
            }
            let Some(sent) = window.on_their_way.pop_front() else {
                break;
            };
            answers.push(match sent {
                Sent::Whole(size) => self.put_answer(&mut connection, size, &mut window).await?,
                Sent::Never(size) => Err(Error::TooBig { size }),
            });
        }
        // Every job has its answer; that the connection is done for is the next call's affair.
        let _ = self.put_back(connection, "put");
        Ok(())
    }

    /// Reads the answer to the oldest put on its way.
    async fn put_answer(
        &self,
        connection: &mut Connection,
        size: usize,
        window: &mut Window,
    ) -> Result<Result<JobId, Error>, Error> {
        window.bytes = window.bytes.saturating_sub(size);
        let (patience, read) = (self.answer_timeout(), |reply| put(reply, size));
        self.hear(connection, "put", patience, read).await
    }
}

/// The puts that have been sent and not answered.
#[derive(Default)]
struct Window {
    on_their_way: VecDeque<Sent>,
    bytes: usize,
}

/// A job that awaits its turn to be answered, with its body's size in bytes.
enum Sent {
    /// The server will answer it.
    Whole(usize),
    /// Too large for any server, so we answer it.
    Never(usize),
}

impl Window {
    fn has_room_for(&self, job: &NewJob) -> bool {
        let bytes = self.bytes.saturating_add(job.body.len());
        self.on_their_way.is_empty()
            || (self.on_their_way.len() < MAX_PUTS && bytes <= MAX_PUT_BYTES)
    }

    fn send(&mut self, job: &NewJob, connection: &mut Connection) {
        let size = job.body.len();
        if size > MAX_BODY {
            self.on_their_way.push_back(Sent::Never(size));
            return;
        }
        connection.queue(Command::Put {
            priority: job.priority,
            delay: whole_seconds(job.delay),
            ttr: whole_seconds(job.ttr).max(1),
            body: &job.body,
        });
        self.bytes = self.bytes.saturating_add(size);
        self.on_their_way.push_back(Sent::Whole(size));
    }
}

/// What becomes of a job of that many bytes.
fn put(reply: Reply, size: usize) -> Reading<JobId> {
    match reply {
        // Buried for want of memory: it exists all the same, and putting it again would double it.
        Reply::Inserted(id) | Reply::InsertedBuried(id) => Ok(id),
        Reply::JobTooBig => Err(Unfit::Refused(Error::TooBig { size })),
        Reply::Draining => Err(Unfit::Refused(Error::Draining)),
        other => Err(other.into()),
    }
}

/// A job has a number as soon as the server begins to read its body, and no state before it has all of that
/// (beanstalkd's `prot.c`: `Invalid`). It is not there yet, and never is if whoever puts it goes on no further.
fn job_stats(reply: Reply) -> Reading<Option<JobStats>> {
    match reply {
        Reply::Data(data) => {
            let stats = Dictionary::parse(&data)?;
            match stats.get("state") {
                Some("invalid") => Ok(None),
                Some(_) | None => Ok(Some(JobStats::try_from(&stats)?)),
            }
        }
        Reply::NotFound => Ok(None),
        other => Err(other.into()),
    }
}
