//! The environment variables of flags: what is empty is as good as not set, and what is wrong is named.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Args, Command};

use super::environment::is_given;
use super::{Failure, out, usage};

/// The command line without the variables that count for nothing: those that are set and empty, as compose files and
/// units make them, and those whose flag is given. (`clap` reads the variable of a flag that every subcommand takes
/// also where the flag comes after the subcommand.)
pub fn heeded(command: Command) -> Command {
    heeded_here(command).mut_subcommands(heeded)
}

/// The same without those of its subcommands.
pub fn heeded_here(command: Command) -> Command {
    command.mut_args(|arg| match variable(&arg) {
        Some((_, value)) if value.is_empty() || is_given(arg.get_long()) => {
            arg.env(Resettable::Reset)
        }
        Some(_) | None => arg,
    })
}

/// The flags of a subcommand of which none is given, as their variables have them.
///
/// # Errors
/// When a variable holds a wrong value.
pub fn flags<F: Args>(subcommand: &'static str) -> Result<F, Failure> {
    let command = heeded(F::augment_args(Command::new(subcommand)));
    let parsed = command.clone().try_get_matches_from([subcommand]);
    let parsed = parsed.and_then(|matches| F::from_arg_matches(&matches));
    parsed.map_err(|error| usage::failure(&named(error, &command), &command))
}

fn variable(arg: &Arg) -> Option<(&OsStr, OsString)> {
    let name = arg.get_env()?;
    Some((name, env::var_os(name)?))
}

/// What was found on the command line; none where help was asked for, which is printed here.
///
/// # Errors
/// When the command line is wrong, or a variable is that stands for a flag; when a variable holds what only files of
/// variables of other systems bring, right or wrong for its flag; and when help cannot be printed.
pub fn heed<T>(parsed: Result<T, clap::Error>, command: &Command) -> Result<Option<T>, Failure> {
    match parsed {
        Err(error) if !error.use_stderr() => {
            out::help(&error)?;
            Ok(None)
        }
        Ok(parsed) => check(command).map(|()| Some(parsed)),
        Err(error) => {
            check(command)?;
            Err(usage::failure(&named(error, command), command))
        }
    }
}

/// Nobody would find the store with a quote in its name.
fn check(command: &Command) -> Result<(), Failure> {
    for (name, value) in command.get_arguments().filter_map(variable) {
        let wrong = match value.as_bytes() {
            [.., b'\r'] => "ends in a carriage return",
            [first @ (b'"' | b'\''), .., last] if first == last => "has quotes around it",
            _ => continue,
        };
        let name = name.to_string_lossy();
        return Err(
            Failure::usage(format!("the value of the variable {name} {wrong}"))
                .next("take that out of the file or the program that sets the variable"),
        );
    }
    command.get_subcommands().try_for_each(check)
}

/// The same error, of a variable if it is one that holds the wrong value, and no flag.
fn named(mut error: clap::Error, command: &Command) -> clap::Error {
    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let flag = arg.split([' ', '=']).next().unwrap_or_default();
    if let Some(name) = flag.strip_prefix("--").filter(|name| !is_given(Some(name)))
        && let Some(variable) = of_flag(command, name)
    {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

fn of_flag(command: &Command, flag: &str) -> Option<String> {
    let mut args = command.get_arguments();
    let arg = args.find(|arg| arg.get_long() == Some(flag));
    match arg.and_then(variable) {
        Some((name, _)) => Some(name.to_string_lossy().into_owned()),
        None => command
            .get_subcommands()
            .find_map(|subcommand| of_flag(subcommand, flag)),
    }
}
