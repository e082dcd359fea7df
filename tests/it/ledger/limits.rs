//! Limits: how many tasks with something in common run at a time, or begin in a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taskqueue::ledger::announce::Again;
use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::worker::Registered;
use taskqueue::ledger::{Attempt, Claim, Entered, Entry, JobRef, Millis, TaskRef};
use taskqueue::task::command::{Command, Commands, Content, Options};
use taskqueue::task::id::TaskId;
use taskqueue::task::limit::{Bounds, By, Limit, Rate};
use taskqueue::task::payload::{Call, OptionValue};
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use uuid::Uuid;

use super::{NOW, New, Stage, job_ref, register, settlement};
use crate::support::tube;

mod crashes;
mod lines;
mod put;
mod sift;

pub use crashes::*;
pub use lines::*;
pub use put::*;
pub use sift::*;

fn limited(name: &str, concurrency: Option<u32>, rate: Option<(u32, Millis)>, by: &str) -> Limit {
    Limit {
        name: name.into(),
        bounds: Bounds {
            concurrency,
            rate: rate.map(|(allowed, per)| Rate { allowed, per }),
        },
        by: match by {
            "" => By::Limit,
            by => by.parse().unwrap(),
        },
        commands: vec!["work".into()],
        tubes: BTreeSet::new(),
    }
}

fn commands(limits: Vec<Limit>) -> Arc<Commands> {
    let mut commands = Commands::default();
    let run = vec!["/bin/true".into()];
    commands.add(
        "work",
        Command {
            options: Options::Any,
            ..Command::new(run.clone())
        },
    );
    commands.add(
        "other",
        Command {
            options: Options::Any,
            ..Command::new(run)
        },
    );
    assert!(commands.take_raw(tube("t"), "work"));
    for limit in limits {
        commands.add_limit(limit);
    }
    commands.into()
}

fn with(new: New, limits: Vec<Limit>) -> Stage {
    let mut ledger = new();
    ledger.commands = commands(limits);
    ledger
}

fn call(command: &str, account: Option<&str>) -> Content {
    let option = |value: &str| {
        (
            "account".parse().unwrap(),
            OptionValue::Text(value.to_owned()),
        )
    };
    Content::Call(Call {
        command: command.parse().unwrap(),
        arguments: Vec::new(),
        options: account.map(option).into_iter().collect(),
    })
}

fn new_task(command: &str, account: Option<&str>, priority: u32, due: Millis) -> NewTask {
    NewTask {
        own: None,
        after: None,
        unique: None,
        tags: Vec::new(),
        uuid: Uuid::now_v7(),
        tube: tube("t"),
        content: call(command, account),
        priority,
        ttr: 60,
        due,
    }
}

/// Records a task; its row and its job.
fn put_as(
    ledger: &mut Stage,
    command: &str,
    account: Option<&str>,
    priority: u32,
    now: Millis,
) -> (TaskId, JobRef) {
    let task = new_task(command, account, priority, now);
    let uuid = task.uuid;
    let added = ledger.db.add(&[task], now).unwrap();
    let [Added::New { id }] = added[..] else {
        panic!("{added:?}");
    };
    (id, job_ref(1, TaskRef::Pointer(uuid)))
}

fn put(ledger: &mut Stage, account: &str) -> (TaskId, JobRef) {
    put_as(ledger, "work", Some(account), 5, NOW)
}

fn enter_at(ledger: &mut Stage, entry: &Entry, now: Millis) -> Entered {
    let commands = Arc::clone(&ledger.commands);
    let me = ledger.me.clone();
    ledger.db.enter(entry, &commands, &me, now).unwrap()
}

fn claim_entry(job: &JobRef) -> Entry {
    Entry {
        claim: Some(job.clone()),
        ..Entry::default()
    }
}

/// Ends an attempt; what is to ring then.
fn end_at(ledger: &mut Stage, attempt: Box<Attempt>, next: Next, now: Millis) -> Vec<Again> {
    let entry = Entry {
        settle: vec![Arc::new(settlement(&attempt, Outcome::Exited(0), next))],
        ..Entry::default()
    };
    let entered = enter_at(ledger, &entry, now);
    assert_eq!(entered.ours, [true]);
    entered.puts
}

fn end(ledger: &mut Stage, attempt: Box<Attempt>) -> Vec<Again> {
    end_at(ledger, attempt, Next::Done, NOW)
}

#[track_caller]
fn is_held(ledger: &mut Stage, job: &JobRef) {
    let claim = ledger.claim(job);
    assert!(
        matches!(claim, Claim::Held { .. } | Claim::DeleteJob { .. }),
        "{claim:?}"
    );
}

/// The tasks that are to be rung for.
fn rung(puts: &[Again]) -> Vec<TaskId> {
    puts.iter().map(|again| again.put.task).collect()
}

