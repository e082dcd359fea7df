//! Workers that died, and the attempts that they left.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use taskqueue::process::leftover::{self, Remains};
use taskqueue::store::ledger::{Arrival, Claim, DeadAttempt, Left, Settlements};
use taskqueue::store::locks::{Holder, LockFile};
use taskqueue::store::read::Key;
use taskqueue::store::slate::{self, Done, Slate};
use taskqueue::store::worker::Me;
use taskqueue::task::id::WorkerId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

use tempfile::TempDir;
use uuid::Uuid;

use super::{Ledger, NOW, TaskId, begun, nth, put, register, settled, settlement};

/// A task whose worker has died; what that one would still settle, and how it is found.
fn dead(
    ledger: &mut Ledger,
) -> (
    Arc<taskqueue::store::ledger::Settlement>,
    Me,
    DeadAttempt,
    Arrival,
) {
    let (_, job) = put(&mut ledger.db, NOW);
    let them = register(&mut ledger.db, "them");
    let commands = ledger.commands.clone();
    let attempt = begun(
        ledger
            .db
            .claim(&job, &commands, &them.me, &[], NOW)
            .unwrap(),
    );
    let claim = ledger.claim(&job);
    assert!(matches!(claim, Claim::Later { .. }), "it lives: {claim:?}");
    let late = Arc::new(settlement(&attempt, Outcome::Exited(0), Next::Done));
    let worker = them.me.clone();
    drop(them);
    drop(attempt);
    match ledger.claim(&job) {
        Claim::Dead(dead) => {
            assert_eq!((dead.id.number, dead.owner), (1, Some(worker.id)));
            (late, worker, dead, job)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_that_find_a_dead_attempt_one_goes_on() {
    let mut ledger = Ledger::new();
    let (_, _, dead, job) = dead(&mut ledger);
    let mut other = ledger.another();
    let they = register(&mut other, "they");
    assert!(ledger.db.take_over(&dead, ledger.me.id).unwrap());
    assert!(!other.take_over(&dead, they.me.id).unwrap());
    // It is not dead any more either: who took it over answers for it.
    let commands = ledger.commands.clone();
    let claim = other.claim(&job, &commands, &they.me, &[], NOW).unwrap();
    assert!(matches!(claim, Claim::Later { .. }), "{claim:?}");
}

#[test]
fn what_was_taken_over_and_could_not_be_ended_is_tried_again() {
    let mut ledger = Ledger::new();
    let (_, _, dead, job) = dead(&mut ledger);
    assert!(ledger.db.take_over(&dead, ledger.me.id).unwrap());
    let Claim::Dead(ours) = ledger.claim(&job) else {
        panic!("nobody would ever look at it again");
    };
    assert_eq!(ours.owner, Some(ledger.me.id));
    assert!(ledger.db.take_over(&ours, ledger.me.id).unwrap());
    let (commands, me) = (ledger.commands.clone(), &ledger.me);
    let claim = ledger.db.lose_and_claim(&ours, &job, &commands, me, NOW);
    assert_eq!(begun(claim.unwrap()).id.number, 2);
}

#[test]
fn a_living_workers_attempt_is_not_taken_over() {
    let mut ledger = Ledger::new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let mut other = ledger.another();
    let they = register(&mut other, "they");
    let alive = DeadAttempt {
        id: attempt.id,
        uuid: attempt.uuid,
        owner: Some(ledger.me.id),
        priority: 5,
        left: Left::Unknown,
    };
    assert!(!other.take_over(&alive, they.me.id).unwrap());
}

#[test]
fn who_was_given_up_changes_nothing_any_more() {
    let mut ledger = Ledger::new();
    let (late, them, dead, job) = dead(&mut ledger);
    let id = dead.id.task;
    assert!(ledger.db.take_over(&dead, ledger.me.id).unwrap());
    assert!(!settled(&mut ledger.db, late.clone(), &them));
    let commands = ledger.commands.clone();
    let claim = ledger
        .db
        .lose_and_claim(&dead, &job, &commands, &ledger.me, NOW + 5)
        .unwrap();
    let second = begun(claim);
    assert_eq!(second.id, nth(id, 2));
    assert_eq!((second.budget.spent, second.budget.lost), (0, 1));
    assert!(!settled(&mut ledger.db, late, &them));
    ledger.done(second);
    let shown = ledger.db.show(Key::Id(id)).unwrap().unwrap();
    let outcomes: Vec<_> = shown
        .attempts
        .iter()
        .map(|a| (a.number, a.worker.as_str(), a.outcome.as_deref()))
        .collect();
    assert_eq!(
        outcomes,
        [(1, "them", Some("lost")), (2, "me", Some("exited"))]
    );
}

#[test]
fn a_task_that_kills_its_workers_fails_in_the_end() {
    let mut ledger = Ledger::new();
    let (_, job) = put(&mut ledger.db, NOW);
    let commands = ledger.commands.clone();
    for lost in 0..3 {
        let them = register(&mut ledger.db, "them");
        let attempt = begun(
            ledger
                .db
                .claim(&job, &commands, &them.me, &[], NOW)
                .unwrap(),
        );
        assert_eq!(attempt.budget.lost, lost);
        drop((attempt, them));
        let Claim::Dead(dead) = ledger.claim(&job) else {
            panic!();
        };
        assert!(ledger.db.take_over(&dead, ledger.me.id).unwrap());
        let claim = ledger
            .db
            .lose_and_claim(&dead, &job, &commands, &ledger.me, NOW)
            .unwrap();
        match (lost, claim) {
            // Ours now; die too, in the eyes of the store: let it wait again.
            (0 | 1, Claim::Begun(attempt)) => {
                let interrupted = settlement_with_budget(&attempt);
                assert!(settled(&mut ledger.db, interrupted, &ledger.me));
            }
            // Over, however often its job was kicked before.
            (
                2,
                Claim::GivenUp {
                    task: TaskId(1),
                    reason,
                    ..
                },
            ) => {
                assert_eq!(reason, "its worker died 3 times");
            }
            (_, other) => panic!("{lost}: {other:?}"),
        }
    }
    let shown = ledger.db.show(Key::Id(TaskId(1))).unwrap().unwrap();
    assert_eq!(shown.status.as_str(), "failed");
    assert_eq!(shown.reason.as_deref(), Some("its worker died 3 times"));

    // Whoever was to bury its job died too: whoever is next does.
    assert!(matches!(ledger.claim(&job), Claim::AskForKicks));
    let kicked = |kicks| Arrival {
        kicks: Some(kicks),
        ..job.clone()
    };
    let claim = ledger.claim(&kicked(0));
    assert!(
        matches!(
            claim,
            Claim::BuryJob {
                task: TaskId(1),
                ..
            }
        ),
        "{claim:?}"
    );
    assert_eq!(ledger.begin(&kicked(1)).budget, Default::default());
}

#[test]
fn what_died_with_the_machine_is_not_counted() {
    let mut ledger = Ledger::new();
    for round in 0..4 {
        let (_, _, dead, job) = dead(&mut ledger);
        if round > 0 {
            let sqlite = ledger.sqlite();
            let another = "UPDATE workers SET boot = 'another' WHERE name = 'them'";
            sqlite.execute(another, []).unwrap();
        }
        assert!(ledger.db.take_over(&dead, ledger.me.id).unwrap());
        let commands = ledger.commands.clone();
        let claim = ledger
            .db
            .lose_and_claim(&dead, &job, &commands, &ledger.me, NOW)
            .unwrap();
        let attempt = begun(claim);
        assert_eq!(attempt.budget.lost, u32::from(round == 0));
        let shown = ledger.db.show(Key::Id(attempt.id.task)).unwrap().unwrap();
        assert_eq!(shown.attempts[0].outcome.as_deref(), Some("lost"));
        let reason = shown.attempts[0].reason.as_deref();
        assert_eq!(reason, (round > 0).then_some("the machine was restarted"));
        ledger.done(attempt);
    }
}

#[test]
fn how_often_a_task_may_be_lost_says_its_command_or_its_tube() {
    let mut ledger = Ledger::new();
    let mut commands = taskqueue::task::command::Commands::default();
    let mut work = taskqueue::task::command::Command::new(vec!["/bin/true".into()]);
    commands.add("work", work.clone());
    commands.set_max_lost(crate::support::tube("t"), 1);
    ledger.commands = commands.clone().into();
    let lost = |ledger: &mut Ledger| {
        let (_, _, dead, job) = dead(ledger);
        assert!(ledger.db.take_over(&dead, ledger.me.id).unwrap());
        let (commands, me) = (ledger.commands.clone(), &ledger.me);
        let claim = ledger.db.lose_and_claim(&dead, &job, &commands, me, NOW);
        claim.unwrap()
    };
    let claim = lost(&mut ledger);
    assert!(matches!(claim, Claim::GivenUp { .. }), "{claim:?}");
    work.retry.max_lost = Some(2);
    commands.add("work", work);
    ledger.commands = commands.into();
    begun(lost(&mut ledger));
}

fn settlement_with_budget(
    attempt: &taskqueue::store::ledger::Attempt,
) -> taskqueue::store::ledger::Settlement {
    let exit = taskqueue::task::state::Exit::Signal(15);
    taskqueue::store::ledger::Settlement {
        budget: attempt.budget,
        ..settlement(
            attempt,
            Outcome::Interrupted(exit),
            Next::Wait(std::time::Duration::ZERO),
        )
    }
}

#[test]
fn nothing_begins_while_something_of_the_attempt_before_is_left() {
    let mut ledger = Ledger::new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let next = Next::Wait(std::time::Duration::ZERO);
    ledger.settle(&attempt, Outcome::Exited(1), next);
    // A process that the command left holds a copy of the lock's descriptor.
    let Claim::Remains(remains) = ledger.claim(&job) else {
        panic!();
    };
    assert_eq!(remains.id, nth(id, 1));
    assert_eq!(ledger.value::<String>("status", id), "waiting");
    drop(attempt);
    assert_eq!(ledger.begin(&job).id.number, 2);
}

#[test]
fn a_dead_workers_task_shows_as_stalled() {
    let mut ledger = Ledger::new();
    let (_, _, dead, _) = dead(&mut ledger);
    let id = dead.id.task;
    let shown = ledger.db.show(Key::Id(id)).unwrap().unwrap();
    assert_eq!(shown.status.as_str(), "stalled");
    // Its attempt is there before it has ended, and stays its own when another answers for it.
    let another = register(&mut ledger.db, "another").me;
    assert!(ledger.db.take_over(&dead, another.id).unwrap());
    for shown in [shown, ledger.db.show(Key::Id(id)).unwrap().unwrap()] {
        let [attempt] = shown.attempts.as_slice() else {
            panic!("{:?}", shown.attempts);
        };
        let (number, worker) = (attempt.number, attempt.worker.as_str());
        assert_eq!((number, worker), (1, "them"));
        assert_eq!((attempt.started, attempt.finished), (NOW, None));
        assert_eq!(attempt.outcome, None);
    }
    let listed = |word: &str| {
        let filter = taskqueue::store::read::Filter {
            status: taskqueue::store::read::Shown::from_word(word),
            ..Default::default()
        };
        let mut ids = Vec::new();
        ledger
            .db
            .list(&filter, 10, |task| {
                ids.push(task.id);
                true
            })
            .unwrap();
        ids
    };
    assert_eq!(listed("stalled"), [id]);
    assert_eq!(listed("running"), []);
}

#[test]
fn a_claim_that_fails_leaves_nothing() {
    let mut ledger = Ledger::new();
    let (id, job) = put(&mut ledger.db, NOW);
    // Somebody holds the byte that the attempt to come would lock.
    let next = Holder::Attempt(nth(id, 1));
    let _held = ledger.db.locks().take(next).unwrap();
    let commands = ledger.commands.clone();
    let claim = ledger.db.claim(&job, &commands, &ledger.me, &[], NOW);
    assert!(claim.is_err(), "{claim:?}");
    assert_eq!(ledger.value::<String>("status", id), "waiting");
    assert_eq!(ledger.count("attempts"), 0);
}

/// A process that inherits an attempt's lock and carries no token.
fn holder(locks: &LockFile, attempt: Holder) -> Child {
    let lock = locks.take(attempt).unwrap();
    let descriptor = lock.as_fd().as_raw_fd();
    let mut command = Command::new("sleep");
    // SAFETY: between fork and exec nothing but one system call is made, on a descriptor that is open.
    unsafe {
        // In the child alone: what other tests start in this instant must not inherit it.
        command.pre_exec(move || {
            let inherited = rustix::fd::BorrowedFd::borrow_raw(descriptor);
            Ok(rustix::io::fcntl_setfd(
                inherited,
                rustix::io::FdFlags::empty(),
            )?)
        });
    }
    command.arg("60").spawn().unwrap()
}

#[test]
fn who_holds_the_same_byte_for_another_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let attempt = Holder::Attempt(nth(TaskId(7), 1));
    let [ours, theirs] = ["ours", "theirs"].map(|name| {
        let locks = LockFile::of(&dir.path().join(name), Uuid::now_v7());
        locks.make().unwrap();
        locks
    });
    let mut spared = holder(&theirs, attempt);
    let mut left = holder(&ours, attempt);
    let remains = Remains {
        store: Uuid::now_v7(),
        uuid: Uuid::now_v7(),
        number: 1,
        locks: ours.path().into(),
        byte: attempt.byte(),
    };
    let ended =
        leftover::end(vec![remains], leftover::PATIENCE, |_| ours.is_held(attempt)).unwrap();
    assert!(ended.left.is_empty());
    kill_process(Pid::from_child(&spared), Signal::TERM).unwrap();
    // Whatever came first ended it.
    let ended_by = |child: &mut Child| child.wait().unwrap().signal();
    assert_eq!(ended_by(&mut spared), Some(Signal::TERM.as_raw()));
    assert_eq!(ended_by(&mut left), Some(Signal::KILL.as_raw()));
}

/// Tasks that a worker has claimed together before it died, and its slate; their arrivals, in order.
fn claimed_together(ledger: &mut Ledger) -> (Vec<(TaskId, Arrival)>, Slate) {
    let tasks: Vec<(TaskId, Arrival)> = (0..4).map(|_| put(&mut ledger.db, NOW)).collect();
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
    slate.is_done(nth(tasks[0].0, 1), &done(None)).unwrap();
    slate.begins(nth(tasks[1].0, 1), NOW + 10).unwrap();
    slate
        .is_done(nth(tasks[1].0, 1), &done(Some(NOW + 10)))
        .unwrap();
    slate.begins(nth(tasks[2].0, 1), NOW + 30).unwrap();
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
            (Left::Unknown, Claim::Begun(attempt)) => assert_eq!(attempt.id.number, 2),
            (Left::Unbegun, Claim::Begun(attempt)) => assert_eq!(attempt.id.number, 1),
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
fn without_its_slate_a_dead_worker_s_attempts_are_lost() {
    let mut ledger = Ledger::new();
    let (tasks, mut slate) = claimed_together(&mut ledger);
    slate.is_done(nth(tasks[0].0, 1), &done(None)).unwrap();
    let owner = WorkerId(ledger.value("owner", tasks[0].0));
    slate::remove(ledger.db.locks(), owner);
    let abandoned = ledger.db.abandoned().unwrap();
    assert_eq!(abandoned.len(), 4);
    assert!(abandoned.iter().all(|dead| dead.left == Left::Unknown));
}

#[test]
fn a_task_whose_turn_does_not_come_waits_as_before() {
    let mut ledger = Ledger::new();
    let tasks: Vec<(TaskId, Arrival)> = (0..3).map(|_| put(&mut ledger.db, NOW)).collect();
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
        begun: Some((nth(tasks[1].0, 1), NOW + 7)),
        unbegun: vec![nth(tasks[2].0, 1)],
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
