//! Pools through a day of uneven load, in made-up time: workers that die, programs that are broken, a broker that
//! cannot be reached. `make simulate` for the whole of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a simulation fails by panicking and tells what it saw"
)]

use std::time::{Duration, Instant};

use taskqueue::crew::Crew;
use taskqueue::lifecycle::{Event, Jitter, Rules, Unready};
use taskqueue::pool::share::{MOST_WEIGHT, Member, Part, fits};
use taskqueue::pool::{Demand, Limits, Mode};

mod chance;
mod shared;
mod tally;
mod world;

use chance::Chance;
use tally::Tally;
use world::{Plan, World};

const HOUR: Duration = Duration::from_secs(3600);

fn seed() -> u64 {
    let given = std::env::var("SEED").ok().filter(|seed| !seed.is_empty());
    let seed = given.map_or_else(
        || u64::from(std::process::id()) << 20 ^ Instant::now().elapsed().as_nanos() as u64,
        |seed| seed.parse().unwrap(),
    );
    println!("SEED={seed}");
    seed
}

/// Any pool there could be.
fn plan(chance: &mut Chance, length: Duration, away: &[world::Span]) -> Plan {
    let mode = match chance.between(0, 3) {
        0 => Mode::Static,
        1 => Mode::Ondemand,
        _ => Mode::Dynamic,
    };
    let max = chance.between(1, 20);
    let min = chance.between(0, max.min(4));
    let limits = mode.limits(min, chance.between(0, 3), max).unwrap();
    let patience = Duration::from_secs(u64::from(chance.between(0, 30)));
    let job = 0.2 + 60.0 * chance.part().powi(4);
    // At the height of the day some pools have more than they can do.
    let rate = f64::from(max) / job * 0.5 * chance.part().powi(2);
    let broken_at = length.mul_f64(chance.part());
    let broken_for = Duration::from_secs(u64::from(chance.between(10, 600)));
    let broken = chance.one_in(5);
    Plan {
        limits: limits.with_shrink_after(patience),
        rules: Rules {
            max_age: Duration::from_secs(u64::from(chance.between(0, 3) * 1200)),
            max_output: u64::from(chance.between(0, 1)) * 6_000_000,
            max_jobs: u64::from(chance.between(0, 1)) * 500,
            max_memory: 0,
            unready: Unready::Killed(Duration::from_secs(30)),
            kill_after: Duration::ZERO,
        },
        length,
        rate: rate.clamp(0.0005, 0.5),
        day: length,
        job,
        burst: 0,
        death: chance.one_in(2).then_some(3600.0),
        away: away.to_vec(),
        broken: if broken {
            vec![(broken_at, broken_at + broken_for)]
        } else {
            vec![]
        },
        before: chance.between(0, max),
    }
}

fn day(pools: u64, length: Duration, seed: u64) -> Tally {
    let mut chance = Chance::new(seed);
    let away: Vec<world::Span> = (0..3)
        .map(|_| {
            let at = length.mul_f64(chance.part());
            let lasts = Duration::from_secs(u64::from(chance.between(1, 1200)));
            (at, at + lasts.min(length / 20))
        })
        .collect();
    let mut all = Tally::default();
    for _ in 0..pools {
        let plan = plan(&mut chance, length, &away);
        let mut world = World::new(plan, Chance::new(chance.number()));
        world.live();
        let tally = &world.tally;
        assert_eq!(tally.above_max, Duration::ZERO, "SEED={seed}: above max");
        assert_eq!(tally.jobs, tally.done, "SEED={seed}: lost jobs");
        all.add(tally);
    }
    println!("{all}");
    all
}

/// What one decision takes in a pool of so many busy workers, in nanoseconds.
fn cost(workers: u32) -> f64 {
    let mut crew = Crew::new(
        Limits::new(workers, 0, workers + 1).unwrap(),
        Rules::default(),
    );
    let now = Duration::from_secs(1);
    crew.tend(now);
    for worker in 1..=u64::from(workers) {
        let jitter = Jitter(0);
        crew.happened(worker, Event::Spawned { jitter }, now)
            .unwrap();
        crew.happened(worker, Event::Ready, now).unwrap();
    }
    crew.demanded(Demand::Ready(0), now);
    const TIMES: u64 = 2000;
    let began = Instant::now();
    for time in 0..TIMES {
        let now = now + Duration::from_millis(time);
        let worker = 1 + time % u64::from(workers);
        crew.happened(worker, Event::Busy { task: 1, group: 1 }, now)
            .unwrap();
        crew.tend(now);
        crew.deadline();
    }
    began.elapsed().as_nanos() as f64 / TIMES as f64
}

#[test]
fn a_short_day() {
    day(40, HOUR, seed());
}

#[test]
#[ignore = "takes a while; make simulate"]
fn a_whole_day() {
    day(1000, 24 * HOUR, seed());
    println!("\none event and the decision after it, by the workers of the pool");
    for workers in [1, 10, 100, 1000, 10_000] {
        println!("{workers:>8}  {:>9.0} ns", cost(workers));
    }
}

