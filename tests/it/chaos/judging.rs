//! One story for each thing that must not be, told as little changed as possible from one where all is well.

use super::called_off::{Cancel, Said};
use super::journal::{Line, Moment, What};
use super::judge::{Acknowledged, Attempt, Evidence, Put, Row, judge};
use super::ledger::{Ledger, Wrong};
use super::task::{Key, Kind};

const MS: u64 = 1_000_000;

fn key(kind: Kind) -> Key {
    Key { number: 1, kind }
}

fn line(at: u64, attempt: i64, what: What) -> Line {
    Line {
        at: Moment {
            wall: i64::try_from(at).unwrap(),
            steady: at * MS,
        },
        pid: 100 + u32::try_from(attempt).unwrap(),
        task: 1,
        attempt,
        what,
    }
}

fn attempt(number: i64, outcome: &str, exit_code: Option<i64>) -> Attempt {
    Attempt {
        number,
        outcome: Some(outcome.into()),
        exit_code,
    }
}

/// Attempt 1 was lost with its worker, attempt 2 did it.
fn well() -> Evidence {
    let quick = key(Kind::Quick);
    Evidence {
        puts: [(
            quick.clone(),
            Put {
                acknowledged: Acknowledged::ByUs,
                forgotten: false,
            },
        )]
        .into(),
        rows: vec![Row {
            id: 1,
            key: Some(quick.clone()),
            status: "done".into(),
            attempt: 2,
            command: Some("job:quick".into()),
            nominal: None,
            attempts: vec![attempt(1, "lost", None), attempt(2, "exited", Some(0))],
        }],
        journals: [(
            quick,
            vec![
                line(10, 1, What::Begin),
                line(20, 2, What::Begin),
                line(30, 2, What::End(0)),
            ],
        )]
        .into(),
        buried: 0,
        ..Evidence::default()
    }
}

fn journal(evidence: &mut Evidence) -> &mut Vec<Line> {
    evidence.journals.values_mut().next().unwrap()
}

fn put(evidence: &mut Evidence) -> &mut Put {
    evidence.puts.values_mut().next().unwrap()
}

/// What is found, in any order.
#[track_caller]
fn check(change: impl FnOnce(&mut Evidence), expected: &[Wrong]) -> Ledger {
    let mut evidence = well();
    change(&mut evidence);
    let ledger = judge(&evidence);
    let mut found: Vec<Wrong> = ledger.findings.iter().map(|f| f.wrong).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, expected, "{:#?}", ledger.findings);
    ledger
}

#[test]
fn nothing_is_found_where_all_is_well_and_everything_is_counted() {
    let ledger = check(|_| (), &[]);
    assert_eq!(ledger.acknowledged, 1);
    assert_eq!(ledger.by_status, [("done".into(), 1)].into());
    assert_eq!(ledger.begun_again, 1);
    assert_eq!(ledger.causes, [("lost".into(), 1)].into());
}

#[test]
fn an_acknowledged_task_without_a_row_is_lost() {
    let vanish = |evidence: &mut Evidence| {
        evidence.rows.clear();
        evidence.journals.clear();
    };
    check(vanish, &[Wrong::Lost]);
    let by_broker = |evidence: &mut Evidence| {
        vanish(evidence);
        put(evidence).acknowledged = Acknowledged::ByBroker;
    };
    check(by_broker, &[Wrong::Lost]);
}

#[test]
fn what_nobody_acknowledged_may_be_there_or_not() {
    let there = |evidence: &mut Evidence| put(evidence).acknowledged = Acknowledged::No;
    let ledger = check(there, &[]);
    assert_eq!((ledger.acknowledged, ledger.unacknowledged), (0, 1));
    assert_eq!(ledger.recorded_all_the_same, 1);
    let not = |evidence: &mut Evidence| {
        there(evidence);
        evidence.rows.clear();
        evidence.journals.clear();
    };
    assert_eq!(check(not, &[]).recorded_all_the_same, 0);
}

