//! Somebody who writes what a worker writes, without running anything.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use uuid::Uuid;

use taskqueue::clock::now;
use taskqueue::ledger::put::NewTask;
use taskqueue::ledger::worker::{NewWorker, Registered};
use taskqueue::ledger::{Attempt, Claim, Entry, JobRef, Settlement, TaskRef};
use taskqueue::ledger::{Durability, Ledger, Store, sqlite};
use taskqueue::task::command::{Command, Commands, Content};
use taskqueue::task::output::Captured;
use taskqueue::task::payload::Call;
use taskqueue::task::retry::{self, Rules};
use taskqueue::task::state::Outcome;

use super::world::TUBE;

/// With a store, and tasks to claim.
pub struct Writer {
    runtime: Runtime,
    store: Store,
    commands: Arc<Commands>,
    worker: Registered,
    waiting: Vec<Uuid>,
}

impl Writer {
    /// With so many tasks to claim.
    pub fn new(store: &Path, count: usize) -> Writer {
        let mut commands = Commands::default();
        commands.add("true", Command::new(vec![super::TRUE.to_owned()]));
        let worker = NewWorker {
            name: "writer".into(),
            tube: TUBE.into(),
            host: "here".into(),
            pid: std::process::id(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let store = Store::over(sqlite::open(store, Durability::ProcessDeath).unwrap());
        let waiting: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        let tasks: Vec<NewTask> = waiting.iter().map(|uuid| task(*uuid)).collect();
        let begin = store.call(move |db| {
            db.add(&tasks, now())?;
            db.register(&worker, now())
        });
        let worker = runtime.block_on(begin).unwrap();
        Writer {
            runtime,
            store,
            commands: Arc::new(commands),
            worker,
            waiting,
        }
    }

    /// Claims a task and settles it: how long each took, in microseconds.
    pub fn write(&mut self) -> Option<[f64; 2]> {
        let job = JobRef {
            tube: TUBE.parse().unwrap(),
            id: 1,
            kicks: None,
            cleared: None,
            task: TaskRef::Pointer(self.waiting.pop()?),
        };
        let me = self.worker.me.clone();
        let commands = Arc::clone(&self.commands);
        let begun = Instant::now();
        let entry = Entry {
            claim: Some(job),
            ..Entry::default()
        };
        let claim = move |db: &mut Ledger| db.enter(&entry, &commands, &me, now());
        let claim = self.runtime.block_on(self.store.soon(claim));
        let claimed = begun.elapsed().as_secs_f64() * 1e6;
        let Some(Claim::Begun(attempt)) = claim.unwrap().claim else {
            panic!("not claimed");
        };
        let (entry, me) = (done(&attempt), self.worker.me.clone());
        let commands = Arc::clone(&self.commands);
        let begun = Instant::now();
        let settle = move |db: &mut Ledger| db.enter(&entry, &commands, &me, now());
        let settled = self.runtime.block_on(self.store.soon(settle));
        assert_eq!(settled.unwrap().ours, [true]);
        Some([claimed, begun.elapsed().as_secs_f64() * 1e6])
    }
}

fn task(uuid: Uuid) -> NewTask {
    NewTask {
        unique: None,
        own: None,
        after: None,
        tags: Vec::new(),
        uuid,
        tube: TUBE.parse().unwrap(),
        content: Content::Call(Call {
            command: "true".parse().unwrap(),
            arguments: Vec::new(),
            options: Vec::new(),
        }),
        priority: 1024,
        ttr: 60,
        due: now(),
    }
}

fn done(attempt: &Attempt) -> Entry {
    let outcome = Outcome::Exited(0);
    let (next, budget) = retry::next(&outcome, &Rules::default(), attempt.budget, attempt.id);
    let settlement = Settlement {
        id: attempt.id,
        outcome,
        next,
        budget,
        output: Captured::default(),
        report: None,
        took: None,
        kicks: None,
        started: None,
        finished: now(),
        ran: Some(Arc::clone(&attempt.ran)),
    };
    Entry {
        settle: vec![settlement.into()],
        ..Entry::default()
    }
}
