//! Workers that died amid tasks that they had claimed together, and what their slates say of these.

use taskqueue::store::ledger::{Arrival, Claim, Left, Settlements};
use taskqueue::store::slate::{self, Done, Slate};
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

use super::{Ledger, NOW, begun, put, register, settlement};

/// Tasks that a worker has claimed together before it died, and its slate; their arrivals, in order.
fn claimed_together(ledger: &mut Ledger) -> (Vec<(i64, Arrival)>, Slate) {
    let tasks: Vec<(i64, Arrival)> = (0..4).map(|_| put(&mut ledger.db, NOW)).collect();
    let them = register(&mut ledger.db, "them");
    let arrivals: Vec<Arrival> = tasks.iter().map(|(_, arrival)| arrival.clone()).collect();
    let nothing = Settlements::default();
    let commands = ledger.commands.clone();
    let claimed = ledger.db.settle_and_claim(
        &nothing,
        &arrivals[0],
        &arrivals[1..],
        &commands,
        &them.me,
        NOW + 5,
    );
    let claimed = claimed.unwrap();
    assert!(!begun(claimed.next).ahead);
    let ahead: Vec<_> = claimed.ahead.into_iter().flatten().collect();
    assert_eq!(ahead.iter().filter(|attempt| attempt.ahead).count(), 3);
    let slate = Slate::make(ledger.db.locks(), them.me.id).unwrap();
    (tasks, slate)
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
    let (tasks, mut slate) = claimed_together(&mut ledger);
    slate.is_done((tasks[0].0, 1), &done(None)).unwrap();
    slate.begins((tasks[1].0, 1), NOW + 10).unwrap();
    slate
        .is_done((tasks[1].0, 1), &done(Some(NOW + 10)))
        .unwrap();
    slate.begins((tasks[2].0, 1), NOW + 30).unwrap();
    let lefts = [Left::Done, Left::Done, Left::Unknown, Left::Unbegun];
    let abandoned = ledger.db.abandoned().unwrap();
    assert_eq!(
        abandoned.iter().map(|dead| dead.left).collect::<Vec<_>>(),
        lefts
    );
    let (me, commands) = (ledger.me.clone(), ledger.commands.clone());
    for ((task, job), left) in tasks.iter().zip(lefts) {
        let dead = match ledger.claim(job) {
            Claim::Dead(dead) => dead,
            other => panic!("{other:?}"),
        };
        assert_eq!(dead.left, left);
        assert!(ledger.db.take_over(&dead, me.id).unwrap());
        let claim = ledger
            .db
            .lose_and_claim(&dead, job, &commands, &me, NOW + 40);
        match (left, claim.unwrap()) {
            (Left::Done, Claim::DeleteJob { task: Some(id) }) => assert_eq!(id, *task),
            (Left::Unknown, Claim::Begun(attempt)) => assert_eq!(attempt.number, 2),
            (Left::Unbegun, Claim::Begun(attempt)) => assert_eq!(attempt.number, 1),
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
    let first = (tasks[0].0, them(), NOW + 5, NOW + 20, exited.clone());
    let second = (tasks[1].0, them(), NOW + 10, NOW + 20, exited);
    let third = (tasks[2].0, them(), NOW + 5, NOW + 40, lost);
    assert_eq!(attempts, [first, second, third]);
    assert_eq!(ledger.count("output"), 2);
}

#[test]
fn without_its_slate_a_dead_worker_s_attempts_are_lost() {
    let mut ledger = Ledger::new();
    let (tasks, mut slate) = claimed_together(&mut ledger);
    slate.is_done((tasks[0].0, 1), &done(None)).unwrap();
    let owner = ledger.value::<i64>("owner", tasks[0].0);
    slate::remove(ledger.db.locks(), owner);
    let abandoned = ledger.db.abandoned().unwrap();
    assert_eq!(abandoned.len(), 4);
    assert!(abandoned.iter().all(|dead| dead.left == Left::Unknown));
}

#[test]
fn a_task_whose_turn_does_not_come_waits_as_before() {
    let mut ledger = Ledger::new();
    let tasks: Vec<(i64, Arrival)> = (0..3).map(|_| put(&mut ledger.db, NOW)).collect();
    let (me, commands) = (ledger.me.clone(), ledger.commands.clone());
    let before: Vec<String> = (0..3).map(|at| row(&ledger, tasks[at].0)).collect();
    let nothing = Settlements::default();
    let ahead = [tasks[1].1.clone(), tasks[2].1.clone(), tasks[0].1.clone()];
    let claimed = ledger
        .db
        .settle_and_claim(&nothing, &tasks[0].1, &ahead, &commands, &me, NOW)
        .unwrap();
    let first = begun(claimed.next);
    let is_claimed: Vec<bool> = claimed.ahead.iter().map(Option::is_some).collect();
    assert_eq!(is_claimed, [true, true, false], "the first came twice");
    // The second has begun since, and goes on.
    let settlements = Settlements {
        ended: vec![settlement(&first, Outcome::Exited(0), Next::Done).into()],
        begun: Some(((tasks[1].0, 1), NOW + 7)),
        unbegun: vec![(tasks[2].0, 1)],
    };
    assert_eq!(ledger.db.settle(&settlements, &me).unwrap(), [true]);
    assert_eq!(ledger.value::<String>("status", tasks[0].0), "done");
    assert_eq!(ledger.value::<String>("status", tasks[1].0), "running");
    assert_eq!(ledger.value::<i64>("started", tasks[1].0), NOW + 7);
    assert_eq!(ledger.value::<i64>("ahead", tasks[1].0), 0);
    assert_eq!(row(&ledger, tasks[2].0), before[2]);
    // One that has been tried is claimed only when it is its turn.
    let second = claimed.ahead.into_iter().flatten().next().unwrap();
    let next = Next::Wait(std::time::Duration::ZERO);
    ledger.settle(&second, Outcome::Exited(75), next);
    let ahead = [tasks[1].1.clone()];
    let claimed = ledger
        .db
        .settle_and_claim(&nothing, &tasks[2].1, &ahead, &commands, &me, NOW)
        .unwrap();
    begun(claimed.next);
    assert!(claimed.ahead[0].is_none());
}

/// All of a task's row, as text.
fn row(ledger: &Ledger, task: i64) -> String {
    let columns = |row: &rusqlite::Row<'_>| {
        let count = row.as_ref().column_count();
        let values = (0..count).map(|at| format!("{:?}", row.get_ref(at).unwrap()));
        Ok(values.collect::<Vec<_>>().join(", "))
    };
    let sqlite = ledger.sqlite();
    let row = sqlite.query_row("SELECT * FROM tasks WHERE id = ?1", [task], columns);
    row.unwrap()
}
