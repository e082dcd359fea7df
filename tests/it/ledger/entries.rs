//! What a worker says and asks in one transaction.

use taskqueue::ledger::{Claim, Entry, Jobless, TaskRef};
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

use super::{
    JobRef, NOW, New, begun, claim, enter, foreign, job_ref, nth, nth_put, put, register,
    settlement, taken_over,
};
use taskqueue::lives::Holder;

pub fn an_entry_is_written_whole_or_not_at_all(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let (second, next) = put(&mut ledger.db, NOW);
    // Somebody holds what the attempt to come would hold.
    let held = ledger.lives.hold(Holder::Attempt(nth(second, 1))).unwrap();
    let entry = Entry {
        settle: vec![settlement(&attempt, Outcome::Exited(0), Next::Done).into()],
        deleted: vec![first],
        claim: Some(next),
        ..Entry::default()
    };
    let (commands, me) = (ledger.commands.clone(), ledger.me.clone());
    let failed = ledger.db.enter(&entry, &commands, &me, NOW);
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(ledger.status(first), "running");
    assert_eq!(ledger.status(second), "waiting");
    assert_eq!(ledger.attempts(), 0);
    drop(held);
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    assert_eq!(entered.ours, [true]);
    assert_eq!(begun(entered.claim.unwrap()).id, nth(second, 1));
    assert_eq!(ledger.status(first), "done");
}

pub fn what_a_worker_says_goes_with_its_claim(new: New) {
    let mut ledger = new();
    let theirs = job_ref(7, TaskRef::Nameless(foreign("hello")));
    let attempt = ledger.begin(&theirs);
    let (waits, _) = put(&mut ledger.db, NOW);
    let (_, next) = put(&mut ledger.db, NOW);
    let task = attempt.id.task;
    let entry = Entry {
        settle: vec![settlement(&attempt, Outcome::Exited(0), Next::Done).into()],
        // Of one there is no row: it was cleaned up.
        deleted: vec![task, TaskId(99)],
        again: vec![
            Jobless::Put(nth_put(waits, 1)),
            Jobless::Put(nth_put(waits, 1)),
        ],
        claim: Some(next),
        ..Entry::default()
    };
    let (commands, me) = (ledger.commands.clone(), ledger.me.clone());
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    assert_eq!(
        (entered.ours, entered.taken, entered.lost),
        (vec![true], false, None)
    );
    let puts: Vec<_> = entered.puts.iter().map(|again| again.put).collect();
    assert_eq!(puts, [nth_put(waits, 2)]);
    begun(entered.claim.unwrap());
    let old = taskqueue::ledger::cleanup::Old {
        statuses: vec![taskqueue::task::state::Status::Done],
        before: NOW + 1,
    };
    assert_eq!(
        ledger.db.count_old(&old).unwrap(),
        1,
        "its job is known to be deleted"
    );
}

pub fn of_puts_that_are_asked_for_those_are_granted_that_nobody_else_has(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let ask = |generation| Entry {
        again: vec![Jobless::Put(nth_put(task, generation))],
        ..Entry::default()
    };
    let me = ledger.me.clone();
    let mut other = ledger.another();
    let they = register(&mut other, "they").me;
    let granted = enter(&mut other, &they, ask(1)).unwrap().puts;
    assert_eq!(granted[0].put, nth_put(task, 2));
    assert_eq!(granted[0].ttr, 60);
    assert!(!granted[0].has_job);
    assert_eq!(enter(&mut ledger.db, &me, ask(1)).unwrap().puts, []);
    begun(ledger.claim(&job));
    let runs = enter(&mut ledger.db, &me, ask(2)).unwrap().puts;
    assert_eq!(runs, [], "it waits no more");
}

pub fn a_job_that_is_lost_unclaimed_leads_to_another_of_its_task(new: New) {
    let mut ledger = new();
    let me = ledger.me.clone();
    let lost = |job: &JobRef| Entry {
        again: vec![Jobless::Job(Box::new(job.clone()))],
        ..Entry::default()
    };
    let (task, job) = put(&mut ledger.db, NOW);
    let granted = enter(&mut ledger.db, &me, lost(&job)).unwrap().puts;
    assert_eq!(granted[0].put, nth_put(task, 2));
    // One of a foreign producer's, of whose task there is no row yet: it comes by two jobs from then on.
    let theirs = job_ref(7, TaskRef::Nameless(foreign("hello")));
    let granted = enter(&mut ledger.db, &me, lost(&theirs)).unwrap().puts;
    let put = granted[0].put;
    assert_eq!(put, nth_put(TaskId(2), 1));
    assert_eq!(ledger.status(put.task), "waiting");
    let ours = job_ref(8, TaskRef::Pointer(granted[0].uuid));
    let attempt = ledger.begin(&ours);
    assert_eq!(attempt.id.task, put.task);
    ledger.done(attempt);
    let old = ledger.claim(&theirs);
    assert!(
        matches!(old, Claim::DeleteJob { .. }),
        "it is there after a restart: {old:?}"
    );
    // Nobody waits for the job of a task that runs, or for one without a row.
    begun(ledger.claim(&job));
    assert_eq!(enter(&mut ledger.db, &me, lost(&job)).unwrap().puts, []);
    let stray = job_ref(9, TaskRef::Pointer(uuid::Uuid::now_v7()));
    assert_eq!(enter(&mut ledger.db, &me, lost(&stray)).unwrap().puts, []);
}

