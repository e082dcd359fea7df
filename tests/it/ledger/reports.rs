//! What commands say of their attempts: whose it is, and how long it stays.

use std::time::Duration;

use taskqueue::ledger::{Claim, Entry, Settlement};
use taskqueue::task::report::{Progress, RESULT, Report, TEXT};
use taskqueue::task::retry::{Budget, Next};
use taskqueue::task::state::{Outcome, Status};

use super::{NOW, New, begun, claim, enter, nth, put, register, settled, settlement, taken_over};

fn so_far(percent: f64, message: &str) -> Progress {
    Progress {
        percent: Some(percent),
        message: Some(message.into()),
    }
}

pub fn how_far_an_attempt_is_is_kept_while_it_is_its_worker_s(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    assert_eq!(ledger.task(task).report, None);
    let me = ledger.me.clone();
    let says = |id, progress| Entry {
        progress: Some((id, progress)),
        ..Entry::default()
    };
    let said = |ledger: &super::Stage| {
        let said = ledger.task(task).report.unwrap();
        (said.attempt, said.percent, said.message.unwrap())
    };
    enter(&mut ledger.db, &me, says(attempt.id, so_far(12.5, "one"))).unwrap();
    assert_eq!(said(&ledger), (1, Some(12.5), "one".into()));
    enter(&mut ledger.db, &me, says(attempt.id, so_far(50.0, "two"))).unwrap();
    let half = (1, Some(50.0), "two".into());
    assert_eq!(said(&ledger), half);
    let of_what_runs = |ledger: &super::Stage| {
        let reports = ledger.db.reports(&[task]).unwrap();
        let mut said = reports.into_iter();
        said.next().map(|(_, said)| (said.attempt, said.percent))
    };
    assert_eq!(of_what_runs(&ledger), Some((1, Some(50.0))));
    // Another's, another attempt's, and of a task that is not there.
    let mut other = ledger.another();
    let they = register(&mut other, "they").me;
    enter(&mut other, &they, says(attempt.id, so_far(99.0, "no"))).unwrap();
    enter(&mut ledger.db, &me, says(nth(task, 2), so_far(99.0, "no"))).unwrap();
    let nobody = nth(taskqueue::task::id::TaskId(99), 1);
    enter(&mut ledger.db, &me, says(nobody, so_far(99.0, "no"))).unwrap();
    assert_eq!(said(&ledger), half);
    // It is over, and the entry that says so has the last word.
    let last = Settlement {
        report: Some(Report {
            progress: so_far(80.0, "three"),
            result: None,
        }),
        ..settlement(&attempt, Outcome::Exited(75), Next::Wait(Duration::ZERO))
    };
    let entry = Entry {
        settle: vec![last.into()],
        ..says(attempt.id, so_far(70.0, "late"))
    };
    assert_eq!(enter(&mut ledger.db, &me, entry).unwrap().ours, [true]);
    let three = (1, Some(80.0), "three".into());
    assert_eq!(said(&ledger), three);
    enter(&mut ledger.db, &me, says(attempt.id, so_far(99.0, "no"))).unwrap();
    assert_eq!(said(&ledger), three);
    let listed = ledger.tasks().remove(0).report.unwrap();
    assert_eq!((listed.attempt, listed.percent), (1, Some(80.0)));
    // Of another attempt that says nothing is nothing said.
    assert_eq!(of_what_runs(&ledger), None);
    drop(attempt);
    let again = begun(ledger.claim_cleared(&job, 1));
    assert_eq!(of_what_runs(&ledger), None);
    enter(&mut ledger.db, &me, says(again.id, so_far(1.0, "four"))).unwrap();
    assert_eq!(of_what_runs(&ledger), Some((2, Some(1.0))));
}

