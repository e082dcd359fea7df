//! What ended in each minute, as it is counted with the ends.

use std::sync::Arc;
use std::time::Duration;

use taskqueue::ledger::minutes::{COMMANDS, KEPT, LATELY};
use taskqueue::ledger::rows::{Ends, Ran};
use taskqueue::ledger::{Entry, Settlement, TaskRef};
use taskqueue::task::retry::{Budget, Next};
use taskqueue::task::state::{Exit, Outcome};

use super::{NOW, New, Stage, begun, foreign, job_ref, put, settlement, took};

const MINUTE: i64 = 60_000;

fn lately(ledger: &Stage, now: i64) -> Ends {
    let lately = ledger.db.lately(now).unwrap();
    assert!(lately.tubes.len() <= 1, "{lately:?}");
    lately.tubes.into_values().next().unwrap_or_default()
}

fn wait(seconds: u64) -> Next {
    Next::Wait(Duration::from_secs(seconds))
}

/// Records how several attempts ended, in one transaction.
fn settle(ledger: &mut Stage, ends: Vec<Settlement>, now: i64) {
    let entry = Entry {
        settle: ends.into_iter().map(Into::into).collect(),
        ..Entry::default()
    };
    let entered = ledger
        .db
        .enter(&entry, &ledger.commands, &ledger.me, now)
        .unwrap();
    assert!(entered.ours.iter().all(|ours| *ours));
}

pub fn what_ended_is_counted_with_its_end(new: New) {
    let mut ledger = new();
    // Ended by itself, after 2 s of waiting and 1 s of running; failed; to be tried again; interrupted.
    let ends = [
        (Outcome::Exited(0), Next::Done),
        (
            Outcome::Exited(65),
            Next::Failed {
                reason: "exit code 65".into(),
            },
        ),
        (Outcome::Exited(75), wait(10)),
        (Outcome::Interrupted(Exit::Signal(15)), wait(0)),
    ];
    let began = NOW + 2000;
    let mut settlements = Vec::new();
    for (outcome, next) in ends {
        let (_, job) = put(&mut ledger.db, NOW);
        let attempt = begun(ledger.claim_at(&job, began));
        assert_eq!(attempt.ran.since, Some(NOW));
        settlements.push(Settlement {
            finished: began + 1000,
            ..settlement(&attempt, outcome, next)
        });
    }
    assert_eq!(lately(&ledger, began), Ends::default());
    settle(&mut ledger, settlements, began + 1000);
    let seen = lately(&ledger, began + 1000);
    assert_eq!((seen.done, seen.failed, seen.retried), (1, 1, 1));
    assert_eq!((seen.waited.count(), seen.waited.total()), (4, 8000));
    assert_eq!((seen.ran.count(), seen.ran.total()), (4, 4000));
    assert_eq!(seen.waited.percentile(50), Some(2047));
    // In another transaction they are added.
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = begun(ledger.claim_at(&job, began));
    ledger.done(attempt);
    let seen = lately(&ledger, began);
    assert_eq!(seen.done, 2);
    let cpu = took().user + took().system;
    assert_eq!(u128::from(seen.cpu), 5 * cpu.as_micros());
    assert_eq!(seen.memory, took().peak_memory);
    // By command it is the same.
    let commands = ledger.db.lately(began).unwrap().commands;
    assert_eq!(commands.into_values().collect::<Vec<_>>(), [seen]);
}

pub fn what_is_recorded_again_is_not_counted_again(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let again = settlement(&attempt, Outcome::Exited(0), Next::Done);
    ledger.done(attempt);
    assert!(!super::settled(&mut ledger.db, again, &ledger.me));
    assert_eq!(lately(&ledger, NOW).done, 1);
}

pub fn how_long_a_task_waited_is_counted_where_it_is_known(new: New) {
    let mut ledger = new();
    // Somebody else's job waits since it was put.
    let theirs = foreign("hello");
    let attempt = ledger.begin(&job_ref(7, TaskRef::Nameless(theirs.clone())));
    assert_eq!(attempt.ran.since, Some(theirs.birth));
    // A retry waits since it is due.
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.settle(&attempt, Outcome::Exited(75), wait(10));
    drop(attempt);
    let later = NOW + 12_000;
    let attempt = begun(ledger.claim_at_cleared(&job, 1, later));
    assert_eq!(attempt.ran.since, Some(NOW + 10_000));
    // One that was interrupted too, though nothing of its budget is used up.
    let cut = Settlement {
        budget: Budget::default(),
        ..settlement(&attempt, Outcome::Interrupted(Exit::Code(1)), wait(0))
    };
    settle(&mut ledger, vec![cut], later);
    drop(attempt);
    let attempt = begun(ledger.claim_at_cleared(&job, 2, later));
    assert_eq!(attempt.ran.since, Some(NOW));
    // A task that was regenerated has not waited since it failed; nobody knows since when.
    ledger.failed(attempt);
    let regenerated = ledger.db.regenerate(task, None, later).unwrap();
    regenerated.unwrap();
    let attempt = begun(ledger.claim_at_cleared(&job, 3, later));
    assert_eq!(attempt.ran.since, None);
}

fn kept(ledger: &mut Stage) -> usize {
    let mut kept = Vec::new();
    let backend = ledger.db.backend();
    let patience = taskqueue::ledger::backend::Patience::Long;
    let mut look = |rows: &dyn taskqueue::ledger::Reads| {
        kept = rows.ends(i64::MIN, i64::MAX)?;
        Ok(())
    };
    backend.look(patience, &mut look).unwrap();
    kept.len()
}

pub fn names_that_producers_make_up_are_counted_together(new: New) {
    let mut ledger = new();
    let ended = COMMANDS + 10;
    for n in 0..ended {
        let (_, job) = put(&mut ledger.db, NOW);
        let attempt = ledger.begin(&job);
        let ran = Ran {
            command: format!("invoice:{n}"),
            ..(*attempt.ran).clone()
        };
        let end = Settlement {
            ran: Some(Arc::new(ran)),
            ..settlement(&attempt, Outcome::Exited(0), Next::Done)
        };
        settle(&mut ledger, vec![end], NOW);
    }
    assert_eq!(kept(&mut ledger), COMMANDS + 1);
    assert_eq!(lately(&ledger, NOW).done, ended as u64);
}

pub fn old_minutes_are_forgotten(new: New) {
    let mut ledger = new();
    let done_at = |ledger: &mut Stage, now: i64| {
        let (_, job) = put(&mut ledger.db, now);
        let attempt = begun(ledger.claim_at(&job, now));
        let end = Settlement {
            finished: now,
            ..settlement(&attempt, Outcome::Exited(0), Next::Done)
        };
        settle(ledger, vec![end], now);
    };
    for minute in 0..20 {
        done_at(&mut ledger, NOW + minute * MINUTE);
    }
    let last = NOW + 19 * MINUTE;
    assert_eq!(lately(&ledger, last).done, LATELY.unsigned_abs());
    assert_eq!(kept(&mut ledger), 20);
    // An hour later each new minute takes an old one with it, and one to come that a clock has made that was wrong.
    done_at(&mut ledger, NOW + 9 * KEPT * MINUTE);
    for (minute, left) in [(0, 19), (1, 19), (2, 19)] {
        done_at(&mut ledger, NOW + (KEPT + 20 + minute) * MINUTE);
        assert_eq!(kept(&mut ledger), left, "{minute}");
    }
}
