//! Over long random histories.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// What happens to the model pool between two decisions.
#[derive(Debug, Clone)]
enum Happens {
    GetsReady(u32),
    GetsBusy(u32),
    GetsIdle(u32),
    Dies(u32),
    Stops(u32),
    Before(u32),
    Asked(Demand),
    Crashed,
    Proved,
}

fn happens() -> impl Strategy<Value = Happens> {
    let demand = prop_oneof![
        Just(Demand::Unknown),
        Just(Demand::Paused),
        (0_u64..50).prop_map(Demand::Ready),
        Just(Demand::Ready(u64::MAX)),
    ];
    prop_oneof![
        4 => (1_u32..5).prop_map(Happens::GetsReady),
        4 => (1_u32..5).prop_map(Happens::GetsBusy),
        4 => (1_u32..5).prop_map(Happens::GetsIdle),
        1 => (0_u32..4).prop_map(Happens::Dies),
        4 => (1_u32..5).prop_map(Happens::Stops),
        1 => (0_u32..3).prop_map(Happens::Before),
        3 => demand.prop_map(Happens::Asked),
        1 => Just(Happens::Crashed),
        1 => Just(Happens::Proved),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (0_u32..8, 0_u32..8, 1_u32..40).prop_filter_map("min above max", |(min, spare, max)| {
        Limits::new(min, spare, max).ok()
    })
}

fn change(
    census: &mut Census,
    demand: &mut Demand,
    memory: &mut Memory,
    now: Duration,
    what: Happens,
) {
    let shift = |from: &mut u32, to: &mut u32, n: u32| {
        let n = n.min(*from);
        *from -= n;
        *to += n;
    };
    match what {
        Happens::GetsReady(n) => shift(&mut census.starting, &mut census.idle, n),
        Happens::GetsBusy(n) => shift(&mut census.idle, &mut census.busy, n),
        Happens::GetsIdle(n) => shift(&mut census.busy, &mut census.idle, n),
        Happens::Stops(n) => shift(&mut census.stopping, &mut 0, n),
        Happens::Before(n) => census.before = census.before.min(n),
        Happens::Asked(answer) => *demand = answer,
        Happens::Crashed => memory.back_off = memory.back_off.crashed(now, now),
        Happens::Proved => memory.back_off = BackOff::Calm,
        Happens::Dies(which) => {
            let class = match which {
                0 => &mut census.starting,
                1 => &mut census.idle,
                2 => &mut census.busy,
                _ => &mut census.stopping,
            };
            *class = class.saturating_sub(1);
        }
    }
    census.unproven = census.unproven.min(census.live()).max(census.starting);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Over any history: never above max, min at once, nothing retired that is wanted.
    #[test]
    fn bounds_hold_over_long_histories(
        limits in limits(),
        before in 0_u32..4,
        history in prop::collection::vec((0_u64..15_000, happens()), 1..400),
    ) {
        let mut here = census(0, 0, 0, 0, before.min(limits.max()));
        let (mut demand, mut memory) = (Demand::Unknown, Memory::default());
        let mut now = ms(0);
        let mut needed: VecDeque<(Duration, u32)> = VecDeque::new();
        for (later, what) in history {
            now += ms(later);
            change(&mut here, &mut demand, &mut memory, now, what);
            let target = limits.target(&here, demand);
            needed.push_back((now, target));
            needed.retain(|(at, _)| *at + limits.shrink_after() > now);
            let (decision, next) = decide(&limits, &here, demand, None, &memory, now);
            memory = next;
            match decision.action {
                Action::Hold => {}
                Action::Start { n } => {
                    prop_assert!(n > 0 && here.live() < target, "{decision}");
                    here.starting += n;
                }
                Action::Yield { .. } => prop_assert!(false, "{decision}"),
                Action::Retire { n } => {
                    prop_assert!(n > 0 && n <= here.idle, "{decision}");
                    prop_assert!(demand != Demand::Unknown, "{decision}");
                    // Nothing that was needed at any moment of the last ten seconds goes.
                    let after = here.live() - n;
                    let most = needed.iter().map(|(_, target)| *target).max();
                    prop_assert!(after >= most.unwrap_or(0), "{decision}: {after} left, {most:?}");
                    here.idle -= n;
                    here.stopping += n;
                }
            }
            prop_assert!(here.total() <= limits.max(), "{decision}: {here:?}");
            prop_assert!(decision.target >= limits.min() && decision.target <= limits.max());
            if memory.back_off == BackOff::Calm && here.total() < limits.max() {
                prop_assert!(here.live() >= limits.min(), "{decision}: {here:?}");
                prop_assert!(here.live() >= decision.target || decision.again.is_some(), "{decision}");
            }
        }
    }

    /// At rest nothing is started or retired, whatever the limits; with min = max not even after
    /// a change of demand or of who is busy.
    #[test]
    fn nothing_churns_at_rest(limits in limits(), busy in 0_u32..40, ready in 0_u64..50) {
        let mut here = census(0, 0, busy.min(limits.max()), 0, 0);
        let mut memory = Memory::default();
        let mut last_change = ms(0);
        for tick in 0..600 {
            let now = ms(tick * 100);
            let (decision, next) = decide(&limits, &here, Demand::Ready(ready), None, &memory, now);
            memory = next;
            match decision.action {
                Action::Hold => continue,
                Action::Start { n } => here.idle += n,
                Action::Retire { n } | Action::Yield { n } => here.idle -= n,
            }
            last_change = now;
        }
        prop_assert!(last_change < ms(15_000), "still changing at {last_change:?}");
    }

    #[test]
    fn a_fixed_pool_never_churns(
        size in 1_u32..20,
        spare in 0_u32..20,
        history in prop::collection::vec((0_u32..20, 0_u64..100, 0_u64..20_000), 1..200),
    ) {
        let limits = Limits::new(size, spare, size).unwrap();
        let (mut memory, mut now) = (Memory::default(), ms(0));
        for (busy, ready, later) in history {
            now += ms(later);
            let busy = busy.min(size);
            let here = census(0, size - busy, busy, 0, 0);
            let (decision, next) = decide(&limits, &here, Demand::Ready(ready), None, &memory, now);
            prop_assert_eq!(decision.action, Action::Hold);
            memory = next;
        }
    }
}
