//! Putting a job into the embedded queue: what the store does beside its own rows, and the broker for everybody else.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::Failed;
use crate::clock::Moment;

/// A job to be put.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The tube's name.
    pub tube: &'a str,
    /// 0 is the most urgent.
    pub priority: u32,
    /// Milliseconds until it is ready; nothing and less: at once.
    pub delay: i64,
    /// Seconds, at least 1.
    pub ttr: u32,
    /// The body.
    pub body: &'a [u8],
}

/// The name of the queue in that file, as a broker's instance: its job numbers are never given out again.
pub fn instance(id: Uuid) -> String {
    id.to_string()
}

/// Puts a job, and returns its number. The bell is to be rung after the commit.
pub(crate) fn insert(connection: &Connection, row: &Row<'_>, now: Moment) -> Result<i64, Failed> {
    let delay = (row.delay > 0).then_some(row.delay);
    let ready = delay.map(|delay| now.after(delay));
    let id = connection
        .prepare_cached(
            "INSERT INTO jobs (tube, state, priority, ttr, created, delay, ready_at, ready_wall)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .insert(params![
            row.tube,
            if delay.is_some() { "delayed" } else { "ready" },
            row.priority,
            row.ttr.max(1),
            now.wall,
            delay,
            ready.map(|at| at.boot),
            ready.map(|at| at.wall),
        ])?;
    connection
        .prepare_cached("INSERT INTO job_bodies (job, body) VALUES (?1, ?2)")?
        .execute(params![id, row.body])?;
    Ok(id)
}
