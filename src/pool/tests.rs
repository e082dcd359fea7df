use super::*;
use crate::backoff::BackOff;

mod histories;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn census(starting: u32, idle: u32, busy: u32, stopping: u32, before: u32) -> Census {
    Census {
        starting,
        idle,
        busy,
        stopping,
        before,
        unproven: starting,
        troubled: 0,
    }
}

/// One decision with a fresh memory, as it prints.
fn fresh(limits: (u32, u32, u32), census: Census, demand: Demand) -> String {
    let limits = Limits::new(limits.0, limits.1, limits.2).unwrap();
    let (decision, _) = decide(&limits, &census, demand, None, &Memory::default(), ms(0));
    decision.to_string()
}

#[test]
fn only_min_above_max_and_max_zero_are_refused_and_both_numbers_are_named() {
    assert_eq!(
        Limits::new(5, 1, 3).unwrap_err().to_string(),
        "min workers 5 is more than max workers 3; lower the one or raise the other"
    );
    let zero = Limits::new(0, 0, 0).unwrap_err().to_string();
    assert!(zero.starts_with("max workers is 0"), "{zero}");
    for (min, spare, max) in [(0, 0, 1), (3, 9, 3), (0, u32::MAX, u32::MAX), (1, 0, 1)] {
        assert!(Limits::new(min, spare, max).is_ok(), "{min} {spare} {max}");
    }
}

#[test]
fn a_mode_says_which_sizes_are_heeded() {
    let sizes = |mode: Mode| {
        let limits = mode.limits(2, 1, 5).unwrap();
        (limits.min(), limits.spare(), limits.max())
    };
    assert_eq!(sizes(Mode::Dynamic), (2, 1, 5));
    assert_eq!(sizes(Mode::Static), (5, 0, 5));
    assert_eq!(sizes(Mode::Ondemand), (0, 0, 5));
    assert!(Mode::Dynamic.limits(6, 1, 5).is_err());
    assert!(Mode::Ondemand.limits(6, 1, 0).is_err());
}

#[test]
fn decisions_with_nothing_remembered() {
    use Demand::{Paused, Ready, Unknown};
    let table = [
        (
            (2, 1, 5),
            census(0, 0, 0, 0, 0),
            Unknown,
            "start 2 (target 2): 0 of at least 2",
        ),
        (
            (9, 0, 9),
            census(0, 1, 0, 0, 0),
            Unknown,
            "start 8 (target 9): 1 of at least 9",
        ),
        (
            (2, 1, 5),
            census(0, 2, 0, 0, 0),
            Ready(0),
            "hold (target 2): as many as wanted",
        ),
        (
            (2, 1, 5),
            census(0, 0, 2, 0, 0),
            Ready(0),
            "start 1 (target 3): 2 busy and 1 more wanted",
        ),
        (
            (2, 1, 5),
            census(0, 0, 2, 0, 0),
            Unknown,
            "start 1 (target 3): 2 busy and 1 more wanted",
        ),
        (
            (2, 1, 5),
            census(0, 0, 2, 0, 0),
            Ready(9),
            "start 1 (target 5): 2 busy and 9 more wanted",
        ),
        (
            (2, 1, 5),
            census(0, 0, 2, 0, 0),
            Paused,
            "start 1 (target 3): 2 busy and 1 more wanted",
        ),
        (
            (2, 1, 5),
            census(0, 0, 5, 0, 0),
            Ready(9),
            "hold (target 5): as many as wanted",
        ),
        (
            (2, 1, 5),
            census(0, 0, 3, 1, 1),
            Ready(9),
            "hold (target 5): more wanted, but 5 of at most 5",
        ),
        (
            (2, 1, 5),
            census(0, 0, 0, 2, 2),
            Unknown,
            "start 1 (target 2): 0 of at least 2",
        ),
        (
            (0, 0, 5),
            census(0, 0, 0, 0, 0),
            Unknown,
            "hold (target 0): as many as wanted",
        ),
        (
            (0, 0, 5),
            census(0, 0, 0, 0, 0),
            Ready(1),
            "start 1 (target 1): 0 busy and 1 more wanted",
        ),
        (
            (0, 0, 5),
            census(0, 0, 0, 0, 0),
            Paused,
            "hold (target 0): as many as wanted",
        ),
        (
            (2, 1, 5),
            census(0, 4, 0, 0, 0),
            Ready(0),
            "hold (target 2): 2 too many, not for long",
        ),
        (
            (2, 1, 5),
            census(0, 4, 0, 0, 0),
            Unknown,
            "hold (target 2): perhaps too many, demand unknown",
        ),
        (
            (2, 1, 5),
            census(0, 7, 0, 0, 0),
            Unknown,
            "retire 2 (target 2): 7 of at most 5",
        ),
        (
            (2, 1, 5),
            census(0, 0, 7, 0, 0),
            Ready(9),
            "hold (target 5): 7 of at most 5",
        ),
        (
            (3, 9, 3),
            census(0, 0, 3, 0, 0),
            Ready(u64::MAX),
            "hold (target 3): as many as wanted",
        ),
    ];
    for (limits, census, demand, expected) in table {
        assert_eq!(
            fresh(limits, census, demand),
            expected,
            "{limits:?} {census:?} {demand:?}"
        );
    }
}

