//! Workers that died, and the attempts that they left.

use std::sync::Arc;

use taskqueue::ledger::read::{DisplayedStatus, Filter, Key};
use taskqueue::ledger::worker::Me;
use taskqueue::ledger::{AfterLoss, Claim, DeadAttempt, Entry, JobRef, Remains, Settlement};
use taskqueue::lives::Holder;
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::{Exit, Outcome};

use super::{
    NOW, New, Stage, begun, claim, enter, nth, put, register, settled, settlement, taken_over,
};

/// A task whose worker has died; what that one would still settle, and how it is found.
fn dead(ledger: &mut Stage) -> (Arc<Settlement>, Me, DeadAttempt, JobRef) {
    let (_, job) = put(&mut ledger.db, NOW);
    let them = register(&mut ledger.db, "them");
    let commands = ledger.commands.clone();
    let attempt = begun(claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap());
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

pub fn of_two_that_find_a_dead_attempt_one_goes_on(new: New) {
    let mut ledger = new();
    let (_, _, dead, job) = dead(&mut ledger);
    let mut other = ledger.another();
    let they = register(&mut other, "they");
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    assert!(!taken_over(&mut other, &dead, &they.me));
    // It is not dead any more either: who took it over answers for it.
    let commands = ledger.commands.clone();
    let claim = claim(&mut other, &they.me, &commands, &job, NOW).unwrap();
    assert!(matches!(claim, Claim::Later { .. }), "{claim:?}");
}

pub fn what_was_taken_over_and_could_not_be_ended_is_tried_again(new: New) {
    let mut ledger = new();
    let (_, _, dead, job) = dead(&mut ledger);
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    let Claim::Dead(ours) = ledger.claim(&job) else {
        panic!("nobody would ever look at it again");
    };
    assert_eq!(ours.owner, Some(ledger.me.id));
    assert!(taken_over(&mut ledger.db, &ours, &ledger.me));
    let claim = ledger.lose_and_claim(&ours, &job, NOW);
    assert_eq!(begun(claim).id.number, 2);
}

pub fn a_living_workers_attempt_is_not_taken_over(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let mut other = ledger.another();
    let they = register(&mut other, "they");
    let alive = DeadAttempt {
        id: attempt.id,
        uuid: attempt.uuid,
        owner: Some(ledger.me.id),
        worker: Some(ledger.me.id),
        priority: 5,
        remains: Remains::Unknown,
    };
    assert!(!taken_over(&mut other, &alive, &they.me));
}

pub fn who_was_given_up_changes_nothing_any_more(new: New) {
    let mut ledger = new();
    let (late, them, dead, job) = dead(&mut ledger);
    let id = dead.id.task;
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    assert!(!settled(&mut ledger.db, late.clone(), &them));
    let claim = ledger.lose_and_claim(&dead, &job, NOW + 5);
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

pub fn a_task_that_kills_its_workers_fails_in_the_end(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let commands = ledger.commands.clone();
    for lost in 0..3 {
        let them = register(&mut ledger.db, "them");
        let job = JobRef {
            cleared: Some(2 * i64::from(lost)),
            ..job.clone()
        };
        let attempt = begun(claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap());
        assert_eq!(attempt.budget.lost, lost);
        drop((attempt, them));
        let Claim::Dead(dead) = ledger.claim(&job) else {
            panic!();
        };
        assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
        let claim = ledger.lose_and_claim(&dead, &job, NOW);
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
    let kicked = |kicks| JobRef {
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
    assert_eq!(
        begun(ledger.claim_cleared(&kicked(1), 5)).budget,
        Default::default()
    );
}

pub fn what_died_with_the_machine_is_not_counted(new: New) {
    let mut ledger = new();
    for round in 0..4 {
        let (_, _, dead, job) = dead(&mut ledger);
        if round > 0 {
            ledger.restart_machine();
        }
        assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
        let claim = ledger.lose_and_claim(&dead, &job, NOW);
        let attempt = begun(claim);
        assert_eq!(attempt.budget.lost, u32::from(round == 0));
        let shown = ledger.db.show(Key::Id(attempt.id.task)).unwrap().unwrap();
        assert_eq!(shown.attempts[0].outcome.as_deref(), Some("lost"));
        let reason = shown.attempts[0].reason.as_deref();
        assert_eq!(reason, (round > 0).then_some("the machine was restarted"));
        ledger.done(attempt);
    }
}

/// However often: three lost attempts would be one too many.
pub fn what_a_worker_ran_that_was_told_to_go_is_interrupted(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let commands = ledger.commands.clone();
    for round in 1..=4 {
        let them = register(&mut ledger.db, "them");
        let mut claimed = claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap();
        if let Claim::Remains(of) = &claimed {
            let cleared = job_cleared(&job, of.id.number);
            claimed = claim(&mut ledger.db, &them.me, &commands, &cleared, NOW).unwrap();
        }
        let attempt = begun(claimed);
        assert_eq!(attempt.budget, Default::default());
        let told = Entry {
            told: true,
            ..Entry::default()
        };
        enter(&mut ledger.db, &them.me, told).unwrap();
        drop((them, attempt));
        let Claim::Dead(dead) = ledger.claim(&job) else {
            panic!("it is dead");
        };
        assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
        let lose = Entry {
            lose: Some(DeadAttempt {
                owner: Some(ledger.me.id),
                worker: Some(ledger.me.id),
                ..dead
            }),
            ..Entry::default()
        };
        let entered = enter(&mut ledger.db, &ledger.me, lose).unwrap();
        assert_eq!(entered.lost, Some(AfterLoss::Waits), "round {round}");
        // That it happens again and again is worth a word, since nothing counts it.
        let expected = if round >= 3 {
            vec![(id, round)]
        } else {
            vec![]
        };
        assert_eq!(entered.often, expected);
        let shown = ledger.db.show(Key::Id(id)).unwrap().unwrap();
        let last = shown.attempts.last().unwrap();
        assert_eq!(last.outcome.as_deref(), Some("interrupted"));
        assert!(last.reason.as_deref().unwrap().contains("told to go"));
        assert_eq!((last.exit_code, last.signal), (None, None));
    }
}

/// Also where it was told to go: it may not have heard that. Another one of its name is not meant.
pub fn what_a_worker_ran_that_hung_is_lost_for_that(new: New) {
    // Of which worker it is noted, whether that was told to go, and how the attempt ended.
    let hung = "did not answer";
    let table = [
        ("them", 1, false, "lost", Some(hung)),
        ("them", 1, true, "lost", Some(hung)),
        ("them", 2, false, "lost", None),
        ("they", 1, false, "lost", None),
        ("them", 2, true, "interrupted", Some("told to go")),
    ];
    for (name, pid, is_told, outcome, reason) in table {
        let mut ledger = new();
        let (id, job) = put(&mut ledger.db, NOW);
        let before = register(&mut ledger.db, "them");
        let them = register(&mut ledger.db, "them");
        let commands = ledger.commands.clone();
        let attempt = begun(claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap());
        let told = Entry {
            told: is_told,
            ..Entry::default()
        };
        enter(&mut ledger.db, &them.me, told).unwrap();
        ledger.db.note_hung(name, pid, NOW).unwrap();
        drop((before, them, attempt));
        let Claim::Dead(dead) = ledger.claim(&job) else {
            panic!("it is dead");
        };
        assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
        let lose = Entry {
            lose: Some(DeadAttempt {
                owner: Some(ledger.me.id),
                worker: Some(ledger.me.id),
                ..dead
            }),
            ..Entry::default()
        };
        enter(&mut ledger.db, &ledger.me, lose).unwrap();
        let shown = ledger.db.show(Key::Id(id)).unwrap().unwrap();
        let last = shown.attempts.last().unwrap();
        assert_eq!(
            last.outcome.as_deref(),
            Some(outcome),
            "{name} {pid} {is_told}"
        );
        let said = last.reason.as_deref();
        assert_eq!(said.is_some(), reason.is_some(), "{said:?}");
        assert!(
            said.unwrap_or("").contains(reason.unwrap_or("")),
            "{said:?}"
        );
    }
}

fn job_cleared(job: &JobRef, attempt: i64) -> JobRef {
    JobRef {
        cleared: Some(attempt),
        ..job.clone()
    }
}

pub fn how_often_a_task_may_be_lost_says_its_command_or_its_tube(new: New) {
    let mut ledger = new();
    let mut commands = taskqueue::task::command::Commands::default();
    let mut work = taskqueue::task::command::Command::new(vec!["/bin/true".into()]);
    commands.add("work", work.clone());
    commands.set_max_lost(crate::support::tube("t"), 1);
    ledger.commands = commands.clone().into();
    let lost = |ledger: &mut Stage| {
        let (_, _, dead, job) = dead(ledger);
        assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
        ledger.lose_and_claim(&dead, &job, NOW)
    };
    let claim = lost(&mut ledger);
    assert!(matches!(claim, Claim::GivenUp { .. }), "{claim:?}");
    work.retry.max_lost = Some(2);
    commands.add("work", work);
    ledger.commands = commands.into();
    begun(lost(&mut ledger));
}

fn settlement_with_budget(attempt: &super::Attempt) -> Settlement {
    let exit = taskqueue::task::state::Exit::Signal(15);
    Settlement {
        budget: attempt.budget,
        ..settlement(
            attempt,
            Outcome::Interrupted(exit),
            Next::Wait(std::time::Duration::ZERO),
        )
    }
}

pub fn nothing_begins_while_something_of_the_attempt_before_is_left(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let next = Next::Wait(std::time::Duration::ZERO);
    ledger.settle(&attempt, Outcome::Exited(1), next);
    // A process that the command left holds a copy of the lock's descriptor.
    let Claim::Remains(remains) = ledger.claim(&job) else {
        panic!();
    };
    assert_eq!(remains.id, nth(id, 1));
    assert_eq!(ledger.status(id), "waiting");
    drop(attempt);
    // There may be something that has let go of it: that is for the worker to see to.
    let Claim::Remains(remains) = ledger.claim(&job) else {
        panic!();
    };
    assert_eq!(remains.id, nth(id, 1));
    let claim = ledger.claim_cleared(&job, 0);
    assert!(matches!(claim, Claim::Remains(_)), "of another: {claim:?}");
    // Who holds the lock is no part of the attempt: whoever has looked has seen that.
    let _held = ledger.lives.hold(Holder::Attempt(nth(id, 1))).unwrap();
    assert!(matches!(ledger.claim(&job), Claim::Remains(_)));
    assert_eq!(begun(ledger.claim_cleared(&job, 1)).id.number, 2);
}

pub fn what_cannot_have_left_anything_is_not_looked_for(new: New) {
    for (outcome, may_have_left) in [
        (Outcome::Exited(1), true),
        (Outcome::Exited(0), false),
        (Outcome::Signalled(9), true),
        (Outcome::OutOfMemory, true),
        (Outcome::TimedOut(Exit::Code(0)), true),
        (Outcome::Interrupted(Exit::Signal(15)), true),
        (Outcome::CouldNotStart { reason: "x".into() }, false),
        (
            Outcome::Deferred {
                code: 0,
                wait: std::time::Duration::ZERO,
            },
            true,
        ),
        (
            Outcome::GaveUp {
                reason: "x".into(),
                ended: Box::new(Outcome::Exited(0)),
            },
            true,
        ),
    ] {
        let mut ledger = new();
        let (id, job) = put(&mut ledger.db, NOW);
        let attempt = ledger.begin(&job);
        let next = Next::Wait(std::time::Duration::ZERO);
        ledger.settle(&attempt, outcome.clone(), next);
        drop(attempt);
        match ledger.claim(&job) {
            Claim::Remains(dead) => assert!(may_have_left && dead.id == nth(id, 1), "{outcome:?}"),
            Claim::Begun(_) => assert!(!may_have_left, "{outcome:?}"),
            other => panic!("{other:?}"),
        }
    }
}

pub fn a_dead_workers_task_shows_as_stalled(new: New) {
    let mut ledger = new();
    let (_, _, dead, _) = dead(&mut ledger);
    let id = dead.id.task;
    let shown = ledger.db.show(Key::Id(id)).unwrap().unwrap();
    assert_eq!(shown.status.as_str(), "stalled");
    // Its attempt is there before it has ended, and stays its own when another answers for it.
    let another = register(&mut ledger.db, "another").me;
    assert!(taken_over(&mut ledger.db, &dead, &another));
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
        let filter = Filter::default().status(DisplayedStatus::from_word(word).unwrap());
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

pub fn a_claim_that_fails_leaves_nothing(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    // Somebody holds the byte that the attempt to come would lock.
    let next = Holder::Attempt(nth(id, 1));
    let _held = ledger.lives.hold(next).unwrap();
    let commands = ledger.commands.clone();
    let claim = claim(&mut ledger.db, &ledger.me, &commands, &job, NOW);
    assert!(claim.is_err(), "{claim:?}");
    assert_eq!(ledger.status(id), "waiting");
    assert_eq!(ledger.attempts(), 0);
}