#[test]
fn what_a_broker_forgot_is_lost_only_if_it_was_ours() {
    let forget = |evidence: &mut Evidence| {
        evidence.rows.clear();
        evidence.journals.clear();
        put(evidence).forgotten = true;
    };
    check(forget, &[Wrong::Lost]);
    let foreign = |evidence: &mut Evidence| {
        forget(evidence);
        put(evidence).acknowledged = Acknowledged::ByBroker;
    };
    assert_eq!(check(foreign, &[]).forgotten, 1);
}

#[test]
fn attempts_overlap_when_a_command_says_so() {
    let found = |evidence: &mut Evidence| {
        let overlap = What::Overlap("process 101".into());
        journal(evidence).insert(1, line(19, 2, overlap));
    };
    assert_eq!(
        check(found, &[Wrong::Overlapping]).count(Wrong::Overlapping),
        1
    );
}

#[test]
fn attempts_overlap_when_one_began_before_the_end_of_another() {
    let ended_late = |evidence: &mut Evidence| {
        journal(evidence).insert(2, line(25, 1, What::End(0)));
    };
    check(ended_late, &[Wrong::Overlapping]);
    let child_ended_late = |evidence: &mut Evidence| {
        journal(evidence).insert(2, line(25, 1, What::ChildEnd));
    };
    check(child_ended_late, &[Wrong::Overlapping]);
    let in_time = |evidence: &mut Evidence| {
        journal(evidence).insert(1, line(15, 1, What::End(0)));
    };
    check(in_time, &[]);
}

#[test]
fn an_attempt_is_begun_once() {
    let twice = |evidence: &mut Evidence| journal(evidence).insert(1, line(12, 1, What::Begin));
    check(twice, &[Wrong::Untold]);
}

#[test]
fn a_task_has_one_row() {
    let double = |evidence: &mut Evidence| {
        let row = evidence.rows[0].clone();
        evidence.rows.push(Row { id: 2, ..row });
    };
    check(double, &[Wrong::Doubled]);
}

#[test]
fn what_waits_or_runs_when_all_has_settled_is_stranded() {
    for status in ["waiting", "running"] {
        let strand = |evidence: &mut Evidence| {
            evidence.rows[0].status = status.into();
            evidence.rows[0].attempts[1] = attempt(2, "lost", None);
        };
        check(strand, &[Wrong::Stranded]);
    }
}

/// The task was called off after its first attempt began, and this was said of it at that moment.
fn call_off(evidence: &mut Evidence, at: u64, said: Said) {
    let at = line(at, 1, What::Begin).at;
    evidence
        .cancels
        .entry(1)
        .or_default()
        .push(Cancel { at, said });
}

/// Its second attempt was cancelled.
fn cancel(evidence: &mut Evidence) {
    evidence.rows[0].status = "cancelled".into();
    evidence.rows[0].attempts[1] = attempt(2, "cancelled", None);
    journal(evidence).pop();
}

#[test]
fn a_task_is_cancelled_if_somebody_has_asked_for_that() {
    check(cancel, &[Wrong::ImpossibleEnd]);
    for said in [Said::Nothing, Said::Cancelled, Said::Told] {
        let asked = |evidence: &mut Evidence| {
            cancel(evidence);
            call_off(evidence, 25, said);
        };
        assert_eq!(check(asked, &[]).called_off, 1);
    }
    // It had done it: nobody was told otherwise.
    for said in [Said::Nothing, Said::Told, Said::Done] {
        check(|evidence| call_off(evidence, 25, said), &[]);
    }
}

#[test]
fn a_task_is_never_both_done_and_cancelled() {
    let done_it = |evidence: &mut Evidence| {
        call_off(evidence, 25, Said::Nothing);
        evidence.rows[0].status = "cancelled".into();
    };
    check(done_it, &[Wrong::DoneAndCancelled]);
    let was_cancelled = |evidence: &mut Evidence| {
        call_off(evidence, 15, Said::Nothing);
        evidence.rows[0].attempts[0] = attempt(1, "cancelled", None);
    };
    check(was_cancelled, &[Wrong::DoneAndCancelled]);
}

