//! Workers that are killed, and chance: there are never more than are allowed, and nobody is held for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use taskqueue::ledger::announce::{Again, PUT_TIME};
use taskqueue::ledger::put::Added;
use taskqueue::ledger::worker::Registered;
use taskqueue::ledger::{Attempt, Claim, Entered, Entry, Millis, TaskRef};
use taskqueue::task::command::Commands;
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use uuid::Uuid;

use super::super::{NOW, New, Stage, job_ref, register, settlement};
use super::{claim_entry, enter_at, limited, new_task, with};
use crate::support::tube;

/// Workers that claim, end and die, and a tube; chance says who does what.
struct World {
    ledger: Stage,
    workers: Vec<Worker>,
    /// Jobs that nobody has.
    tube: Vec<Uuid>,
    tasks: BTreeMap<Uuid, (TaskId, u32)>,
    now: Millis,
    seed: u64,
    producers: Vec<Arc<Commands>>,
    /// How many were held when they were put.
    held: u32,
    /// How many were held together with another.
    sifted: usize,
}

struct Worker {
    registered: Registered,
    attempt: Option<Box<Attempt>>,
}

impl World {
    fn random(&mut self, below: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % below
    }

    fn put(&mut self) {
        let account = u32::try_from(self.random(2)).unwrap();
        let priority = u32::try_from(self.random(3)).unwrap();
        // Who puts may know of no limit, of the workers' one, or of another.
        let configuration = self.random(self.producers.len());
        self.ledger.db.hold_by(&self.producers[configuration]);
        let text = account.to_string();
        let task = new_task("work", Some(&text), priority, self.now);
        let uuid = task.uuid;
        let added = self.ledger.db.add(&[task], self.now).unwrap();
        let id = match added[..] {
            [Added::New { id }] => {
                self.tube.push(uuid);
                id
            }
            [Added::Later { id }] => {
                self.held += 1;
                id
            }
            _ => panic!("{added:?}"),
        };
        self.tasks.insert(uuid, (id, account));
    }

    /// What a worker says, and what is rung for then; if somebody lives to do that.
    fn enter(&mut self, worker: usize, entry: &Entry, rings: bool) -> Entered {
        let commands = Arc::clone(&self.ledger.commands);
        let me = self.workers[worker].registered.me.clone();
        let entered = self
            .ledger
            .db
            .enter(entry, &commands, &me, self.now)
            .unwrap();
        if rings {
            self.ring(&entered.puts);
        }
        entered
    }

    fn ring(&mut self, puts: &[Again]) {
        for again in puts {
            self.tube.push(again.uuid);
            let noted = [(again.put, Some(1))];
            self.ledger.db.note_puts("one", &noted).unwrap();
        }
    }

    fn claim(&mut self, worker: usize) {
        if self.tube.is_empty() {
            return;
        }
        let job = self.random(self.tube.len());
        let uuid = self.tube.swap_remove(job);
        let mut job = job_ref(1, TaskRef::Pointer(uuid));
        for _ in 0..4 {
            let entered = self.enter(worker, &claim_entry(&job), true);
            match entered.claim.unwrap() {
                Claim::Begun(attempt) => {
                    self.workers[worker].attempt = Some(attempt);
                    return;
                }
                Claim::Held { .. } => return self.sift(worker),
                Claim::DeleteJob { .. } => return,
                Claim::Later { .. } => break,
                Claim::Dead(dead) => {
                    let taking = Entry {
                        take_over: Some(dead.clone()),
                        ..Entry::default()
                    };
                    if !self.enter(worker, &taking, true).taken {
                        break;
                    }
                    let losing = Entry {
                        lose: Some(dead.clone()),
                        ..Entry::default()
                    };
                    self.enter(worker, &losing, true);
                    job.cleared = Some(dead.id.number);
                }
                Claim::Remains(dead) => job.cleared = Some(dead.id.number),
                other => panic!("{other:?}"),
            }
        }
        self.tube.push(uuid);
    }

    /// Goes on with some others at once. Now and then their jobs are still there when it is killed.
    fn sift(&mut self, worker: usize) {
        let from = self.tube.len().saturating_sub(4);
        let others = self.tube.split_off(from);
        let sift = others
            .iter()
            .map(|uuid| job_ref(1, TaskRef::Pointer(*uuid)));
        let entry = Entry {
            sift: sift.collect(),
            ..Entry::default()
        };
        let held = self.enter(worker, &entry, true).sifted.len();
        self.sifted += held;
        let is_killed = self.random(5) == 0;
        let left = others.into_iter().skip(if is_killed { 0 } else { held });
        self.tube.extend(left);
    }

