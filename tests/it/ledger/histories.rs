//! Two ledgers with one history are in one state: whatever keeps the rows, the protocol comes to the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use taskqueue::ledger::announce::Again;
use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::cleanup::Old;
use taskqueue::ledger::put::NewTask;
use taskqueue::ledger::worker::Registered;
use taskqueue::ledger::{Attempt, Claim, Entry, JobRef, Millis, TaskRef};
use taskqueue::task::command::{Commands, Content};
use taskqueue::task::id::TaskId;
use taskqueue::task::limit::{Bounds, By, Limit, Rate};
use taskqueue::task::retry::{self, Rules};
use taskqueue::task::state::{Exit, Outcome, Status};
use uuid::Uuid;

use super::{NOW, Stage, call, foreign, in_memory, job_ref, nth_put, on_sqlite, register};
use crate::support::tube;

/// So many workers and tasks at most: few, so that they meet.
const WORKERS: usize = 3;
const TASKS: usize = 4;

/// Something that happens. Who and what are counted anew where there are fewer.
#[derive(Debug, Clone)]
enum Event {
    Put {
        delay: Millis,
    },
    Claim {
        worker: usize,
        task: usize,
        cleared: bool,
        kicks: Option<u64>,
    },
    Foreign {
        worker: usize,
        number: u64,
    },
    Settle {
        worker: usize,
        outcome: Outcome,
        next: Option<usize>,
    },
    Die {
        worker: usize,
    },
    TakeOver {
        worker: usize,
        task: usize,
    },
    PutAgain {
        task: usize,
        generation: i64,
    },
    Noted {
        task: usize,
        generation: i64,
        job: Option<u64>,
    },
    Deleted {
        task: usize,
        kicks: u64,
    },
    Regenerate {
        task: usize,
    },
    Cancel {
        task: usize,
        now: bool,
    },
    Cleanup {
        status: Status,
    },
    Later {
        by: Millis,
    },
    LetGo,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        2 => Just(Outcome::Exited(0)),
        1 => Just(Outcome::Exited(1)),
        3 => Just(Outcome::Exited(65)),
        1 => Just(Outcome::Signalled(9)),
        1 => Just(Outcome::TimedOut(Exit::Signal(15))),
        1 => Just(Outcome::Interrupted(Exit::Code(0))),
        1 => Just(Outcome::CouldNotStart { reason: "no".into() }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let (worker, task) = (0..WORKERS, 0..TASKS);
    prop_oneof![
        2 => (0..2_i64).prop_map(|delay| Event::Put { delay: delay * 5000 }),
        6 => (worker.clone(), task.clone(), any::<bool>(), prop::option::of(0..3_u64))
            .prop_map(|(worker, task, cleared, kicks)| Event::Claim { worker, task, cleared, kicks }),
        1 => (worker.clone(), 1..3_u64).prop_map(|(worker, number)| Event::Foreign { worker, number }),
        5 => (worker.clone(), outcome(), prop::option::of(task.clone()))
            .prop_map(|(worker, outcome, next)| Event::Settle { worker, outcome, next }),
        2 => worker.clone().prop_map(|worker| Event::Die { worker }),
        2 => (worker, task.clone()).prop_map(|(worker, task)| Event::TakeOver { worker, task }),
        1 => (task.clone(), 0..4_i64).prop_map(|(task, generation)| Event::PutAgain { task, generation }),
        2 => (task.clone(), 0..4_i64, prop::option::of(1..9_u64))
            .prop_map(|(task, generation, job)| Event::Noted { task, generation, job }),
        1 => (task.clone(), 0..3_u64).prop_map(|(task, kicks)| Event::Deleted { task, kicks }),
        3 => task.clone().prop_map(|task| Event::Regenerate { task }),
        2 => (task, any::<bool>()).prop_map(|(task, now)| Event::Cancel { task, now }),
        1 => prop_oneof![Just(Status::Done), Just(Status::Failed), Just(Status::Cancelled)]
            .prop_map(|status| Event::Cleanup { status }),
        3 => (-20_000..20_000_i64).prop_map(|by| Event::Later { by }),
        1 => Just(Event::LetGo),
    ]
}

/// A ledger in the middle of its history.
struct World {
    stage: Stage,
    workers: Vec<(Registered, Vec<Attempt>)>,
    /// Each with the task that it is, once that is known.
    tasks: Vec<(Uuid, TaskId)>,
    now: Millis,
}

impl World {
    fn new(stage: Stage) -> World {
        let mut world = World {
            stage,
            workers: Vec::new(),
            tasks: Vec::new(),
            now: NOW,
        };
        for _ in 0..WORKERS {
            let registered = register(&mut world.stage.db, "w");
            world.workers.push((registered, Vec::new()));
        }
        world
    }

