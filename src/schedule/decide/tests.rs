use super::super::calendar::Utc;
use super::super::spec::Template;
use super::*;
use crate::task::command::Content;

const NOW: Millis = 1_800_000_000_000 / HOUR * HOUR;
const MINUTE: Millis = 60_000;

fn spec(timing: Timing, rules: Rules) -> Spec {
    Spec {
        timing,
        rules,
        template: Template {
            tube: "t".parse().unwrap(),
            content: Content::Raw("x".into()),
            priority: 1,
            ttr: 1,
            tags: Vec::new(),
            own: None,
            unique: None,
        },
    }
}

fn cron(text: &str, rules: Rules) -> Spec {
    let timing = Timing::Cron {
        cron: text.parse().unwrap(),
        zone: None,
    };
    spec(timing, rules)
}

fn at(nominal: Millis) -> Standing {
    Standing {
        nominal,
        held: None,
        is_paused: false,
        is_open: false,
        last: Last::None,
        has_made: false,
        made: NOW - 1000 * HOUR,
    }
}

fn rules(missed: Missed, overlap: Overlap) -> Rules {
    Rules {
        missed,
        overlap,
        ..Rules::default()
    }
}

/// What is done, step by step, and when to look again: `f` and `b` for fires on time and made up for, in hours before
/// now.
fn run(spec: &Spec, mut standing: Standing, now: Millis) -> (Vec<(char, Millis)>, Decision) {
    let mut steps = Vec::new();
    loop {
        let hours = |nominal: Millis| (now - nominal).div_euclid(HOUR);
        match spec.decide("n", &Utc, &standing, now) {
            Decision::Do(step) => {
                let (letter, nominal) = match step {
                    Step::Fire {
                        nominal,
                        backfilled: true,
                    } => ('b', nominal),
                    Step::Fire { nominal, .. } => ('f', nominal),
                    Step::FireHeld { nominal } => ('h', nominal),
                    Step::Hold { nominal } => ('q', nominal),
                    Step::PassOver { nominal } => ('-', nominal),
                };
                steps.push((letter, hours(nominal)));
                standing.nominal = standing.nominal.max(nominal);
                standing.held = match step {
                    Step::Hold { nominal } => Some(nominal),
                    Step::FireHeld { .. } => None,
                    Step::Fire { .. } | Step::PassOver { .. } => standing.held,
                };
                if matches!(step, Step::Fire { .. } | Step::FireHeld { .. }) {
                    (standing.is_open, standing.last) = (true, Last::Open);
                }
                assert!(steps.len() < 2000, "{steps:?}");
            }
            end => return (steps, end),
        }
    }
}

#[test]
fn what_is_missed_is_made_up_for_as_it_is_said() {
    let half_past = NOW + 30 * MINUTE;
    let all = |limit, window| Rules {
        limit,
        window,
        ..rules(Missed::All, Overlap::Skip)
    };
    let next = Decision::Wait(NOW + HOUR);
    let table = [
        (rules(Missed::One, Overlap::Skip), vec![('b', 0)]),
        (rules(Missed::Skip, Overlap::Skip), vec![('-', 0)]),
        (all(2, None), vec![('b', 1), ('b', 0)]),
        (all(9, None), vec![('b', 2), ('b', 1), ('b', 0)]),
        (all(9, Some(100 * MINUTE)), vec![('b', 1), ('b', 0)]),
        (all(9, Some(MINUTE)), vec![('-', 0)]),
    ];
    for (rules, steps) in table {
        // Down for three hours, of which three times have come.
        let done = run(&cron("0 * * * *", rules), at(NOW - 3 * HOUR), half_past);
        assert_eq!(done, (steps, next), "{rules:?}");
    }
    // The newest came just now.
    let table = [
        (rules(Missed::One, Overlap::Skip), vec![('f', 0)]),
        (rules(Missed::Skip, Overlap::Skip), vec![('f', 0)]),
        (all(2, None), vec![('b', 2), ('b', 1), ('-', 0)]),
        (
            Rules {
                overlap: Overlap::Queue,
                ..all(1, None)
            },
            vec![('b', 1), ('q', 0)],
        ),
    ];
    for (rules, steps) in table {
        let done = run(&cron("0 * * * *", rules), at(NOW - 3 * HOUR), NOW + 5);
        assert_eq!(done, (steps, next), "{rules:?}");
    }
}

#[test]
fn a_time_that_comes_while_a_task_runs_goes_as_it_is_said() {
    let table = [
        (Overlap::Skip, vec![('-', 0)]),
        (Overlap::Allow, vec![('f', 0)]),
        (Overlap::Queue, vec![('q', 0)]),
    ];
    for (overlap, steps) in table {
        let spec = cron("0 * * * *", rules(Missed::One, overlap));
        let open = Standing {
            is_open: true,
            last: Last::Open,
            ..at(NOW - HOUR)
        };
        assert_eq!(run(&spec, open, NOW).0, steps, "{overlap}");
        assert_eq!(run(&spec, at(NOW - HOUR), NOW).0, [('f', 0)], "{overlap}");
    }
    // One waits, and no second; it goes when the others have ended.
    let spec = cron("0 * * * *", rules(Missed::One, Overlap::Queue));
    let held = Standing {
        is_open: true,
        held: Some(NOW - HOUR),
        ..at(NOW - HOUR)
    };
    assert_eq!(run(&spec, held, NOW).0, [('-', 0)]);
    let ended = Standing {
        is_open: false,
        nominal: NOW,
        ..held
    };
    assert_eq!(run(&spec, ended, NOW + 5).0, [('h', 1)]);
}