pub fn no_more_run_than_are_allowed_and_the_first_that_is_held_goes_next(new: New) {
    let limit = limited("two", Some(2), None, "option:account");
    let mut ledger = with(new, vec![limit]);
    let jobs: Vec<(TaskId, JobRef)> = (0..5).map(|_| put(&mut ledger, "7")).collect();
    let first = ledger.begin(&jobs[0].1);
    let second = ledger.begin(&jobs[1].1);
    for (_, job) in &jobs[2..] {
        is_held(&mut ledger, job);
        // Its job is still there when its worker was killed before it could delete it.
        is_held(&mut ledger, job);
    }
    // Another key is another line, and so is none at all.
    let (_, other) = put(&mut ledger, "8");
    let other = ledger.begin(&other);
    let (_, none) = put_as(&mut ledger, "work", None, 5, NOW);
    let none = ledger.begin(&none);
    let (_, unlimited) = put_as(&mut ledger, "other", Some("7"), 5, NOW);
    let unlimited = ledger.begin(&unlimited);
    for attempt in [other, none, unlimited] {
        assert_eq!(end(&mut ledger, attempt), []);
    }
    // One that is more urgent goes before those that came before it.
    let (urgent, job) = put_as(&mut ledger, "work", Some("7"), 1, NOW);
    is_held(&mut ledger, &job);
    assert_eq!(ledger.status(urgent), "waiting");
    let puts = end(&mut ledger, first);
    assert_eq!(rung(&puts), [urgent]);
    assert_eq!(puts[0].priority, 0, "before those of its priority");
    assert!(puts[0].due_in <= 0, "{puts:?}");
    // The place is kept for it: whoever comes before it begins is held.
    let (late, fresh) = put(&mut ledger, "7");
    is_held(&mut ledger, &fresh);
    let urgent = ledger.begin(&job);
    let mut running = vec![second, urgent];
    let mut order = Vec::new();
    let of: BTreeMap<TaskId, JobRef> = jobs.into_iter().chain([(late, fresh)]).collect();
    while let Some(attempt) = running.pop() {
        for next in rung(&end(&mut ledger, attempt)) {
            order.push(next);
            running.insert(0, ledger.begin(&of[&next]));
        }
    }
    let waited: Vec<TaskId> = of.keys().skip(2).copied().collect();
    assert_eq!(order, waited);
    assert!(
        ledger
            .tasks()
            .iter()
            .all(|task| task.status.as_str() == "done")
    );
}

pub fn a_place_is_free_at_once_when_its_attempt_is_dead(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let Registered { me, alive } = register(&mut ledger.db, "another");
    let (_, job) = put(&mut ledger, "7");
    let commands = Arc::clone(&ledger.commands);
    let entered = ledger.db.enter(&claim_entry(&job), &commands, &me, NOW);
    let Some(Claim::Begun(attempt)) = entered.unwrap().claim else {
        panic!("it did not begin");
    };
    let (held, job) = put(&mut ledger, "7");
    is_held(&mut ledger, &job);
    // Its worker is dead, and its command is not.
    drop(alive);
    let (_, third) = put(&mut ledger, "7");
    is_held(&mut ledger, &third);
    drop(attempt);
    // Who comes now has the place, though nobody has recorded the loss.
    let (_, fourth) = put(&mut ledger, "7");
    let fourth = ledger.begin(&fourth);
    // And the loss lets nobody go, for the place is taken.
    let dead = ledger.db.dead_attempts(&tube("t"), ledger.me.id).unwrap();
    let taking = Entry {
        take_over: Some(dead[0].clone()),
        ..Entry::default()
    };
    assert!(enter_at(&mut ledger, &taking, NOW).taken);
    let losing = Entry {
        lose: Some(dead[0].clone()),
        ..Entry::default()
    };
    assert_eq!(enter_at(&mut ledger, &losing, NOW).puts, []);
    assert_eq!(rung(&end(&mut ledger, fourth)), [held]);
}

pub fn a_dead_attempt_that_is_recorded_lets_the_next_go(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let Claim::Begun(attempt) = ledger.claim_of_another(&job, NOW) else {
        panic!("it did not begin");
    };
    let (held, second) = put(&mut ledger, "7");
    is_held(&mut ledger, &second);
    drop(attempt);
    let dead = ledger.db.dead_attempts(&tube("t"), ledger.me.id).unwrap();
    let taking = Entry {
        take_over: Some(dead[0].clone()),
        ..Entry::default()
    };
    assert!(enter_at(&mut ledger, &taking, NOW).taken);
    let losing = Entry {
        lose: Some(dead[0].clone()),
        ..Entry::default()
    };
    // By one whose configuration has no such limit, too.
    ledger.commands = commands(Vec::new());
    assert_eq!(rung(&enter_at(&mut ledger, &losing, NOW).puts), [held]);
}