#[test]
fn what_a_cancel_says_is_so() {
    for said in [Said::Cancelled, Said::Failed, Said::Gone] {
        let otherwise = |evidence: &mut Evidence| call_off(evidence, 25, said);
        check(otherwise, &[Wrong::Contradicted]);
    }
    let called_done = |evidence: &mut Evidence| {
        cancel(evidence);
        call_off(evidence, 25, Said::Done);
    };
    check(called_done, &[Wrong::Contradicted]);
    // What is told to end does not fail.
    let failed = |evidence: &mut Evidence| {
        call_off(evidence, 25, Said::Told);
        evidence.rows[0].status = "failed".into();
        evidence.rows[0].attempts[1] = attempt(2, "lost", None);
    };
    check(failed, &[Wrong::ImpossibleEnd, Wrong::Contradicted]);
}

#[test]
fn nothing_begins_after_it_was_cancelled() {
    let cancelled = |evidence: &mut Evidence| {
        cancel(evidence);
        call_off(evidence, 15, Said::Cancelled);
    };
    check(cancelled, &[Wrong::BegunAfter]);
    // The worker may have looked already, but not twice.
    let told = |evidence: &mut Evidence| {
        cancel(evidence);
        call_off(evidence, 15, Said::Told);
    };
    check(told, &[]);
    let twice = |evidence: &mut Evidence| {
        cancel(evidence);
        call_off(evidence, 5, Said::Told);
    };
    check(twice, &[Wrong::BegunAfter]);
}

#[test]
fn a_task_ends_as_its_command_does() {
    let fail = |evidence: &mut Evidence| {
        evidence.rows[0].status = "failed".into();
        evidence.rows[0].attempts[1] = attempt(2, "lost", None);
    };
    check(fail, &[Wrong::ImpossibleEnd]);
}

#[test]
fn done_is_only_what_came_to_its_end() {
    let never_ended = |evidence: &mut Evidence| drop(journal(evidence).pop());
    check(never_ended, &[Wrong::NotDone]);
    let ended_otherwise = |evidence: &mut Evidence| {
        *journal(evidence).last_mut().unwrap() = line(30, 2, What::End(75));
    };
    check(ended_otherwise, &[Wrong::NotDone]);
    let no_attempt_did_it = |evidence: &mut Evidence| {
        evidence.rows[0].attempts[1] = attempt(2, "exited", Some(75));
    };
    check(
        no_attempt_did_it,
        &[Wrong::NotDone, Wrong::ImpossibleOutcome],
    );
    let never_ran = |evidence: &mut Evidence| evidence.journals.clear();
    check(never_ran, &[Wrong::NotDone]);
}

#[test]
fn what_is_done_is_not_run_again() {
    let again = |evidence: &mut Evidence| {
        evidence.rows[0].attempts[0] = attempt(1, "exited", Some(0));
        journal(evidence).insert(1, line(15, 1, What::End(0)));
    };
    check(again, &[Wrong::RanAgain]);
}

#[test]
fn every_run_is_told_of_by_an_attempt() {
    let unrecorded = |evidence: &mut Evidence| drop(evidence.rows[0].attempts.remove(0));
    check(unrecorded, &[Wrong::Untold]);
    let no_row_at_all = |evidence: &mut Evidence| {
        put(evidence).acknowledged = Acknowledged::No;
        evidence.rows.clear();
    };
    check(no_row_at_all, &[Wrong::Untold]);
}

#[test]
fn every_row_was_put_by_somebody() {
    let stranger = |evidence: &mut Evidence| {
        evidence.rows.push(Row {
            id: 2,
            key: Some(Key {
                number: 2,
                kind: Kind::Quick,
            }),
            ..evidence.rows[0].clone()
        });
    };
    check(stranger, &[Wrong::Unknown]);
    let without_a_key = |evidence: &mut Evidence| {
        evidence.rows.push(Row {
            id: 2,
            key: None,
            ..evidence.rows[0].clone()
        });
    };
    check(without_a_key, &[Wrong::Unknown]);
}

