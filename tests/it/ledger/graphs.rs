//! A diamond of ten thousand tasks, of which some fail, beside a slow and obvious model of it.

use std::time::Instant;

use taskqueue::ledger::announce::PUT_TIME;
use taskqueue::ledger::put::{Added, WaitsFor};
use taskqueue::ledger::{Claim, Entry, Jobless, Ledger, TaskRef};
use taskqueue::task::after::{IfParentFails, Terms};
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use uuid::Uuid;

use super::after::new_task;
use super::{NOW, New, Stage, enter, job_ref, settlement};
use crate::support::tube;

/// Draws numbers.
struct Dice(u64);

impl Dice {
    fn draw(&mut self, below: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % below
    }
}

/// A task of the graph: whom it waits for, and how its attempts end.
struct Node {
    parents: Vec<usize>,
    terms: Terms,
    /// So many of its attempts fail.
    failures: usize,
}

/// One above all, a broad middle in two layers, and one below all.
fn diamond(size: usize, dice: &mut Dice) -> Vec<Node> {
    let half = size / 2;
    let rules = [
        IfParentFails::Cancel,
        IfParentFails::Run,
        IfParentFails::Hold,
    ];
    (0..size)
        .map(|place| {
            let parents = match place {
                0 => vec![],
                place if place < half => vec![0],
                place if place + 1 < size => {
                    let mut parents: Vec<usize> = (0..=dice.draw(3))
                        .map(|_| 1 + dice.draw(half - 1))
                        .collect();
                    parents.sort_unstable();
                    parents.dedup();
                    parents
                }
                last => (half..last).collect(),
            };
            let is_last = place + 1 == size;
            let if_parent_fails = match is_last {
                true => IfParentFails::Run,
                false => rules[dice.draw(3)],
            };
            let fails = place > 0 && dice.draw(5) == 0;
            Node {
                parents,
                terms: Terms {
                    any: !is_last && dice.draw(4) == 0,
                    if_parent_fails,
                },
                failures: if fails { 1 + dice.draw(2) } else { 0 },
            }
        })
        .collect()
}

/// Where each stands: `w`aiting, `d`one, `f`ailed or `c`ancelled; and whether it is done with its parents.
struct Model<'a> {
    nodes: &'a [Node],
    stands: Vec<char>,
    over: Vec<bool>,
    attempts: Vec<usize>,
}

impl Model<'_> {
    /// Looks at everything again and again, until nothing changes.
    fn settle(&mut self) {
        while (0..self.nodes.len()).any(|place| self.look(place)) {
            (0..self.nodes.len()).for_each(|place| {
                self.look(place);
            });
        }
    }

    fn look(&mut self, place: usize) -> bool {
        let node = &self.nodes[place];
        if !self.over[place] {
            let stands = |which: &[char]| {
                let parents = node.parents.iter();
                parents
                    .filter(|parent| which.contains(&self.stands[**parent]))
                    .count()
            };
            let (well, badly, all) = (stands(&['d']), stands(&['f', 'c']), node.parents.len());
            let goes = match (node.terms.any, node.terms.if_parent_fails) {
                (true, IfParentFails::Run) => well > 0 || badly == all,
                (true, _) => well > 0,
                (false, IfParentFails::Run) => well + badly == all,
                (false, _) => well == all,
            } || all == 0;
            let ends = match (node.terms.any, node.terms.if_parent_fails) {
                (true, IfParentFails::Cancel) => all > 0 && badly == all,
                (false, IfParentFails::Cancel) => badly > 0,
                (_, IfParentFails::Run | IfParentFails::Hold) => false,
            };
            let now = if ends { 'c' } else { 'w' };
            if goes {
                self.over[place] = true;
                self.stands[place] = 'w';
            } else if now != self.stands[place] {
                self.stands[place] = now;
                return true;
            } else {
                return false;
            }
        }
        if self.stands[place] != 'w' {
            return false;
        }
        self.attempts[place] += 1;
        let fails = self.attempts[place] <= node.failures;
        self.stands[place] = if fails { 'f' } else { 'd' };
        true
    }

    fn regenerate(&mut self, place: usize) {
        self.stands[place] = 'w';
    }
}

struct World<'a> {
    ledger: Stage,
    nodes: &'a [Node],
    /// By their places.
    ids: Vec<TaskId>,
    attempts: Vec<usize>,
    jobs: Vec<Uuid>,
    dice: Dice,
    now: i64,
}