pub fn who_was_given_up_says_nothing_any_more(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let mut other = ledger.another();
    let they = register(&mut other, "they");
    let attempt = begun(claim(&mut other, &they.me, &ledger.commands, &job, NOW).unwrap());
    let id = attempt.id;
    let entry = |percent| Entry {
        progress: Some((id, so_far(percent, "m"))),
        ..Entry::default()
    };
    enter(&mut other, &they.me, entry(40.0)).unwrap();
    drop((they.alive, attempt));
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!("its worker lives");
    };
    let me = ledger.me.clone();
    assert!(taken_over(&mut ledger.db, &dead, &me));
    // It was only stopped for a while.
    enter(&mut other, &they.me, entry(99.0)).unwrap();
    let again = ledger.lose_and_claim(&dead, &job, NOW);
    drop(again);
    let said = ledger.task(task).report.unwrap();
    assert_eq!(
        (said.attempt, said.percent),
        (1, Some(40.0)),
        "of the lost one"
    );
}

pub fn a_result_comes_with_its_task_and_goes_with_it(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let report = |result: &str| Report {
        progress: Progress::default(),
        result: Some(result.into()),
    };
    let done = Settlement {
        report: Some(report("[1, 2.50]")),
        ..settlement(&attempt, Outcome::Exited(0), Next::Done)
    };
    assert!(settled(&mut ledger.db, done, &ledger.me));
    let said = ledger.task(task).report.unwrap();
    assert_eq!(
        (said.result.as_deref(), said.has_result),
        (Some("[1, 2.50]"), true)
    );
    let listed = ledger.tasks().remove(0).report.unwrap();
    assert_eq!((listed.result, listed.has_result), (None, true));
    let old = taskqueue::ledger::cleanup::Old {
        statuses: vec![Status::Done],
        before: NOW + 1,
    };
    assert_eq!(ledger.db.count_old(&old).unwrap(), 1);
}

pub fn no_impossible_report_is_written(new: New) {
    for (what, report) in [
        (
            "too much",
            Report {
                progress: so_far(100.1, "m"),
                result: None,
            },
        ),
        (
            "too little",
            Report {
                progress: so_far(-0.1, "m"),
                result: None,
            },
        ),
        (
            "a long message",
            Report {
                progress: so_far(1.0, &"x".repeat(TEXT + 1)),
                result: None,
            },
        ),
        (
            "a long result",
            Report {
                progress: Progress::default(),
                result: Some("1".repeat(RESULT + 1)),
            },
        ),
    ] {
        let mut ledger = new();
        let (task, job) = put(&mut ledger.db, NOW);
        let attempt = ledger.begin(&job);
        let done = Settlement {
            report: Some(report),
            ..settlement(&attempt, Outcome::Exited(0), Next::Done)
        };
        let entry = Entry {
            settle: vec![done.into()],
            ..Entry::default()
        };
        let me = ledger.me.clone();
        let error = enter(&mut ledger.db, &me, entry).unwrap_err();
        assert!(error.is_of_one_row(), "{what}: {error}");
        assert_eq!(ledger.status(task), "running", "{what}");
    }
}

pub fn how_often_a_task_was_put_off_is_remembered_until_it_is_renewed(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    for number in 1..=3 {
        let attempt = begun(ledger.claim_cleared(&job, i64::from(number) - 1));
        assert_eq!(attempt.budget.deferred, number - 1);
        let wait = Duration::ZERO;
        let next = match number {
            3 => Next::Failed {
                reason: "enough".into(),
            },
            _ => Next::Wait(wait),
        };
        let deferred = Settlement {
            budget: Budget {
                deferred: number,
                ..attempt.budget
            },
            ..settlement(&attempt, Outcome::Deferred { code: 0, wait }, next)
        };
        assert!(settled(&mut ledger.db, deferred, &ledger.me));
        drop(attempt);
        let outcome = ledger.task(task).attempts.pop().unwrap();
        assert_eq!(outcome.outcome.as_deref(), Some("deferred"));
        assert_eq!(outcome.exit_code, Some(0));
    }
    ledger.db.regenerate(task, None, NOW).unwrap().unwrap();
    assert_eq!(
        begun(ledger.claim_cleared(&job, 3)).budget,
        Budget::default()
    );
}
