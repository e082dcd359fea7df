//! Calling tasks off.

use std::time::Duration;
use taskqueue::ledger::cancel::{CallOff, CalledOff, NotCancelled};
use taskqueue::ledger::rows::Wish;
use taskqueue::ledger::{AfterLoss, Claim, DeadAttempt, Entry, Settlement};
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::{Budget, Next};
use taskqueue::task::state::{Exit, Outcome, Status};

use super::{NOW, New, Stage, begun, claim, nth, put, register, settlement, taken_over};

fn because(reason: &str) -> CallOff {
    let reason = Some(reason.to_owned());
    CallOff { now: false, reason }
}

#[track_caller]
fn cancel(ledger: &mut Stage, task: TaskId, how: &CallOff) -> Result<CalledOff, NotCancelled> {
    ledger.db.change_one(how, task, NOW + 7).unwrap()
}

fn asked(task: TaskId, number: i64) -> CalledOff {
    CalledOff::Asked {
        attempt: nth(task, number),
        worker: "me".into(),
    }
}

pub fn what_waits_is_cancelled_and_its_job_is_one_too_many(new: New) {
    let mut ledger = new();
    // Due, and not for long: it is all the same.
    for due in [NOW, NOW + 3_600_000] {
        let (task, job) = put(&mut ledger.db, due);
        let how = because("sent by hand");
        assert_eq!(cancel(&mut ledger, task, &how), Ok(CalledOff::Cancelled));
        let shown = ledger.task(task);
        assert_eq!(shown.status.as_str(), "cancelled");
        assert_eq!((shown.due, shown.finished), (None, Some(NOW + 7)));
        assert_eq!(shown.reason.as_deref(), Some("sent by hand"));
        let claim = ledger.claim_at(&job, NOW + 3_600_001);
        assert!(
            matches!(claim, Claim::DeleteJob { task: Some(of) } if of == task),
            "{claim:?}"
        );
        assert_eq!(ledger.task(task).attempts_total, 0);
    }
    // One that was tried and waits for its next attempt.
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let later = Next::Wait(Duration::from_secs(60));
    ledger.settle(&attempt, Outcome::Exited(75), later);
    let how = CallOff::default();
    assert_eq!(cancel(&mut ledger, task, &how), Ok(CalledOff::Cancelled));
    let shown = ledger.task(task);
    assert_eq!((shown.status.as_str(), shown.reason), ("cancelled", None));
    assert_eq!(shown.attempts_total, 1);
}

pub fn what_runs_is_cancelled_however_it_ends_but_well(new: New) {
    let wait = Next::Wait(Duration::from_secs(9));
    let failed = Next::Failed {
        reason: "exit code 1".into(),
    };
    let term = Exit::Signal(15);
    // How the worker says that the attempt ended, and what is recorded of it.
    let table = [
        (Outcome::Exited(0), Next::Done, "done", "exited"),
        (Outcome::Exited(1), failed, "cancelled", "cancelled"),
        (Outcome::Exited(75), wait.clone(), "cancelled", "cancelled"),
        (
            Outcome::Signalled(11),
            wait.clone(),
            "cancelled",
            "cancelled",
        ),
        (
            Outcome::TimedOut(term),
            wait.clone(),
            "cancelled",
            "cancelled",
        ),
        (
            Outcome::Deferred {
                code: 0,
                wait: Duration::from_secs(9),
            },
            Next::Wait(Duration::from_secs(9)),
            "cancelled",
            "cancelled",
        ),
        (Outcome::Interrupted(term), wait, "cancelled", "cancelled"),
        (
            Outcome::Cancelled(Exit::Code(0)),
            Next::Cancelled,
            "cancelled",
            "cancelled",
        ),
    ];
    for (outcome, next, status, recorded) in table {
        let mut ledger = new();
        let (task, job) = put(&mut ledger.db, NOW);
        let attempt = ledger.begin(&job);
        let how = because("not wanted");
        assert_eq!(cancel(&mut ledger, task, &how), Ok(asked(task, 1)));
        let shown = ledger.task(task);
        assert_eq!(shown.status.as_str(), "running");
        assert_eq!(shown.cancel_asked, Some(NOW + 7));
        let entry = Entry {
            settle: vec![
                Settlement {
                    budget: Budget {
                        spent: 1,
                        ..Budget::default()
                    },
                    ..settlement(&attempt, outcome.clone(), next)
                }
                .into(),
            ],
            ..Entry::default()
        };
        let (commands, me) = (ledger.commands.clone(), ledger.me.clone());
        let entered = ledger.db.enter(&entry, &commands, &me, NOW + 9).unwrap();
        assert_eq!(entered.ours, [true]);
        let called_off = match status {
            "cancelled" => vec![task],
            _ => vec![],
        };
        assert_eq!(entered.called_off, called_off, "{outcome:?}");
        let shown = ledger.task(task);
        assert_eq!(shown.status.as_str(), status, "{outcome:?}");
        assert_eq!(shown.cancel_asked, None);
        let reason = (status == "cancelled").then_some("not wanted");
        assert_eq!(shown.reason.as_deref(), reason, "{outcome:?}");
        let word = shown.attempts[0].outcome.as_deref();
        assert_eq!(word, Some(recorded), "{outcome:?}");
        // Nothing follows.
        let claim = ledger.claim_at(&job, NOW + 1_000_000);
        assert!(matches!(claim, Claim::DeleteJob { .. }), "{claim:?}");
    }
}