    /// The same with commands of which one is limited.
    fn limited(stage: Stage) -> World {
        let mut world = World::new(stage);
        let mut commands = Commands::clone(&world.stage.commands);
        commands.add_limit(Limit {
            name: "l".into(),
            bounds: Bounds {
                concurrency: Some(1),
                rate: Some(Rate {
                    allowed: 3,
                    per: 30_000,
                }),
            },
            by: By::Limit,
            commands: vec!["work".into()],
            tubes: BTreeSet::new(),
        });
        world.stage.commands = commands.into();
        world
    }

    fn task(&self, task: usize) -> Option<(Uuid, TaskId)> {
        let at = task.checked_rem(self.tasks.len())?;
        self.tasks.get(at).copied()
    }

    fn pointer(&self, task: usize) -> Option<JobRef> {
        self.task(task)
            .map(|(uuid, _)| job_ref(1, TaskRef::Pointer(uuid)))
    }

    /// What a worker says, and what it hears, in words that both ledgers use.
    fn enter(&mut self, worker: usize, entry: &Entry) -> String {
        let (registered, attempts) = &mut self.workers[worker];
        let commands = &self.stage.commands;
        let db = &mut self.stage.db;
        let entered = match db.enter(entry, commands, &registered.me, self.now) {
            Ok(entered) => entered,
            Err(error) => return format!("failed, of one row: {}", error.is_of_one_row()),
        };
        let (ours, taken, lost) = (entered.ours, entered.taken, entered.lost);
        let claim = match entered.claim {
            Some(Claim::Begun(attempt)) => {
                let begun = format!("{:?} {:?} {:?}", attempt.id, attempt.budget, attempt.put);
                attempts.push(*attempt);
                begun
            }
            // A foreign task's uuid is its own in each.
            Some(Claim::Dead(dead) | Claim::Remains(dead)) => {
                format!("{:?} {:?} {:?}", dead.id, dead.owner, dead.remains)
            }
            other => format!("{other:?}"),
        };
        let called_off = entered.called_off;
        format!(
            "{ours:?} {called_off:?} {taken} {lost:?} {claim} {:?}",
            nameless(entered.puts)
        )
    }

