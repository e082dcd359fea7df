//! What a put does about limits: a task for which there is no room is held by its put, and has no job.

use std::sync::Arc;

use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::{Claim, JobRef, Millis, TaskRef};
use taskqueue::task::id::TaskId;
use taskqueue::task::limit::Limit;
use taskqueue::task::retry::Next;

use super::super::{NOW, New, Stage, job_ref};
use super::{claim_entry, commands, end, end_at, enter_at, is_held, limited, new_task, rung, with};
use crate::support::tube;

/// A ledger whose producers know the limits.
fn holding(new: New, limits: Vec<Limit>) -> Stage {
    let mut ledger = with(new, limits);
    let commands = Arc::clone(&ledger.commands);
    ledger.db.hold_by(&commands);
    ledger
}

/// A task, its job, and whether the job is there.
type Put = (TaskId, JobRef, bool);

fn add(ledger: &mut Stage, tasks: &[NewTask], now: Millis) -> Vec<Put> {
    let added = ledger.db.add(tasks, now).unwrap();
    let put = |(task, added): (&NewTask, &Added)| {
        let (id, has_job) = match *added {
            Added::New { id } => (id, true),
            Added::Later { id } => (id, false),
            _ => panic!("{added:?}"),
        };
        (id, job_ref(1, TaskRef::Pointer(task.uuid)), has_job)
    };
    tasks.iter().zip(&added).map(put).collect()
}

/// Puts one of each of these accounts, all in one transaction.
fn flood(ledger: &mut Stage, accounts: &[&str]) -> Vec<Put> {
    let tasks: Vec<NewTask> = accounts
        .iter()
        .map(|account| new_task("work", Some(account), 5, NOW))
        .collect();
    add(ledger, &tasks, NOW)
}

fn with_jobs(put: &[Put]) -> Vec<bool> {
    put.iter().map(|(.., has_job)| *has_job).collect()
}

/// What a pass lets go.
fn pass(ledger: &mut Stage, now: Millis) -> Vec<TaskId> {
    let commands = Arc::clone(&ledger.commands);
    let gone = ledger.db.let_held_go(&tube("t"), None, &commands, now);
    gone.unwrap()
        .map_or_else(Vec::new, |(again, _)| rung(&again))
}

fn held(ledger: &Stage) -> u64 {
    let lines = ledger.db.lines_in_use(10).unwrap();
    lines.iter().map(|line| line.held.held).sum()
}

pub fn of_a_flood_as_many_have_jobs_as_may_run(new: New) {
    let mut ledger = holding(new, vec![limited("two", Some(2), None, "option:account")]);
    let first = flood(&mut ledger, &["7", "7", "8"]);
    assert_eq!(with_jobs(&first), [true; 3]);
    assert_eq!(held(&ledger), 0, "who is expected to begin is not held");
    let rest = flood(&mut ledger, &["7", "8", "7", "8", "7"]);
    assert_eq!(with_jobs(&rest), [false, true, false, false, false]);
    assert_eq!(held(&ledger), 4);
    // What is due later has its job, and so has what no limit is of concern to.
    let later = new_task("work", Some("7"), 5, NOW + 1000);
    let other = new_task("other", Some("7"), 5, NOW);
    assert_eq!(
        with_jobs(&add(&mut ledger, &[later, other], NOW)),
        [true; 2]
    );
    // Who is more urgent goes before those that came before it.
    let urgent = add(&mut ledger, &[new_task("work", Some("7"), 1, NOW)], NOW);
    assert_eq!(with_jobs(&urgent), [false]);
    let mut order = vec![urgent[0].clone()];
    order.extend([0, 2, 4].map(|place| rest[place].clone()));
    // The job of one that is held is one too many, wherever it comes from.
    is_held(&mut ledger, &rest[0].1);
    let mut running = vec![ledger.begin(&first[1].1), ledger.begin(&first[0].1)];
    for (id, job, _) in order {
        let attempt = running.pop().unwrap();
        assert_eq!(rung(&end(&mut ledger, attempt)), [id]);
        running.insert(0, ledger.begin(&job));
    }
    for attempt in running {
        assert_eq!(end(&mut ledger, attempt), []);
    }
    assert_eq!(held(&ledger), 1, "of the other key");
}

pub fn whoever_comes_late_stands_behind_those_that_wait(new: New) {
    let mut ledger = holding(new, vec![limited("one", Some(1), None, "option:account")]);
    let put = flood(&mut ledger, &["7", "7"]);
    let attempt = ledger.begin(&put[0].1);
    // Its worker and its command are killed: there is room, and nobody knows of it.
    drop(attempt);
    let late = flood(&mut ledger, &["7"]);
    assert_eq!(with_jobs(&late), [false]);
    assert_eq!(pass(&mut ledger, NOW), [put[1].0]);
    let next = ledger.begin(&put[1].1);
    assert_eq!(rung(&end(&mut ledger, next)), [late[0].0]);
}

