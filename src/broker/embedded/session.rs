//! [`Embedded`], a session with the queue in a store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::bell_watch::BellWatch;
use super::queue::{LOCKS, Look, Queue, Session};
use super::{Settings, Setup};
use crate::broker::{
    Broker, Capabilities, Delivery, Error, Held, Instance, InstanceId, JobId, JobState, JobStats,
    NewJob, Reservation, Reserve, TubeStats, exchange_singly,
};
use crate::lives::Holder;
use crate::seconds::whole_seconds;
use crate::sqlite::bell::Bell;
use crate::thread::{NotRun, OneShot, Thread};
use crate::tube::TubeName;

/// A session with the queue in a store's file.
///
/// It opens the file when it is first used. A call that is dropped may still be carried out; only a job that it
/// reserved is given back. Dropping the session gives back all that it holds.
#[derive(Debug)]
pub struct Embedded {
    setup: Setup,
    thread: Option<Thread<Queue>>,
    /// Known as soon as the file is open: a file is one instance as long as there is the file.
    instance: InstanceId,
    /// Begun by the first reserve.
    session: Option<Session>,
    bell: BellWatch,
}

impl Embedded {
    /// A session with the queue in the store at this path. Nothing is opened yet.
    pub fn new(store: &Path) -> Embedded {
        Embedded::with_settings(store, Settings::default())
    }

    /// The same for a queue that takes more, or less.
    pub fn with_settings(store: &Path, settings: Settings) -> Embedded {
        Embedded {
            bell: BellWatch::new(Bell::beside(store)),
            setup: Setup::at(store, settings),
            thread: None,
            instance: InstanceId::new(),
            session: None,
        }
    }

    /// The thread that has the connection. Opening it may wait for others, so that is not done here either.
    async fn thread(&mut self) -> Result<Thread<Queue>, Error> {
        if let Some(thread) = &self.thread {
            return Ok(thread.clone());
        }
        let setup = self.setup.clone();
        let opener = OneShot::start("broker-opener").map_err(not_run)?;
        let opening = opener.run(move || Queue::open(&setup)).await;
        let queue = opening.map_err(not_run)??;
        let instance = queue.instance();
        let thread = Thread::new("broker", queue);
        self.instance = instance;
        self.thread = Some(thread.clone());
        Ok(thread)
    }

    async fn call<R: Send + 'static>(
        &mut self,
        f: impl FnOnce(&mut Queue) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let called = self.thread().await?.call(f).await;
        called.map_err(not_run)
    }

    async fn begin(&mut self) -> Result<Session, Error> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = self.call(Queue::session).await??;
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Does something to a reservation of this session.
    async fn settle<R: Send + 'static>(
        &mut self,
        held: Held,
        f: impl FnOnce(&mut Queue, JobId) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let id = held.id;
        let ours = |session: &Session| session.number.unsigned_abs() == held.connection;
        if !self.session.as_ref().is_some_and(ours) {
            return Err(Error::ReservationLost { id });
        }
        self.call(move |queue| f(queue, id)).await?
    }

    /// An exchange of jobs of this session: which were there to be deleted, and what is held now.
    async fn exchange_ours(
        &mut self,
        to_delete: &[Reservation],
        tubes: &[TubeName],
        most: usize,
    ) -> Result<(Vec<bool>, Vec<Offer>), Error> {
        let to_delete: Vec<JobId> = to_delete.iter().map(|one| one.id).collect();
        let (tubes, handle) = (tubes.to_vec(), self.thread().await?);
        self.call(move |queue| {
            let exchanged = queue.exchange(&to_delete, &tubes, most)?;
            let offer = |job| Offer {
                thread: handle.clone(),
                job: Some(job),
            };
            let offers = exchanged.taken.into_iter().map(offer).collect();
            Ok((exchanged.deleted, offers))
        })
        .await?
    }
}