pub fn what_a_dead_worker_ran_is_cancelled_and_not_run_again(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let another = register(&mut ledger.db, "another");
    let commands = ledger.commands.clone();
    let attempt = begun(claim(&mut ledger.db, &another.me, &commands, &job, NOW).unwrap());
    let answer = cancel(&mut ledger, task, &CallOff::default());
    assert!(matches!(answer, Ok(CalledOff::Asked { .. })), "{answer:?}");
    drop((attempt, another));
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!("its worker is dead");
    };
    let me = ledger.me.clone();
    assert!(taken_over(&mut ledger.db, &dead, &me));
    let dead = DeadAttempt {
        owner: Some(me.id),
        ..dead
    };
    let entry = Entry {
        lose: Some(dead),
        claim: Some(job),
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    assert_eq!(entered.lost, Some(AfterLoss::CalledOff));
    let claim = entered.claim.unwrap();
    assert!(matches!(claim, Claim::DeleteJob { .. }), "{claim:?}");
    let shown = ledger.task(task);
    assert_eq!(shown.status.as_str(), "cancelled");
    // What happened to the attempt is said as it was.
    assert_eq!(shown.attempts[0].outcome.as_deref(), Some("lost"));
}

pub fn what_was_claimed_ahead_and_does_not_begin_is_cancelled(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, NOW);
    let (second, next) = put(&mut ledger.db, NOW);
    let entry = Entry {
        claim: Some(job),
        prefetch: vec![next],
        ..Entry::default()
    };
    let (commands, me) = (ledger.commands.clone(), ledger.me.clone());
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    let attempt = entered.prefetch[0].as_ref().unwrap().id;
    assert_eq!(ledger.db.wish(attempt).unwrap(), None);
    let how = because("no");
    assert_eq!(cancel(&mut ledger, second, &how), Ok(asked(second, 1)));
    let wish = Wish {
        attempt,
        asked: NOW + 7,
        now: false,
        reason: Some("no".into()),
        budget: Budget::default(),
    };
    assert_eq!(ledger.db.wish(attempt).unwrap(), Some(wish));
    // Another attempt of the same task is not meant.
    assert_eq!(ledger.db.wish(nth(second, 2)).unwrap(), None);
    drop(entered);
    let entry = Entry {
        unclaim: vec![attempt, nth(first, 1)],
        ..Entry::default()
    };
    ledger.db.enter(&entry, &commands, &me, NOW + 20).unwrap();
    let shown = ledger.task(second);
    assert_eq!(shown.status.as_str(), "cancelled");
    assert_eq!((shown.attempts_total, shown.finished), (0, Some(NOW + 7)));
    assert_eq!(shown.reason.as_deref(), Some("no"));
    assert_eq!(ledger.status(first), "waiting");
}

