//! Tasks that wait where nobody looks, or for a command that is not configured: said once, and again when they are
//! others.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::rows::{Backlog, Wants};
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
                Wait::RawCommand(tube) => format!("raw {tube}"),
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
                    Wait::RawCommand(tube) => {
                        tracing::warn!(
                            tube,
                            tasks,
                            "tasks wait for a command for raw bodies, which their tube does not have"
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
    RawCommand(&'a str),
}

fn waiting<'a>(
    backlog: &'a [Backlog],
    commands: &Commands,
    tended: &BTreeSet<TubeName>,
) -> BTreeMap<Wait<'a>, u64> {
    let mut waits = BTreeMap::new();
    for row in backlog {
        let tended = tended.iter().find(|tube| tube.as_str() == row.tube);
        let wait = match (tended, &row.wants) {
            (None, _) => Wait::Tube(&row.tube),
            (Some(tube), Wants::Command(command))
                if commands.find(command).is_none() && !commands.chooses_for(tube) =>
            {
                Wait::Command(command)
            }
            (Some(tube), Wants::RawCommand) if !commands.takes_raw(tube) => {
                Wait::RawCommand(&row.tube)
            }
            (Some(_), Wants::Command(_) | Wants::RawCommand | Wants::Unknown) => continue,
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
        let row = |tube: &str, wants, count| Backlog {
            tube: tube.into(),
            wants,
            count,
        };
        let command = |name: &str| Wants::Command(name.into());
        let backlog = [
            row("a", command("known"), 1),
            row("a", Wants::Unknown, 2),
            row("a", command("gone"), 4),
            row("b", command("gone"), 8),
            row("b", Wants::Unknown, 16),
            row("c", command("gone"), 32),
            row("a", Wants::RawCommand, 64),
            row("b", Wants::RawCommand, 128),
            row("c", Wants::RawCommand, 256),
        ];
        let mut commands = Commands::default();
        commands.add("known", Command::new(vec!["true".into()]));
        assert!(commands.take_raw("a".parse().unwrap(), "known"));
        let tended = ["a", "c"].map(|tube| tube.parse().unwrap()).into();
        let found = waiting(&backlog, &commands, &tended);
        let expected = [
            (Wait::Tube("b"), 152),
            (Wait::Command("gone"), 36),
            (Wait::RawCommand("c"), 256),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
