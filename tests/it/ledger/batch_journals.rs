//! Workers that died amid tasks that they had claimed together, and what their batch journals say of these.

use taskqueue::ledger::batch_journal::{BatchJournal, Done};
use taskqueue::ledger::read::Task;
use taskqueue::ledger::{Claim, Entry, JobRef, Remains};
use taskqueue::task::id::{TaskId, WorkerId};
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

use super::{NOW, New, Stage, begun, enter, nth, put, register, settlement, taken_over};

/// Tasks that a worker has claimed together before it died, and its batch journal; their jobs, in order.
fn claimed_together(ledger: &mut Stage) -> (Vec<(TaskId, JobRef)>, BatchJournal) {
    let tasks: Vec<(TaskId, JobRef)> = (0..4).map(|_| put(&mut ledger.db, NOW)).collect();
    let them = register(&mut ledger.db, "them");
    let jobs: Vec<JobRef> = tasks.iter().map(|(_, job)| job.clone()).collect();
    let entry = Entry {
        claim: Some(jobs[0].clone()),
        prefetch: jobs[1..].to_vec(),
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &ledger.commands, &them.me, NOW + 5);
    let entered = entered.unwrap();
    assert!(!begun(entered.claim.unwrap()).ahead);
    let ahead: Vec<_> = entered.prefetch.into_iter().flatten().collect();
    assert_eq!(ahead.iter().filter(|attempt| attempt.ahead).count(), 3);
    let journal = ledger.journals.make(them.me.id).unwrap();
    (tasks, journal)
}

fn done(started: Option<i64>) -> Done {
    Done {
        started,
        finished: NOW + 20,
        output: b"said".to_vec(),
    }
}

pub fn what_a_dead_worker_has_noted_is_recorded_as_it_was(new: New) {
    let mut ledger = new();
    let (tasks, mut journal) = claimed_together(&mut ledger);
    journal.is_done(nth(tasks[0].0, 1), &done(None)).unwrap();
    journal.begins(nth(tasks[1].0, 1), NOW + 10).unwrap();
    journal
        .is_done(nth(tasks[1].0, 1), &done(Some(NOW + 10)))
        .unwrap();
    journal.begins(nth(tasks[2].0, 1), NOW + 30).unwrap();
    let lefts = [
        Remains::Done,
        Remains::Done,
        Remains::Unknown,
        Remains::Unbegun,
    ];
    let abandoned = ledger.db.abandoned().unwrap();
    assert_eq!(
        abandoned
            .iter()
            .map(|dead| dead.remains)
            .collect::<Vec<_>>(),
        lefts
    );
    let me = ledger.me.clone();
    for ((task, job), left) in tasks.iter().zip(lefts) {
        let dead = match ledger.claim(job) {
            Claim::Dead(dead) => dead,
            other => panic!("{other:?}"),
        };
        assert_eq!(dead.remains, left);
        assert!(taken_over(&mut ledger.db, &dead, &me));
        let claim = ledger.lose_and_claim(&dead, job, NOW + 40);
        match (left, claim) {
            (Remains::Done, Claim::DeleteJob { task: Some(id) }) => assert_eq!(id, *task),
            (Remains::Unknown, Claim::Begun(attempt)) => assert_eq!(attempt.id.number, 2),
            (Remains::Unbegun, Claim::Begun(attempt)) => assert_eq!(attempt.id.number, 1),
            (_, claim) => panic!("{left:?}: {claim:?}"),
        }
    }
    let ended = |task: &Task| {
        let attempts = task.attempts.iter();
        let ended = attempts.filter_map(|one| {
            let (worker, outcome) = (one.worker.clone(), one.outcome.clone()?);
            Some((task.id, worker, one.started, one.finished?, outcome))
        });
        ended.collect::<Vec<_>>()
    };
    let attempts: Vec<_> = ledger.tasks().iter().rev().flat_map(ended).collect();
    let them = || String::from("them");
    let (exited, lost) = (String::from("exited"), String::from("lost"));
    let first = (tasks[0].0, them(), NOW + 5, NOW + 20, exited.clone());
    let second = (tasks[1].0, them(), NOW + 10, NOW + 20, exited);
    let third = (tasks[2].0, them(), NOW + 5, NOW + 40, lost);
    assert_eq!(attempts, [first, second, third]);
    assert_eq!(ledger.outputs(), 2);
}

pub fn without_its_batch_journal_a_dead_worker_s_attempts_are_lost(new: New) {
    let mut ledger = new();
    let (tasks, mut journal) = claimed_together(&mut ledger);
    journal.is_done(nth(tasks[0].0, 1), &done(None)).unwrap();
    let them = WorkerId(ledger.me.id.0 + 1);
    ledger.journals.remove(them);
    let abandoned = ledger.db.abandoned().unwrap();
    assert_eq!(abandoned.len(), 4);
    assert!(
        abandoned
            .iter()
            .all(|dead| dead.remains == Remains::Unknown)
    );
}

pub fn a_task_whose_turn_does_not_come_waits_as_before(new: New) {
    let mut ledger = new();
    let tasks: Vec<(TaskId, JobRef)> = (0..3).map(|_| put(&mut ledger.db, NOW)).collect();
    let (me, commands) = (ledger.me.clone(), ledger.commands.clone());
    let before: Vec<String> = (0..3).map(|at| row(&ledger, tasks[at].0)).collect();
    let claims = |first: &JobRef, others: &[&JobRef]| Entry {
        claim: Some(first.clone()),
        prefetch: others.iter().copied().cloned().collect(),
        ..Entry::default()
    };
    let [first, second, third] = [0, 1, 2].map(|at| &tasks[at].1);
    let entry = claims(first, &[second, third, first]);
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    let claimed = entered.prefetch;
    let first = begun(entered.claim.unwrap());
    let is_claimed: Vec<bool> = claimed.iter().map(Option::is_some).collect();
    assert_eq!(is_claimed, [true, true, false], "the first came twice");
    // The second has begun since, and goes on.
    let entry = Entry {
        settle: vec![settlement(&first, Outcome::Exited(0), Next::Done).into()],
        begun: Some((nth(tasks[1].0, 1), NOW + 7)),
        unclaim: vec![nth(tasks[2].0, 1)],
        ..Entry::default()
    };
    assert_eq!(enter(&mut ledger.db, &me, entry).unwrap().ours, [true]);
    assert_eq!(ledger.status(tasks[0].0), "done");
    assert_eq!(ledger.status(tasks[1].0), "running");
    assert_eq!(ledger.task(tasks[1].0).started.unwrap(), NOW + 7);
    assert_eq!(row(&ledger, tasks[2].0), before[2]);
    // One that has been tried is claimed only when it is its turn.
    let tried = claimed.into_iter().flatten().next().unwrap();
    let next = Next::Wait(std::time::Duration::ZERO);
    ledger.settle(&tried, Outcome::Exited(75), next);
    let entry = claims(third, &[second]);
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    begun(entered.claim.unwrap());
    assert!(entered.prefetch[0].is_none());
}

/// All there is to know of a task, as text.
fn row(ledger: &Stage, task: TaskId) -> String {
    format!("{:?}", ledger.task(task))
}