impl World<'_> {
    fn place(&self, task: TaskId) -> usize {
        // They are recorded in their order.
        usize::try_from(task.0 - self.ids[0].0).unwrap()
    }

    /// Runs what there is to run, in any order. Now and then whoever ends a task is killed before anything is put.
    fn run(&mut self) {
        loop {
            while !self.jobs.is_empty() {
                let next = self.dice.draw(self.jobs.len());
                let uuid = self.jobs.swap_remove(next);
                self.run_one(uuid);
            }
            // What a reconciliation does.
            self.now += 2 * PUT_TIME;
            let now = self.now;
            let db: &mut Ledger = &mut self.ledger.db;
            let mut puts = Vec::new();
            while db.has_unheard().unwrap() {
                puts.extend(db.tell_children(now).unwrap().puts);
            }
            let later = now + 2 * PUT_TIME;
            let missing = db.missing(&tube("t"), TaskId(0), 100_000, later).unwrap();
            let again = db.put_again(&missing, later).unwrap();
            self.jobs.extend(again.iter().map(|one| one.uuid));
            if self.jobs.is_empty() {
                return;
            }
        }
    }

    fn run_one(&mut self, uuid: Uuid) {
        let mut job = job_ref(1, TaskRef::Pointer(uuid));
        let (now, stage) = (self.now, &mut self.ledger);
        let mut claim = stage.claim_at(&job, now);
        if let Claim::Remains(dead) = &claim {
            job.cleared = Some(dead.id.number);
            claim = stage.claim_at(&job, now);
        }
        let attempt = match claim {
            Claim::Begun(attempt) => attempt,
            Claim::DeleteJob { .. } => return,
            other => panic!("{other:?}"),
        };
        let place = self.place(attempt.id.task);
        self.attempts[place] += 1;
        let (outcome, next) = match self.attempts[place] <= self.nodes[place].failures {
            false => (Outcome::Exited(0), Next::Done),
            true => {
                let reason = "exit code 1".into();
                (Outcome::Exited(1), Next::Failed { reason })
            }
        };
        let stage = &mut self.ledger;
        let mut entry = Entry {
            settle: vec![settlement(&attempt, outcome, next).into()],
            ..Entry::default()
        };
        loop {
            let entered = enter(&mut stage.db, &stage.me, entry).unwrap();
            if self.dice.draw(10) == 0 {
                return;
            }
            self.jobs.extend(entered.puts.iter().map(|one| one.uuid));
            if !entered.unheard {
                return;
            }
            entry = Entry {
                again: vec![Jobless::Children],
                ..Entry::default()
            };
        }
    }

    fn stands(&self) -> Vec<char> {
        let mut tasks = self.ledger.tasks();
        tasks.reverse();
        let word = |task: taskqueue::Task| task.status.as_str().chars().next().unwrap();
        tasks.into_iter().map(word).collect()
    }
}

pub fn a_diamond_ends_as_a_model_of_it(new: New) {
    const SIZE: usize = 10_000;
    let mut dice = Dice(20_261_127);
    let nodes = diamond(SIZE, &mut dice);
    let mut ledger = new();
    let tasks: Vec<_> = nodes
        .iter()
        .map(|node| {
            let waits = WaitsFor {
                ids: Vec::new(),
                beside: node.parents.clone(),
                terms: node.terms,
            };
            new_task(Some(waits).filter(|waits| !waits.beside.is_empty()), NOW)
        })
        .collect();
    let began = Instant::now();
    let added = ledger.db.add(&tasks, NOW).unwrap();
    let id = |added: &Added| match added {
        Added::New { id } | Added::Later { id } => *id,
        other => panic!("{other:?}"),
    };
    let ids: Vec<TaskId> = added.iter().map(id).collect();
    assert!(ids.is_sorted());
    println!("recorded in {:?}", began.elapsed());
    let mut model = Model {
        nodes: &nodes,
        stands: vec!['w'; SIZE],
        over: vec![false; SIZE],
        attempts: vec![0; SIZE],
    };
    let mut world = World {
        ledger,
        nodes: &nodes,
        ids,
        attempts: vec![0; SIZE],
        jobs: vec![tasks[0].uuid],
        dice,
        now: NOW,
    };
    for round in 0..4 {
        model.settle();
        world.run();
        let (seen, expected) = (world.stands(), &model.stands);
        let differs = (0..SIZE).find(|place| seen[*place] != expected[*place]);
        let what = differs.map(|place| (place, seen[place], expected[place]));
        assert_eq!(what, None, "round {round}");
        assert_eq!(world.attempts, model.attempts, "round {round}");
        let count = |status| expected.iter().filter(|one| **one == status).count();
        println!(
            "round {round}, {:?}: {} done, {} failed, {} cancelled, {} waiting",
            began.elapsed(),
            count('d'),
            count('f'),
            count('c'),
            count('w')
        );
        // Then a person lets half of what has failed run again.
        let failed: Vec<usize> = (0..SIZE).filter(|place| expected[*place] == 'f').collect();
        for place in failed.into_iter().step_by(2) {
            model.regenerate(place);
            let (now, id) = (world.now, world.ids[place]);
            let again = world.ledger.db.regenerate(id, None, now).unwrap().unwrap();
            world.jobs.push(again.uuid);
        }
    }
}
