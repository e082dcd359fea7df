//! The manual page, `man/taskqueue.1`: the synopsis and every flag from the command line's own shape,
//! the rest from `intro.1` and `rest.1`.

use std::io;

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// What the program is, in a few paragraphs.
const INTRO: &str = include_str!("intro.1");

/// What no flag says: JSON shapes, statuses, environment, files, exit codes, signals.
const REST: &str = include_str!("rest.1");

/// The page in roff.
///
/// # Errors
///
/// None in practice: it is written to memory.
pub fn page(shape: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let about = shape.get_about().map(ToString::to_string);
    let mut head = Roff::new();
    // An empty argument, quoted, stands for the date: the page changes only when the program does.
    head.control(
        "TH",
        ["TASKQUEUE", "1", "\"\"", "taskqueue", "User Commands"],
    );
    head.control("SH", ["NAME"]);
    head.text([roman(format!(
        "taskqueue - {}",
        small_first(&about.unwrap_or_default())
    ))]);
    head.control("SH", ["SYNOPSIS"]);
    synopsis(&mut head, shape, "taskqueue");
    head.to_writer(&mut page)?;
    page.extend_from_slice(INTRO.as_bytes());

    let mut body = Roff::new();
    body.control("SH", ["OPTIONS"]);
    body.text([roman("These may stand before or after a command's name.")]);
    arguments(&mut body, shape);
    option(
        &mut body,
        "-h, --help",
        "Print help; after a command's name, that command's",
    );
    option(&mut body, "-V, --version", "Print the version");
    body.control("SH", ["COMMANDS"]);
    for command in shape.get_subcommands().filter(|c| !c.is_hide_set()) {
        subcommand(&mut body, command, "taskqueue");
    }
    page.extend_from_slice(body.to_roff().as_bytes());
    page.extend_from_slice(REST.as_bytes());
    Ok(page)
}

/// man-pages(7): the description in NAME begins with a small letter.
fn small_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// A subcommand's section: what it is for, how it is called, its flags, examples.
fn subcommand(roff: &mut Roff, command: &Command, of: &str) {
    let name = format!("{of} {}", command.get_name());
    roff.control("SS", [name.as_str()]);
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        roff.text([roman(sentence(&about.to_string()))]);
    }
    roff.control("PP", []);
    synopsis(roff, command, &name);
    arguments(roff, command);
    if let Some(after) = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
    {
        after_help(roff, &after.to_string());
    }
    for command in command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
    {
        subcommand(roff, command, &name);
    }
}

/// `name [OPTIONS] --use-tube <TUBE>`, as `--help` writes it.
fn synopsis(roff: &mut Roff, command: &Command, name: &str) {
    let usage = command.clone().bin_name(name).render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let rest = usage.strip_prefix(name).unwrap_or(usage);
    roff.text([bold(name), roman(rest.replace('\n', " "))]);
}

/// Positional arguments, then the rest in the order in which they are declared.
fn arguments(roff: &mut Roff, command: &Command) {
    let shown = || {
        command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
            .filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version))
    };
    let positional = shown().filter(|arg| arg.is_positional());
    for arg in positional.chain(shown().filter(|arg| !arg.is_positional())) {
        roff.control("TP", []);
        roff.text(tag(arg));
        roff.text([roman(description(arg))]);
    }
}

fn option(roff: &mut Roff, tag: &str, help: &str) {
    roff.control("TP", []);
    roff.text([bold(tag)]);
    roff.text([roman(sentence(help))]);
}

fn tag(arg: &Arg) -> Vec<Inline> {
    let values = || {
        let names = arg.get_value_names().unwrap_or_default();
        names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    if arg.is_positional() {
        return vec![italic(values())];
    }
    let mut tag = Vec::new();
    if let Some(short) = arg.get_short() {
        tag.push(bold(format!("-{short}")));
        tag.push(roman(", "));
    }
    tag.push(bold(format!("--{}", arg.get_long().unwrap_or_default())));
    if arg.get_action().takes_values() {
        tag.push(roman(" "));
        tag.push(italic(values()));
    }
    tag
}

/// The help text, and what `--help` appends to it.
fn description(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut text: Vec<String> = help.split("\n\n").map(sentence).collect();
    // A flag's possible values are true and false, which it does not take.
    if arg.get_action().takes_values() {
        let possible = arg.get_possible_values();
        let words: Vec<String> = possible
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(word)
            .collect();
        if !words.is_empty() {
            text.push(format!("One of: {}.", words.join(", ")));
        }
        let defaults: Vec<String> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        if !defaults.is_empty() {
            text.push(format!("Default: {}.", defaults.join(", ")));
        }
    }
    if matches!(arg.get_action(), ArgAction::Append) && !arg.is_positional() {
        text.push("May be given more than once.".into());
    }
    if let Some(variable) = arg.get_env() {
        text.push(format!("Environment: {}.", variable.to_string_lossy()));
    }
    text.join(" ")
}

fn word(value: &PossibleValue) -> String {
    match value.get_help() {
        Some(help) => {
            let help = small_first(&help.to_string());
            format!("{} ({})", value.get_name(), help.trim_end_matches('.'))
        }
        None => value.get_name().into(),
    }
}

/// Help texts have no full stop; here others follow them. `[default: done]` becomes words, too.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if let Some((before, rest)) = text.split_once(" [default: ")
        && let Some(default) = rest.strip_suffix(']')
    {
        return format!("{} Default: {default}.", sentence(before));
    }
    match text.chars().last() {
        None | Some('.') => text.into(),
        Some(_) => format!("{text}."),
    }
}

/// Examples, which are indented by two spaces, stay lines; the rest is paragraphs.
fn after_help(roff: &mut Roff, text: &str) {
    let mut literal = false;
    roff.control("PP", []);
    for line in text.lines() {
        match (line.strip_prefix("  "), literal) {
            (Some(example), true) => {
                roff.text([roman(example)]);
            }
            (Some(example), false) => {
                roff.control("RS", ["4"]).control("nf", []);
                roff.text([roman(example)]);
                literal = true;
            }
            (None, true) => {
                roff.control("fi", []).control("RE", []).control("PP", []);
                literal = false;
                if !line.is_empty() {
                    roff.text([roman(line)]);
                }
            }
            (None, false) if line.is_empty() => {
                roff.control("PP", []);
            }
            (None, false) => {
                roff.text([roman(line)]);
            }
        }
    }
    if literal {
        roff.control("fi", []).control("RE", []);
    }
}
