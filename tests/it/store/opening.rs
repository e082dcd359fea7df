//! Who may open what, and what is left alone.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use taskqueue::ledger::read::Key;
use taskqueue::ledger::{Durability, Error, Ledger, sqlite};
use taskqueue::lives::Holder;
use taskqueue::lives::locks::byte;
use taskqueue::sqlite::{Database, Durability as Surviving, Error as Trouble};
use taskqueue::task::id::WorkerId;
use tempfile::TempDir;

use super::bytes;
use crate::support::{Running, Taskqueue};

fn open(path: &Path) -> Result<Ledger, Error> {
    sqlite::open(path, Durability::ProcessDeath)
}

pub mod migrations {
    refinery::embed_migrations!("migrations");
}

/// Makes a store as an earlier version left it.
pub fn make_old(path: &Path, version: i32) -> Connection {
    let mut connection = Connection::open(path).unwrap();
    let wal = connection.pragma_update(None, "journal_mode", "WAL");
    wal.unwrap();
    connection
        .pragma_update(None, "foreign_keys", false)
        .unwrap();
    migrations::migrations::runner()
        .set_target(refinery::Target::Version(version))
        .run(&mut connection)
        .unwrap();
    connection
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
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let migrations = std::fs::read_dir(migrations).unwrap().count();
    assert_eq!(usize::try_from(applied).unwrap(), migrations);
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let id: [u8; 16] = make_old(&path, 1)
        .query_row("SELECT id FROM store", [], |row| row.get(0))
        .unwrap();
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
    assert_eq!(tables(), 0);
    let opened = open(&path).unwrap();
    assert_eq!(opened.id().into_bytes(), id);
    assert_eq!(tables(), 5);
}

#[test]
fn attempts_of_the_third_version_are_kept() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let task = |status: &str, attempt: i64, rest: &str| {
        format!(
            "INSERT INTO tasks (uuid, tube, status, attempt, started, due, finished, owner, body, priority, ttr, created, foreign_job)
             VALUES (randomblob(16), 't', '{status}', {attempt}, 2, {rest}, x'', 0, 60, 1, 0);"
        )
    };
    let all = [
        "PRAGMA foreign_keys = ON;
         INSERT INTO workers (name, tube, host, pid, started, boot) VALUES
            ('first', 't', 'h', 1, 1, 'before'), ('second', 't', 'h', 2, 1, 'before');"
            .to_owned(),
        task("done", 2, "NULL, 9, NULL"),
        // Taken over by the second, which did not run it.
        task("running", 2, "NULL, NULL, 2"),
        task("waiting", 1, "9, NULL, NULL"),
        task("waiting", 0, "9, NULL, NULL").replace(", 2, 9,", ", NULL, 9,"),
        "INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code, signal, reason) VALUES
            (2, 1, 1, 2, 3, 'signalled', NULL, 9, 'why'), (1, 1, 1, 2, 3, 'exited', 75, NULL, NULL),
            (3, 1, 2, 4, 5, 'lost', NULL, NULL, NULL), (1, 2, 2, 6, 9, 'exited', 0, NULL, NULL),
            (2, 2, 1, 7, NULL, NULL, NULL, NULL, NULL);
         INSERT INTO output VALUES (1, CAST('a2' AS BLOB), x'', 0), (4, zeroblob(65536), zeroblob(65536), 5);"
            .to_owned(),
    ];
    make_old(&path, 3).execute_batch(&all.concat()).unwrap();

    let db = open(&path).unwrap();
    let show = |id: i64| db.show(Key::from(id)).unwrap().unwrap();
    let ends = |id: i64| -> Vec<_> {
        let attempts = show(id).attempts.into_iter();
        let ends = attempts.map(|a| {
            let output = a.output.map(|kept| (kept.head.len(), kept.dropped));
            let ended = (a.outcome, a.exit_code, a.signal, a.reason);
            (a.number, a.worker, a.started, a.finished, ended, output)
        });
        ends.collect()
    };
    let end =
        |outcome: &str, exit_code, signal| (Some(outcome.to_owned()), exit_code, signal, None);
    let [first, second] = ["first", "second"].map(str::to_owned);
    assert_eq!(
        ends(1),
        [
            (
                1,
                first.clone(),
                2,
                Some(3),
                end("exited", Some(75), None),
                None
            ),
            (
                2,
                second.clone(),
                6,
                Some(9),
                end("exited", Some(0), None),
                Some((65_536, 5))
            ),
        ]
    );
    let killed = (Some("signalled".into()), None, Some(9), Some("why".into()));
    assert_eq!(
        ends(2),
        [
            (1, first.clone(), 2, Some(3), killed, Some((2, 0))),
            (2, first, 2, None, (None, None, None, None), None),
        ]
    );
    assert_eq!(
        ends(3),
        [(1, second, 4, Some(5), end("lost", None, None), None)]
    );
    assert_eq!(ends(4), []);
    assert_eq!(show(2).status.as_str(), "stalled");
    let sqlite = Connection::open(&path).unwrap();
    let none = |sql: &str| assert!(!sqlite.prepare(sql).unwrap().exists([]).unwrap(), "{sql}");
    none("PRAGMA foreign_key_check");
    none("SELECT 1 FROM sqlite_schema WHERE sql LIKE '%before%'");
    none("SELECT 1 FROM sqlite_sequence WHERE name NOT IN ('tasks', 'workers')");
}