pub fn of_several_wishes_the_first_counts_and_the_hastiest(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let at_once = CallOff {
        now: true,
        reason: None,
    };
    let mut cancel = |how: &CallOff, at| {
        let asked = ledger.db.change_one(how, task, at).unwrap();
        assert!(matches!(asked, Ok(CalledOff::Asked { .. })), "{asked:?}");
    };
    cancel(&because("first"), NOW + 7);
    cancel(&at_once, NOW + 50);
    cancel(&because("last"), NOW + 60);
    let wish = ledger.db.wish(attempt.id).unwrap().unwrap();
    assert_eq!((wish.asked, wish.now), (NOW + 7, true));
    assert_eq!(wish.reason.as_deref(), Some("last"));
}

pub fn what_is_over_is_not_cancelled(new: New) {
    let mut ledger = new();
    let how = because("too late");
    let gone = NotCancelled::NoSuchTask { id: TaskId(99) };
    assert_eq!(cancel(&mut ledger, TaskId(99), &how), Err(gone));
    let (done, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let (failed, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let (cancelled, _) = put(&mut ledger.db, NOW);
    let called_off = cancel(&mut ledger, cancelled, &because("first"));
    assert_eq!(called_off, Ok(CalledOff::Cancelled));
    for (task, status) in [
        (done, Status::Done),
        (failed, Status::Failed),
        (cancelled, Status::Cancelled),
    ] {
        let before = format!("{:?}", ledger.task(task));
        let ended = NotCancelled::Ended { id: task, status };
        assert_eq!(cancel(&mut ledger, task, &how), Err(ended));
        assert_eq!(format!("{:?}", ledger.task(task)), before);
    }
}

pub fn a_cancelled_task_is_regenerated_with_a_fresh_budget(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let later = Next::Wait(Duration::ZERO);
    ledger.settle(&attempt, Outcome::Exited(75), later);
    let called_off = cancel(&mut ledger, task, &because("no"));
    assert_eq!(called_off, Ok(CalledOff::Cancelled));
    let again = ledger.db.regenerate(task, None, NOW + 9).unwrap().unwrap();
    assert_eq!(again.put.task, task);
    let shown = ledger.task(task);
    assert_eq!((shown.status.as_str(), shown.reason), ("waiting", None));
    drop(attempt);
    let attempt = begun(ledger.claim_at_cleared(&job, 1, NOW + 10));
    assert_eq!(
        (attempt.id, attempt.budget),
        (nth(task, 2), Budget::default())
    );
    // What was wished of the attempt before is nothing to this one.
    assert_eq!(ledger.db.wish(attempt.id).unwrap(), None);
    ledger.done(attempt);
    assert_eq!(ledger.status(task), "done");
}

pub fn several_are_cancelled_in_one_transaction(new: New) {
    let mut ledger = new();
    let (one, _) = put(&mut ledger.db, NOW);
    let (two, job) = put(&mut ledger.db, NOW);
    let _attempt = ledger.begin(&job);
    let how = CallOff::default();
    let tasks = [one, TaskId(99), two];
    let answers = ledger.db.change_all(&how, &tasks, NOW, || {}).unwrap();
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let gone = NotCancelled::NoSuchTask { id: TaskId(99) };
    let expected = [Ok(CalledOff::Cancelled), Err(gone), Ok(asked(two, 1))];
    assert_eq!(answers, expected);
    let counts = ledger.db.counts().unwrap()["t"];
    assert_eq!(
        (counts.cancelled, counts.running, counts.waiting),
        (1, 1, 0)
    );
    let statuses = ledger.db.statuses(&[two, TaskId(99), one]).unwrap();
    let expected = [Some(Status::Running), None, Some(Status::Cancelled)];
    assert_eq!(statuses, expected);
}