    fn happens(&mut self, event: &Event, uuid: Uuid) -> String {
        match event {
            Event::Put { delay } => {
                if self.tasks.len() >= TASKS {
                    return String::new();
                }
                let task = NewTask {
                    unique: None,
                    own: None,
                    after: None,
                    tags: Vec::new(),
                    uuid,
                    tube: tube("t"),
                    content: Content::Call(call("1")),
                    priority: 5,
                    ttr: 60,
                    due: self.now + delay,
                };
                let added = self.stage.db.add(&[task], self.now).unwrap();
                if let [taskqueue::ledger::put::Added::New { id }] = added.as_slice() {
                    self.tasks.push((uuid, *id));
                }
                format!("{added:?}")
            }
            Event::Claim {
                worker,
                task,
                cleared,
                kicks,
            } => {
                let Some((job, (_, id))) = self.pointer(*task).zip(self.task(*task)) else {
                    return String::new();
                };
                let shown = self.stage.db.show(id.into()).unwrap();
                let newest = shown.and_then(|task| task.attempts.last().map(|one| one.number));
                let entry = Entry {
                    claim: Some(JobRef {
                        kicks: *kicks,
                        cleared: newest.filter(|_| *cleared),
                        ..job
                    }),
                    ..Entry::default()
                };
                self.enter(*worker, &entry)
            }
            Event::Foreign { worker, number } => {
                let entry = Entry {
                    claim: Some(job_ref(*number, TaskRef::Nameless(foreign("raw")))),
                    ..Entry::default()
                };
                self.enter(*worker, &entry)
            }
            Event::Settle {
                worker,
                outcome,
                next,
            } => {
                let Some(attempt) = self.workers[*worker].1.pop() else {
                    return String::new();
                };
                let mut settlement =
                    super::settlement(&attempt, outcome.clone(), retry::Next::Done);
                let rules = Rules {
                    max_attempts: 2.into(),
                    ..Rules::default()
                };
                (settlement.next, settlement.budget) =
                    retry::next(outcome, &rules, attempt.budget, attempt.id);
                settlement.finished = self.now;
                drop(attempt);
                let entry = Entry {
                    settle: vec![settlement.into()],
                    claim: next.and_then(|task| self.pointer(task)),
                    ..Entry::default()
                };
                self.enter(*worker, &entry)
            }
            Event::Die { worker } => {
                let registered = register(&mut self.stage.db, "w");
                self.workers[*worker] = (registered, Vec::new());
                format!("{:?}", self.stage.db.abandoned().unwrap().len())
            }
            Event::TakeOver { worker, task } => {
                let dead = self.stage.db.abandoned().unwrap();
                let of = self.task(*task).map(|(_, id)| id);
                let Some(dead) = dead.into_iter().find(|dead| Some(dead.id.task) == of) else {
                    return String::new();
                };
                let taking = Entry {
                    take_over: Some(dead.clone()),
                    ..Entry::default()
                };
                let taken = self.enter(*worker, &taking);
                let losing = Entry {
                    lose: Some(dead),
                    claim: self.pointer(*task),
                    ..Entry::default()
                };
                format!("{taken} {}", self.enter(*worker, &losing))
            }
            Event::PutAgain { task, generation } => {
                let put = self.task(*task).map(|(_, id)| nth_put(id, *generation));
                let puts: Vec<_> = put.into_iter().collect();
                format!("{:?}", self.stage.db.put_again(&puts, self.now).unwrap())
            }
            Event::Noted {
                task,
                generation,
                job,
            } => {
                let put = self
                    .task(*task)
                    .map(|(_, id)| (nth_put(id, *generation), *job));
                let puts: Vec<_> = put.into_iter().collect();
                format!("{:?}", self.stage.db.note_puts("one", &puts).unwrap())
            }
            Event::Deleted { task, kicks } => {
                let task = self.task(*task).map(|(_, id)| id);
                let entry = Entry {
                    deleted: task.into_iter().collect(),
                    kicks: task.map(|task| (task, *kicks)).into_iter().collect(),
                    ..Entry::default()
                };
                self.enter(0, &entry)
            }
            Event::Regenerate { task } => {
                let id = self.task(*task).map_or(TaskId(99), |(_, id)| id);
                format!(
                    "{:?}",
                    self.stage.db.regenerate(id, None, self.now).unwrap()
                )
            }
            Event::Cancel { task, now } => {
                let id = self.task(*task).map_or(TaskId(99), |(_, id)| id);
                let how = CallOff {
                    now: *now,
                    reason: now.then(|| "why not".into()),
                };
                format!(
                    "{:?}",
                    self.stage.db.change_one(&how, id, self.now).unwrap()
                )
            }
            Event::Cleanup { status } => {
                let old = Old {
                    statuses: vec![*status],
                    before: self.now,
                };
                let deleted = self.stage.db.cleanup(&old, self.now, |_| true).unwrap();
                format!("{deleted}")
            }
            Event::Later { by } => {
                self.now += by;
                String::new()
            }
            Event::LetGo => {
                let commands = &self.stage.commands;
                let db = &mut self.stage.db;
                let let_go = db.let_held_go(&tube("t"), None, commands, self.now);
                let let_go = let_go.unwrap();
                let_go.map_or_else(String::new, |(again, last)| {
                    format!("{:?} {last:?}", nameless(again))
                })
            }
        }
    }

    /// All that anybody can see of it. What foreign tasks are called is their own in each.
    fn seen(&self) -> String {
        let mut tasks = self.stage.tasks();
        for task in &mut tasks {
            task.uuid = Uuid::nil();
        }
        let t = tube("t");
        let db = &self.stage.db;
        let missing = db.missing(&t, TaskId::BEFORE_ALL, 99, self.now).unwrap();
        let unverified = db
            .unverified(&t, Some("one"), TaskId::BEFORE_ALL, 99)
            .unwrap();
        let jobs: Vec<_> = unverified.iter().map(|job| (job.put, job.job)).collect();
        let known: Vec<_> = db.workers().unwrap();
        let counts = db.counts().unwrap();
        format!("{tasks:#?} {missing:?} {jobs:?} {counts:?} {known:?}")
    }
}

/// A foreign task's uuid is its own in each.
fn nameless(mut puts: Vec<Again>) -> Vec<Again> {
    for again in &mut puts {
        again.uuid = Uuid::nil();
    }
    puts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn two_ledgers_with_one_history_are_in_one_state(
        events in prop::collection::vec(event(), 20..100),
        is_limited in any::<bool>(),
    ) {
        let new = if is_limited { World::limited } else { World::new };
        let (mut one, mut other) = (new(on_sqlite()), new(in_memory()));
        for (number, event) in (1..).zip(&events) {
            let uuid = Uuid::from_u128(number);
            let heard = one.happens(event, uuid);
            prop_assert_eq!(&heard, &other.happens(event, uuid), "{:?}", event);
            prop_assert_eq!(one.seen(), other.seen(), "after {:?}", event);
        }
    }
}
