//! JSON, one level at a time.
//!
//! Values are kept as the text that they were written as. That keeps a number's digits (a parsed
//! one is normalised even with arbitrary precision: `1e5` comes back as `1e+5`), shows duplicate
//! keys, needs no recursion, however deep a body nests, and gives no key a meaning of its own
//! (serde_json's own value type takes an object with one secret key for a number).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value whose inside has not been looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// The number as it was written.
    Number(&'a str),
    Text(String),
    /// A string with half a surrogate pair in it, as it was written.
    LoneSurrogate(&'a str),
    Array(&'a str),
    Object(&'a str),
}

impl<'a> Value<'a> {
    /// Looks at one value of a text that has been parsed.
    pub(super) fn of(raw: &'a RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => match string(text) {
                Some(string) => Self::Text(string),
                None => Self::LoneSurrogate(text),
            },
            Some(b'[') => Self::Array(text),
            Some(b'{') => Self::Object(text),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(text),
        }
    }

    /// The type's name with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number(_) => "a number",
            Self::Text(_) | Self::LoneSurrogate(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Unescapes a string that has been parsed; the one thing that can be wrong with it then is a
/// surrogate without its other half.
fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// The key, or its text if it has half a surrogate pair in it.
    pub(super) key: Result<String, &'a str>,
    pub(super) value: &'a RawValue,
}

/// Every member of an object, in the order in which they were written, duplicates included.
struct Members<'a>(Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let key = string(key.get()).ok_or(key.get());
                    members.push(Member { key, value });
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// The one value that a text consists of.
pub(super) fn value(text: &str) -> Result<Value<'_>, serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(Value::of)
}

/// The members of the one object that a text consists of.
pub(super) fn members(text: &str) -> Result<Vec<Member<'_>>, serde_json::Error> {
    serde_json::from_str::<Members>(text).map(|members| members.0)
}

/// The elements of the one array that a text consists of.
pub(super) fn elements(text: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    serde_json::from_str(text)
}

/// Whether a text is a number and nothing else, not even a space.
pub(super) fn is_number(text: &str) -> bool {
    matches!(value(text), Ok(Value::Number(number)) if number == text)
}

/// Writes a string as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