#[test]
fn no_process_is_left() {
    let left = |evidence: &mut Evidence| evidence.left_over.push("1234 sleep".into());
    check(left, &[Wrong::LeftOver]);
}

#[test]
fn a_stop_of_everything_is_charged_to_no_task() {
    let charge = |evidence: &mut Evidence| {
        evidence.cut.insert((1, 1));
        evidence.rows[0].attempts[0] = attempt(1, "signalled", None);
    };
    check(charge, &[Wrong::Charged]);
    // Its worker was killed before it could say so, or it was not by that stop that it ended.
    let lost = |evidence: &mut Evidence| {
        evidence.cut.insert((1, 1));
    };
    check(lost, &[]);
    let another = |evidence: &mut Evidence| {
        charge(evidence);
        evidence.cut = [(1, 2), (2, 1)].into();
    };
    check(another, &[]);
}

#[test]
fn attempts_end_as_commands_do() {
    for (outcome, exit_code) in [
        ("could_not_start", None),
        ("refused", None),
        ("timed_out", None),
        ("exited", Some(101)),
    ] {
        let end = |evidence: &mut Evidence| {
            evidence.rows[0].attempts[0] = attempt(1, outcome, exit_code);
        };
        check(end, &[Wrong::ImpossibleOutcome]);
    }
    let as_it_said = |evidence: &mut Evidence| {
        evidence.rows[0].attempts[0] = attempt(1, "exited", Some(75));
        journal(evidence).insert(1, line(15, 1, What::End(75)));
    };
    check(as_it_said, &[]);
}

#[test]
fn tenders_answer_refuse_what_is_wrong_and_do_not_panic() {
    let silent = |evidence: &mut Evidence| evidence.unanswered.push("status".into());
    check(silent, &[Wrong::Unanswered]);
    let accepted = |evidence: &mut Evidence| evidence.accepted = 1;
    check(accepted, &[Wrong::Accepted]);
    let panicked = |evidence: &mut Evidence| evidence.panics.push("a: panicked at b".into());
    check(panicked, &[Wrong::Panicked]);
}

#[test]
fn the_ledger_prints_every_count() {
    let mut evidence = well();
    evidence.buried = 3;
    let printed = judge(&evidence).to_string();
    let count = |of: &str| {
        let line = printed
            .lines()
            .find(|line| line.trim_start().starts_with(of));
        let rest = line.unwrap_or_else(|| panic!("{of}: {printed}"));
        rest.trim_start()[of.len()..].trim_start().to_owned()
    };
    assert_eq!(count("put, acknowledged"), "1");
    assert_eq!(count("done"), "1");
    assert!(count("buried").starts_with('3'));
    assert_eq!(count("begun more than once"), "1  lost 1");
    for wrong in Wrong::ALL {
        assert_eq!(count(wrong.says()), "0", "{wrong:?}");
    }
}

/// Tasks that a schedule has made at these seconds.
fn made(evidence: &mut Evidence, seconds: &[i64]) {
    for (at, second) in seconds.iter().enumerate() {
        let number = 100 + u64::try_from(at).unwrap();
        let key = Key {
            number,
            kind: Kind::Scheduled,
        };
        let one = evidence.rows.first().unwrap().clone();
        evidence.puts.insert(key.clone(), Put::MADE);
        evidence.rows.push(Row {
            id: i64::try_from(number).unwrap(),
            key: Some(key.clone()),
            nominal: Some(second * 1000),
            ..one
        });
        let lines = evidence.journals.values().next().unwrap().clone();
        evidence.journals.insert(key, lines);
    }
}

