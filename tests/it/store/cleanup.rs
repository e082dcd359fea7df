//! What is deleted, and what must stay.

use taskqueue::store::Millis;
use taskqueue::store::cleanup::Old;
use taskqueue::store::ledger::{AfterLoss, Claim, Entry, TaskRef};
use taskqueue::store::read::Key;
use taskqueue::task::id::WorkerId;
use taskqueue::task::state::Status;

use super::{Ledger, NOW, foreign, job_ref, put, register, taken_over};

fn old(statuses: &[Status], before: Millis) -> Old {
    Old {
        statuses: statuses.to_vec(),
        before,
    }
}

/// Deletes, having counted first; how many.
fn cleanup(ledger: &mut Ledger, old: &Old) -> u64 {
    let counted = ledger.db.count_old(old).unwrap();
    let deleted = ledger.db.cleanup(old, |_| true).unwrap();
    assert_eq!(counted, deleted, "counted, deleted");
    deleted
}

#[test]
fn what_ended_before_goes_and_nothing_else() {
    let mut ledger = Ledger::new();
    let (waiting, _) = put(&mut ledger.db, NOW);
    let (_, job) = put(&mut ledger.db, NOW);
    let running = ledger.begin(&job);
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let failed = ledger.failed(attempt);
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let done = ledger.done(attempt);

    let ended = [Status::Done, Status::Failed, Status::Cancelled];
    assert_eq!(cleanup(&mut ledger, &old(&ended, NOW)), 0, "not yet");
    // A status that has not ended is never deleted, whoever asks.
    let all = old(&[Status::Waiting, Status::Running], Millis::MAX);
    assert_eq!(cleanup(&mut ledger, &all), 0);
    assert_eq!(cleanup(&mut ledger, &old(&[], Millis::MAX)), 0);
    assert_eq!(cleanup(&mut ledger, &old(&[Status::Done], NOW + 1)), 1);
    let left = |ledger: &Ledger| {
        let mut ids = Vec::new();
        let all = taskqueue::store::read::Filter::default();
        ledger
            .db
            .list(&all, 10, |task| {
                ids.push(task.id);
                true
            })
            .unwrap();
        ids
    };
    assert_eq!(left(&ledger), [failed, running.id.task, waiting]);
    assert!(done > failed);
    assert_eq!(ledger.count("attempts"), 1, "one runs");
    assert_eq!(ledger.count("output"), 1);
    assert_eq!(cleanup(&mut ledger, &old(&[Status::Failed], NOW + 1)), 1);
    assert_eq!(left(&ledger), [running.id.task, waiting]);
}

#[test]
fn a_foreign_task_stays_until_its_job_is_known_to_be_gone() {
    let mut ledger = Ledger::new();
    let job = job_ref(7, TaskRef::Nameless(foreign("hello")));
    let attempt = ledger.begin(&job);
    let task = ledger.done(attempt);
    let done = old(&[Status::Done], NOW + 1);
    assert_eq!(cleanup(&mut ledger, &done), 0);
    // It comes round again, and is still known.
    assert!(matches!(
        ledger.claim(&job),
        Claim::DeleteJob { task: Some(found) } if found == task
    ));
    ledger.db.note_deleted(&[task]).unwrap();
    assert_eq!(cleanup(&mut ledger, &done), 1);
}

#[test]
fn more_than_a_batch_goes_and_progress_is_told() {
    let mut ledger = Ledger::new();
    super::pace::fill(&ledger.sqlite(), 1234, NOW);
    let old = old(&[Status::Done], NOW + 1);
    let mut heard = Vec::new();
    let deleted = ledger
        .db
        .cleanup(&old, |so_far| {
            heard.push(so_far);
            heard.len() < 2
        })
        .unwrap();
    assert_eq!(heard.len(), 2, "it was ended");
    assert_eq!(heard.last(), Some(&deleted));
    assert!(deleted < 1234);
    assert_eq!(cleanup(&mut ledger, &old), 1234 - deleted);
    assert_eq!(ledger.count("tasks"), 0);
    assert_eq!(ledger.count("attempts"), 0);
}

#[test]
fn workers_are_forgotten_when_they_are_dead_and_run_nothing() {
    let mut ledger = Ledger::new();
    let names = |ledger: &mut Ledger, before| {
        ledger
            .db
            .cleanup(&old(&[Status::Done], before), |_| true)
            .unwrap();
        let sqlite = ledger.sqlite();
        let mut names = sqlite
            .prepare("SELECT name FROM workers ORDER BY id")
            .unwrap();
        let names = names.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<Vec<String>, _>>().unwrap()
    };
    let idle = register(&mut ledger.db, "idle");
    let busy = register(&mut ledger.db, "busy");
    drop(register(&mut ledger.db, "dead"));
    // The newest says that there may be somebody, even when it is dead.
    drop(register(&mut ledger.db, "last"));
    let (_, job) = put(&mut ledger.db, NOW);
    let commands = ledger.commands.clone();
    let claim = super::claim(&mut ledger.db, &busy.me, &commands, &job, NOW);
    let attempt = super::begun(claim.unwrap());
    assert_eq!(names(&mut ledger, NOW), ["me", "idle", "busy", "last"]);
    drop(idle);
    // Dead, but it answers for a task.
    let gone = busy.me.clone();
    drop(busy);
    assert_eq!(names(&mut ledger, NOW), ["me", "busy", "last"]);
    // Somebody else does: yet it is the one that ran it.
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!();
    };
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    assert_eq!(names(&mut ledger, NOW), ["me", "busy", "last"]);
    let done = super::settlement(
        &attempt,
        taskqueue::task::state::Outcome::Exited(0),
        taskqueue::task::retry::Next::Done,
    );
    assert!(!super::settled(&mut ledger.db, done, &gone));
    let entry = Entry {
        lose: Some(dead),
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &commands, &ledger.me, NOW);
    assert_eq!(entered.unwrap().lost, Some(AfterLoss::Waits));
    assert_eq!(names(&mut ledger, NOW), ["me", "last"]);
    // Who made an attempt is said without its row.
    let shown = ledger.db.show(Key::Id(attempt.id.task)).unwrap().unwrap();
    assert_eq!(shown.attempts[0].worker, "busy");
}

#[test]
fn workers_are_forgotten_some_at_a_time() {
    let mut ledger = Ledger::new();
    for _ in 0..1100 {
        drop(register(&mut ledger.db, "dead"));
    }
    let mut left = Vec::new();
    let mut from = Some(WorkerId::NOBODY);
    while let Some(after) = from {
        from = ledger.db.forget_workers(after).unwrap();
        left.push(ledger.count("workers"));
    }
    // The first lives, and the last stays.
    assert_eq!(left, [602, 102, 2, 2]);
}
