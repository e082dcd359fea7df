//! One connection to the queue's rows, and one session's reservations.
//!
//! ```text
//!            ┌───── release, TTR, dead session ─────┐
//!            ▼                                      │
//! put ──▶ ready ───────────── reserve ─────────▶ reserved ──▶ delete
//!            ▲ ▲                                 │     │
//!            │ └─ its time, kick ── delayed ◀────┘     │
//!            └──────────── kick ─── buried ◀───────────┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::Setup;
use crate::broker::{Error, JobId, NewJob};
use crate::clock::{Moment, since_boot};
use crate::lives::Holder;
use crate::lives::locks::Lock;
use crate::seconds::whole_seconds;
use crate::sqlite::bell::Bell;
use crate::sqlite::boot::begin_boot;
use crate::sqlite::{Database, Durability, Failed, jobs};
use crate::tube::TubeName;

mod exchange;
mod look;
#[cfg(test)]
mod plans;
mod settle;
mod survey;

use survey::Survey;

/// How often the locks of others who hold jobs are looked at.
pub(super) const LOCKS: Duration = Duration::from_millis(250);

/// The longest sleep: whoever put a job may have been killed before it rang.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Before the end of a TTR, the session is told.
const MARGIN: i64 = 1000;

/// Jobs, and bytes of them, put in one transaction; one job always is.
const CHUNK: usize = 500;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// What a look for a job came to.
#[derive(Debug)]
pub(super) enum Look {
    /// A job, now ours.
    Job { id: JobId, body: Vec<u8> },
    /// One of ours is about to run out.
    DeadlineSoon,
    /// No job. Unless the bell rings, or one of those sessions dies, there is nothing to be seen for so long.
    Nothing { sleep: Duration, holders: Vec<i64> },
}

/// A living session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Never given out again.
    pub number: i64,
    /// Says that it lives.
    pub lock: Arc<Lock>,
}

/// The rows, as one session sees them.
#[derive(Debug)]
pub(super) struct Queue {
    database: Database,
    bell: Bell,
    max_job_size: usize,
    session: Option<Session>,
    /// What the session holds, and until when.
    held: HashMap<i64, i64>,
    /// For what it waits when it waits, as recorded.
    watched: Vec<TubeName>,
    /// When the others' locks were last looked at.
    looked_at_locks: Option<Instant>,
    /// The last look found a job: the next one goes for it without looking first.
    flowing: bool,
}

impl Queue {
    /// Opens the queue, making the store where there is none.
    pub(super) fn open(setup: &Setup) -> Result<Queue, Error> {
        // A job that is lost with the power was acknowledged by `put`, which sees to that itself.
        let mut database = Database::open(&setup.store, Durability::ProcessDeath)?;
        begin_boot(&mut database)?;
        Ok(Queue {
            bell: Bell::of(&database),
            max_job_size: setup.settings.max_job_size,
            database,
            session: None,
            held: HashMap::new(),
            watched: Vec::new(),
            looked_at_locks: None,
            flowing: false,
        })
    }

    /// The queue's identity, as a broker's instance.
    pub(super) fn instance(&self) -> String {
        jobs::instance(self.database.id())
    }

    /// The session, begun where there is none.
    pub(super) fn session(&mut self) -> Result<Session, Error> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = self.database.change(|change, locks| {
            let number = change.query_row(
                "UPDATE queue SET sessions = sessions + 1 RETURNING sessions",
                [],
                |row| row.get(0),
            )?;
            // Held before anybody can see the number.
            let lock = locks.take(Holder::Session(number)).map_err(Failed::Locks)?;
            let known: Vec<i64> = change
                .prepare("SELECT DISTINCT session FROM watches")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for other in known {
                let other_lives = lock.is_held_elsewhere(Holder::Session(other));
                if !other_lives.map_err(Failed::Locks)? {
                    change.execute("DELETE FROM watches WHERE session = ?1", [other])?;
                }
            }
            Ok(Session {
                number,
                lock: Arc::new(lock),
            })
        })?;
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Records which tubes are waited for.
    pub(super) fn watch(&mut self, tubes: &[TubeName]) -> Result<(), Error> {
        if self.watched == tubes {
            return Ok(());
        }
        let number = self.session()?.number;
        self.database.change(|change, _| {
            change
                .prepare_cached("DELETE FROM watches WHERE session = ?1")?
                .execute([number])?;
            let mut insert = change
                .prepare_cached("INSERT OR IGNORE INTO watches (tube, session) VALUES (?1, ?2)")?;
            for tube in tubes {
                insert.execute(params![tube.as_str(), number])?;
            }
            Ok(())
        })?;
        self.watched = tubes.to_vec();
        Ok(())
    }

