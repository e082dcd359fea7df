//! A pool that waits: what it holds, and what it does meanwhile. And what workers hold after many jobs.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::figures::Samples;
use super::processes::{Wakes, memory, nanos};
use super::world::{Size, World};

/// Everything that belongs to a start is over by then.
const REST: Duration = Duration::from_secs(3);

/// Eight workers and their tender, no job.
pub fn measure(size: &Size, samples: &mut Samples) {
    let mut world = World::with_beanstalkd();
    world.tend(8);
    sleep(REST);
    let workers = world.workers();
    assert_eq!(workers.len(), 8);
    let held: Vec<f64> = workers.iter().map(|pid| memory(*pid)).collect();
    samples.add("idle.memory.worker", mean(&held));
    samples.add("idle.memory.tender", memory(world.tender()));
    samples.add("idle.memory.guard", memory(world.guard()));

    let parts = [
        ("workers", workers),
        ("tender", vec![world.tender(), world.guard()]),
    ];
    let mut wakes: [Wakes; 2] = Default::default();
    let mut count = || {
        let counted = parts.iter().zip(&mut wakes);
        Vec::from_iter(counted.map(|((_, pids), wakes)| wakes.of(pids)))
    };
    count();
    let before = parts.each_ref().map(|(_, pids)| on_processor(pids));
    let mut woken = [0, 0];
    let begun = Instant::now();
    while begun.elapsed() < size.idle {
        sleep(Duration::from_secs(1));
        for (sum, more) in woken.iter_mut().zip(count()) {
            *sum += more;
        }
    }
    let took = begun.elapsed();
    let mut all = 0.0;
    for (((part, pids), before), woken) in parts.iter().zip(before).zip(woken) {
        let nanos = on_processor(pids) - before;
        let share = nanos as f64 / took.as_nanos() as f64 * 100.0;
        all += share;
        samples.add(&format!("idle.cpu.{part}"), share);
        let a_minute = woken as f64 / took.as_secs_f64() * 60.0;
        samples.add(&format!("idle.wakes.{part}"), a_minute / pids.len() as f64);
    }
    samples.add("idle.cpu", all);
    world.stop();
}

/// Four workers, after a few jobs each and after many.
pub fn measure_growth(size: &Size, samples: &mut Samples) {
    let mut world = World::with_beanstalkd();
    world.tend(4);
    let first = world.workers();
    let mut run = 0;
    for (name, jobs) in ["few", "many"].into_iter().zip(size.looks) {
        world.put("true", jobs - run);
        run = jobs;
        world.drain();
        sleep(REST);
        let held: Vec<f64> = world.workers().iter().map(|pid| memory(*pid)).collect();
        samples.add(&format!("memory.{name}"), mean(&held));
    }
    assert_eq!(first, world.workers(), "a worker was replaced meanwhile");
    world.stop();
    world.check(run);
}

fn on_processor(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| nanos(*pid)).sum()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
