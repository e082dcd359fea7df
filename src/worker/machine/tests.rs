//! The machine in made-up surroundings: long random histories in which a broker, a ledger and commands answer whatever
//! they may, and the rules of `machine.rs` are checked at every step; and the table of what may happen when. What a
//! worker does in one place or another is told step by step, in modules by what it is about.

use std::collections::HashMap;

use proptest::prelude::*;

use super::table::{EventKind, PhaseKind, may_happen};

mod broker;
mod called_off;
mod cleaning;
mod dice;
mod endings;
mod jobs;
mod lacking;
mod model;
mod reported;
mod script;
mod sifts;
pub mod stage;
mod stuck;
mod suspended;
mod told;
mod world;

use model::{Kind, Model, Tally};
use stage::at;
use world::World;

proptest! {
    // A tape means what it means only in the surroundings of today.
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_in_every_history(tape in proptest::collection::vec(any::<u8>(), 0..1500)) {
        World::new(tape).play();
    }
}

/// Far longer histories than shrinking could handle; the seed is all there is to a failure.
#[test]
fn the_rules_hold_in_long_histories() {
    let steps = (1..=60).map(|seed| World::from_seed(seed, 100_000).play());
    let steps: u64 = steps.sum();
    assert!(steps > 200_000, "only {steps} steps");
}

/// Every phase is come to, by random histories too: or they would show nothing of it.
#[test]
fn histories_come_everywhere() {
    let mut seen: HashMap<(PhaseKind, EventKind), u64> = HashMap::new();
    for seed in 100..=115 {
        let mut world = World::from_seed(seed, 60_000);
        world.play();
        for (key, count) in world.seen {
            *seen.entry(key).or_default() += count;
        }
    }
    for phase in stage::PHASES {
        assert!(
            phase == PhaseKind::Gone || seen.keys().any(|(at, _)| *at == phase),
            "no history came to {phase:?}"
        );
    }
    for event in stage::EVENTS {
        assert!(
            seen.keys().any(|(_, kind)| *kind == event),
            "{event:?} never happened"
        );
    }
}

/// What the table allows is taken in, and all else is refused, by name, and changes nothing.
#[test]
fn the_table_says_what_may_happen() {
    for phase in stage::PHASES {
        for event in stage::EVENTS {
            let mut machine = script::machine_in(phase);
            assert_eq!(machine.phase.kind(), phase);
            let before = format!("{machine:?}");
            let now = at(1_000_000);
            let stepped = machine.step(stage::event(event), now);
            let allowed = may_happen(event, phase) && stage::is_answer_awaited(event, phase);
            match stepped {
                Ok(_) => assert!(allowed, "{event:?} was taken in while {phase:?}"),
                Err(illegal) => {
                    assert!(!allowed, "{event:?} was refused while {phase:?}");
                    assert_eq!((illegal.event, illegal.phase), (event, phase));
                    assert_eq!(format!("{machine:?}"), before, "{event:?} while {phase:?}");
                }
            }
        }
    }
}

/// What all of them together keep, whatever goes wrong: no task is lost, none runs twice at once, none runs again that
/// is done, and a death costs one attempt.
#[test]
fn workers_that_are_killed_in_every_gap_keep_the_promises() {
    let kind = Kind {
        tasks: 300,
        foreign: 0,
        workers: 3,
        kills: 40,
        cancels: 0,
        forgets: true,
        is_local: true,
    };
    let kinds = [
        kind,
        Kind {
            is_local: false,
            ..kind
        },
        Kind {
            workers: 1,
            kills: 100,
            ..kind
        },
        Kind {
            tasks: 150,
            foreign: 150,
            forgets: false,
            ..kind
        },
        Kind {
            tasks: 100,
            foreign: 200,
            forgets: false,
            is_local: false,
            workers: 6,
            ..kind
        },
    ];
    let mut all = Tally::default();
    for kind in kinds {
        for seed in 1..=20 {
            println!("seed {seed}, {kind:?}");
            let tally = Model::new(seed, kind).play();
            all.steps += tally.steps;
            all.kills += tally.kills;
            all.restarts += tally.restarts;
            all.attempts += tally.attempts;
            all.lost += tally.lost;
            all.unstarted += tally.unstarted;
            all.stopped += tally.stopped;
            all.cut_off += tally.cut_off;
            all.cleanups += tally.cleanups;
        }
    }
    println!("{all:?}");
    assert!(
        all.kills > 2_000
            && all.restarts > 100
            && all.lost > 1_000
            && all.unstarted > 1_000
            && all.stopped > 200
            && all.cut_off > 10
            && all.cleanups > 1_000,
        "too little went wrong: {all:?}"
    );
}

/// A task that is called off while its command ends: never both done and cancelled, never neither, whoever hears of it
/// when, and whoever dies. Judged for each task by what its command did and by its row (`Model::judge`).
#[test]
fn a_cancel_and_an_end_are_never_both_and_never_neither() {
    let kind = Kind {
        tasks: 400,
        foreign: 0,
        workers: 3,
        kills: 100,
        cancels: 6,
        forgets: true,
        is_local: true,
    };
    let kinds = [
        kind,
        Kind {
            is_local: false,
            ..kind
        },
        Kind {
            tasks: 200,
            foreign: 200,
            forgets: false,
            kills: 60,
            ..kind
        },
    ];
    let mut all = Tally::default();
    for kind in kinds {
        for seed in 1..=35 {
            println!("seed {seed}, {kind:?}");
            let tally = Model::new(seed, kind).play();
            all.called_off.0 += tally.called_off.0;
            all.called_off.1 += tally.called_off.1;
            all.in_time += tally.in_time;
            all.too_late += tally.too_late;
            all.withdrawn += tally.withdrawn;
            all.kills += tally.kills;
        }
    }
    println!("{all:?}");
    assert!(
        all.called_off.1 >= 10_000
            && all.called_off.0 > 500
            && all.in_time > 1_000
            && all.too_late > 1_000
            && all.withdrawn > 50,
        "too little was called off: {all:?}"
    );
}
