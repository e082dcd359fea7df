//! The store on real files: opened by many, locked, full of rows, and never of impossible ones.

mod busy;
mod journal;
mod look;
mod migration;
pub mod opening;
pub mod pace;
mod processes;
mod room;
mod rows;
mod year;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use taskqueue::ledger::worker::{Me, Registered};
use taskqueue::ledger::{self, Durability, sqlite};
use taskqueue::lives::Alive;
use taskqueue::task::command::{Command, Commands};
use tempfile::TempDir;

use crate::ledger::{NOW, begun, claim, put, register, settled, settlement};
use crate::support::tube;
use taskqueue::ledger::{Attempt, JobRef};
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

/// A store in a folder of its own, a worker, and commands that may run.
struct OnDisk {
    db: ledger::Ledger,
    commands: Arc<Commands>,
    me: Me,
    _alive: Alive,
    dir: TempDir,
}

impl OnDisk {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut db = sqlite::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
        let Registered { me, alive } = register(&mut db, "me");
        let mut commands = Commands::default();
        commands.add("work", Command::new(vec!["/bin/true".into()]));
        assert!(commands.take_raw(tube("t"), "work"));
        OnDisk {
            db,
            commands: commands.into(),
            me,
            _alive: alive,
            dir,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("t.db")
    }

    /// A connection of somebody who looks.
    fn sqlite(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn another(&self) -> ledger::Ledger {
        sqlite::open(&self.path(), Durability::ProcessDeath).unwrap()
    }

    /// A claim that must begin an attempt.
    #[track_caller]
    fn begin(&mut self, job: &JobRef) -> Box<Attempt> {
        begun(claim(&mut self.db, &self.me, &self.commands, job, NOW).unwrap())
    }

    fn done(&mut self, attempt: Box<Attempt>) -> TaskId {
        let settlement = settlement(&attempt, Outcome::Exited(0), Next::Done);
        assert!(settled(&mut self.db, settlement, &self.me));
        attempt.id.task
    }

    fn count(&self, table: &str) -> i64 {
        self.sqlite()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    }
}

/// Every byte of a store, its journal included.
fn bytes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        // SQLite's shared memory: an index into the journal, made anew by whoever opens it.
        .filter(|(name, _)| !name.ends_with("-shm"))
        .collect();
    all.sort();
    all
}
