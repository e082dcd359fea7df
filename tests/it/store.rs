//! The store on real files: opened by many, locked, full of rows, and never of impossible ones.

mod busy;
mod claims;
mod cleanup;
mod journal;
mod opening;
mod pace;
mod recovery;
mod rows;
mod slates;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use taskqueue::broker::JobId;
use taskqueue::store::ledger::{Arrival, Attempt, Claim, Settlement, Settlements, Stranger, Who};
use taskqueue::store::locks::Lock;
use taskqueue::store::put::{Added, NewTask};
use taskqueue::store::worker::{Me, NewWorker, Registered};
use taskqueue::store::{Db, Durability, Millis};
use taskqueue::task::command::{Command, Commands, Content};
use taskqueue::task::output::Kept;
use taskqueue::task::payload::Call;
use taskqueue::task::retry::{Budget, Next};
use taskqueue::task::state::Outcome;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::tube;

/// When these tests happen.
const NOW: Millis = 1_800_000_000_000;

/// A store in a folder of its own, two workers, and commands that may run.
struct Ledger {
    db: Db,
    commands: Arc<Commands>,
    me: Me,
    _lock: Lock,
    dir: TempDir,
}

impl Ledger {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut db = Db::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
        let Registered { me, lock } = register(&mut db, "me");
        let mut commands = Commands::default();
        commands.add("work", Command::new(vec!["/bin/true".into()]));
        assert!(commands.take_raw(tube("t"), "work"));
        Ledger {
            db,
            commands: commands.into(),
            me,
            _lock: lock,
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

    fn another(&self) -> Db {
        Db::open(&self.path(), Durability::ProcessDeath).unwrap()
    }

    fn claim(&mut self, arrival: &Arrival) -> Claim {
        self.claim_at(arrival, NOW)
    }

    fn claim_at(&mut self, arrival: &Arrival, now: Millis) -> Claim {
        self.db
            .claim(arrival, &self.commands, &self.me, &[], now)
            .unwrap()
    }

    /// The claim of another worker, which has ended by the time that it is looked at.
    fn claim_of_another(&mut self, arrival: &Arrival, now: Millis) -> Claim {
        let another = register(&mut self.db, "another");
        let claim = self
            .db
            .claim(arrival, &self.commands, &another.me, &[], now);
        claim.unwrap()
    }

    /// A claim that must begin an attempt.
    #[track_caller]
    fn begin(&mut self, arrival: &Arrival) -> Box<Attempt> {
        begun(self.claim(arrival))
    }

    /// A settlement that must be ours to make.
    #[track_caller]
    fn settle(&mut self, attempt: &Attempt, outcome: Outcome, next: Next) {
        let settlement = settlement(attempt, outcome, next);
        assert!(settled(&mut self.db, settlement, &self.me));
    }

    fn done(&mut self, attempt: Box<Attempt>) -> i64 {
        self.settle(&attempt, Outcome::Exited(0), Next::Done);
        attempt.task
    }

    fn failed(&mut self, attempt: Box<Attempt>) -> i64 {
        let next = Next::Failed {
            reason: "exit code 1".into(),
        };
        self.settle(&attempt, Outcome::Exited(1), next);
        attempt.task
    }

    /// One value of one row.
    fn value<T: rusqlite::types::FromSql>(&self, column: &str, task: i64) -> T {
        self.sqlite()
            .query_row(
                &format!("SELECT {column} FROM tasks WHERE id = ?1"),
                [task],
                |row| row.get(0),
            )
            .unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        self.sqlite()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    }
}

fn register(db: &mut Db, name: &str) -> Registered {
    let worker = NewWorker {
        name: name.into(),
        tube: "t".into(),
        host: "here".into(),
        pid: 1,
    };
    db.register(&worker, NOW).unwrap()
}

#[track_caller]
fn begun(claim: Claim) -> Box<Attempt> {
    match claim {
        Claim::Begun(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn settlement(attempt: &Attempt, outcome: Outcome, next: Next) -> Settlement {
    Settlement {
        task: attempt.task,
        number: attempt.number,
        outcome,
        next,
        budget: Budget {
            spent: 1,
            ..attempt.budget
        },
        output: Kept {
            head: b"said".to_vec(),
            ..Kept::default()
        },
        kicks: None,
        started: None,
        finished: NOW,
    }
}

/// Whether it was theirs to record.
fn settled(db: &mut Db, settlement: impl Into<Arc<Settlement>>, me: &Me) -> bool {
    let settlements = Settlements {
        ended: vec![settlement.into()],
        ..Settlements::default()
    };
    db.settle(&settlements, me).unwrap() == [true]
}

fn call(argument: &str) -> Call {
    Call {
        command: "work".parse().unwrap(),
        arguments: vec![argument.into()],
        options: Vec::new(),
    }
}

/// Records a task of ours; its row and a job that points to it.
fn put(db: &mut Db, due: Millis) -> (i64, Arrival) {
    let uuid = Uuid::now_v7();
    let task = NewTask {
        uuid,
        tube: tube("t"),
        content: Content::Call(call("1")),
        priority: 5,
        ttr: 60,
        due,
    };
    let added = db.add(&[task], NOW).unwrap();
    let &[Added::New { id }] = added.as_slice() else {
        panic!("{added:?}");
    };
    (id, arrival(1, Who::Pointer(uuid)))
}

fn arrival(job: JobId, who: Who) -> Arrival {
    let kicks = match &who {
        Who::Pointer(_) => None,
        Who::Named(..) | Who::Nameless(_) => Some(0),
    };
    Arrival {
        tube: tube("t"),
        job,
        kicks,
        who,
    }
}

/// A foreign job with a raw body, put into the instance `one` at [`NOW`].
fn stranger(body: &str) -> Stranger {
    let mut hash = [0; 16];
    for (slot, byte) in hash.iter_mut().zip(body.bytes()) {
        *slot = byte;
    }
    Stranger {
        content: Content::Unread(body.to_owned().into()),
        body: body.to_owned().into(),
        hash,
        instance: "one".into(),
        birth: NOW,
        priority: 9,
        ttr: 30,
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
