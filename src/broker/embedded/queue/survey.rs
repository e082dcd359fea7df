//! What a look at some tubes shows: whether there is a job, and when there may be one.

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::since_boot;
use crate::lives::Holder;
use crate::lives::locks::Lock;
use crate::sqlite::Failed;
use crate::tube::TubeName;

/// The first ready job of a tube, unless the tube is paused: priority and number.
pub(super) const FIRST_READY: &str =
    "SELECT priority, id FROM jobs WHERE tube = ?1 AND state = 'ready'
        AND NOT EXISTS (SELECT 1 FROM pauses WHERE tube = ?1 AND until_at > ?2)
     ORDER BY priority, id LIMIT 1";

/// When the next delayed job of a tube will be ready.
pub(super) const FIRST_DELAYED: &str =
    "SELECT min(ready_at) FROM jobs WHERE tube = ?1 AND state = 'delayed'";

/// Who holds jobs of a tube, and until when.
pub(super) const RESERVED: &str =
    "SELECT due_at, session FROM jobs WHERE tube = ?1 AND state = 'reserved'";

/// Some tubes at one moment.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// A job can be had.
    ready: bool,
    /// The time of a row has come.
    due: bool,
    /// Sessions that hold jobs and are no more.
    pub dead: Vec<i64>,
    /// Other sessions that hold jobs, and live.
    pub holders: Vec<i64>,
    /// When the next row's time will come, since boot.
    pub next: Option<i64>,
}

impl Survey {
    /// Looks, on behalf of the session of that number, which holds that lock.
    pub(super) fn of(
        look: &Connection,
        tubes: &[TubeName],
        session: i64,
        lock: &Lock,
    ) -> Result<Survey, Failed> {
        let now = since_boot();
        let mut survey = Survey::default();
        let mut others = Vec::new();
        for tube in tubes {
            let tube = tube.as_str();
            survey.ready |= look
                .prepare_cached(FIRST_READY)?
                .exists(params![tube, now])?;
            let ready_at: Option<i64> = look
                .prepare_cached(FIRST_DELAYED)?
                .query_row([tube], |row| row.get(0))?;
            let paused_until = pause(look, tube, now)?;
            for at in ready_at.into_iter().chain(paused_until) {
                survey.expect(at, now);
            }
            let mut reserved = look.prepare_cached(RESERVED)?;
            let mut rows = reserved.query([tube])?;
            while let Some(row) = rows.next()? {
                survey.expect(row.get(0)?, now);
                others.push(row.get(1)?);
            }
        }
        others.sort_unstable();
        others.dedup();
        for other in others.into_iter().filter(|other| *other != session) {
            let lives = lock.is_held_elsewhere(Holder::Session(other));
            if lives.map_err(Failed::Locks)? {
                survey.holders.push(other);
            } else {
                survey.dead.push(other);
            }
        }
        Ok(survey)
    }

    fn expect(&mut self, at: i64, now: i64) {
        if at <= now {
            self.due = true;
        } else {
            self.next = self.next.into_iter().chain([at]).min();
        }
    }

    /// Whether there is a reason to take the write lock.
    pub(super) fn calls_for_a_change(&self) -> bool {
        self.ready || self.due || !self.dead.is_empty()
    }
}

/// Until when a tube is paused, since boot.
pub(super) fn pause(look: &Connection, tube: &str, now: i64) -> Result<Option<i64>, Failed> {
    Ok(look
        .prepare_cached("SELECT until_at FROM pauses WHERE tube = ?1 AND until_at > ?2")?
        .query_row(params![tube, now], |row| row.get(0))
        .optional()?)
}

/// Says in the rows of a tube what time and the death of sessions have made of them.
pub(super) fn tidy(
    change: &Connection,
    tube: &TubeName,
    now: i64,
    dead: &[i64],
) -> Result<(), Failed> {
    let tube = tube.as_str();
    change
        .prepare_cached(
            "UPDATE jobs SET state = 'ready', delay = NULL, ready_at = NULL, ready_wall = NULL
             WHERE tube = ?1 AND state = 'delayed' AND ready_at <= ?2",
        )?
        .execute(params![tube, now])?;
    change
        .prepare_cached(
            "UPDATE jobs SET state = 'ready', session = NULL, due_at = NULL, timeouts = timeouts + 1
             WHERE tube = ?1 AND state = 'reserved' AND due_at <= ?2",
        )?
        .execute(params![tube, now])?;
    for session in dead {
        change
            .prepare_cached(
                "UPDATE jobs SET state = 'ready', session = NULL, due_at = NULL
                 WHERE tube = ?1 AND state = 'reserved' AND session = ?2",
            )?
            .execute(params![tube, session])?;
    }
    change
        .prepare_cached("DELETE FROM pauses WHERE tube = ?1 AND until_at <= ?2")?
        .execute(params![tube, now])?;
    Ok(())
}
