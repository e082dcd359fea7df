//! Limits: how many tasks with something in common run at a time, or begin in a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taskqueue::ledger::announce::{Again, PUT_TIME};
use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::delete::Delete;
use taskqueue::ledger::edit::Edit;
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::worker::Registered;
use taskqueue::ledger::{Attempt, Claim, Entered, Entry, ForeignJob, JobRef, Millis, TaskRef};
use taskqueue::task::command::{Command, Commands, Content, Options};
use taskqueue::task::id::TaskId;
use taskqueue::task::limit::{Bounds, By, Limit, Rate};
use taskqueue::task::payload::{Call, OptionValue};
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use taskqueue::task::unique::{IfExists, Unique};
use uuid::Uuid;

use super::{NOW, New, Stage, foreign, job_ref, register, settlement};
use crate::support::tube;

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

/// Records a task; its row and its job.
fn put_as(
    ledger: &mut Stage,
    command: &str,
    account: Option<&str>,
    priority: u32,
    now: Millis,
) -> (TaskId, JobRef) {
    let uuid = Uuid::now_v7();
    let task = NewTask {
        own: None,
        after: None,
        unique: None,
        tags: Vec::new(),
        uuid,
        tube: tube("t"),
        content: call(command, account),
        priority,
        ttr: 60,
        due: now,
    };
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
    assert!(matches!(claim, Claim::DeleteJob { .. }), "{claim:?}");
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
    assert!(matches!(claim, Claim::DeleteJob { .. }), "{claim:?}");
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

pub fn no_more_begin_in_a_time_than_are_allowed_and_each_at_its_time(new: New) {
    let limit = limited("rate", None, Some((3, 1000)), "");
    let mut ledger = with(new, vec![limit]);
    let mut jobs: BTreeMap<TaskId, JobRef> = BTreeMap::new();
    let mut tube: Vec<(Millis, TaskId)> = Vec::new();
    for _ in 0..14 {
        let (id, job) = put(&mut ledger, "7");
        jobs.insert(id, job);
        tube.push((NOW, id));
    }
    let mut starts: Vec<Millis> = Vec::new();
    let mut most = 0;
    while !tube.is_empty() {
        tube.sort();
        let (at, id) = tube.remove(0);
        let now = at + starts.len() as Millis;
        let entered = enter_at(&mut ledger, &claim_entry(&jobs[&id]), now);
        for again in &entered.puts {
            tube.push((now + again.due_in.max(0), again.put.task));
        }
        most = most.max(tube.iter().filter(|(due, _)| *due > NOW).count());
        match entered.claim {
            Some(Claim::Begun(attempt)) => {
                starts.push(now);
                let puts = end_at(&mut ledger, attempt, Next::Done, now);
                for again in &puts {
                    tube.push((now + again.due_in.max(0), again.put.task));
                }
            }
            Some(Claim::DeleteJob { .. }) => {}
            Some(Claim::Later { delay, .. }) => {
                let delay = Millis::try_from(delay.as_millis()).unwrap();
                tube.push((now + delay, id));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(starts.len(), 14, "{starts:?}");
    for start in &starts {
        let within = starts
            .iter()
            .filter(|one| (*start..start + 1000).contains(one));
        assert!(within.count() <= 3, "{starts:?}");
    }
    assert!(most <= 3, "{most} had a job at a time");
    assert!(starts[13] < NOW + 5000, "{starts:?}");
}

pub fn what_is_held_by_two_limits_waits_for_both(new: New) {
    let account = limited("account", Some(1), None, "option:account");
    let all = limited("all", Some(2), None, "");
    let mut ledger = with(new, vec![account, all]);
    let (_, job) = put(&mut ledger, "7");
    let one = ledger.begin(&job);
    let (held_by_account, second) = put(&mut ledger, "7");
    is_held(&mut ledger, &second);
    let (_, job) = put(&mut ledger, "8");
    let eight = ledger.begin(&job);
    let (nine, job) = put(&mut ledger, "9");
    is_held(&mut ledger, &job);
    // The end frees a place in both lines: of the account the next is let go, and of all the first that waits there.
    let mut rung_for = rung(&end(&mut ledger, one));
    rung_for.sort();
    assert_eq!(rung_for, [held_by_account, nine]);
    let nine = ledger.begin(&job);
    is_held(&mut ledger, &second);
    assert_eq!(rung(&end(&mut ledger, eight)), [held_by_account]);
    let last = ledger.begin(&second);
    assert_eq!(end(&mut ledger, nine), []);
    assert_eq!(end(&mut ledger, last), []);
}

pub fn another_producer_s_job_is_held_once_its_task_is_recorded(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let theirs = ForeignJob {
        content: Content::Raw(b"body".as_slice().into()),
        ..foreign("body")
    };
    let theirs = job_ref(9, TaskRef::Nameless(theirs));
    let Claim::DeleteJob { task: Some(task) } = ledger.claim(&theirs) else {
        panic!("it was not held");
    };
    assert_eq!(ledger.status(task), "waiting");
    // Nobody deleted the job: it comes again, and is one too many still.
    let Claim::DeleteJob { task: Some(again) } = ledger.claim(&theirs) else {
        panic!("it was not held");
    };
    assert_eq!(again, task);
    ledger.db.note_deleted(&[task]).unwrap();
    let puts = end(&mut ledger, first);
    assert_eq!(rung(&puts), [task]);
    let pointer = job_ref(10, TaskRef::Pointer(puts[0].uuid));
    let attempt = ledger.begin(&pointer);
    assert_eq!(attempt.id.task, task);
    assert_eq!(end(&mut ledger, attempt), []);
}

pub fn what_is_limited_is_not_claimed_ahead(new: New) {
    let mut ledger = with(new, vec![limited("two", Some(2), None, "")]);
    let jobs: Vec<JobRef> = (0..3).map(|_| put(&mut ledger, "7").1).collect();
    let (_, other) = put_as(&mut ledger, "other", None, 5, NOW);
    let entry = Entry {
        claim: Some(jobs[0].clone()),
        prefetch: vec![jobs[1].clone(), other, jobs[2].clone()],
        ..Entry::default()
    };
    let entered = enter_at(&mut ledger, &entry, NOW);
    assert!(matches!(entered.claim, Some(Claim::Begun(_))));
    let ahead: Vec<bool> = entered.prefetch.iter().map(Option::is_some).collect();
    assert_eq!(ahead, [false, true, false]);
    let _second = ledger.begin(&jobs[1]);
    is_held(&mut ledger, &jobs[2]);
}

pub fn what_no_configuration_limits_is_let_go(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let held: Vec<(TaskId, JobRef)> = (0..3).map(|_| put(&mut ledger, "7")).collect();
    for (_, job) in &held {
        is_held(&mut ledger, job);
    }
    let go = |ledger: &mut Stage, now| {
        let commands = Arc::clone(&ledger.commands);
        let (mut all, mut after) = (Vec::new(), None);
        while let Some((again, last)) = ledger
            .db
            .let_held_go(&tube("t"), after.as_ref(), &commands, now)
            .unwrap()
        {
            after = Some(last).filter(|_| again.is_empty());
            all.extend(rung(&again));
        }
        all
    };
    assert_eq!(go(&mut ledger, NOW), []);
    // One more may run.
    ledger.commands = commands(vec![limited("one", Some(2), None, "option:account")]);
    assert_eq!(go(&mut ledger, NOW), [held[0].0]);
    assert_eq!(go(&mut ledger, NOW), []);
    ledger.begin(&held[0].1);
    // What stands in no line of this name any more is let go, to stand in another.
    ledger.commands = commands(vec![limited("one", Some(1), None, "")]);
    assert_eq!(go(&mut ledger, NOW), [held[1].0, held[2].0]);
    ledger.commands = commands(Vec::new());
    assert_eq!(go(&mut ledger, NOW), []);
    ledger.begin(&held[1].1);
    ledger.begin(&held[2].1);
    assert_eq!(end(&mut ledger, first), []);
}

pub fn what_is_changed_while_it_is_held_stands_where_it_belongs_then(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let (held, job) = put(&mut ledger, "7");
    is_held(&mut ledger, &job);
    let edit = Edit {
        options: vec![("account".parse().unwrap(), OptionValue::Text("8".into()))],
        ..Edit::default()
    };
    let edited = ledger.db.change_one(&edit, held, NOW).unwrap().unwrap();
    let again = edited.again.unwrap();
    assert!(again.due_in <= 0 && !again.has_job, "{again:?}");
    let attempt = ledger.begin(&job);
    assert_eq!(end(&mut ledger, attempt), []);
    // More urgent than before, it goes before the one that came before it.
    let (_, one) = put(&mut ledger, "7");
    let (two, job) = put(&mut ledger, "7");
    is_held(&mut ledger, &one);
    is_held(&mut ledger, &job);
    let urgent = Edit {
        priority: Some(1),
        ..Edit::default()
    };
    ledger.db.change_one(&urgent, two, NOW).unwrap().unwrap();
    is_held(&mut ledger, &job);
    assert_eq!(rung(&end(&mut ledger, first)), [two]);
}

pub fn what_is_deleted_while_it_is_held_keeps_nobody(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let held: Vec<(TaskId, JobRef)> = (0..3).map(|_| put(&mut ledger, "7")).collect();
    for (_, job) in &held {
        is_held(&mut ledger, job);
    }
    ledger
        .db
        .change_one(&Delete, held[0].0, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(rung(&end(&mut ledger, first)), [held[1].0]);
    // Nobody finds its job, for that goes with it: whoever looks after the tube lets the next one go.
    ledger
        .db
        .change_one(&Delete, held[1].0, NOW)
        .unwrap()
        .unwrap();
    let commands = Arc::clone(&ledger.commands);
    let (again, _) = ledger
        .db
        .let_held_go(&tube("t"), None, &commands, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(rung(&again), [held[2].0]);
    let last = ledger.begin(&held[2].1);
    assert_eq!(end(&mut ledger, last), []);
}

pub fn a_held_task_that_has_a_key_is_replaced_and_waits_by_a_job(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let unique = Unique {
        key: Some("k".parse().unwrap()),
        if_exists: IfExists::Replace,
        ..Unique::default()
    };
    let add = |ledger: &mut Stage, account: &str| {
        let uuid = Uuid::now_v7();
        let task = NewTask {
            own: None,
            after: None,
            unique: Some(unique.clone()),
            tags: Vec::new(),
            uuid,
            tube: tube("t"),
            content: call("work", Some(account)),
            priority: 5,
            ttr: 60,
            due: NOW,
        };
        let added = ledger.db.add(&[task], NOW).unwrap();
        (added, job_ref(1, TaskRef::Pointer(uuid)))
    };
    let (_, job) = add(&mut ledger, "7");
    is_held(&mut ledger, &job);
    // The key is the task's while it is held; and what it is given lets it stand elsewhere.
    let (added, _) = add(&mut ledger, "8");
    assert!(matches!(added[..], [Added::Replaced { .. }]), "{added:?}");
    let attempt = ledger.begin(&job);
    assert_eq!(end(&mut ledger, attempt), []);
    assert_eq!(end(&mut ledger, first), []);
}

pub fn tasks_are_told_apart_by_tags_and_commands(new: New) {
    let mut by_command = limited("command", Some(1), None, "command");
    by_command.commands = vec!["*".into()];
    let by_tag = limited("tag", Some(1), None, "tag:k");
    let mut ledger = with(new, vec![by_command]);
    let jobs: Vec<JobRef> = ["work", "other", "work", "other"]
        .map(|command| put_as(&mut ledger, command, None, 5, NOW).1)
        .into();
    let one = ledger.begin(&jobs[0]);
    let two = ledger.begin(&jobs[1]);
    is_held(&mut ledger, &jobs[2]);
    is_held(&mut ledger, &jobs[3]);
    for attempt in [one, two] {
        assert_eq!(end(&mut ledger, attempt).len(), 1);
    }
    ledger.commands = commands(vec![by_tag]);
    let tagged = |ledger: &mut Stage, tags: &[&str]| {
        let (id, job) = put_as(ledger, "work", None, 5, NOW);
        let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let edit = Edit {
            tags,
            ..Edit::default()
        };
        ledger.db.change_one(&edit, id, NOW).unwrap().unwrap();
        job
    };
    let jobs: Vec<JobRef> = [&["k=a"][..], &["k=b", "other"], &["k=a"], &[]]
        .map(|tags| tagged(&mut ledger, tags))
        .into();
    let _one = ledger.begin(&jobs[0]);
    let _two = ledger.begin(&jobs[1]);
    is_held(&mut ledger, &jobs[2]);
    let _none = ledger.begin(&jobs[3]);
}

/// Workers that claim, end and die, and a tube; chance says who does what.
struct World {
    ledger: Stage,
    workers: Vec<Worker>,
    /// Jobs that nobody has.
    tube: Vec<Uuid>,
    tasks: BTreeMap<Uuid, (TaskId, u32)>,
    now: Millis,
    seed: u64,
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
        let text = account.to_string();
        let (id, job) = put_as(&mut self.ledger, "work", Some(&text), priority, self.now);
        let TaskRef::Pointer(uuid) = job.task else {
            panic!("{job:?}");
        };
        self.tube.push(uuid);
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
    let mut world = World {
        ledger,
        workers: Vec::new(),
        tube: Vec::new(),
        tasks: BTreeMap::new(),
        now: NOW,
        seed: 11,
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
}
