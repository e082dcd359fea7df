//! Several tubes, one after the other: what fails in one keeps no other from being put right.

use std::sync::Arc;

use super::{Error, Memory, Pass, Standing, Summary};
use crate::broker::Broker;
use crate::ledger::Store;
use crate::process::environment::Environment;
use crate::task::command::Commands;
use crate::tube::TubeName;

/// A pass over each of several tubes.
pub struct Tubes<'a> {
    /// A session to look and put with.
    pub broker: &'a mut dyn Broker,
    /// The ledger.
    pub store: &'a Store,
    /// What may run.
    pub commands: &'a Arc<Commands>,
    /// What cleanups have in their environment, beside what is their own.
    pub environment: &'a Environment,
    /// Who takes over.
    pub standing: &'a mut Standing,
    /// The tubes.
    pub tubes: &'a [TubeName],
    /// Only count.
    pub dry_run: bool,
}

/// What kept some tubes from being put right.
#[derive(Debug)]
pub struct Trouble {
    /// The tubes.
    pub tubes: Vec<TubeName>,
    /// What it was.
    pub error: Error,
}

impl Trouble {
    /// The tubes' names, for people.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.tubes.iter().map(TubeName::as_str).collect();
        names.join(", ")
    }
}

/// What passes over several tubes came to.
#[derive(Debug, Default)]
pub struct Passed {
    /// What was done in each tube, in the order of the tubes.
    pub done: Vec<Summary>,
    /// What was not.
    pub troubles: Vec<Trouble>,
}

impl Tubes<'_> {
    /// Recovers the attempts of all tubes, which needs no broker, and only then sees to the jobs of any. There is a
    /// memory for each tube, in the order of the tubes.
    pub async fn run(&mut self, memories: &mut [Memory]) -> Passed {
        let tubes = self.tubes;
        let mut passed = Passed {
            done: vec![Summary::default(); tubes.len()],
            troubles: Vec::new(),
        };
        let mut waiting = Vec::with_capacity(tubes.len());
        for (at, (tube, done)) in tubes.iter().zip(&mut passed.done).enumerate() {
            match self.pass(tube).recover(done).await {
                Ok(tasks) => waiting.push(tasks),
                Err(error) => {
                    waiting.push(Vec::new());
                    if note(&mut passed.troubles, rest(tubes, at), error.into()) {
                        return passed;
                    }
                }
            }
        }
        let each = tubes
            .iter()
            .zip(&mut passed.done)
            .zip(memories)
            .zip(waiting);
        for (at, (((tube, done), memory), waiting)) in each.enumerate() {
            let rung = self.pass(tube).see_to_jobs(waiting, memory, done).await;
            if let Err(error) = rung
                && note(&mut passed.troubles, rest(tubes, at), error)
            {
                return passed;
            }
        }
        passed
    }

    fn pass<'a>(&'a mut self, tube: &'a TubeName) -> Pass<'a> {
        Pass {
            broker: &mut *self.broker,
            store: self.store,
            commands: self.commands,
            environment: self.environment,
            standing: &mut *self.standing,
            tube,
            dry_run: self.dry_run,
        }
    }
}

fn rest(tubes: &[TubeName], from: usize) -> &[TubeName] {
    tubes.get(from..).unwrap_or_default()
}

/// Notes what went wrong in the first of these tubes. True if the others would meet with the same.
fn note(troubles: &mut Vec<Trouble>, tubes: &[TubeName], error: Error) -> bool {
    let is_of_all = error.is_of_all_tubes();
    let named = if is_of_all { tubes.len() } else { 1 };
    let tubes = tubes.iter().take(named).cloned();
    let said = error.to_string();
    match troubles
        .iter_mut()
        .find(|known| known.error.to_string() == said)
    {
        Some(known) => known.tubes.extend(tubes),
        None => troubles.push(Trouble {
            tubes: tubes.collect(),
            error,
        }),
    }
    is_of_all
}
