//! What producers may ask for, as the configuration says it: options, a tube's commands, and the example.

use std::collections::BTreeSet;

use super::error::{Error, Wrong};
use super::file::{self, File, Tube};
use super::listed::Given;
use crate::process::program;
use crate::task::command::{Command, Commands, Options};
use crate::task::payload::{CommandName, OptionName, Refusal};
use crate::tube::TubeName;

/// The command that `add-example-task` queues. What it runs needs no configuration; whether it may run does.
pub const EXAMPLE_COMMAND: &str = "taskqueue:example-task-worker";

/// The option that `add-example-task` gives to its command.
const EXAMPLE_OPTION: &str = "message";

/// The options of a command. Where it reads the whole body, they are a part of what it reads: any will do, unless it is
/// said which.
pub(super) fn options(given: &file::Command) -> Result<Options, Refusal> {
    match &given.options {
        Some(Given::Any) => Ok(Options::Any),
        Some(Given::Named(names)) => names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<BTreeSet<OptionName>, _>>()
            .map(Options::Named),
        None if given.stdin == Some(file::Stdin::Body) => Ok(Options::Any),
        None => Ok(Options::default()),
    }
}

/// The command that `add-example-task` queues, as it is where nothing more is said of it.
pub(super) fn example() -> Result<Command, Refusal> {
    let program = program::found(program::name().as_os_str());
    let run = vec![
        program.to_string_lossy().into_owned(),
        "example-task-worker".into(),
    ];
    Ok(Command {
        options: Options::Named([EXAMPLE_OPTION.parse()?].into()),
        ..Command::new(run)
    })
}

/// Whether the example may run: where the file names it anywhere, and where the file names no command at all, so that
/// nothing else is there that the example could keep waiting.
pub(super) fn has_example(file: &File) -> bool {
    let of_tube = |tube: &Tube| {
        let named = tube.commands.iter().flatten().chain(&tube.command);
        named.into_iter().any(|name| name == EXAMPLE_COMMAND)
    };
    file.commands.is_empty()
        || file.commands.contains_key(EXAMPLE_COMMAND)
        || file
            .types
            .values()
            .any(|one| one.command == EXAMPLE_COMMAND)
        || file.tubes.values().any(of_tube)
}

/// What the tasks of a tube may ask for.
pub(super) fn limit(
    tube: &TubeName,
    given: &Tube,
    commands: &mut Commands,
    wrong: &Wrong<'_>,
) -> Result<(), Error> {
    let at = |key: &str| format!("tubes.\"{tube}\"{key}");
    if let Some(patterns) = &given.commands {
        if let Some(odd) = patterns.iter().find(|pattern| !is_pattern(pattern)) {
            let reason = format!(
                "{odd:?} is no command's name: letters, digits, - _ and :, and perhaps a * at its end"
            );
            return Err(wrong(at(".commands"), reason));
        }
        for pattern in patterns {
            if !commands.has(pattern) {
                let reason =
                    format!("there is no [commands.\"{pattern}\"], nor one that it stands for");
                return Err(wrong(at(".commands"), reason));
            }
        }
        commands.limit(tube.clone(), patterns.clone());
    }
    if given.raw_only {
        if given.command.is_none() {
            let reason = "needs a command for the bodies: write command = \"…\" beside it";
            return Err(wrong(at(".raw_only"), reason.into()));
        }
        if given.commands.is_some() {
            let reason =
                "means nothing beside raw_only, by which all bodies go to the tube's command";
            return Err(wrong(at(".commands"), reason.into()));
        }
        commands.take_raw_only(tube.clone());
    }
    Ok(())
}

/// Whether it can be a command's name, or a pattern.
pub(super) fn is_pattern(pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.parse::<CommandName>().is_ok(),
        None => pattern.parse::<CommandName>().is_ok(),
    }
}