#[test]
fn nothing_comes_twice_whatever_the_clock_says() {
    let spec = cron("0 * * * *", Rules::default());
    let back = run(&spec, at(NOW), NOW - HOUR);
    assert_eq!(back, (vec![], Decision::Wait(NOW + HOUR)));
    let paused = Standing {
        is_paused: true,
        ..at(NOW - 3 * HOUR)
    };
    assert_eq!(run(&spec, paused, NOW), (vec![], Decision::Nothing));
    // For years, of which only the newest are looked at.
    let minutely = cron("* * * * *", rules(Missed::One, Overlap::Allow));
    assert_eq!(run(&minutely, at(0), NOW).0, [('f', 0)]);
}

#[test]
fn an_interval_is_counted_from_the_start_or_from_the_end() {
    let every = |period, from, first| {
        spec(
            Timing::Every {
                period,
                from,
                first,
            },
            Rules::default(),
        )
    };
    let start = every(HOUR, From::Start, None);
    let made = Standing {
        made: NOW,
        ..at(start.timing.decided_when_made(NOW))
    };
    assert_eq!(
        run(&start, made, NOW),
        (vec![('f', 0)], Decision::Wait(NOW + HOUR))
    );
    // From the last target, and not from when it fired.
    let late = Standing {
        made: NOW - 9 * HOUR - 7,
        ..at(NOW - HOUR)
    };
    assert_eq!(
        run(&start, late, NOW),
        (vec![('f', 0)], Decision::Wait(NOW + HOUR - 7))
    );
    let first = every(HOUR, From::Start, Some(NOW + 5));
    assert_eq!(run(&first, made, NOW).1, Decision::Wait(NOW + 5));

    let end = every(HOUR, From::End, None);
    assert_eq!(run(&end, made, NOW), (vec![('f', 0)], Decision::WaitForEnd));
    let ended = |ended| Standing {
        last: Last::Ended(ended),
        ..at(NOW - 5 * HOUR)
    };
    assert_eq!(
        run(&end, ended(NOW - MINUTE), NOW).1,
        Decision::Wait(NOW - MINUTE + HOUR)
    );
    assert_eq!(run(&end, ended(NOW - HOUR), NOW).0, [('f', 0)]);
    assert_eq!(run(&end, ended(NOW - 2 * HOUR), NOW).0, [('b', 1)]);
    assert_eq!(
        run(&end, at(NOW - HOUR), NOW).0,
        [('f', 0)],
        "its task was deleted"
    );
    let again = every(0, From::End, None);
    assert_eq!(run(&again, ended(NOW), NOW).0, [('f', 0)]);
    let same_moment = Standing {
        last: Last::Ended(NOW),
        has_made: true,
        ..at(NOW)
    };
    assert_eq!(
        run(&again, same_moment, NOW),
        (vec![], Decision::Wait(NOW + 1))
    );
    // Nothing came of the time after its task's end, for another task had the key.
    let passed_over = |spec: &Spec| {
        let standing = Standing {
            last: Last::Ended(NOW - HOUR),
            ..at(NOW)
        };
        run(spec, standing, NOW)
    };
    assert_eq!(passed_over(&end), (vec![], Decision::Wait(NOW + HOUR)));
    assert_eq!(passed_over(&again), (vec![], Decision::Wait(NOW + 1000)));
    assert_eq!(
        run(&again, at(NOW), NOW),
        (vec![], Decision::Wait(NOW + 1000)),
        "nor of its first time"
    );
}

#[test]
fn what_comes_once_comes_once() {
    let once = spec(Timing::At(NOW), Rules::default());
    assert_eq!(run(&once, at(NOW - HOUR), NOW - 5).1, Decision::Wait(NOW));
    assert_eq!(
        run(&once, at(NOW - HOUR), NOW),
        (vec![('f', 0)], Decision::Nothing)
    );
    assert_eq!(run(&once, at(NOW), NOW), (vec![], Decision::Nothing));
}

#[test]
fn who_has_jitter_fires_later_and_always_by_as_much() {
    let jitter = 10 * MINUTE;
    let late = lateness("n", jitter);
    assert!((0..jitter).contains(&late));
    assert_eq!(lateness("n", 0), 0);
    let spread: std::collections::BTreeSet<Millis> = (0..100)
        .map(|n| lateness(&format!("backup-{n}"), jitter) / MINUTE)
        .collect();
    assert_eq!(spread.len(), 10);
    let spec = cron(
        "0 * * * *",
        Rules {
            jitter,
            ..Rules::default()
        },
    );
    assert_eq!(
        run(&spec, at(NOW - HOUR), NOW + late - 1),
        (vec![], Decision::Wait(NOW + late))
    );
    assert_eq!(run(&spec, at(NOW - HOUR), NOW + late).0, [('f', 0)]);
}
