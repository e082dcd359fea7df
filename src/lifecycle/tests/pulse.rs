//! Workers that answer while they run a command, and those that do not.

use super::*;
use crate::lifecycle::pulse::{Beat, Found, HUNG, LOOK_EVERY, PING_EVERY, Pulse, UNRESPONSIVE};

/// One that runs a command, and promises to answer.
fn watched(left: Option<u64>) -> Worker {
    let watched = Event::Watched { left: left.map(s) };
    // It has shown long ago that it works.
    let (mut worker, _) = after(&[SPAWNED, Event::Ready, BUSY, DONE]);
    for event in [BUSY, watched] {
        assert_eq!(worker.step(&RULES, event, s(0)).unwrap(), []);
    }
    worker
}

/// Lets time pass, as a tender does whose worker answers as it is told to. What was to be done at each second.
fn play(
    worker: &mut Worker,
    from: u64,
    to: u64,
    is_stopped: bool,
    answers: impl Fn(u64) -> bool,
) -> Vec<(u64, Effect)> {
    let mut done = Vec::new();
    for second in from..=to {
        let now = s(second);
        while worker.deadline().is_some_and(|at| at <= now) {
            for effect in worker.step(&RULES, Event::Due, now).unwrap() {
                if effect == Effect::Look {
                    let looked = Event::Looked { is_stopped };
                    let effects = worker.step(&RULES, looked, now).unwrap();
                    done.extend(effects.into_iter().map(|effect| (second, effect)));
                } else {
                    done.push((second, effect));
                }
            }
        }
        if answers(second) {
            let effects = worker.step(&RULES, Event::Answered, now).unwrap();
            done.extend(effects.into_iter().map(|effect| (second, effect)));
        }
    }
    done
}

#[test]
fn one_that_answers_is_asked_on_and_nothing_else() {
    let mut worker = watched(Some(3));
    let done = play(&mut worker, 1, 7, false, |_| true);
    assert_eq!(
        done,
        [(2, Effect::Ping), (4, Effect::Ping), (6, Effect::Ping)]
    );
    assert!(worker.step(&RULES, DONE, s(7)).unwrap().is_empty());
    assert_eq!(worker.deadline(), None, "it is idle");
}

/// However short its command's time: a moment costs nothing.
#[test]
fn one_that_was_stopped_for_a_moment_loses_nothing() {
    let mut worker = watched(Some(1));
    let stopped = 3..7;
    let done = play(&mut worker, 1, 20, true, |second| {
        !stopped.contains(&second)
    });
    let pings = done.iter().all(|(_, effect)| *effect == Effect::Ping);
    assert!(pings, "{done:?}");
}

#[test]
fn one_that_does_not_answer_is_said_once_and_asked_once() {
    let mut worker = watched(None);
    let done = play(&mut worker, 1, 100, true, |second| {
        second == 50 || second == 51
    });
    let expected = [
        (2, Effect::Ping),
        (7, Effect::Unresponsive),
        (50, Effect::Responsive),
        (52, Effect::Ping),
        (57, Effect::Unresponsive),
    ];
    assert_eq!(done, expected, "its command may run for ever");
    assert_eq!(worker.unresponsive_since(), Some(s(52)));
    assert_eq!(
        worker.step(&RULES, DONE, s(101)).unwrap(),
        [Effect::Responsive]
    );
}

#[test]
fn one_that_does_not_keep_its_commands_time_is_killed() {
    // How long its command may run, whether it is stopped, and when it is killed that was asked at 2 s.
    let table = [
        (Some(3), true, Some(7)),
        (Some(20), true, Some(22)),
        (Some(3), false, Some(32)),
        (Some(60), false, Some(62)),
        (None, true, None),
        (None, false, None),
    ];
    for (left, is_stopped, killed) in table {
        let mut worker = watched(left);
        let done = play(&mut worker, 1, 100, is_stopped, |_| false);
        let mut expected = vec![(2, Effect::Ping), (7, Effect::Unresponsive)];
        expected.extend(killed.map(|at| (at, Effect::Kill)));
        assert_eq!(done, expected, "{left:?} {is_stopped}");
        if killed.is_some() {
            let state = worker.state().to_string();
            let why = "did not answer, and its command's time was up";
            assert_eq!(state, format!("killed ({why}), busy with task 7"));
            assert!(worker.state().ends_well(Ended::Signalled(9)));
            // Not a crash: another takes its place at once.
            assert_eq!(worker.step(&RULES, KILLED, s(101)).unwrap(), []);
        }
    }
}

