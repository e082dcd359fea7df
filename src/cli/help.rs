//! How help looks: `-h` has a line for each flag, `--help` all there is to say.

use clap::builder::{PossibleValue, StyledStr};
use clap::{Arg, Command};

/// Lines have at most so many columns, however wide the terminal.
const WIDTH: usize = 100;

/// The command line as it is taken. How help looks is nothing to whoever asks for none.
pub fn taken(command: Command) -> Command {
    command.mut_args(negative)
}

/// The command line as people see it. What it takes stays the same.
pub fn shaped(command: Command) -> Command {
    command
        .max_term_width(WIDTH)
        .mut_args(|given| arg(negative(given)))
        .mut_subcommands(shaped)
}

/// Of a number that is wrong its flag says so.
fn negative(arg: Arg) -> Arg {
    match arg.get_long().is_some() && arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    }
}

/// A flag's variable is said at length only, and the words that it takes as shortly as can be.
fn arg(arg: Arg) -> Arg {
    let text = |help: Option<&StyledStr>| help.map(ToString::to_string);
    let mut short = text(arg.get_help()).unwrap_or_default();
    let mut long = text(arg.get_long_help()).unwrap_or_else(|| short.clone());
    if let Some(variable) = arg.get_env() {
        long.push_str(&format!("\n\n[env: {}]", variable.to_string_lossy()));
    }
    let words = arg.get_possible_values();
    // Flags that take no value would be offered true and false.
    let plain =
        arg.get_action().takes_values() && words.iter().all(|word| word.get_help().is_none());
    if plain && !words.is_empty() {
        let words: Vec<&str> = words.iter().map(PossibleValue::get_name).collect();
        short.push_str(&format!(" [{}]", words.join("|")));
        long.push_str(&format!("\n\n[possible values: {}]", words.join(", ")));
    }
    arg.hide_env(true)
        .hide_possible_values(plain)
        .help(short)
        .long_help(long)
}
