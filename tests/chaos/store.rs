//! Looking at the store as anybody could: with SQL, on a connection of our own.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::judge::{Attempt, Row};
use super::task::Key;

/// How often it is asked again while the disk is full or locked.
const BUSY: Duration = Duration::from_secs(5);

pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Tasks that have not ended.
pub fn open_tasks(store: &Connection) -> rusqlite::Result<u64> {
    let sql =
        "SELECT count(*) FROM tasks WHERE status <> 'done' AND status IN ('waiting', 'running')";
    store.query_row(sql, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}

/// The tasks that stand there.
pub fn standing(store: &Connection, status: &str) -> rusqlite::Result<Vec<i64>> {
    let mut rows = store.prepare("SELECT id FROM tasks WHERE status = ?1")?;
    let rows = rows.query_map([status], |row| row.get(0))?;
    rows.collect()
}

/// Jobs that are buried in the embedded broker.
pub fn buried(store: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM jobs WHERE state = 'buried'";
    store.query_row(sql, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}

/// A number that changes whenever anything happens to a task.
pub fn progress(store: &Connection) -> rusqlite::Result<i64> {
    let sql =
        "SELECT (SELECT coalesce(sum(attempt), 0) FROM tasks) + (SELECT count(*) FROM attempts)
        + (SELECT count(*) FROM tasks WHERE status <> 'done' AND status = 'failed')";
    store.query_row(sql, [], |row| row.get(0))
}

const KEYED: &str = "SELECT id, arguments, body, status, attempt, nominal, command FROM tasks LEFT JOIN fires ON fires.task = id";

/// Every task with its attempts, oldest first.
pub fn rows(store: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut attempts = store.prepare(
        "SELECT number, outcome, exit_code FROM attempts WHERE task = ?1
         UNION ALL SELECT attempt, NULL, NULL FROM tasks WHERE id = ?1 AND status = 'running' ORDER BY number",
    )?;
    let mut rows = store.prepare(&format!("{KEYED} ORDER BY id"))?;
    let rows = rows.query_map([], |row| {
        let id: i64 = row.get(0)?;
        let attempts = attempts.query_map([id], |row| {
            Ok(Attempt {
                number: row.get(0)?,
                outcome: row.get(1)?,
                exit_code: row.get(2)?,
            })
        })?;
        Ok(Row {
            id,
            key: key(row)?,
            status: row.get(3)?,
            attempt: row.get(4)?,
            nominal: row.get(5)?,
            command: row.get(6)?,
            attempts: attempts.collect::<Result<_, _>>()?,
        })
    })?;
    rows.collect()
}

/// The keys of all that other producers put and that has a row.
pub fn foreign_keys(store: &Connection) -> rusqlite::Result<BTreeSet<Key>> {
    let mut rows = store.prepare(&format!(
        "{KEYED} WHERE id IN (SELECT task FROM foreign_jobs)"
    ))?;
    let keys = rows.query_map([], key)?;
    keys.filter_map(Result::transpose).collect()
}

/// It is the first argument, or the first line of a raw body, whichever form a task has.
fn key(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Key>> {
    let arguments: Option<String> = row.get(1)?;
    let (task, body): (i64, Option<Vec<u8>>) = (row.get(0)?, row.get(2)?);
    let body = body.unwrap_or_default();
    let first = |json: &[u8], pointer: &str| {
        let value: serde_json::Value = serde_json::from_slice(json).ok()?;
        Some(value.pointer(pointer)?.as_str()?.to_owned())
    };
    let text = match arguments {
        Some(arguments) => first(arguments.as_bytes(), "/0"),
        None => first(&body, "/arguments/0").or_else(|| {
            let line = body.split(|byte| *byte == b'\n').next()?;
            String::from_utf8(line.to_vec()).ok()
        }),
    };
    let key = text.and_then(|text| text.parse::<Key>().ok());
    Ok(key.map(|key| key.of(task)))
}

/// All columns of a row and of its attempts, for people.
pub fn dump(store: &Connection, id: i64) -> rusqlite::Result<Vec<String>> {
    let mut lines = Vec::new();
    for sql in [
        "SELECT * FROM tasks WHERE id = ?1",
        "SELECT * FROM foreign_jobs WHERE task = ?1",
        "SELECT * FROM task_jobs WHERE task = ?1",
        "SELECT * FROM puts WHERE task = ?1",
        "SELECT * FROM attempts WHERE task = ?1 ORDER BY number",
    ] {
        let mut rows = store.prepare(sql)?;
        let names: Vec<String> = rows.column_names().map(str::to_owned).collect();
        let found = rows.query_map([id], |row| {
            let columns = names.iter().enumerate().map(|(at, name)| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(n) => Some(format!("{name}={n}")),
                    ValueRef::Real(n) => Some(format!("{name}={n}")),
                    ValueRef::Text(text) => {
                        Some(format!("{name}={}", String::from_utf8_lossy(text)))
                    }
                    ValueRef::Blob(bytes) => {
                        let hex: String =
                            bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
                        Some(format!("{name}=x{hex}"))
                    }
                })
            });
            let columns: Vec<Option<String>> = columns.collect::<rusqlite::Result<_>>()?;
            Ok(columns.into_iter().flatten().collect::<Vec<_>>().join(" "))
        })?;
        for line in found {
            lines.push(line?);
        }
    }
    Ok(lines)
}
