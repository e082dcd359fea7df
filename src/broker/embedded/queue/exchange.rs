//! Jobs that are over for others that are ready, in one transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::settle::delete;
use super::survey::{FIRST_READY, tidy};
use super::{Queue, column};
use crate::broker::{Error, JobId};
use crate::clock::since_boot;
use crate::sqlite::Failed;
use crate::tube::TubeName;

/// What came of an exchange.
#[derive(Debug, Default)]
pub(in super::super) struct Exchanged {
    /// Whether each was there to be deleted, in their order.
    pub deleted: Vec<bool>,
    /// What is held now, with its body.
    pub taken: Vec<(JobId, Vec<u8>)>,
}

impl Queue {
    /// Deletes jobs that nobody else holds, and takes up to `most` others.
    pub(in super::super) fn exchange(
        &mut self,
        to_delete: &[JobId],
        tubes: &[TubeName],
        most: usize,
    ) -> Result<Exchanged, Error> {
        let dead = match self.survey_unless_flowing(tubes)? {
            Some(survey) if to_delete.is_empty() && !survey.calls_for_a_change() => {
                return Ok(Exchanged::default());
            }
            Some(survey) => survey.dead,
            None => Vec::new(),
        };
        self.exchange_knowing(to_delete, tubes, most, &dead)
    }

    /// The same, where it is known whose locks are free.
    pub(super) fn exchange_knowing(
        &mut self,
        to_delete: &[JobId],
        tubes: &[TubeName],
        most: usize,
        dead: &[i64],
    ) -> Result<Exchanged, Error> {
        let session = self.session()?.number;
        let (deleted, taken) = self.database.change(|change, locks| {
            let deleted = to_delete
                .iter()
                .map(|id| delete(change, locks, column(*id), session))
                .collect::<Result<_, _>>()?;
            let now = since_boot();
            for tube in tubes {
                tidy(change, tube, now, dead)?;
            }
            let mut taken = Vec::new();
            while taken.len() < most
                && let Some(id) = next(change, tubes, now)?
            {
                taken.push(reserve(change, id, session, now)?);
            }
            Ok((deleted, taken))
        })?;
        if most > 0 {
            self.flowing = !taken.is_empty();
        }
        for id in to_delete {
            self.held.remove(&column(*id));
        }
        let taken = taken.into_iter().map(|(id, due_at, body)| {
            self.held.insert(id, due_at);
            (id.unsigned_abs(), body)
        });
        Ok(Exchanged {
            deleted,
            taken: taken.collect(),
        })
    }
}

/// The most urgent ready job, then the oldest, of the tubes that are not paused.
fn next(look: &Connection, tubes: &[TubeName], now: i64) -> Result<Option<i64>, Failed> {
    let mut best: Option<(u32, i64)> = None;
    for tube in tubes {
        let first = look
            .prepare_cached(FIRST_READY)?
            .query_row(params![tube.as_str(), now], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        best = best.into_iter().chain(first).min();
    }
    Ok(best.map(|(_, id)| id))
}

/// The job's number, the end of its TTR, and its body.
fn reserve(
    change: &Connection,
    id: i64,
    session: i64,
    now: i64,
) -> Result<(i64, i64, Vec<u8>), Failed> {
    let due_at = change
        .prepare_cached(
            "UPDATE jobs SET state = 'reserved', session = ?2, due_at = ?3 + 1000 * ttr, reserves = reserves + 1
             WHERE id = ?1 RETURNING due_at",
        )?
        .query_row([id, session, now], |row| row.get(0))?;
    let body = change
        .prepare_cached("SELECT body FROM job_bodies WHERE job = ?1")?
        .query_row([id], |row| row.get(0))?;
    Ok((id, due_at, body))
}
