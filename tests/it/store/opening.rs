//! Who may open what, and what is left alone.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use taskqueue::store::{Db, Durability, Error};
use tempfile::TempDir;

use super::bytes;
use crate::support::{Running, Taskqueue};

fn open(path: &Path) -> Result<Db, Error> {
    Db::open(path, Durability::ProcessDeath)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn six_processes_may_make_one_store_at_once() {
    let taskqueue = Taskqueue::alone();
    let putting: Vec<Running> = (0..6)
        .map(|_| taskqueue.start(&["put", "--use-tube", "t", "work"]))
        .collect();
    let mut ids: Vec<String> = putting
        .into_iter()
        .map(|process| {
            let ran = process.wait();
            assert_eq!(ran.code, Some(0), "{ran:?}");
            ran.stdout
        })
        .collect();
    ids.sort();
    assert_eq!(ids, ["1\n", "2\n", "3\n", "4\n", "5\n", "6\n"]);
    let applied: i64 = taskqueue
        .sqlite()
        .query_row("SELECT count(*) FROM refinery_schema_history", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(applied, 3);
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let id = open(&path).unwrap().id();
    let tables = || -> i64 {
        Connection::open(&path)
            .unwrap()
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name IN ('jobs', 'job_bodies', 'queue', 'pauses', 'watches')",
                [],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert_eq!(tables(), 5);
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "DROP TABLE job_bodies; DROP TABLE jobs; DROP TABLE queue; DROP TABLE pauses; DROP TABLE watches;
             ALTER TABLE workers DROP COLUMN boot; DELETE FROM refinery_schema_history WHERE version > 1",
        )
        .unwrap();
    // Also by somebody who only looks.
    assert_eq!(Db::open_existing(&path).unwrap().unwrap().id(), id);
    assert_eq!(tables(), 5);
}

#[test]
fn a_store_is_its_owners_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a/b/t.db");
    let db = open(&path).unwrap();
    let _lock = db
        .locks()
        .take(taskqueue::store::locks::Holder::Worker(1))
        .unwrap();
    assert_eq!(mode(&dir.path().join("a")), 0o700);
    assert_eq!(mode(&dir.path().join("a/b")), 0o700);
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn its_journal_is_a_wal() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    drop(open(&path).unwrap());
    let mode: String = Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn a_store_keeps_its_id() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let id = open(&path).unwrap().id();
    assert_eq!(open(&path).unwrap().id(), id);
    assert_eq!(Db::open_existing(&path).unwrap().unwrap().id(), id);
    let other = dir.path().join("other.db");
    assert_ne!(open(&other).unwrap().id(), id);
}

/// Opens in every way there is, and sees that no byte has changed.
fn refused(path: &Path) -> Error {
    let before = bytes(path);
    let error = open(path).unwrap_err();
    assert!(before == bytes(path), "opening changed it");
    let existing = Db::open_existing(path).unwrap_err();
    assert_eq!(existing.to_string(), error.to_string());
    assert!(before == bytes(path), "reading changed it");
    error
}

#[test]
fn a_newer_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    drop(open(&path).unwrap());
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "INSERT INTO refinery_schema_history SELECT 99, 'later', applied_on, checksum
             FROM refinery_schema_history WHERE version = 1",
        )
        .unwrap();
    let error = refused(&path);
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
    let path = path.to_str().unwrap();
    assert!(error.to_string().contains(path), "{error}");
}

#[test]
fn a_newer_store_is_left_alone_with_what_is_still_in_its_journal() {
    let made = TempDir::new().unwrap();
    let path = made.path().join("t.db");
    drop(open(&path).unwrap());
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "INSERT INTO refinery_schema_history SELECT 99, 'later', applied_on, checksum
             FROM refinery_schema_history WHERE version = 1",
        )
        .unwrap();
    // As a power cut would leave it: copied while the writer has it open.
    let dir = TempDir::new().unwrap();
    for name in ["t.db", "t.db-wal"] {
        std::fs::copy(made.path().join(name), dir.path().join(name)).unwrap();
    }
    let error = refused(&dir.path().join("t.db"));
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
}

#[test]
fn somebody_elses_database_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE tasks (id INTEGER); INSERT INTO tasks VALUES (1)")
        .unwrap();
    let error = refused(&path);
    assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
}

#[test]
fn another_program_that_uses_refinery_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE refinery_schema_history (version INTEGER PRIMARY KEY, name TEXT,
                applied_on TEXT, checksum TEXT);
             INSERT INTO refinery_schema_history VALUES (1, 'theirs', '', '1');
             CREATE TABLE theirs (id INTEGER)",
        )
        .unwrap();
    let error = refused(&path);
    assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    std::fs::write(&path, "my only copy\n".repeat(1000)).unwrap();
    let error = refused(&path);
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("not a database"), "{error}");
}

#[test]
fn an_empty_file_becomes_a_store_only_when_something_is_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    std::fs::write(&path, "").unwrap();
    assert!(Db::open_existing(&path).unwrap().is_none());
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    open(&path).unwrap();
    assert!(Db::open_existing(&path).unwrap().is_some());
}

#[test]
fn a_migration_that_was_cut_short_is_done_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    // refinery makes its own table first, in a transaction of its own.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE refinery_schema_history (version INTEGER PRIMARY KEY, name TEXT,
                applied_on TEXT, checksum TEXT)",
        )
        .unwrap();
    assert!(Db::open_existing(&path).unwrap().is_none());
    open(&path).unwrap();
}

#[test]
fn odd_names_are_names_of_files() {
    let taskqueue = Taskqueue::alone();
    for name in [":memory:", "file:x.db?mode=ro", "a b%20c.db"] {
        let args = ["put", "--use-tube", "t", "work", "--store", name];
        let ran = taskqueue.run(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1\n"), "{name}");
        assert!(taskqueue.path(name).metadata().unwrap().len() > 0, "{name}");
        let shown = taskqueue
            .run(&["show", "1", "--json", "--store", name])
            .json();
        assert_eq!(shown["command"], "work");
    }
}
