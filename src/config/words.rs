//! What is wrong with the text of a configuration, in our words: the library's speak of its types.

use std::ops::Range;

use toml::de::DeTable;

use super::lines::line_at;
use super::near::near;

/// All of it: what is wrong, and the line with a caret under what is meant.
pub(super) fn said(message: &str, span: Option<Range<usize>>, text: &str) -> String {
    let message = in_our_words(message.trim_end());
    let message = match DeTable::parse(text) {
        Err(_) if !message.starts_with(TWICE) => format!("this is no TOML: {message}"),
        _ => message,
    };
    match span.and_then(|span| excerpt(text, &span)) {
        Some(excerpt) => format!("{message}\n{excerpt}"),
        None => message,
    }
}

/// The line that the span begins on, and carets under what the span covers of it.
fn excerpt(text: &str, span: &Range<usize>) -> Option<String> {
    let number = line_at(text, span.start)?.to_string();
    let before = text.get(..span.start)?;
    let begin = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let line = text.get(begin..)?.lines().next().unwrap_or_default();
    let column = before.get(begin..)?.chars().count();
    let covered = text.get(span.clone()).unwrap_or_default();
    let covered = covered.lines().next().unwrap_or_default().chars().count();
    let margin = " ".repeat(number.len());
    Some(format!(
        "{margin} |\n{number} | {line}\n{margin} | {}{}",
        " ".repeat(column),
        "^".repeat(covered.max(1))
    ))
}

fn in_our_words(message: &str) -> String {
    for begin in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, expected)) = message
            .strip_prefix(begin)
            .and_then(|rest| rest.split_once(", expected "))
        {
            return format!("this is {}, and should be {}", value(found), kind(expected));
        }
    }
    if let Some((name, known)) = of_unknown(message, "unknown field ") {
        return match nearest(name, &known) {
            Some(near) => format!("there is no key {name} here: did you mean {near}?"),
            None => format!(
                "there is no key {name} here: known are {}",
                known.join(", ")
            ),
        };
    }
    if let Some((name, known)) = of_unknown(message, "unknown variant ") {
        return format!(
            "\"{name}\" means nothing here: write one of {}",
            quoted(&known)
        );
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!(
            "the key {} is missing here, and must be given",
            key.trim_matches('`')
        );
    }
    match message {
        "duplicate key" => TWICE.to_owned(),
        message => message.to_owned(),
    }
}

const TWICE: &str = "this key or table stands here twice: leave one of the two out";

/// The name that is unknown, and those that are known.
fn of_unknown<'a>(message: &'a str, begin: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(begin)?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let name = names.next()?;
    Some((name, names.collect()))
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

/// The known name that is written nearly so, if there is one.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    near(&name, known.iter().copied()).first().copied()
}

/// A value, as people call it.
fn value(found: &str) -> String {
    let found = found
        .trim_end_matches(" as i128")
        .trim_end_matches(" as u128");
    let inner = |begin: &str| found.strip_prefix(begin).map(|rest| rest.trim_matches('`'));
    if let Some(number) = inner("integer ").or_else(|| inner("floating point ")) {
        return format!("the number {number}");
    }
    match (found.strip_prefix("string "), inner("boolean "), found) {
        (Some(text), ..) => format!("the text {text}"),
        (None, Some(word), _) => word.to_owned(),
        (None, None, "map") => "a table".to_owned(),
        (None, None, "sequence") => "an array".to_owned(),
        (None, None, other) => other.to_owned(),
    }
}

/// What may stand there, as people call it.
fn kind(expected: &str) -> String {
    let numbers = [
        ("u8", "0", "255"),
        ("u16", "0", "65535"),
        ("u32", "0", "4294967295"),
        ("u64", "0", "9223372036854775807"),
        ("i32", "-2147483648", "2147483647"),
        ("i64", "-9223372036854775808", "9223372036854775807"),
    ];
    if let Some((_, least, most)) = numbers.iter().find(|(name, ..)| *name == expected) {
        return format!("a whole number from {least} to {most}");
    }
    match expected {
        "a map" => "a table".to_owned(),
        "a sequence" => "an array, such as [\"a\", \"b\"]".to_owned(),
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        of if of.starts_with("struct ") => "a table".to_owned(),
        of if of.starts_with("enum ") => "a text in quotes".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_of_a_program_is_named() {
        let table = [
            (
                "invalid type: integer `5`, expected struct Tube",
                "this is the number 5, and should be a table",
            ),
            (
                "invalid type: integer `99999999999999999999` as i128, expected u32",
                "this is the number 99999999999999999999, and should be a whole number from 0 to 4294967295",
            ),
            (
                "invalid type: string \"yes\", expected a boolean",
                "this is the text \"yes\", and should be true or false",
            ),
            (
                "unknown field `max_worker`, expected `mode` or `max_workers`",
                "there is no key max_worker here: did you mean max_workers?",
            ),
            (
                "unknown variant `x`, expected `a` or `b`",
                "\"x\" means nothing here: write one of \"a\", \"b\"",
            ),
            (
                "missing field `command`",
                "the key command is missing here, and must be given",
            ),
        ];
        for (message, ours) in table {
            assert_eq!(in_our_words(message), ours);
        }
    }

    #[test]
    fn carets_stand_under_what_is_meant() {
        let text = "a = 1\nü = 'wörd'\n";
        let at = text.find("'w").unwrap();
        assert_eq!(
            said("duplicate key", Some(at..text.len() - 1), text)
                .lines()
                .skip(1)
                .collect::<Vec<_>>(),
            ["  |", "2 | ü = 'wörd'", "  |     ^^^^^^"]
        );
        assert!(excerpt("", &(5..9)).is_none());
        assert_eq!(excerpt("a", &(1..1)).unwrap(), "  |\n1 | a\n  |  ^");
    }
}