pub fn kicks_that_are_learnt_late_ask_for_nothing(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let task = ledger.failed(attempt);
    let late = |task| Entry {
        kicks: vec![(task, 3), (task, 2), (TaskId(99), 1)],
        ..Entry::default()
    };
    let me = ledger.me.clone();
    enter(&mut ledger.db, &me, late(task)).unwrap();
    let kicked = |kicks| JobRef {
        kicks: Some(kicks),
        ..job.clone()
    };
    assert!(matches!(ledger.claim(&kicked(3)), Claim::DeleteJob { .. }));
    begun(ledger.claim_cleared(&kicked(4), 1));
    // They say nothing of the job of a task that waits or runs again.
    enter(&mut ledger.db, &me, late(task)).unwrap();
    assert_eq!(ledger.status(task), "running");
}

pub fn what_ends_for_good_with_a_lost_attempt_is_not_claimed(new: New) {
    let mut ledger = new();
    let mut commands = taskqueue::task::command::Commands::clone(&ledger.commands);
    commands.set_max_lost(crate::support::tube("t"), 1);
    ledger.commands = commands.into();
    let (task, job) = put(&mut ledger.db, NOW);
    let them = register(&mut ledger.db, "them");
    let commands = ledger.commands.clone();
    let attempt = claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap();
    drop((begun(attempt), them));
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!();
    };
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    let (_, other) = put(&mut ledger.db, NOW);
    let entry = Entry {
        lose: Some(dead),
        claim: Some(job),
        prefetch: vec![other],
        ..Entry::default()
    };
    let me = ledger.me.clone();
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    match entered.claim {
        Some(Claim::GivenUp { task: given_up, .. }) => assert_eq!(given_up, task),
        other => panic!("{other:?}"),
    }
    assert!(matches!(entered.prefetch.as_slice(), [None]));
    assert_eq!(ledger.status(task), "failed");
}

/// However often it was tried before, and whether a kick asked for it.
pub fn a_claim_that_came_to_nothing_is_as_if_it_had_not_been(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let (me, before) = (ledger.me.clone(), ledger.task(id));
    let unclaim = |number| Entry {
        unclaim: vec![nth(id, number)],
        ..Entry::default()
    };
    let attempt = ledger.begin(&job);
    drop(attempt);
    enter(&mut ledger.db, &me, unclaim(1)).unwrap();
    assert_eq!(format!("{:?}", ledger.task(id)), format!("{before:?}"));

    let attempt = ledger.begin(&job);
    assert_eq!(attempt.id, nth(id, 1), "its number is free again");
    let next = Next::Wait(std::time::Duration::from_secs(10));
    ledger.settle(&attempt, Outcome::Exited(75), next);
    drop(attempt);
    let (before, later) = (ledger.task(id), NOW + 60_000);
    let attempt = begun(ledger.claim_at_cleared(&job, 1, later));
    assert_eq!((attempt.id, attempt.budget.spent), (nth(id, 2), 1));
    drop(attempt);
    enter(&mut ledger.db, &me, unclaim(2)).unwrap();
    let after = ledger.task(id);
    assert_eq!(after.status.as_str(), "waiting");
    assert_eq!(after.started, before.started);
    assert_eq!(after.attempts.len(), 1);
    let attempt = begun(ledger.claim_at_cleared(&job, 1, later));
    assert_eq!((attempt.id, attempt.budget.spent), (nth(id, 2), 1));

    // Not of what somebody has taken over, nor of what has ended.
    let them = register(&mut ledger.db, "another").me;
    enter(&mut ledger.db, &them, unclaim(2)).unwrap();
    assert_eq!(ledger.status(id), "running");
    ledger.failed(attempt);
    enter(&mut ledger.db, &me, unclaim(2)).unwrap();
    assert_eq!(ledger.status(id), "failed");
    let kicked = JobRef {
        kicks: Some(1),
        ..job.clone()
    };
    drop(begun(ledger.claim_cleared(&kicked, 2)));
    enter(&mut ledger.db, &me, unclaim(3)).unwrap();
    assert_eq!(ledger.status(id), "waiting");
    begun(ledger.claim_cleared(&job, 2));
}