#[async_trait]
impl Broker for Embedded {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            deadline_soon: true,
            drain: false,
        }
    }

    async fn instance(&mut self) -> Result<InstanceId, Error> {
        self.thread().await?;
        Ok(self.instance.clone())
    }

    async fn about(&mut self) -> Result<Instance, Error> {
        Ok(Instance {
            id: self.instance().await?,
            version: env!("CARGO_PKG_VERSION").into(),
            max_job_size: self.setup.settings.max_job_size as u64,
            draining: false,
        })
    }

    async fn put(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Vec<Result<JobId, Error>> {
        let (tube, count) = (tube.clone(), jobs.len());
        let jobs = jobs.to_vec();
        match self.call(move |queue| queue.put(&tube, &jobs)).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); count],
        }
    }

    async fn deliver(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Delivery {
        match self.instance().await {
            Ok(instance) => Delivery {
                instance: Some(instance),
                answers: self.put(tube, jobs).await,
            },
            Err(error) => Delivery::to_nobody(jobs.len(), &error),
        }
    }

    async fn reserve(&mut self, tubes: &[TubeName], timeout: Duration) -> Result<Reserve, Error> {
        let timeout = Duration::from_secs(whole_seconds(timeout).into());
        if tubes.is_empty() {
            sleep(timeout).await;
            return Ok(Reserve::TimedOut);
        }
        let (session, thread) = (self.begin().await?, self.thread().await?);
        let tubes: Arc<[TubeName]> = tubes.into();
        let end = Instant::now() + timeout;
        let mut waiting = None;
        loop {
            let (sleep, holders) = match take(&thread, &tubes).await? {
                Taken::Job(mut offer) => {
                    let Some((id, body)) = offer.job.take() else {
                        continue;
                    };
                    return Ok(Reserve::Job(Reservation {
                        id,
                        body: body.into(),
                        connection: session.number.unsigned_abs(),
                    }));
                }
                Taken::DeadlineSoon => return Ok(Reserve::DeadlineSoon),
                Taken::Nothing { sleep, holders } => (sleep, holders),
            };
            let now = Instant::now();
            if now >= end {
                return Ok(Reserve::TimedOut);
            }
            if waiting.is_some() {
                wait(&mut self.bell, end.min(now + sleep), &session, &holders).await;
                continue;
            }
            // What was put between the look and this is found by another look.
            let watched = Arc::clone(&tubes);
            self.call(move |queue| queue.watch(&watched)).await??;
            self.bell.listen();
            waiting = Some(Waiting::begin(&session));
        }
    }

    async fn exchange(
        &mut self,
        to_delete: Vec<Reservation>,
        deleted: &mut Vec<Result<(), Error>>,
        tubes: &[TubeName],
        most: usize,
    ) -> Result<Vec<Reservation>, Error> {
        let session = match self.begin().await {
            Ok(session) => session.number.unsigned_abs(),
            Err(error) => {
                deleted.resize(to_delete.len(), Err(error.clone()));
                return Err(error);
            }
        };
        if to_delete.iter().any(|one| one.connection != session) {
            return exchange_singly(self, to_delete, deleted, tubes, most).await;
        }
        let exchanged = self.exchange_ours(&to_delete, tubes, most).await;
        let (was_there, offers) = match exchanged {
            Ok(exchanged) => exchanged,
            Err(error) => {
                deleted.resize(to_delete.len(), Err(error.clone()));
                return Err(error);
            }
        };
        let answer = |there: bool| there.then_some(()).ok_or(Error::NotFound);
        deleted.extend(was_there.into_iter().map(answer));
        let reserved = offers.into_iter().filter_map(|mut offer| {
            let (id, body) = offer.job.take()?;
            Some(Reservation {
                id,
                body: body.into(),
                connection: session,
            })
        });
        Ok(reserved.collect())
    }

    async fn touch(&mut self, held: Held) -> Result<(), Error> {
        self.settle(held, Queue::touch).await
    }

    async fn delete(&mut self, reservation: Reservation) -> Result<(), Error> {
        self.settle(reservation.held(), Queue::delete).await
    }

    async fn release(
        &mut self,
        reservation: Reservation,
        priority: u32,
        delay: Duration,
    ) -> Result<(), Error> {
        let delay = whole_seconds(delay);
        self.settle(reservation.held(), move |queue, id| {
            queue.release(id, priority, delay)
        })
        .await
    }

    async fn bury(&mut self, reservation: Reservation, priority: u32) -> Result<(), Error> {
        self.settle(reservation.held(), move |queue, id| {
            queue.bury(id, priority)
        })
        .await
    }

    async fn remove(&mut self, id: JobId) -> Result<(), Error> {
        self.call(move |queue| queue.delete(id)).await?
    }

    async fn remove_all(&mut self, ids: &[JobId]) -> Result<Vec<bool>, Error> {
        let ids = ids.to_vec();
        self.call(move |queue| queue.delete_all(&ids)).await?
    }

    async fn peek(&mut self, id: JobId) -> Result<Option<Bytes>, Error> {
        let body = self.call(move |queue| queue.peek(id)).await??;
        Ok(body.map(Bytes::from))
    }

    async fn stats_job(&mut self, id: JobId) -> Result<Option<JobStats>, Error> {
        self.call(move |queue| queue.stats_job(id)).await?
    }

    async fn stats_tube(&mut self, tube: &TubeName) -> Result<Option<TubeStats>, Error> {
        let tube = tube.clone();
        self.call(move |queue| queue.stats_tube(&tube)).await?
    }

    async fn next_jobs(
        &mut self,
        tube: &TubeName,
        state: JobState,
        most: usize,
    ) -> Result<Vec<JobId>, Error> {
        let tube = tube.clone();
        self.call(move |queue| queue.next_jobs(&tube, state, most))
            .await?
    }

    async fn kick_job(&mut self, id: JobId) -> Result<(), Error> {
        self.call(move |queue| queue.kick_job(id)).await?
    }

    async fn kick(&mut self, tube: &TubeName, bound: u32) -> Result<u64, Error> {
        let tube = tube.clone();
        self.call(move |queue| queue.kick(&tube, bound)).await?
    }

    async fn pause(&mut self, tube: &TubeName, time: Duration) -> Result<(), Error> {
        let (tube, seconds) = (tube.clone(), whole_seconds(time));
        self.call(move |queue| queue.pause(&tube, seconds)).await?
    }
}