#[test]
fn a_pool_that_cannot_record_is_kept_at_min_and_not_grown() {
    let limits = Limits::new(2, 1, 9).unwrap();
    let decided = |idle, busy, troubled| {
        let here = Census {
            troubled,
            ..census(0, idle, busy, 0, 0)
        };
        let (decision, _) = decide(
            &limits,
            &here,
            Demand::Ready(50),
            None,
            &Memory::default(),
            ms(0),
        );
        decision.to_string()
    };
    assert_eq!(
        decided(0, 2, 1),
        "hold (target 9): more wanted, but a worker is in trouble"
    );
    assert_eq!(
        decided(1, 3, 2),
        "hold (target 9): more wanted, but 2 workers are in trouble"
    );
    assert_eq!(decided(0, 1, 1), "start 1 (target 9): 1 of at least 2");
    assert_eq!(
        decided(0, 2, 0),
        "start 1 (target 9): 2 busy and 50 more wanted"
    );
}

#[test]
fn growth_doubles_up_to_32_a_tick_and_begins_anew_when_calm() {
    let limits = Limits::new(0, 0, 1000).unwrap();
    let mut memory = Memory::default();
    let mut now = ms(0);
    let mut starting = 0;
    let mut steps = Vec::new();
    for _ in 0..8 {
        let here = census(starting, 0, 0, 0, 0);
        let (decision, next) = decide(&limits, &here, Demand::Ready(1000), None, &memory, now);
        let Action::Start { n } = decision.action else {
            panic!("{decision}");
        };
        steps.push(n);
        starting += n;
        let here = census(starting, 0, 0, 0, 0);
        let (paced, next) = decide(
            &limits,
            &here,
            Demand::Ready(1000),
            None,
            &next,
            now + ms(1),
        );
        assert_eq!(
            (paced.action, paced.again),
            (Action::Hold, Some(now + TICK))
        );
        (memory, now) = (next, now + TICK);
    }
    assert_eq!(steps, [1, 2, 4, 8, 16, 32, 32, 32]);
    let here = census(starting, 0, 0, 0, 0);
    let (decision, _) = decide(
        &limits,
        &here,
        Demand::Ready(1000),
        None,
        &memory,
        now + CALM,
    );
    assert_eq!(decision.action, Action::Start { n: 1 });
}

#[test]
fn what_was_needed_for_a_moment_is_kept() {
    let limits = Limits::new(1, 0, 10).unwrap();
    let none = Demand::Ready(0);
    let quiet = census(0, 6, 0, 0, 0);
    let (_, memory) = decide(&limits, &quiet, none, None, &Memory::default(), ms(0));
    let (_, memory) = decide(
        &limits,
        &census(0, 2, 4, 0, 0),
        none,
        None,
        &memory,
        ms(5000),
    );
    let (early, memory) = decide(&limits, &quiet, none, None, &memory, ms(9999));
    assert_eq!(
        (early.action, early.again),
        (Action::Hold, Some(ms(10_000)))
    );
    let (due, memory) = decide(&limits, &quiet, none, None, &memory, ms(10_000));
    assert_eq!(due.action, Action::Retire { n: 2 });
    assert_eq!(due.again, Some(ms(20_000)));
    let (rest, _) = decide(
        &limits,
        &census(0, 4, 0, 0, 0),
        none,
        None,
        &memory,
        ms(20_000),
    );
    assert_eq!(rest.action, Action::Retire { n: 3 });
}

#[test]
fn unknown_demand_starts_the_wait_anew() {
    let limits = Limits::new(1, 0, 10).unwrap();
    let quiet = census(0, 6, 0, 0, 0);
    let (_, memory) = decide(
        &limits,
        &quiet,
        Demand::Ready(0),
        None,
        &Memory::default(),
        ms(0),
    );
    let (_, memory) = decide(&limits, &quiet, Demand::Unknown, None, &memory, ms(9000));
    let (decision, _) = decide(&limits, &quiet, Demand::Ready(0), None, &memory, ms(11_000));
    assert_eq!(decision.action, Action::Hold);
    assert_eq!(decision.again, Some(ms(21_000)));
}

#[test]
fn a_pool_that_crashes_is_tried_with_one_worker() {
    let limits = Limits::new(4, 0, 4).unwrap();
    let mut memory = Memory {
        back_off: BackOff::Calm.crashed(ms(0), ms(100)),
        ..Memory::default()
    };
    let none = census(0, 0, 0, 0, 0);
    let (waiting, _) = decide(&limits, &none, Demand::Unknown, None, &memory, ms(200));
    assert_eq!(
        (waiting.action, waiting.again),
        (Action::Hold, Some(ms(1100)))
    );
    let (trying, _) = decide(&limits, &none, Demand::Unknown, None, &memory, ms(1100));
    assert_eq!(trying.action, Action::Start { n: 1 });
    let one = census(1, 0, 0, 0, 0);
    let (trying, _) = decide(&limits, &one, Demand::Unknown, None, &memory, ms(1200));
    assert_eq!(
        (trying.action, trying.reason),
        (Action::Hold, Reason::Trying)
    );
    memory.back_off = memory.back_off.proved(ms(1100));
    let (rest, _) = decide(&limits, &one, Demand::Unknown, None, &memory, ms(1300));
    assert_eq!(rest.action, Action::Start { n: 3 });
}

#[test]
fn the_broker_is_asked_only_when_its_answer_could_matter() {
    let fixed = Limits::new(3, 1, 3).unwrap();
    assert!(!fixed.asks(&census(0, 3, 0, 0, 0)));
    let limits = Limits::new(1, 1, 4).unwrap();
    assert!(limits.asks(&census(0, 1, 0, 0, 0)));
    assert!(limits.asks(&census(0, 4, 0, 0, 0)));
    assert!(!limits.asks(&census(0, 1, 3, 0, 0)));
    assert!(!limits.asks(&census(0, 0, 3, 1, 0)));
}
