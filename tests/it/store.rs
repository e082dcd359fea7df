//! The store on real files: opened by many, locked, full of rows, and never of impossible ones.

mod busy;
mod claims;
mod cleanup;
mod journal;
mod opening;
mod pace;
mod recovery;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use taskqueue::broker::JobId;
use taskqueue::lives::Alive;
use taskqueue::store::ledger::{
    Attempt, Claim, DeadAttempt, Entered, Entry, ForeignJob, JobRef, Settlement, TaskRef,
};
use taskqueue::store::put::{Added, NewTask};
use taskqueue::store::worker::{Me, NewWorker, Registered};
use taskqueue::store::{Db, Durability, Error, Millis};
use taskqueue::task::command::{Command, Commands, Content};
use taskqueue::task::id::{AttemptId, PutId, TaskId};
use taskqueue::task::output::Captured;
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
    _alive: Alive,
    dir: TempDir,
}

impl Ledger {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut db = Db::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
        let Registered { me, alive } = register(&mut db, "me");
        let mut commands = Commands::default();
        commands.add("work", Command::new(vec!["/bin/true".into()]));
        assert!(commands.take_raw(tube("t"), "work"));
        Ledger {
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

    fn another(&self) -> Db {
        Db::open(&self.path(), Durability::ProcessDeath).unwrap()
    }

    fn claim(&mut self, job: &JobRef) -> Claim {
        self.claim_at(job, NOW)
    }

    fn claim_at(&mut self, job: &JobRef, now: Millis) -> Claim {
        claim(&mut self.db, &self.me, &self.commands, job, now).unwrap()
    }

    /// What a claim names that has been made sure of.
    fn claim_at_cleared(&mut self, job: &JobRef, number: i64, now: Millis) -> Claim {
        let cleared = Some(number);
        let job = JobRef {
            cleared,
            ..job.clone()
        };
        self.claim_at(&job, now)
    }

    /// The claim of another worker, which has ended by the time that it is looked at.
    fn claim_of_another(&mut self, job: &JobRef, now: Millis) -> Claim {
        let another = register(&mut self.db, "another");
        claim(&mut self.db, &another.me, &self.commands, job, now).unwrap()
    }

    /// A claim that must begin an attempt.
    #[track_caller]
    fn begin(&mut self, job: &JobRef) -> Box<Attempt> {
        begun(self.claim(job))
    }

    /// A claim by one who has made sure that nothing is left of the attempt of that number.
    fn claim_cleared(&mut self, job: &JobRef, number: i64) -> Claim {
        self.claim_at_cleared(job, number, NOW)
    }

    /// What becomes of the task of an attempt that we took over, when that is lost and the task claimed anew.
    fn lose_and_claim(&mut self, dead: &DeadAttempt, job: &JobRef, now: Millis) -> Claim {
        let entry = Entry {
            lose: Some(dead.clone()),
            claim: Some(job.clone()),
            ..Entry::default()
        };
        let entered = self.db.enter(&entry, &self.commands, &self.me, now);
        entered.unwrap().claim.unwrap()
    }

    /// A settlement that must be ours to make.
    #[track_caller]
    fn settle(&mut self, attempt: &Attempt, outcome: Outcome, next: Next) {
        let settlement = settlement(attempt, outcome, next);
        assert!(settled(&mut self.db, settlement, &self.me));
    }

    fn done(&mut self, attempt: Box<Attempt>) -> TaskId {
        self.settle(&attempt, Outcome::Exited(0), Next::Done);
        attempt.id.task
    }

    fn failed(&mut self, attempt: Box<Attempt>) -> TaskId {
        let next = Next::Failed {
            reason: "exit code 1".into(),
        };
        self.settle(&attempt, Outcome::Exited(1), next);
        attempt.id.task
    }

    /// One value of one row.
    fn value<T: rusqlite::types::FromSql>(&self, column: &str, task: TaskId) -> T {
        self.sqlite()
            .query_row(
                &format!("SELECT {column} FROM tasks WHERE id = ?1"),
                [task.0],
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
        id: attempt.id,
        outcome,
        next,
        budget: Budget {
            spent: 1,
            ..attempt.budget
        },
        output: Captured {
            head: b"said".to_vec(),
            ..Captured::default()
        },
        kicks: None,
        started: None,
        finished: NOW,
    }
}

/// What somebody says in one transaction, none of which depends on what may run.
fn enter(db: &mut Db, me: &Me, entry: Entry) -> Result<Entered, Error> {
    db.enter(&entry, &Arc::default(), me, NOW)
}

fn claim(
    db: &mut Db,
    me: &Me,
    commands: &Arc<Commands>,
    job: &JobRef,
    now: Millis,
) -> Result<Claim, Error> {
    let entry = Entry {
        claim: Some(job.clone()),
        ..Entry::default()
    };
    Ok(db.enter(&entry, commands, me, now)?.claim.unwrap())
}

/// Whether a dead attempt is theirs now.
fn taken_over(db: &mut Db, dead: &DeadAttempt, me: &Me) -> bool {
    let entry = Entry {
        take_over: Some(dead.clone()),
        ..Entry::default()
    };
    enter(db, me, entry).unwrap().taken
}

/// Whether it was theirs to record.
fn settled(db: &mut Db, settlement: impl Into<Arc<Settlement>>, me: &Me) -> bool {
    let entry = Entry {
        settle: vec![settlement.into()],
        ..Entry::default()
    };
    enter(db, me, entry).unwrap().ours == [true]
}

/// The attempt of a task that has this number.
fn nth(task: TaskId, number: i64) -> AttemptId {
    AttemptId { task, number }
}

/// The put of a task that has this number.
fn nth_put(task: TaskId, generation: i64) -> PutId {
    PutId { task, generation }
}

fn call(argument: &str) -> Call {
    Call {
        command: "work".parse().unwrap(),
        arguments: vec![argument.into()],
        options: Vec::new(),
    }
}

/// Records a task of ours; its row and a job that points to it.
fn put(db: &mut Db, due: Millis) -> (TaskId, JobRef) {
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
    (id, job_ref(1, TaskRef::Pointer(uuid)))
}

fn job_ref(id: JobId, task: TaskRef) -> JobRef {
    let kicks = match &task {
        TaskRef::Pointer(_) => None,
        TaskRef::Named(..) | TaskRef::Nameless(_) => Some(0),
    };
    JobRef {
        tube: tube("t"),
        id,
        kicks,
        task,
        cleared: None,
    }
}

/// A foreign job with a raw body, put into the instance `one` at [`NOW`].
fn foreign(body: &str) -> ForeignJob {
    let mut hash = [0; 16];
    for (slot, byte) in hash.iter_mut().zip(body.bytes()) {
        *slot = byte;
    }
    ForeignJob {
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
