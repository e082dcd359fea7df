//! Over random histories of several tubes.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Tube {
    weight: u32,
    limits: (u32, u32, u32),
    outside: u32,
    ready: u64,
    idle: u32,
    busy: u32,
    /// Those that were told to go after their jobs.
    stopping: u32,
}

impl Tube {
    fn claim(&self) -> Claim {
        let workers = (self.idle, self.busy, self.stopping);
        let claim = claim(self.weight, self.limits, workers, self.ready);
        outside(self.outside, claim)
    }
}

fn tubes() -> impl Strategy<Value = Vec<Tube>> {
    let tube = (
        1_u32..20,
        (0_u32..3, 0_u32..3, 3_u32..12),
        0_u32..3,
        any::<bool>(),
    );
    let tube = tube.prop_map(|(weight, limits, outside, is_outside)| Tube {
        weight,
        limits,
        outside: if is_outside { outside } else { 0 },
        ready: 0,
        idle: 0,
        busy: 0,
        stopping: 0,
    });
    prop::collection::vec(tube, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever happens: never more than `max` count, the least of each is never out of reach, and nobody who rests
    /// is kept while another tube has a job and no place for it.
    #[test]
    fn bounds_hold_over_long_histories(
        mut tubes in tubes(),
        more in 1_u32..12,
        history in prop::collection::vec((0_u64..2000, 0_usize..6, 0_u8..8), 1..300),
    ) {
        let least = |tube: &Tube| tube.limits.0.saturating_sub(tube.outside);
        let places = tubes.iter().map(least).sum::<u32>() + more;
        let mut account = Account::default();
        let mut now = s(0);
        for (later, which, what) in history {
            now += ms(later);
            let at = which % tubes.len();
            let tube = &mut tubes[at];
            match what {
                0 => tube.ready += 7,
                1 => tube.ready = 0,
                2 | 3 => (tube.idle, tube.busy) = (tube.idle + tube.busy, 0),
                4 | 5 => tube.stopping = 0,
                6 => tube.busy = tube.busy.saturating_sub(1),
                _ => {}
            }
            for tube in &mut tubes {
                let takes = u64::from(tube.idle).min(tube.ready) as u32;
                (tube.idle, tube.busy) = (tube.idle - takes, tube.busy + takes);
                tube.ready -= u64::from(takes);
            }
            let claims: Vec<Claim> = tubes.iter().map(Tube::claim).collect();
            let (shares, next) = share(places, &claims, &account, now);
            account = next;
            for ((tube, claim), share) in tubes.iter_mut().zip(&claims).zip(&shares.of) {
                let Share { most, yields, .. } = *share;
                prop_assert!(!share.is_above);
                let live = tube.idle + tube.busy;
                prop_assert!(live.saturating_sub(yields) >= live.min(tube.limits.0), "below the least");
                let idle = yields.min(tube.idle);
                tube.idle -= idle;
                tube.busy -= yields - idle;
                tube.stopping += yields - idle;
                if yields == 0 {
                    let room = most.min(tube.limits.2).saturating_sub(claim.census.total());
                    let wants = claim.wants.saturating_sub(live);
                    tube.idle += wants.min(room);
                }
            }
            let counted = |tube: &Tube| (tube.idle + tube.busy + tube.stopping).saturating_sub(tube.outside);
            prop_assert!(tubes.iter().map(counted).sum::<u32>() <= places, "{tubes:?} in {places}");
            for tube in &tubes {
                let (min, _, max) = tube.limits;
                let own = tube.idle + tube.busy + tube.stopping >= max;
                prop_assert!(own || tube.idle + tube.busy >= min, "{tube:?} lacks its least");
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Tubes that are always full of short jobs divide the time by their weights, and none waits for ever.
    #[test]
    fn time_is_divided_by_weight(
        weights in prop::collection::vec(1_u32..9, 2..5),
        places in 1_u32..10,
    ) {
        let mut tubes: Vec<Tube> = weights.iter().map(|weight| Tube {
            weight: *weight,
            limits: ANY,
            outside: 0,
            ready: FLOOD,
            idle: 0,
            busy: 0,
            stopping: 0,
        }).collect();
        let mut account = Account::default();
        let mut had = vec![0_u64; tubes.len()];
        const TICKS: u64 = 10_000;
        for tick in 0..TICKS {
            let claims: Vec<Claim> = tubes.iter().map(Tube::claim).collect();
            let (shares, next) = share(places, &claims, &account, ms(tick * 50));
            account = next;
            for (((tube, claim), share), had) in tubes.iter_mut().zip(&claims).zip(&shares.of).zip(&mut had) {
                // Jobs take a tick.
                tube.stopping = share.yields;
                tube.busy -= share.yields;
                if share.yields == 0 {
                    tube.busy += share.most - claim.census.total();
                }
                *had += u64::from(tube.busy + tube.stopping);
            }
        }
        let all = TICKS * u64::from(places);
        let sum: u32 = weights.iter().sum();
        for (had, weight) in had.iter().zip(&weights) {
            let due = all * u64::from(*weight) / u64::from(sum);
            prop_assert!(had.abs_diff(due) * 20 <= due.max(all / 50), "{had} of {due}: {weights:?} in {places}");
        }
    }
}
