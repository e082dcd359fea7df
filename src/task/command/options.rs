//! Which options a task may give to a command: those that the configuration names, and no others.

use std::collections::BTreeSet;

use super::super::payload::{Call, Mapping, OptionName, OptionValue, Refusal, Source};

/// Which options a command takes from whoever puts its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Options {
    /// Whatever is asked for: for a command that none of its options makes do harm.
    Any,
    /// Those of these names.
    Named(BTreeSet<OptionName>),
}

/// None at all: of a program that nobody has looked at, one option may run anything.
impl Default for Options {
    fn default() -> Self {
        Options::Named(BTreeSet::new())
    }
}

impl Options {
    fn take(&self, name: &OptionName) -> bool {
        match self {
            Options::Any => true,
            Options::Named(names) => names.contains(name),
        }
    }
}

/// What the configured types give to a command beside that.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Their values are fields of bodies.
    names: BTreeSet<OptionName>,
    /// These have one value, or several where there are several types, and no body can give them another.
    fixed: Vec<(OptionName, OptionValue)>,
}

impl Given {
    pub fn add(&mut self, mapping: &Mapping) {
        for (name, source) in &mapping.options {
            match source {
                Source::Field { .. } => {
                    self.names.insert(name.clone());
                }
                Source::Fixed(value) => self.fixed.push((name.clone(), value.clone())),
            }
        }
    }

    fn has(&self, option: &(OptionName, OptionValue)) -> bool {
        self.names.contains(&option.0) || self.fixed.contains(option)
    }
}

/// Whether a call asks for no other options than it may. `table` is what the configuration calls the command by.
pub(super) fn check(
    call: &Call,
    table: &str,
    options: &Options,
    given: Option<&Given>,
) -> Result<(), Refusal> {
    let is_refused = |option: &&(OptionName, OptionValue)| {
        let is_there = option.1 != OptionValue::Off;
        is_there && !options.take(&option.0) && !given.is_some_and(|given| given.has(option))
    };
    let refused: Vec<String> = call
        .options
        .iter()
        .filter(is_refused)
        .map(|(name, _)| name.to_string())
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Refusal::OptionsNotAllowed {
        command: call.command.to_string(),
        table: table.into(),
        allowed: match options {
            Options::Any => Vec::new(),
            Options::Named(names) => names.iter().map(OptionName::to_string).collect(),
        },
        refused,
    })
}
