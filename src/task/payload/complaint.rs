//! What is wrong with a part of a body, in the words of a refusal.

use super::excerpt::excerpt;
use super::json::Value;
use super::{Place, Refusal};

/// Whether an array that has been parsed holds nothing.
pub(super) fn is_empty(array: &str) -> bool {
    let inside = array.strip_prefix('[').unwrap_or(array);
    inside.trim_ascii_start() == "]"
}

/// Passes a text on if it has no NUL in it.
pub(super) fn without_nul(place: Place, text: String) -> Result<String, Refusal> {
    if text.contains('\0') {
        let text = excerpt(&text);
        return Err(Refusal::Nul { place, text });
    }
    Ok(text)
}

pub(super) fn not_json(place: Place, error: &serde_json::Error) -> Refusal {
    Refusal::NotJson {
        place,
        reason: said(error),
    }
}

pub(super) fn wrong(place: Place, value: &Value<'_>, wanted: &'static str) -> Refusal {
    match value {
        Value::LoneSurrogate(text) => Refusal::LoneSurrogate {
            place,
            text: excerpt(text),
        },
        other => Refusal::WrongType {
            place,
            found: other.kind(),
            wanted,
        },
    }
}

/// Why a text is no JSON, in our words, and where: those of the parser speak of its own parts.
pub(super) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let what = match what {
        "expected value" => "there is no value",
        "EOF while parsing a value" => "it ends before there is a value",
        "EOF while parsing an object" => "it ends within an object",
        "EOF while parsing a list" => "it ends within an array",
        "EOF while parsing a string" => "it ends within a string",
        "trailing characters" => "something follows its end",
        "trailing comma" => "there is a comma too many",
        "expected ident" => "a word is neither true, false nor null",
        "key must be a string" => "a key is not in quotes",
        "expected `:`" => "there is no colon",
        "expected `,` or `}`" => "there is neither a comma nor a closing brace",
        "expected `,` or `]`" => "there is neither a comma nor a closing bracket",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "a control character stands in a string unescaped"
        }
        "invalid escape" => "a backslash in a string begins nothing that JSON knows",
        "invalid number" => "a number is not written as JSON has them",
        "number out of range" => "a number is too large",
        "invalid unicode code point" => "a \\u in a string names no character",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "a \\u in a string is one half of a character"
        }
        "recursion limit exceeded" => "it is nested too deeply",
        other => other,
    };
    match error.line() {
        0 => what.to_owned(),
        1 => format!("{what} at byte {}", error.column()),
        line => format!("{what} at byte {} of its line {line}", error.column()),
    }
}
