//! Workers that died amid tasks that they had claimed together, and what their batch journals say of these.

use taskqueue::store::batch_journal::{self, BatchJournal, Done};
use taskqueue::store::ledger::{Claim, Entry, JobRef, Remains};
use taskqueue::task::id::WorkerId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

use super::{Ledger, NOW, TaskId, begun, enter, nth, put, register, settlement, taken_over};

/// Tasks that a worker has claimed together before it died, and its batch journal; their jobs, in order.
fn claimed_together(ledger: &mut Ledger) -> (Vec<(TaskId, JobRef)>, BatchJournal) {
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
    let journal = BatchJournal::make(ledger.db.locks(), them.me.id).unwrap();
    (tasks, journal)
}

fn done(started: Option<i64>) -> Done {
    Done {
        started,
        finished: NOW + 20,
        output: b"said".to_vec(),
    }
}

#[test]
fn what_a_dead_worker_has_noted_is_recorded_as_it_was() {
    let mut ledger = Ledger::new();
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
    let sqlite = ledger.sqlite();
    let mut attempts = sqlite
        .prepare("SELECT task, worker, started, finished, outcome FROM attempts ORDER BY task")
        .unwrap();
    let attempts: Vec<(i64, String, i64, i64, String)> = attempts
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let them = || String::from("them");
    let (exited, lost) = (String::from("exited"), String::from("lost"));
    let first = (tasks[0].0.0, them(), NOW + 5, NOW + 20, exited.clone());
    let second = (tasks[1].0.0, them(), NOW + 10, NOW + 20, exited);
    let third = (tasks[2].0.0, them(), NOW + 5, NOW + 40, lost);
    assert_eq!(attempts, [first, second, third]);
    assert_eq!(ledger.count("output"), 2);
}

#[test]
fn without_its_batch_journal_a_dead_worker_s_attempts_are_lost() {
    let mut ledger = Ledger::new();
    let (tasks, mut journal) = claimed_together(&mut ledger);
    journal.is_done(nth(tasks[0].0, 1), &done(None)).unwrap();
    let owner = WorkerId(ledger.value("owner", tasks[0].0));
    batch_journal::remove(ledger.db.locks(), owner);
    let abandoned = ledger.db.abandoned().unwrap();
    assert_eq!(abandoned.len(), 4);
    assert!(
        abandoned
            .iter()
            .all(|dead| dead.remains == Remains::Unknown)
    );
}

#[test]
fn a_task_whose_turn_does_not_come_waits_as_before() {
    let mut ledger = Ledger::new();
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
    assert_eq!(ledger.value::<String>("status", tasks[0].0), "done");
    assert_eq!(ledger.value::<String>("status", tasks[1].0), "running");
    assert_eq!(ledger.value::<i64>("started", tasks[1].0), NOW + 7);
    assert_eq!(ledger.value::<i64>("ahead", tasks[1].0), 0);
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

/// All of a task's row, as text.
fn row(ledger: &Ledger, task: TaskId) -> String {
    let columns = |row: &rusqlite::Row<'_>| {
        let count = row.as_ref().column_count();
        let values = (0..count).map(|at| format!("{:?}", row.get_ref(at).unwrap()));
        Ok(values.collect::<Vec<_>>().join(", "))
    };
    let sqlite = ledger.sqlite();
    let row = sqlite.query_row("SELECT * FROM tasks WHERE id = ?1", [task.0], columns);
    row.unwrap()
}