#[test]
fn a_store_of_the_third_version_is_brought_up_to_date_when_nobody_is_at_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let locks = dir.path().join("t.db-locks");
    let old = make_old(&path, 3);
    let name: String = old
        .query_row("SELECT lower(hex(id)) FROM store", [], |row| row.get(0))
        .unwrap();
    let name: uuid::Uuid = name.parse().unwrap();
    std::fs::write(&locks, format!("{name}\n")).unwrap();
    // Of this boot, for all that is known.
    old.execute_batch(
        "INSERT INTO workers (name, tube, host, pid, started) VALUES ('w', 't', 'h', 1, 1)",
    )
    .unwrap();
    drop(old);
    let hold = |byte| {
        let live = File::options().write(true).open(&locks).unwrap();
        taskqueue::ofd::lock(&live, byte).unwrap();
        live
    };
    let worker = hold(byte(Holder::Worker(WorkerId(1))));
    let refused = open(&path).unwrap_err().to_string();
    assert!(refused.contains("end them first"), "{refused}");
    drop(worker);
    // What a worker that has died has left.
    let attempt = hold(7);
    let asked = open(&path)
        .unwrap()
        .lives()
        .is_held(Holder::Worker(WorkerId(1)));
    let error = asked.unwrap_err().to_string();
    let by_hand = format!("(umask 077; echo {name} 3 > {})", locks.display());
    assert!(error.contains(&by_hand), "{error}");
    drop(attempt);
    assert!(
        !open(&path)
            .unwrap()
            .lives()
            .is_held(Holder::Worker(WorkerId(1)))
            .unwrap()
    );
    assert_eq!(
        std::fs::read_to_string(&locks).unwrap(),
        format!("{name} 3\n")
    );
}

#[test]
fn a_store_is_its_owners_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a/b/t.db");
    let db = open(&path).unwrap();
    let _lock = db.lives().hold(Holder::Worker(WorkerId(1))).unwrap();
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
    assert_eq!(sqlite::open_existing(&path).unwrap().unwrap().id(), id);
    let other = dir.path().join("other.db");
    assert_ne!(open(&other).unwrap().id(), id);
}

