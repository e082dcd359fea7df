//! Half of a long history is deleted, and somebody writes all the while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use super::figures::{Samples, quantile};
use super::history::History;
use super::world::{Size, World};
use super::writer::Writer;

/// Between two tasks of the writer.
const PAUSE: Duration = Duration::from_millis(2);

/// More tasks than it gets to.
const TASKS: usize = 100_000;

/// How long it is watched alone.
const ALONE: Duration = Duration::from_secs(2);

pub fn measure(size: &Size, samples: &mut Samples) {
    let [.., rows] = size.histories;
    let history = History::of(rows);
    let world = World::embedded().over(history.store());
    let old = "SELECT count(*) FROM tasks WHERE finished IS NOT NULL";
    let before = world.ask(old);
    let mut writer = Writer::new(&history.store(), TASKS);

    let alone = AtomicBool::new(false);
    let alone = scope(|scope| {
        let writing = scope.spawn(|| write_until(&mut writer, &alone));
        sleep(ALONE);
        alone.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    samples.add("cleanup.alone.max", quantile(&alone, 1.0));

    let ended = AtomicBool::new(false);
    let (took, meanwhile) = scope(|scope| {
        let writing = scope.spawn(|| write_until(&mut writer, &ended));
        let period = history.half().to_string();
        let begun = Instant::now();
        let cleanup = world.taskqueue(&["cleanup", "--period", &period]).status();
        let took = begun.elapsed();
        ended.store(true, Ordering::Relaxed);
        assert!(cleanup.unwrap().success());
        (took, writing.join().unwrap())
    });
    // What failed stays, and what the writer did has just ended.
    let written = (alone.len() + meanwhile.len()) as i64 / 2;
    let deleted = before + written - world.ask(old);
    let expected = rows as i64 / 2 * 99 / 100;
    assert!((deleted - expected).abs() <= 2, "{deleted} of {expected}");
    samples.add("cleanup.rate", deleted as f64 / took.as_secs_f64());
    samples.add("cleanup.write.p99", quantile(&meanwhile, 0.99));
    samples.add("cleanup.write.max", quantile(&meanwhile, 1.0));
}

/// How long each write took, in milliseconds, the longest last.
fn write_until(writer: &mut Writer, ended: &AtomicBool) -> Vec<f64> {
    let mut millis = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let both = writer.write().expect("enough tasks");
        millis.extend(both.map(|micros| micros / 1000.0));
        sleep(PAUSE);
    }
    millis.sort_by(f64::total_cmp);
    millis
}
