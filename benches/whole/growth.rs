//! What a long history costs: the same work on stores of a few rows, of many, and of very many.

use super::drain;
use super::figures::{Samples, median};
use super::history::History;
use super::world::{Size, TUBE, World, millis};
use super::writer::Writer;

/// By size, as the figures are named.
const NAMES: [&str; 3] = ["few", "some", "many"];

/// How often each of what people ask is asked.
const ASKED: usize = 5;

/// The stores, kept from round to round: what a round adds is little.
#[derive(Default)]
pub struct Growth(Vec<History>);

impl Growth {
    pub fn measure(&mut self, size: &Size, samples: &mut Samples) {
        if self.0.is_empty() {
            self.0 = size.histories.map(History::of).into();
        }
        for (name, history) in NAMES.into_iter().zip(&self.0) {
            let world = World::with_beanstalkd().over(history.store());
            let drained = format!("growth.{name}.drain");
            drain::drain_ours(world, &drained, size.few, samples);
        }
        for (name, history) in NAMES.into_iter().zip(&self.0) {
            let (claim, settle) = claims(history, size.singles);
            samples.add(&format!("growth.{name}.claim"), claim);
            samples.add(&format!("growth.{name}.settle"), settle);
            let world = World::embedded().over(history.store());
            for (what, arguments) in QUESTIONS {
                let millis = ask(&world, arguments);
                samples.add(&format!("growth.{name}.{what}"), millis);
            }
        }
    }
}

/// What people ask, and what a nightly cleanup begins with.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("list", &["list"]),
    ("list.failed", &["list", "--status", "failed"]),
    (
        "list.failed.tube",
        &["list", "--status", "failed", "--use-tube", TUBE],
    ),
    ("list.waiting", &["list", "--status", "waiting"]),
    (
        "list.command",
        &["list", "--command", "mail:send", "--status", "done"],
    ),
    ("show", &["show", "500"]),
    ("reconcile", &["reconcile", "--dry-run"]),
    ("cleanup.nothing", &["cleanup", "--period", "3650d"]),
];

/// How long the program takes to answer, in milliseconds, at the median.
fn ask(world: &World, arguments: &[&str]) -> f64 {
    let mut took: Vec<f64> = (0..ASKED)
        .map(|_| millis(world.taskqueue(arguments)))
        .collect();
    median(&mut took)
}

/// How long a claim and a settlement take, in microseconds, at the median.
fn claims(history: &History, count: usize) -> (f64, f64) {
    let mut writer = Writer::new(&history.store(), count);
    let mut took = [Vec::new(), Vec::new()];
    while let Some([claim, settle]) = writer.write() {
        took[0].push(claim);
        took[1].push(settle);
    }
    let [claim, settle] = took.map(|mut took| median(&mut took));
    (claim, settle)
}