/// Opens in every way there is, and sees that no byte has changed.
fn refused(path: &Path) -> Trouble {
    let before = bytes(path);
    let error = Database::open(path, Surviving::ProcessDeath).unwrap_err();
    assert_eq!(open(path).unwrap_err().to_string(), error.to_string());
    assert!(before == bytes(path), "opening changed it");
    let existing = sqlite::open_existing(path).unwrap_err();
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
    assert!(
        matches!(error, Trouble::Newer { found: 99, .. }),
        "{error:?}"
    );
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
    assert!(
        matches!(error, Trouble::Newer { found: 99, .. }),
        "{error:?}"
    );
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
    assert!(matches!(error, Trouble::NotOurs { .. }), "{error:?}");
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
    assert!(matches!(error, Trouble::NotOurs { .. }), "{error:?}");
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    std::fs::write(&path, "my only copy\n".repeat(1000)).unwrap();
    let error = refused(&path);
    assert!(matches!(error, Trouble::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("no SQLite database"), "{error}");
}

#[test]
fn an_empty_file_becomes_a_store_only_when_something_is_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    std::fs::write(&path, "").unwrap();
    assert!(sqlite::open_existing(&path).unwrap().is_none());
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    open(&path).unwrap();
    assert!(sqlite::open_existing(&path).unwrap().is_some());
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
    assert!(sqlite::open_existing(&path).unwrap().is_none());
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

/// Whoever only looks or puts leaves the schema to tenders and workers, and says so.
#[test]
fn a_store_of_an_older_version_is_left_to_workers() {
    for version in [5, 6, 8, 11, 12, 13, 18] {
        let taskqueue = Taskqueue::embedded();
        taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n[tubes.t]\n");
        let store = make_old(&taskqueue.store(), version);
        let newest = || -> i32 {
            let sql = "SELECT max(version) FROM refinery_schema_history";
            store.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        let locks = taskqueue.path("t.db-locks");
        std::fs::write(&locks, "").unwrap();
        let lives = std::fs::File::options().write(true).open(&locks).unwrap();
        // The byte of the first worker.
        taskqueue::ofd::lock(&lives, (1 << 60) + 1).unwrap();
        let copy = taskqueue.path("copy.db");
        // A copy is wanted just then.
        taskqueue.run(&["backup", copy.to_str().unwrap()]).ok();
        for args in [&["list"][..], &["show", "1"]] {
            let said = taskqueue.run(args).failed(1);
            let is_told = said.contains(&format!("schema version {version}"));
            assert!(
                is_told && said.contains("start a tender"),
                "{args:?} {said}"
            );
            assert_eq!(newest(), version, "{args:?}");
        }
        let worker = ["worker", "--use-tube", "t", "--max-jobs", "1"];
        let said = taskqueue.run(&worker).failed(1);
        assert!(said.contains("workers of an earlier version"), "{said}");
        // Producers go on meanwhile, unless the tables of a task are others.
        let put = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
        let is_put = version >= 6;
        assert_eq!(put.code, Some(i32::from(!is_put)), "{version} {put:?}");
        // What the older tables have no place for is not put without it.
        for more in [&["--max-attempts", "1"][..], &["--unique"]] {
            let put = [&["put", "--use-tube", "t", "ok"], more].concat();
            let said = taskqueue.run(&put).failed(1);
            assert!(
                !is_put || said.contains("earlier version"),
                "{version} {said}"
            );
        }
        assert_eq!(newest(), version);
        drop(lives);
        assert_eq!(
            taskqueue.run(&["put", "--use-tube", "t", "ok"]).code,
            Some(0)
        );
        // What was put into the older one runs, too.
        let tasks = 1 + usize::from(is_put);
        taskqueue.work("t", tasks);
        assert_eq!(newest(), 23);
        let list = ["list", "--json", "--status", "done"];
        assert_eq!(taskqueue.run(&list).json().as_array().unwrap().len(), tasks);
    }
}

/// A producer whose environment is another than that of the workers would have a store of its own, and nobody tends it.
#[test]
fn a_put_makes_only_a_store_that_somebody_has_named() {
    let taskqueue = Taskqueue::alone();
    let mut put = taskqueue.command(&["--broker", "embedded", "put", "--use-tube", "t", "ok"]);
    let home = TempDir::new().unwrap();
    put.env_remove("TASKQUEUE_STORE")
        .env_remove("TASKQUEUE_CONFIG")
        .env_remove("STATE_DIRECTORY")
        .env("XDG_STATE_HOME", home.path())
        .env("HOME", home.path());
    let is_root = rustix::process::geteuid().is_root();
    if is_root && Path::new("/var/lib/taskqueue/taskqueue.db").exists() {
        return;
    }
    let ran = crate::support::Running::start(put).wait();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("nobody named it"), "{ran:?}");
    assert!(!home.path().join("taskqueue").exists());
    let named = Taskqueue::embedded();
    for is_new in [true, false] {
        let ran = named.command(&["put", "--use-tube", "t", "ok"]).output();
        let said = String::from_utf8(ran.unwrap().stderr).unwrap();
        assert_eq!(said.contains("made a new store"), is_new, "{said}");
    }
}