pub fn a_place_that_is_kept_for_nobody_who_comes_is_another_s(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let (held, second) = put(&mut ledger, "7");
    is_held(&mut ledger, &second);
    assert_eq!(rung(&end(&mut ledger, first)), [held]);
    let (_, third) = put(&mut ledger, "7");
    is_held(&mut ledger, &third);
    // Its tube may be paused.
    let later = NOW + 5001;
    let (_, fourth) = put_as(&mut ledger, "work", Some("7"), 5, later);
    let Claim::Begun(fourth) = ledger.claim_at(&fourth, later) else {
        panic!("it did not begin");
    };
    // Now the one that was let go comes, and is held again; and is the first.
    let claim = ledger.claim_at(&second, later);
    assert!(matches!(claim, Claim::Held { .. }), "{claim:?}");
    let puts = end_at(&mut ledger, fourth, Next::Done, later);
    assert_eq!(rung(&puts), [held]);
}

pub fn one_whose_job_is_lost_does_not_keep_the_others_of_its_tube(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let held: Vec<(TaskId, JobRef)> = (0..5).map(|_| put(&mut ledger, "7")).collect();
    for (_, job) in &held {
        is_held(&mut ledger, job);
    }
    // Whoever was to put it has died.
    assert_eq!(rung(&end(&mut ledger, first)), [held[0].0]);
    let go = |ledger: &mut Stage, now| {
        let commands = Arc::clone(&ledger.commands);
        let gone = ledger.db.let_held_go(&tube("t"), None, &commands, now);
        rung(&gone.unwrap().unwrap().0)
    };
    assert_eq!(go(&mut ledger, NOW + 4999), []);
    assert_eq!(go(&mut ledger, NOW + 6000), [held[1].0]);
    assert_eq!(go(&mut ledger, NOW + 6000), []);
    assert_eq!(go(&mut ledger, NOW + 12_000), [held[2].0]);
    // By then it is known that nobody works there.
    assert_eq!(go(&mut ledger, NOW + 18_000), []);
    let Claim::Begun(attempt) = ledger.claim_at(&held[1].1, NOW + 19_000) else {
        panic!("it did not begin");
    };
    let puts = end_at(&mut ledger, attempt, Next::Done, NOW + 19_000);
    assert_eq!(rung(&puts), [held[3].0]);
}

pub fn one_that_is_called_off_lets_the_next_go(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let jobs: Vec<(TaskId, JobRef)> = (0..4).map(|_| put(&mut ledger, "7")).collect();
    let first = ledger.begin(&jobs[0].1);
    for (_, job) in &jobs[1..] {
        is_held(&mut ledger, job);
    }
    let call_off = CallOff::default();
    let off = ledger.db.change_one(&call_off, jobs[1].0, NOW).unwrap();
    assert!(off.is_ok(), "{off:?}");
    assert_eq!(rung(&end(&mut ledger, first)), [jobs[2].0]);
    let off = ledger.db.change_one(&call_off, jobs[2].0, NOW).unwrap();
    assert!(off.is_ok(), "{off:?}");
    // Its job is found by somebody, who has it deleted.
    let entered = enter_at(&mut ledger, &claim_entry(&jobs[2].1), NOW);
    assert!(matches!(entered.claim, Some(Claim::DeleteJob { .. })));
    assert_eq!(rung(&entered.puts), [jobs[3].0]);
    let last = ledger.begin(&jobs[3].1);
    assert_eq!(end(&mut ledger, last), []);
}

pub fn one_that_may_not_run_lets_the_next_go(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let (refused, second) = put(&mut ledger, "7");
    is_held(&mut ledger, &second);
    let (next, third) = put_as(&mut ledger, "work", None, 5, NOW);
    is_held(&mut ledger, &third);
    assert_eq!(rung(&end(&mut ledger, first)), [refused]);
    // It takes no options any more.
    let mut commands = Commands::clone(&ledger.commands);
    commands.add("work", Command::new(vec!["/bin/true".into()]));
    ledger.commands = commands.into();
    let entered = enter_at(&mut ledger, &claim_entry(&second), NOW);
    assert!(
        matches!(entered.claim, Some(Claim::Refused { .. })),
        "{:?}",
        entered.claim
    );
    assert_eq!(rung(&entered.puts), [next]);
}

pub fn what_is_not_begun_after_all_frees_its_place(new: New) {
    let limit = limited("one", Some(1), Some((1, 60_000)), "");
    let mut ledger = with(new, vec![limit]);
    let (first, job) = put(&mut ledger, "7");
    let attempt = ledger.begin(&job);
    let (held, second) = put(&mut ledger, "7");
    is_held(&mut ledger, &second);
    let entry = Entry {
        unclaim: vec![attempt.id],
        ..Entry::default()
    };
    let puts = enter_at(&mut ledger, &entry, NOW).puts;
    assert_eq!(rung(&puts), [held], "it did not count as a start");
    assert!(puts[0].due_in <= 0, "{puts:?}");
    assert_eq!(ledger.status(first), "waiting");
    ledger.begin(&second);
}
