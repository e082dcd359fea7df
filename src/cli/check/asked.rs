//! What the tasks in the store ask for that the configuration does not name: the lines that are missing, for those who
//! upgrade.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::config::Config;
use crate::ledger::read::{Filter, Task};
use crate::ledger::{self, Ledger};
use crate::task::command::{Commands, Content};
use crate::task::payload::{Call, Refusal};

/// So many tasks are looked at, the newest.
const NEWEST: u64 = 10_000;

/// So many lists are told: commands are many only where somebody makes them so.
const TOLD: usize = 100;

/// The options that tasks of one table gave, and how many tasks.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    /// Those that the table has are among them.
    options: BTreeSet<String>,
    tasks: u64,
}

/// The lists that are missing, by the tables that they belong to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked(BTreeMap<String, List>);

impl Asked {
    /// Looks at the newest tasks.
    pub fn of(ledger: &Ledger, config: &Config) -> Result<Asked, ledger::Error> {
        let mut asked = Asked::default();
        ledger.list(&Filter::default(), NEWEST, |task| {
            asked.look(&task, &config.commands);
            true
        })?;
        Ok(asked)
    }

    fn look(&mut self, task: &Task, commands: &Commands) {
        // What was refused already is what nobody needs to allow, or what names its line in its reason.
        let newest = task.attempts.last();
        if newest.is_some_and(|attempt| attempt.outcome.as_deref() == Some("refused")) {
            return;
        }
        let (Some(command), Ok(tube)) = (&task.command, task.tube.parse()) else {
            return;
        };
        // Of a raw body, and of a row that makes no sense, there is no call.
        let Ok(call) = Call::from_parts(command, &task.arguments, &task.options) else {
            return;
        };
        let Err(refusal) = commands.plan(task.uuid, &tube, &Content::Call(call)) else {
            return;
        };
        if let Refusal::OptionsNotAllowed {
            table,
            allowed,
            refused,
            ..
        } = refusal
        {
            if self.0.len() >= TOLD && !self.0.contains_key(&table) {
                return;
            }
            let list = self.0.entry(table).or_default();
            let names = allowed.iter().chain(&refused);
            list.options.extend(names.cloned());
            list.tasks = list.tasks.saturating_add(1);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_json(&self) -> Value {
        let of = |(table, list): (&String, &List)| {
            json!({
                "key": format!("commands.{table:?}.options"),
                "options": list.options,
                "tasks": list.tasks,
            })
        };
        self.0.iter().map(of).collect()
    }
}

/// The lines as they are to be written.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Of the newest {NEWEST} tasks in the store, some have options that this configuration refuses. Where it is \
             right\nto give them to the command, write:"
        )?;
        for (table, list) in &self.0 {
            let names: Vec<String> = list
                .options
                .iter()
                .map(|name| format!("{name:?}"))
                .collect();
            let tasks = match list.tasks {
                1 => "1 task".to_owned(),
                tasks => format!("{tasks} tasks"),
            };
            writeln!(
                f,
                "\n[commands.{table:?}]\noptions = [{}]   # used by {tasks}",
                names.join(", ")
            )?;
        }
        Ok(())
    }
}
