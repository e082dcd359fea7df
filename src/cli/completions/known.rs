//! What the scripts get beside what the library writes: tubes, commands and tasks, which `taskqueue complete` knows.

use clap::{Arg, ArgAction, Command};

use crate::cli::complete::Kind;

/// What may stand for an argument or a flag's value, if that can be known.
fn kind(command: &Command, arg: &Arg) -> Option<Kind> {
    let value = arg.get_value_names()?.first()?.as_str();
    match (value, command.get_name(), arg.get_long()) {
        ("TUBE", ..) => Some(Kind::Tubes),
        ("ID" | "ID[,ID…]", "regenerate", _) => Some(Kind::Failed),
        ("ID", "edit" | "run-now", _) => Some(Kind::Waiting),
        ("ID", ..) => Some(Kind::Tasks),
        ("COMMAND", _, Some("command")) | ("COMMAND", "put", None) => Some(Kind::Commands),
        _ => None,
    }
}

/// A place on the command line of which it is known what may stand there.
struct Place<'a> {
    command: &'a str,
    /// The argument's name, for those who write scripts.
    id: &'a str,
    /// `None`: it is no flag.
    flag: Option<&'a str>,
    /// There may be several, and so any word may be before it.
    several: bool,
    kind: Kind,
}

fn known(shape: &Command) -> impl Iterator<Item = Place<'_>> {
    shape.get_subcommands().flat_map(|command| {
        command.get_arguments().filter_map(|arg| {
            Some(Place {
                command: command.get_name(),
                id: arg.get_id().as_str(),
                flag: arg.get_long(),
                several: matches!(arg.get_action(), ArgAction::Append),
                kind: kind(command, arg)?,
            })
        })
    })
}

/// Names may hold what a shell obeys, and others give them: none is ever expanded.
const BASH: &str = r#"
# What the program knows of a kind, by the store and the configuration that the line names.
_taskqueue_said() {
    local given=() i
    for ((i = 1; i < COMP_CWORD - 1; i++)); do
        case "${COMP_WORDS[i]}" in
            --store|--config) given+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
        esac
    done
    taskqueue complete "${given[@]}" "$1" 2>/dev/null
}

_taskqueue_known() {
    local cur="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}" command="" kind="" word
    # A name may have a colon, at which the shell parts words.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n : -c cur -p before
    fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        case "$word" in
COMMANDS) command="$word"; break ;;
        esac
    done
    case "$command $before" in
FLAGS
    esac
    COMPREPLY=()
    if [[ -n "$kind" && "$cur" != -* ]]; then
        while IFS=$'\t' read -r word _; do
            [[ "$word" == "$cur"* ]] && COMPREPLY+=("$(printf '%q' "$word")")
        done < <(_taskqueue_said "$kind")
        if declare -F __ltrim_colon_completions >/dev/null; then
            __ltrim_colon_completions "$cur"
        fi
        [[ ${#COMPREPLY[@]} -gt 0 ]] && return 0
    fi
    _taskqueue "$@"
}

complete -F _taskqueue_known -o bashdefault -o default taskqueue
"#;

/// Added at the end: what is registered last counts.
pub fn bash(script: &str, shape: &Command) -> String {
    let mut commands: Vec<&str> = known(shape).map(|place| place.command).collect();
    commands.dedup();
    let flags = known(shape).map(|place| {
        let (command, kind) = (place.command, place.kind.as_str());
        match (place.flag, command) {
            (Some(flag), _) => format!("        \"{command} --{flag}\") kind={kind} ;;"),
            // Behind the tube, where people write the command.
            (None, "put") => format!("        \"put \"[!-]*) kind={kind} ;;"),
            (None, _) if place.several => format!("        \"{command} \"[!-]*) kind={kind} ;;"),
            (None, _) => format!("        \"{command} {command}\") kind={kind} ;;"),
        }
    });
    let mut flags: Vec<String> = flags.collect();
    // A flag's value before an argument.
    flags.sort_by_key(|line| line.contains("[!-]"));
    let added = BASH
        .replace("COMMANDS", &format!("            {}", commands.join("|")))
        .replace("FLAGS", &flags.join("\n"));
    format!("{script}{added}")
}

const ZSH: &str = r#"
_taskqueue_known() {
    local -a known
    known=(${(f)"$(taskqueue complete $1 2>/dev/null | cut -f1)"})
    compadd -a known
}
"#;

/// The library has a function for what may stand at each place, which is ours where we know more.
pub fn zsh(script: &str, shape: &Command) -> String {
    let mut command = "";
    let mut lines = Vec::new();
    for line in script.lines() {
        if let Some(named) = line
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
        {
            command = named;
        }
        let is_there = |place: &Place<'_>| {
            place.command == command
                && match place.flag {
                    Some(flag) => line.contains(&format!("--{flag}=[")),
                    None => {
                        let argument = line.trim_start_matches(['\'', '*', ':']);
                        argument.starts_with(&format!("{} -- ", place.id))
                    }
                }
        };
        lines.push(match known(shape).find(is_there) {
            None => line.to_owned(),
            Some(place) => {
                let ours = format!(":_taskqueue_known_{}'", place.kind.as_str());
                line.replace(":_default'", &ours)
            }
        });
    }
    let script = format!("{}\n", lines.join("\n"));
    let functions = Kind::ALL.map(|kind| {
        let kind = kind.as_str();
        format!("_taskqueue_known_{kind}() {{ _taskqueue_known {kind} }}\n")
    });
    match script.rsplit_once("\nif [ \"$funcstack[1]\"") {
        Some((before, end)) => format!(
            "{before}\n{ZSH}{}\nif [ \"$funcstack[1]\"{end}",
            functions.concat()
        ),
        None => script,
    }
}

/// A line for each place.
pub fn fish(script: &str, shape: &Command) -> String {
    let lines = known(shape).map(|place| {
        let (command, kind) = (place.command, place.kind.as_str());
        let flag = place
            .flag
            .map_or_else(|| "-f".to_owned(), |flag| format!("-l {flag} -x"));
        let said = format!("(taskqueue complete {kind} 2>/dev/null)");
        let place = format!("__fish_taskqueue_using_subcommand {command}");
        format!("complete -c taskqueue -n \"{place}\" {flag} -a \"{said}\"\n")
    });
    format!("{script}{}", lines.collect::<String>())
}