/// A machine that sleeps, or a tender that is stopped with its workers: the time is long over, and few looks.
#[test]
fn one_that_was_not_looked_at_has_time_to_answer() {
    let mut worker = watched(Some(3));
    assert_eq!(
        play(&mut worker, 1, 3, false, |_| false),
        [(2, Effect::Ping)]
    );
    let awake = 10_000;
    let done = play(&mut worker, awake, awake + 3, true, |second| {
        second >= awake + 2
    });
    assert_eq!(done, []);
    assert_eq!(worker.deadline(), Some(s(awake + 2) + PING_EVERY));
}

#[test]
fn one_that_drains_is_asked_too_and_one_that_closed_its_link_is_not() {
    let mut worker = watched(Some(3));
    worker.step(&RULES, AGED, s(1)).unwrap();
    let done = play(&mut worker, 1, 100, true, |_| false);
    assert_eq!(done.last(), Some(&(7, Effect::Kill)));
    let mut worker = watched(Some(3));
    worker.step(&RULES, Event::LinkClosed, s(1)).unwrap();
    assert_eq!(play(&mut worker, 1, 100, true, |_| false), []);
}

/// A tender that ends does not wait for ever for the end of one that it has killed.
#[test]
fn one_that_was_to_go_is_left_behind_if_it_does_not_end() {
    let mut worker = watched(Some(3));
    worker.step(&RULES, DRAIN, s(1)).unwrap();
    let done = play(&mut worker, 1, 20, true, |_| false);
    let left = (7 + KILLED_PATIENCE.as_secs(), Effect::Leave);
    assert_eq!(done.last(), Some(&left), "{done:?}");
}

#[test]
fn one_that_promises_nothing_is_not_asked() {
    let mut worker = watched(Some(3));
    worker.step(&RULES, BUSY, s(1)).unwrap();
    assert_eq!(worker.deadline(), None);
    assert_eq!(worker.step(&RULES, LOOKED, s(90)).unwrap(), []);
}

#[test]
fn what_a_pulse_comes_to() {
    let answers = |ping_at, over_at: Option<u64>| Pulse::Answers {
        ping_at: s(ping_at),
        over_at: over_at.map(s),
    };
    let asked = |since, looks, look_at, over_at: Option<u64>| Pulse::Asked {
        since: s(since),
        looks,
        look_at: s(look_at),
        over_at: over_at.map(s),
    };
    let (two, one) = (PING_EVERY.as_secs(), LOOK_EVERY.as_secs());
    let due = [
        (Pulse::Unwatched, Pulse::Unwatched, None),
        (answers(11, None), answers(11, None), None),
        (
            answers(10, Some(9)),
            asked(10, 0, 10 + one, Some(9)),
            Some(Beat::Ping),
        ),
        (asked(5, 3, 11, None), asked(5, 3, 11, None), None),
        (
            asked(5, 3, 10, None),
            asked(5, 3, 10 + one, None),
            Some(Beat::Look),
        ),
    ];
    for (before, after, beat) in due {
        assert_eq!(before.due(s(10)), (after, beat), "{before:?}");
    }
    let spoke = [
        (Pulse::Unwatched, Pulse::Unwatched),
        (answers(11, None), answers(11, None)),
        (asked(5, 40, 10, Some(7)), answers(10 + two, Some(7))),
    ];
    for (before, after) in spoke {
        assert_eq!(before.spoke(s(10)), after);
    }
    let (enough, hung) = (UNRESPONSIVE - 1, HUNG - 1);
    // How many looks there were, when its command's time is up, whether it is stopped, and what is found at 10 s.
    let looked = [
        (enough - 1, Some(1), true, false, false),
        (enough, None, true, true, false),
        (enough, Some(8), true, true, true),
        (enough, Some(9), true, true, false),
        (enough, Some(1), false, true, false),
        (enough + 1, Some(8), true, false, true),
        (hung - 1, Some(1), false, false, false),
        (hung, Some(8), false, false, true),
        (hung, None, false, false, false),
    ];
    for (looks, over_at, is_stopped, is_news, is_over) in looked {
        let found = asked(5, looks, 11, over_at).looked(is_stopped, s(10));
        let expected = (asked(5, looks + 1, 11, over_at), Found { is_news, is_over });
        assert_eq!(found, expected, "{looks} {over_at:?} {is_stopped}");
    }
}
