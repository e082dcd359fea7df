//! What workers would not run of the tasks that are put: told at once, to whoever has just put them.

use std::collections::BTreeSet;

use crate::api::Put;
use crate::cli::log;
use crate::config::{Config, EXAMPLE_COMMAND};
use crate::task::payload::Refusal;
use crate::tube::TubeName;

/// So many reasons are told; a batch may have a million.
const TOLD: usize = 8;

/// What this configuration would refuse, so far.
pub struct Doubt<'a> {
    config: &'a Config,
    tube: &'a TubeName,
    /// The configuration says what may run. Where only tasks are put there may be none.
    speaks: bool,
    told: BTreeSet<String>,
    /// Tasks beyond those whose reasons were told.
    more: u64,
}

impl<'a> Doubt<'a> {
    pub fn new(config: &'a Config, tube: &'a TubeName) -> Doubt<'a> {
        let mut configured = config.commands.configured();
        Doubt {
            config,
            tube,
            speaks: configured.any(|(name, _)| name != EXAMPLE_COMMAND),
            told: BTreeSet::new(),
            more: 0,
        }
    }

    /// Whether the configuration says what may run.
    pub fn speaks(&self) -> bool {
        self.speaks
    }

    /// What is to be said of these tasks once they are recorded, each reason once.
    pub fn of(&mut self, puts: &[Put]) -> Vec<String> {
        self.said(
            puts,
            "the task is recorded, and by this configuration it will ",
        )
    }

    /// The same of tasks that are not recorded for that.
    pub fn refusals(&mut self, puts: &[Put]) -> Vec<String> {
        self.said(puts, "by this configuration the task would ")
    }

    fn said(&mut self, puts: &[Put], begin: &str) -> Vec<String> {
        let mut new = Vec::new();
        if !self.speaks {
            return new;
        }
        for put in puts {
            let Some(refusal) = put.refusal(&self.config.commands, self.tube) else {
                continue;
            };
            // A worker may have been given a command for bodies as it was started: worker … -- COMMAND.
            if matches!(refusal, Refusal::NoRawCommand { .. }) {
                continue;
            }
            let becomes = match refusal.is_for_want_of_a_command() {
                true => "wait for its command",
                false => "be refused",
            };
            let text = format!("{begin}{becomes}: {refusal}");
            if self.told.contains(&text) {
                continue;
            }
            if self.told.len() < TOLD {
                self.told.insert(text.clone());
                new.push(text);
            } else {
                self.more = self.more.saturating_add(1);
            }
        }
        new
    }

    /// Says what was not said of each task.
    pub fn end(&self) {
        if self.more > 0 {
            log::warn(format_args!(
                "{} more tasks will not run by this configuration",
                self.more
            ));
        }
    }
}