    /// Puts jobs, in order, durably; one answer each.
    pub(super) fn put(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Vec<Result<JobId, Error>> {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut rest = jobs;
        while !rest.is_empty() {
            let mut bytes = 0_usize;
            let fits = |job: &&NewJob| {
                bytes = bytes.saturating_add(job.body.len());
                bytes <= CHUNK_BYTES
            };
            let count = rest.iter().take(CHUNK).take_while(fits).count().max(1);
            let (chunk, later) = rest.split_at(count.min(rest.len()));
            match self.put_chunk(tube, chunk) {
                Ok(put) => answers.extend(put),
                Err(error) => {
                    answers.resize(jobs.len(), Err(error));
                    break;
                }
            }
            rest = later;
        }
        if answers.iter().any(Result::is_ok) {
            self.bell.ring();
        }
        answers
    }

    fn put_chunk(
        &mut self,
        tube: &TubeName,
        chunk: &[NewJob],
    ) -> Result<Vec<Result<JobId, Error>>, Error> {
        let max = self.max_job_size;
        let put = self
            .database
            .change_surviving(Durability::PowerCut, |change, _| {
                let now = Moment::now();
                let put = |job: &NewJob| {
                    let size = job.body.len();
                    if size > max {
                        return Ok(Err(Error::TooBig { size }));
                    }
                    let row = jobs::Row {
                        tube: tube.as_str(),
                        priority: job.priority,
                        delay: i64::from(whole_seconds(job.delay)) * 1000,
                        ttr: whole_seconds(job.ttr),
                        body: &job.body,
                    };
                    jobs::insert(change, &row, now).map(|id| Ok(id.unsigned_abs()))
                };
                chunk.iter().map(put).collect()
            });
        Ok(put?)
    }

    /// Takes the most urgent job of the tubes, if there is one.
    pub(super) fn take(&mut self, tubes: &[TubeName]) -> Result<Look, Error> {
        let dead = match self.survey_unless_flowing(tubes)? {
            Some(survey) if !survey.calls_for_a_change() => return Ok(self.nothing(survey)),
            Some(survey) => survey.dead,
            None => Vec::new(),
        };
        let mut exchanged = self.exchange_knowing(&[], tubes, 1, &dead)?;
        match exchanged.taken.pop() {
            Some((id, body)) => Ok(Look::Job { id, body }),
            None => {
                let survey = self.survey(tubes)?;
                Ok(self.nothing(survey))
            }
        }
    }

    /// Looks, unless it goes for a job without looking first.
    fn survey_unless_flowing(&mut self, tubes: &[TubeName]) -> Result<Option<Survey>, Error> {
        let looked = self.looked_at_locks;
        if self.flowing && looked.is_some_and(|looked| looked.elapsed() < LOCKS) {
            return Ok(None);
        }
        let survey = self.survey(tubes)?;
        self.looked_at_locks = Some(Instant::now());
        Ok(Some(survey))
    }

    fn survey(&mut self, tubes: &[TubeName]) -> Result<Survey, Error> {
        let Session { number, lock } = self.session()?;
        Ok(self
            .database
            .look(|look, _| Survey::of(look, tubes, number, &lock))?)
    }

    fn nothing(&mut self, survey: Survey) -> Look {
        let now = since_boot();
        self.held.retain(|_, due_at| *due_at > now);
        let warn_at = self
            .held
            .values()
            .min()
            .map(|due| due.saturating_sub(MARGIN));
        if warn_at.is_some_and(|at| at <= now) {
            return Look::DeadlineSoon;
        }
        let next = survey.next.into_iter().chain(warn_at).min();
        let sleep = next.map_or(LONGEST_SLEEP, |at| {
            Duration::from_millis(at.saturating_sub(now).max(0).unsigned_abs()).min(LONGEST_SLEEP)
        });
        Look::Nothing {
            sleep,
            holders: survey.holders,
        }
    }

    /// Gives a job back as if it had not been taken: nobody is there to have it.
    pub(super) fn give_back(&mut self, id: JobId) {
        let Some(session) = &self.session else { return };
        let (number, id) = (session.number, column(id));
        let given = self
            .database
            .change(|change, _| give_back(change, id, number));
        self.held.remove(&id);
        match given {
            Ok(()) => self.bell.ring(),
            Err(error) => {
                tracing::warn!(job = id, %error, "could not give a job back; its TTR will");
            }
        }
    }
}

impl Drop for Queue {
    /// The end of the session. What cannot be given back here comes back when its lock is seen to be free.
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let held = std::mem::take(&mut self.held);
        if held.is_empty() && self.watched.is_empty() {
            return;
        }
        let given = self.database.change(|change, _| {
            for id in held.keys() {
                give_back(change, *id, session.number)?;
            }
            change.execute("DELETE FROM watches WHERE session = ?1", [session.number])?;
            Ok(())
        });
        match given {
            Ok(()) if held.is_empty() => {}
            Ok(()) => self.bell.ring(),
            Err(error) => tracing::debug!(%error, "could not end a session of the embedded broker"),
        }
    }
}

fn give_back(change: &Connection, id: i64, session: i64) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE jobs SET state = 'ready', session = NULL, due_at = NULL
             WHERE id = ?1 AND state = 'reserved' AND session = ?2",
        )?
        .execute([id, session])?;
    Ok(())
}

/// A number as it stands in a row; one that is too large stands in none.
fn column(id: JobId) -> i64 {
    i64::try_from(id).unwrap_or(-1)
}
