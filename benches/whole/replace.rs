//! A worker is killed: how long until another has asked the broker for a job in its place.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::figures::{Samples, quantile};
use super::processes::children;
use super::world::{Size, World, pid};

/// One that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the last death has set off has come to rest.
const REST: Duration = Duration::from_millis(300);

pub fn measure(size: &Size, samples: &mut Samples) {
    add(samples, "replace.idle", idle(size.kills));
    add(samples, "replace.busy", busy(size.kills));
}

fn add(samples: &mut Samples, name: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    samples.add(&format!("{name}.p50"), quantile(&millis, 0.5));
    samples.add(&format!("{name}.max"), quantile(&millis, 1.0));
}

/// One of eight that wait: the broker counts those who wait for a job.
fn idle(kills: usize) -> Vec<f64> {
    let mut world = World::with_beanstalkd();
    world.tend(8);
    let mut session = world.server.as_ref().unwrap().connect();
    let millis = (0..kills)
        .map(|_| {
            sleep(REST);
            let begun = Instant::now();
            kill(world.workers()[0]);
            wait_until(|| session.waiting(super::world::TUBE) < 8);
            wait_until(|| session.waiting(super::world::TUBE) == 8);
            in_millis(begun)
        })
        .collect();
    world.stop();
    millis
}

/// The only one, whose command hangs: the broker counts how often it was asked for a job. What the dead one left is
/// ended, and its task run again.
fn busy(kills: usize) -> Vec<f64> {
    let mut world = World::with_beanstalkd();
    world.tend(1);
    let mut session = world.server.as_ref().unwrap().connect();
    let millis = (0..kills)
        .map(|_| {
            world.put("hang", 1);
            let worker = world.workers()[0];
            wait_until(|| !children(worker).is_empty());
            sleep(REST);
            let asked = session.reserves();
            let begun = Instant::now();
            kill(worker);
            wait_until(|| session.reserves() > asked);
            let took = in_millis(begun);
            world.drain();
            took
        })
        .collect();
    world.stop();
    let kills = kills as i64;
    let counted = |query| world.ask(query);
    assert_eq!(
        counted("SELECT count(*) FROM tasks WHERE status = 'done' AND attempt = 2"),
        kills
    );
    assert_eq!(
        counted("SELECT count(*) FROM attempts WHERE outcome = 'lost' AND number = 1"),
        kills
    );
    millis
}

fn kill(worker: u32) {
    kill_process(pid(worker), Signal::KILL).unwrap();
}

fn in_millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

fn wait_until(mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "no other worker came");
        sleep(Duration::from_micros(100));
    }
}