pub fn nobody_is_held_for_whom_nobody_rings(new: New) {
    let limit = limited("one", Some(1), None, "option:account");
    for others in [
        Vec::new(),
        vec![limited("renamed", Some(1), None, "option:account")],
        vec![limited("one", Some(1), None, "")],
        vec![limited("one", Some(3), None, "option:account")],
    ] {
        // Who puts knows of the limit; who works knows of none, or of another.
        let mut ledger = holding(new, vec![limit.clone()]);
        let put = flood(&mut ledger, &["7"; 3]);
        assert_eq!(with_jobs(&put), [true, false, false]);
        ledger.commands = commands(others);
        let mut done = 0;
        let mut to_run = vec![put[0].1.clone()];
        for round in 0..6 {
            let now = NOW + round * 10_000;
            let mut rings = Vec::new();
            for job in std::mem::take(&mut to_run) {
                let entered = enter_at(&mut ledger, &claim_entry(&job), now);
                rings.extend(rung(&entered.puts));
                if let Some(Claim::Begun(attempt)) = entered.claim {
                    rings.extend(rung(&end_at(&mut ledger, attempt, Next::Done, now)));
                    done += 1;
                }
            }
            rings.extend(pass(&mut ledger, now));
            let of = |id: TaskId| put.iter().find(|(task, ..)| *task == id);
            to_run = rings
                .into_iter()
                .filter_map(of)
                .map(|(_, job, _)| job.clone())
                .collect();
        }
        assert_eq!(done, 3, "{:?}", ledger.commands.limits());
        assert_eq!(held(&ledger), 0);
    }
}

pub fn those_that_nobody_comes_for_keep_the_others_for_a_while_only(new: New) {
    let mut ledger = holding(new, vec![limited("one", Some(1), None, "")]);
    let put = flood(&mut ledger, &["7"; 6]);
    assert_eq!(with_jobs(&put), [true, false, false, false, false, false]);
    // Whoever was to put its job has died.
    assert_eq!(pass(&mut ledger, NOW + 4999), []);
    assert_eq!(pass(&mut ledger, NOW + 6000), [put[1].0]);
    assert_eq!(pass(&mut ledger, NOW + 12_000), [put[2].0]);
    assert_eq!(pass(&mut ledger, NOW + 18_000), [], "nobody works there");
    // Nor is a job put for others then, however many there are.
    assert_eq!(with_jobs(&flood(&mut ledger, &["8", "9"])), [false; 2]);
}

pub fn a_put_is_held_by_the_tightest_of_its_limits(new: New) {
    let all = limited("all", Some(4), None, "");
    let each = limited("each", Some(1), None, "option:account");
    let mut ledger = holding(new, vec![all, each]);
    let put = flood(&mut ledger, &["7", "7", "8", "9", "7", "6", "5", "8"]);
    assert_eq!(
        with_jobs(&put),
        [true, false, true, true, false, true, false, false]
    );
    // They are remembered by the limit that is full first, and the other lets some more go.
    let entered = enter_at(&mut ledger, &claim_entry(&put[0].1), NOW);
    assert_eq!(rung(&entered.puts), [put[6].0, put[7].0]);
    let Some(Claim::Begun(first)) = entered.claim else {
        panic!("it did not begin");
    };
    is_held(&mut ledger, &put[7].1);
    assert_eq!(rung(&end(&mut ledger, first)), [put[1].0]);
}

pub fn of_a_flood_as_many_have_jobs_as_may_begin_in_a_time(new: New) {
    let mut ledger = holding(new, vec![limited("rate", None, Some((2, 1000)), "")]);
    let put = flood(&mut ledger, &["7"; 5]);
    assert_eq!(with_jobs(&put), [true, true, false, false, false]);
    let enter = |ledger: &mut Stage, place: usize, now: Millis| {
        let entered = enter_at(ledger, &claim_entry(&put[place].1), now);
        let puts = entered
            .puts
            .iter()
            .map(|again| (again.put.task, again.due_in));
        puts.collect::<Vec<_>>()
    };
    assert_eq!(enter(&mut ledger, 0, NOW + 10), [(put[2].0, 1000)]);
    assert_eq!(enter(&mut ledger, 1, NOW + 20), [(put[3].0, 1000)]);
    assert_eq!(enter(&mut ledger, 2, NOW + 1010), [(put[4].0, 1000)]);
}

pub fn without_a_limit_nothing_is_looked_at(new: New) {
    let mut ledger = holding(new, Vec::new());
    assert_eq!(with_jobs(&flood(&mut ledger, &["7"; 5])), [true; 5]);
    // Whoever works finds out.
    ledger.commands = commands(vec![limited("one", Some(1), None, "")]);
    let put = flood(&mut ledger, &["7"; 2]);
    let first = ledger.begin(&put[0].1);
    is_held(&mut ledger, &put[1].1);
    assert_eq!(rung(&end(&mut ledger, first)), [put[1].0]);
}
