//! Tasks that wait where nobody looks, or for a command that is not configured: said once, and again when they are
//! others.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::rows::Backlog;
use crate::task::command::Commands;
use crate::tube::TubeName;

/// What was said last.
#[derive(Debug, Default)]
pub struct Said(BTreeSet<String>);

impl Said {
    /// Says what is new. `tended` are the tubes of all tenders of the store.
    pub fn say(&mut self, backlog: &[Backlog], commands: &Commands, tended: &BTreeSet<TubeName>) {
        let mut now = BTreeSet::new();
        for (wait, tasks) in waiting(backlog, commands, tended) {
            // A tube's name has no space.
            let key = match wait {
                Wait::Tube(tube) => tube.to_owned(),
                Wait::Command(command) => format!("command {command}"),
            };
            if !self.0.contains(&key) {
                match wait {
                    Wait::Tube(tube) => {
                        tracing::warn!(tube, tasks, "tasks wait in a tube that nobody tends");
                    }
                    Wait::Command(command) => {
                        tracing::warn!(
                            command,
                            tasks,
                            "tasks wait for a command that is not configured"
                        );
                    }
                }
            }
            now.insert(key);
        }
        self.0 = now;
    }
}

/// What tasks wait for that does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait<'a> {
    Tube(&'a str),
    Command(&'a str),
}

fn waiting<'a>(
    backlog: &'a [Backlog],
    commands: &Commands,
    tended: &BTreeSet<TubeName>,
) -> BTreeMap<Wait<'a>, u64> {
    let mut waits = BTreeMap::new();
    for row in backlog {
        let is_tended = tended.iter().any(|tube| tube.as_str() == row.tube);
        let wait = match row.command.as_deref() {
            _ if !is_tended => Wait::Tube(&row.tube),
            Some(command) if commands.find(command).is_none() && !commands.takes_every_body() => {
                Wait::Command(command)
            }
            Some(_) | None => continue,
        };
        *waits.entry(wait).or_insert(0) += row.count;
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::command::Command;

    #[test]
    fn what_does_not_come_is_counted() {
        let row = |tube: &str, command: Option<&str>, count| Backlog {
            tube: tube.into(),
            command: command.map(Into::into),
            count,
        };
        let backlog = [
            row("a", Some("known"), 1),
            row("a", None, 2),
            row("a", Some("gone"), 4),
            row("b", Some("gone"), 8),
            row("b", None, 16),
            row("c", Some("gone"), 32),
        ];
        let mut commands = Commands::default();
        commands.add("known", Command::new(vec!["true".into()]));
        let tended = ["a", "c"].map(|tube| tube.parse().unwrap()).into();
        let found = waiting(&backlog, &commands, &tended);
        let expected = [(Wait::Tube("b"), 24), (Wait::Command("gone"), 36)];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