    fn settle(&mut self, worker: usize) {
        let Some(attempt) = self.workers[worker].attempt.take() else {
            return;
        };
        let fails = self.random(10) == 0;
        let next = match fails {
            true => Next::Wait(std::time::Duration::ZERO),
            false => Next::Done,
        };
        let entry = Entry {
            settle: vec![Arc::new(settlement(&attempt, Outcome::Exited(0), next))],
            ..Entry::default()
        };
        // Now and then whoever has committed that dies before anything rings.
        let rings = self.random(5) > 0;
        assert_eq!(self.enter(worker, &entry, rings).ours, [true]);
        if fails {
            self.tube.push(attempt.uuid);
        }
    }

    fn die(&mut self, worker: usize) -> bool {
        let registered = register(&mut self.ledger.db, "w");
        let Worker { attempt, .. } = std::mem::replace(
            &mut self.workers[worker],
            Worker {
                registered,
                attempt: None,
            },
        );
        match attempt {
            Some(attempt) => {
                self.tube.push(attempt.uuid);
                true
            }
            None => false,
        }
    }

    /// As a pass does.
    fn reconcile(&mut self) {
        let me = self.ledger.me.clone();
        for dead in self.ledger.db.dead_attempts(&tube("t"), me.id).unwrap() {
            let taking = Entry {
                take_over: Some(dead.clone()),
                ..Entry::default()
            };
            if enter_at(&mut self.ledger, &taking, self.now).taken {
                let losing = Entry {
                    lose: Some(dead),
                    ..Entry::default()
                };
                let puts = enter_at(&mut self.ledger, &losing, self.now).puts;
                self.ring(&puts);
            }
        }
        let commands = Arc::clone(&self.ledger.commands);
        let mut after = None;
        loop {
            let (now, db) = (self.now, &mut self.ledger.db);
            let gone = db.let_held_go(&tube("t"), after.as_ref(), &commands, now);
            let Some((again, last)) = gone.unwrap() else {
                break;
            };
            after = Some(last).filter(|_| again.is_empty());
            self.ring(&again);
        }
        let before = TaskId::BEFORE_ALL;
        let missing = self.ledger.db.missing(&tube("t"), before, 1000, self.now);
        let again = self
            .ledger
            .db
            .put_again(&missing.unwrap(), self.now)
            .unwrap();
        self.ring(&again);
    }

    /// By the rows, and by who lives.
    fn check(&self) {
        let mut running: BTreeMap<u32, u32> = BTreeMap::new();
        for worker in &self.workers {
            if let Some(attempt) = &worker.attempt {
                *running.entry(self.tasks[&attempt.uuid].1).or_default() += 1;
            }
        }
        assert!(running.values().all(|count| *count <= 2), "{running:?}");
    }
}

pub fn through_crashes_no_more_run_than_are_allowed_and_no_place_is_lost(new: New) {
    let limit = limited("two", Some(2), None, "option:account");
    let mut ledger = with(new, vec![limit]);
    let mut commands = Commands::clone(&ledger.commands);
    commands.set_max_lost(tube("t"), 1000);
    ledger.commands = commands.into();
    let producers = vec![
        Arc::default(),
        Arc::clone(&ledger.commands),
        super::commands(vec![limited("two", Some(1), None, "option:account")]),
        super::commands(vec![limited("another", Some(1), None, "")]),
    ];
    let mut world = World {
        ledger,
        workers: Vec::new(),
        tube: Vec::new(),
        tasks: BTreeMap::new(),
        now: NOW,
        seed: 11,
        producers,
        held: 0,
        sifted: 0,
    };
    for _ in 0..6 {
        let registered = register(&mut world.ledger.db, "w");
        world.workers.push(Worker {
            registered,
            attempt: None,
        });
    }
    let mut kills = 0;
    while kills < 100 {
        world.now += 20;
        let worker = world.random(world.workers.len());
        match world.random(20) {
            0 | 1 if world.tasks.len() < 300 => world.put(),
            2..12 if world.workers[worker].attempt.is_none() => world.claim(worker),
            12..17 => world.settle(worker),
            17 | 18 => kills += u32::from(world.die(worker)),
            19 => world.reconcile(),
            _ => {}
        }
        world.check();
    }
    // From here on nobody dies, and everything comes to its end.
    for _ in 0..5000 {
        world.now += 20;
        let worker = world.random(world.workers.len());
        match world.workers[worker].attempt.is_some() {
            true => world.settle(worker),
            false if world.tube.is_empty() => {
                world.now += PUT_TIME;
                world.reconcile();
            }
            false => world.claim(worker),
        }
        world.check();
    }
    let open = world.ledger.tasks();
    let open = open.iter().filter(|task| task.status.as_str() != "done");
    assert_eq!(open.count(), 0);
    assert!(world.tasks.len() > 100, "{}", world.tasks.len());
    assert!(world.held > 30, "{}", world.held);
    assert!(world.sifted > 10, "{}", world.sifted);
}