enum Taken {
    Job(Offer),
    DeadlineSoon,
    Nothing { sleep: Duration, holders: Vec<i64> },
}

/// A job on its way from the queue's thread to whoever asked for it, who may have gone by the time it arrives.
struct Offer {
    thread: Thread<Queue>,
    job: Option<(JobId, Vec<u8>)>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        // If the thread has too much to do to hear it, the TTR gives the job back.
        if let Some((id, _)) = self.job.take() {
            self.thread.post(move |queue| queue.give_back(id));
        }
    }
}

/// A thread that is not to be had now may be had later.
fn not_run(error: NotRun) -> Error {
    Error::Failed {
        reason: error.to_string(),
    }
}

async fn take(thread: &Thread<Queue>, tubes: &Arc<[TubeName]>) -> Result<Taken, Error> {
    let (tubes, handle) = (Arc::clone(tubes), thread.clone());
    let taking = thread.call(move |queue| {
        Ok(match queue.take(&tubes)? {
            Look::Job { id, body } => Taken::Job(Offer {
                thread: handle,
                job: Some((id, body)),
            }),
            Look::DeadlineSoon => Taken::DeadlineSoon,
            Look::Nothing { sleep, holders } => Taken::Nothing { sleep, holders },
        })
    });
    taking.await.map_err(not_run)?
}

/// Waits until there may be something to be seen: the bell, the time, or the death of one of those who hold jobs.
async fn wait(bell: &mut BellWatch, until: Instant, session: &Session, holders: &[i64]) {
    // To ask for a lock costs next to nothing; to look at the rows a hundred times that.
    let gone = |holder: &i64| {
        let held = session.lock.is_held_elsewhere(Holder::Session(*holder));
        !held.unwrap_or(false)
    };
    loop {
        let step = match holders {
            [] => until,
            _ => until.min(Instant::now() + LOCKS),
        };
        if bell.wait(step).await || Instant::now() >= until || holders.iter().any(gone) {
            return;
        }
    }
}

/// Says, as long as it is there, that the session waits.
struct Waiting {
    session: Session,
}

impl Waiting {
    fn begin(session: &Session) -> Waiting {
        // It is for those who count; nothing depends on it.
        let _ = session.lock.take_too(Holder::Waiter(session.number));
        Waiting {
            session: session.clone(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self
            .session
            .lock
            .let_go(Holder::Waiter(self.session.number));
    }
}
