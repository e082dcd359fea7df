//! What is known of jobs and tubes. Looking changes nothing: what time has made of a row is worked out.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::settle::{exists, waiting};
use super::survey::{RESERVED, pause};
use super::{Queue, column};
use crate::broker::{Error, JobId, JobState, JobStats, TubeStats};
use crate::clock::now;
use crate::clock::since_boot;
use crate::lives::Holder;
use crate::lives::locks::LockFile;
use crate::sqlite::Failed;
use crate::tube::TubeName;

impl Queue {
    /// A job's body.
    pub(in super::super) fn peek(&self, id: JobId) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.database.look(|look, _| {
            Ok(look
                .prepare_cached("SELECT body FROM job_bodies WHERE job = ?1")?
                .query_row([column(id)], |row| row.get(0))
                .optional()?)
        })?)
    }

    /// What is known of a job.
    pub(in super::super) fn stats_job(&self, id: JobId) -> Result<Option<JobStats>, Error> {
        Ok(self.database.look(|look, locks| {
            let job = look
                .prepare_cached(
                    "SELECT tube, state, priority, ttr, created, ready_at, session, due_at,
                            reserves, timeouts, releases, buries, kicks FROM jobs WHERE id = ?1",
                )?
                .query_row([column(id)], |row| Ok(read(row, locks)))
                .optional()?;
            job.transpose()
        })?)
    }

    /// What is known of a tube.
    pub(in super::super) fn stats_tube(&self, tube: &TubeName) -> Result<Option<TubeStats>, Error> {
        Ok(self.database.look(|look, locks| {
            let (tube, now) = (tube.as_str(), since_boot());
            if !exists(look, locks, tube, now)? {
                return Ok(None);
            }
            let count = |sql: &str| -> Result<u64, Failed> {
                let count: i64 = look
                    .prepare_cached(sql)?
                    .query_row(params![tube, now], |row| row.get(0))?;
                Ok(count.unsigned_abs())
            };
            let due = count(
                "SELECT count(*) FROM jobs WHERE tube = ?1 AND state = 'delayed' AND ready_at <= ?2",
            )?;
            let delayed = count(
                "SELECT count(*) FROM jobs WHERE tube = ?1 AND state = 'delayed' AND ready_at > ?2",
            )?;
            let (reserved, given_up) = reserved(look, locks, tube, now)?;
            let left = pause(look, tube, now)?.map_or(0, |until| until.saturating_sub(now));
            Ok(Some(TubeStats {
                ready: due.saturating_add(given_up).saturating_add(count(
                    "SELECT count(*) FROM jobs WHERE tube = ?1 AND state = 'ready' AND ?2 IS NOT NULL",
                )?),
                reserved,
                delayed,
                buried: count(
                    "SELECT count(*) FROM jobs WHERE tube = ?1 AND state = 'buried' AND ?2 IS NOT NULL",
                )?,
                waiting: waiting(look, locks, tube)?,
                watching: None,
                pause_left: millis(left),
            }))
        })?)
    }
}

impl Queue {
    /// The first jobs of a tube that are recorded so. One whose delay is over is among the delayed ones until somebody
    /// has looked.
    pub(in super::super) fn next_jobs(
        &self,
        tube: &TubeName,
        state: JobState,
        most: usize,
    ) -> Result<Vec<JobId>, Error> {
        let sql = match state {
            JobState::Ready => NEXT_READY,
            JobState::Delayed => NEXT_DELAYED,
            JobState::Buried => NEXT_BURIED,
            JobState::Reserved => return Ok(Vec::new()),
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(self.database.look(|look, _| {
            let mut select = look.prepare_cached(sql)?;
            let ids = select.query_map(params![tube.as_str(), most], |row| row.get(0))?;
            Ok(ids
                .map(|id| id.map(i64::unsigned_abs))
                .collect::<Result<_, _>>()?)
        })?)
    }
}

pub(super) const NEXT_READY: &str =
    "SELECT id FROM jobs WHERE tube = ?1 AND state = 'ready' ORDER BY priority, id LIMIT ?2";

pub(super) const NEXT_DELAYED: &str =
    "SELECT id FROM jobs WHERE tube = ?1 AND state = 'delayed' ORDER BY ready_at LIMIT ?2";

pub(super) const NEXT_BURIED: &str =
    "SELECT id FROM jobs WHERE tube = ?1 AND state = 'buried' ORDER BY burial LIMIT ?2";

/// How many jobs of a tube are held, and how many are recorded so and are not.
fn reserved(
    look: &Connection,
    locks: &LockFile,
    tube: &str,
    now: i64,
) -> Result<(u64, u64), Failed> {
    let mut select = look.prepare_cached(RESERVED)?;
    let mut rows = select.query([tube])?;
    let (mut held, mut given_up) = (0, 0);
    while let Some(row) = rows.next()? {
        if is_held(locks, row.get(1)?, row.get(0)?, now)? {
            held += 1;
        } else {
            given_up += 1;
        }
    }
    Ok((held, given_up))
}

fn is_held(locks: &LockFile, session: i64, due_at: i64, now: i64) -> Result<bool, Failed> {
    let lives = || locks.is_held(Holder::Session(session));
    Ok(due_at > now && lives().map_err(Failed::Locks)?)
}

fn read(row: &Row<'_>, locks: &LockFile) -> Result<JobStats, Failed> {
    let since = since_boot();
    let tube: String = row.get(0)?;
    let recorded: String = row.get(1)?;
    let (ready_at, session, due_at): (Option<i64>, Option<i64>, Option<i64>) =
        (row.get(5)?, row.get(6)?, row.get(7)?);
    let ran_out = due_at.is_some_and(|at| at <= since);
    let state = match (recorded.as_str(), session) {
        ("buried", _) => JobState::Buried,
        ("delayed", _) if ready_at.is_some_and(|at| at > since) => JobState::Delayed,
        ("reserved", Some(session)) if is_held(locks, session, due_at.unwrap_or(0), since)? => {
            JobState::Reserved
        }
        ("ready" | "delayed" | "reserved", _) => JobState::Ready,
        (other, _) => return Err(Failed::Corrupt(format!("a job's state is {other}"))),
    };
    let left = match state {
        JobState::Delayed => ready_at,
        JobState::Reserved => due_at,
        JobState::Ready | JobState::Buried => None,
    };
    let number = |index| row.get(index).map(i64::unsigned_abs);
    // By the machine's clock, like the time it was put: who knows the one finds out the other.
    let age = now().saturating_sub(row.get(4)?).max(0);
    Ok(JobStats {
        tube: tube
            .parse()
            .map_err(|e| Failed::Corrupt(format!("a job's tube: {e}")))?,
        state,
        priority: row.get(2)?,
        age: Duration::from_secs(millis(age).as_secs()),
        ttr: Duration::from_secs(number(3)?),
        time_left: millis(left.map_or(0, |at| at.saturating_sub(since))),
        reserves: number(8)?,
        timeouts: number(9)?.saturating_add(ran_out.into()),
        releases: number(10)?,
        buries: number(11)?,
        kicks: number(12)?,
    })
}

fn millis(span: i64) -> Duration {
    Duration::from_millis(span.max(0).unsigned_abs())
}