#[test]
fn a_burst_brings_the_pool_to_max_within_two_seconds() {
    for max in [2, 5, 20, 60] {
        let plan = Plan {
            limits: Limits::new(2, 1, max).unwrap(),
            rules: Rules::default(),
            length: HOUR,
            rate: 0.0005,
            day: HOUR,
            job: 10.0,
            burst: 1000,
            death: None,
            away: vec![],
            broken: vec![],
            before: 0,
        };
        let mut world = World::new(plan, Chance::new(1));
        let took = world.until(|processes| processes >= max as usize);
        println!("a burst of 1,000 jobs: {max} workers after {took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

/// Tubes that share a pool, some of them always full.
fn shared_plan(chance: &mut Chance) -> (u32, Vec<shared::Plan>) {
    loop {
        let places = chance.between(1, 12);
        let plans: Vec<shared::Plan> = (0..chance.between(2, 5))
            .map(|_| {
                let max = chance.between(1, 15);
                let min = chance.between(0, max.min(2)) * chance.between(0, 1);
                let job = 0.02 + 3.0 * chance.part().powi(3);
                let is_full = chance.one_in(2);
                shared::Plan {
                    limits: Limits::new(min, chance.between(0, 2), max).unwrap(),
                    part: Part {
                        weight: chance.between(1, 8),
                        outside: if chance.one_in(4) {
                            chance.between(0, max.min(2))
                        } else {
                            0
                        },
                    },
                    job,
                    rate: f64::from(places) / job * chance.part() * if is_full { 2.0 } else { 0.3 },
                    spell: (!is_full).then_some(20.0),
                    burst: 0,
                }
            })
            .collect();
        let members = plans.iter().map(|plan| Member {
            min: plan.limits.min(),
            max: plan.limits.max(),
            outside: plan.part.outside,
        });
        if fits(places, &members.collect::<Vec<_>>()).is_ok() {
            return (places, plans);
        }
    }
}

#[test]
fn tubes_that_share_a_pool_never_pass_its_max_and_none_starves() {
    let seed = seed();
    let mut chance = Chance::new(seed);
    for _ in 0..8 {
        let (places, plans) = shared_plan(&mut chance);
        let said = format!("SEED={seed}: {places} places for {plans:?}");
        let mut pool = shared::Pool::new(places, plans, Chance::new(chance.number()));
        pool.live(Duration::from_secs(120), true);
        for tube in &pool.tubes {
            // Its turn comes after those of four others with eight times its weight, and the jobs that run then.
            assert!(
                tube.starved < Duration::from_secs(90),
                "{:?}: {said}",
                tube.starved
            );
        }
        let mut left = 200;
        while !pool.is_idle() {
            left -= 1;
            assert!(left > 0, "jobs are lost, or wait: {said}");
            pool.live(Duration::from_secs(20), false);
        }
    }
}

#[test]
fn full_tubes_have_worker_time_by_weight_and_few_processes_are_replaced() {
    const LENGTH: u64 = 200;
    for (places, weights, job) in [
        (9, vec![8, 1], 0.3),
        (9, vec![8, 1], 0.005),
        (9, vec![8, 1], 5.0),
        (1, vec![1, 1, 1], 0.05),
        (1, vec![8, 1], 0.05),
        (4, vec![3, 2], 0.5),
        (4, vec![1, 1, 1, 1, 1, 1], 0.5),
        (7, vec![5, 3, 1], 2.0),
        (2, vec![MOST_WEIGHT / 2, MOST_WEIGHT], 0.2),
    ] {
        let plans = weights.iter().map(|weight| shared::Plan {
            limits: Limits::new(0, 1, 20).unwrap(),
            part: Part {
                weight: *weight,
                outside: 0,
            },
            job,
            rate: 0.0,
            spell: None,
            burst: 10_000_000,
        });
        let mut pool = shared::Pool::new(places, plans.collect(), Chance::new(7));
        pool.live(Duration::from_secs(LENGTH), false);
        let all: u64 = pool.tubes.iter().map(|tube| tube.done).sum();
        let sum: u32 = weights.iter().sum();
        let started: u64 = pool.tubes.iter().map(|tube| tube.started).sum();
        let parts: Vec<f64> = pool
            .tubes
            .iter()
            .map(|tube| tube.done as f64 / all as f64)
            .collect();
        println!(
            "{places} places for {weights:?}, jobs of {job} s: {parts:.3?}, {started} started, {} at most",
            pool.most
        );
        for (part, weight) in parts.iter().zip(&weights) {
            let due = f64::from(*weight) / f64::from(sum);
            assert!(
                (part / due - 1.0).abs() < 0.25,
                "{part} of {due}: {weights:?} in {places}"
            );
        }
        assert_eq!(pool.most, places);
        // A place's worker is replaced every two seconds at the most, and there are those of the beginning.
        assert!(
            started <= LENGTH * u64::from(places) / 2 + 20,
            "{started} were started"
        );
    }
}