#[test]
fn each_time_of_a_schedule_makes_one_task() {
    let all = |evidence: &mut Evidence| made(evidence, &[7, 9, 8]);
    assert_eq!(check(all, &[]).ticks, 3);
    let none = |evidence: &mut Evidence| made(evidence, &[7, 9]);
    assert_eq!(check(none, &[Wrong::Missed]).count(Wrong::Missed), 1);
    let two = |evidence: &mut Evidence| made(evidence, &[7, 8, 8, 9]);
    check(two, &[Wrong::Doubled]);
}

/// A task that was put after the one that is there, and began at this time.
fn child(evidence: &mut Evidence, begun: u64) -> Key {
    let key = Key {
        number: 2,
        kind: Kind::Quick,
    };
    let parent = evidence.rows.first().unwrap().clone();
    evidence.puts.insert(key.clone(), Put::MADE);
    evidence.after.insert(key.clone(), vec![parent.id]);
    evidence.rows.push(Row {
        id: 2,
        key: Some(key.clone()),
        attempt: 1,
        attempts: vec![attempt(1, "exited", Some(0))],
        ..parent
    });
    let run = vec![
        line(begun, 1, What::Begin),
        line(begun + 5, 1, What::End(0)),
    ];
    evidence.journals.insert(key.clone(), run);
    key
}

#[test]
fn what_waits_for_others_begins_when_they_are_done() {
    let well = |evidence: &mut Evidence| {
        child(evidence, 31);
    };
    assert_eq!(check(well, &[]).after, 1);
    let early = |evidence: &mut Evidence| {
        child(evidence, 29);
    };
    check(early, &[Wrong::TooSoon]);
    let cancelled = |evidence: &mut Evidence| {
        child(evidence, 31);
        let row = evidence.rows.last_mut().unwrap();
        (row.status, row.attempt) = ("cancelled".into(), 0);
        row.attempts.clear();
        evidence.journals.pop_last();
    };
    check(cancelled, &[Wrong::ImpossibleEnd]);
    let after_one_that_failed = |evidence: &mut Evidence| {
        cancelled(evidence);
        let failing = key(Kind::Failing);
        let parent = evidence.rows.first_mut().unwrap();
        parent.status = "failed".into();
        parent.key = Some(failing.clone());
        parent.attempts = vec![attempt(1, "lost", None), attempt(2, "exited", Some(65))];
        evidence.puts.pop_first();
        evidence.puts.insert(failing.clone(), Put::MADE);
        evidence.journals.clear();
        let run = vec![line(20, 2, What::Begin), line(30, 2, What::End(65))];
        evidence.journals.insert(failing, run);
    };
    check(after_one_that_failed, &[]);
}

#[test]
fn of_what_has_a_limit_no_more_run_at_a_time() {
    let several = |apart: u64| {
        move |evidence: &mut Evidence| {
            for number in 0..3 {
                let old = child(evidence, 31 + apart * number);
                let key = Key {
                    number: 10 + number,
                    kind: Kind::Slow,
                };
                let row = evidence.rows.last_mut().unwrap();
                row.id = 10 + i64::try_from(number).unwrap();
                row.key = Some(key.clone());
                row.command = Some("job:slow".into());
                let run = evidence.journals.remove(&old).unwrap();
                evidence.after.remove(&old);
                evidence.puts.remove(&old);
                evidence.puts.insert(key.clone(), Put::MADE);
                evidence.journals.insert(key, run);
            }
        }
    };
    let ledger = check(several(3), &[]);
    assert_eq!((ledger.limited, ledger.most_at_once), (3, 2));
    check(several(2), &[Wrong::OverLimit]);
}

#[test]
fn lines_of_a_journal_are_read_as_they_were_written() {
    for what in [
        What::Begin,
        What::End(-1),
        What::ChildEnd,
        What::Overlap("process 7, state 'S': a b".into()),
    ] {
        let line = line(5, 2, what);
        assert_eq!(line.to_string().parse(), Ok(line));
    }
    for wrong in ["", "1 2 3 4 5", "1 2 3 4 5 end", "1 2 3 4 5 begin now"] {
        assert!(wrong.parse::<Line>().is_err(), "{wrong:?}");
    }
}
