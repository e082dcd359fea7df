//! Bodies of the PHP TaskQueue: `Vendor\Type::{"field":"value"}`.
//!
//! Such a body names a class and the values of its properties. Which of them are arguments, and which
//! options, the class said, and its code is not here: the configuration says it instead, as a
//! [`Mapping`] for each type. Fields that the mapping does not name are nobody's: the class kept its
//! own affairs there (`taskIdentifier`).
//!
//! Whether a body was meant for us depends on the configuration too. Of a type that has a mapping,
//! whatever is wrong refuses the body; without one it is as good as any other bytes.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::excerpt::excerpt;
use super::json::{self, Value};
use super::read::{argument, is_empty, not_json, option, wrong};
use super::rules::MAX_NAME_LEN;
use super::type_name::{TypeName, is_class_name};
use super::{Argument, Call, CommandName, OptionName, OptionValue, Place, Refusal};

/// What separates the type from its fields.
const SEPARATOR: &[u8] = b"::";

/// A body that begins with a class's name and `::`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described<'a> {
    name: &'a str,
    /// Unread: whatever follows the first `::`.
    fields: &'a [u8],
}

impl<'a> Described<'a> {
    /// Takes a body apart at its first `::`, if a class's name stands before it.
    pub fn split(body: &'a [u8]) -> Option<Self> {
        // No class has a longer name: whatever the body's length, this much is looked at.
        let begin = body.get(..MAX_NAME_LEN + SEPARATOR.len()).unwrap_or(body);
        let at = begin
            .windows(SEPARATOR.len())
            .position(|two| two == SEPARATOR)?;
        let (name, rest) = body.split_at_checked(at)?;
        let name = std::str::from_utf8(name).ok()?;
        is_class_name(name).then_some(Self {
            name,
            fields: rest.strip_prefix(SEPARATOR)?,
        })
    }

    /// The class's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The type, if what follows it looks like fields; other texts have a `::` too (`std::move`).
    pub fn type_name(&self) -> Option<TypeName> {
        let first = self.fields.trim_ascii_start().first();
        match first {
            Some(b'{' | b'[') => self.name.parse().ok(),
            Some(_) | None => None,
        }
    }
}

/// What becomes of the fields of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// What runs.
    pub command: CommandName,
    /// The fields that are its arguments, in this order.
    pub arguments: Vec<String>,
    /// Its options, and where the value of each is from.
    pub options: Vec<(OptionName, Source)>,
}

/// Where an option's value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A field of the body. Where the body has no such field, the option has this value, if any.
    Field {
        /// The field's name.
        field: String,
        /// What the class gives the property that no body names.
        default: Option<OptionValue>,
    },
    /// The configuration: no body changes it.
    Fixed(OptionValue),
}

impl Source {
    /// What the configuration gives of itself.
    pub fn configured(&self) -> Option<&OptionValue> {
        match self {
            Source::Field { default, .. } => default.as_ref(),
            Source::Fixed(value) => Some(value),
        }
    }
}

/// A field without a default.
impl<T: Into<String>> From<T> for Source {
    fn from(field: T) -> Source {
        Source::Field {
            field: field.into(),
            default: None,
        }
    }
}

impl Mapping {
    /// Makes a call of a body's fields.
    ///
    /// A field that is an argument must be there. One that is an option may be missing, `false` or
    /// `null`, and the option then isn't given; a missing one may have a default. The texts of PHP's serializers
    /// stand for numbers too, so a text that is a number counts as one.
    pub fn call(&self, described: &Described<'_>) -> Result<Call, Refusal> {
        let fields = read(described.fields)?;
        let positional = |(index, field): (usize, &String)| {
            let raw = fields.get(field).ok_or_else(|| Refusal::MissingField {
                field: field.clone(),
                argument: index + 1,
            })?;
            match argument(Place::Field(field.clone()), Value::of(raw))? {
                Argument::Text(text) => Ok(Argument::of_text(text)),
                number @ Argument::Negative(_) => Ok(number),
            }
        };
        let given = |(name, source): &(OptionName, Source)| {
            let value = match source {
                Source::Fixed(value) => Ok(value.clone()),
                Source::Field { field, default } => match fields.get(field) {
                    Some(raw) => option(Place::Field(field.clone()), Value::of(raw)),
                    None => Ok(default.clone()?),
                },
            };
            Some(value.map(|value| (name.clone(), value)))
        };
        Ok(Call {
            command: self.command.clone(),
            arguments: self
                .arguments
                .iter()
                .enumerate()
                .map(positional)
                .collect::<Result<_, _>>()?,
            options: self
                .options
                .iter()
                .filter_map(given)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Every field by its name, those included that nobody will ask for: what is said twice is wrong
/// wherever it stands.
fn read(fields: &[u8]) -> Result<HashMap<String, &RawValue>, Refusal> {
    let unreadable = |reason: String| Refusal::NotJson {
        place: Place::Fields,
        reason,
    };
    if fields.trim_ascii().is_empty() {
        // What json_encode's `false` looks like as a text.
        return Err(unreadable("nothing is there".into()));
    }
    let text = std::str::from_utf8(fields)
        .map_err(|error| unreadable(format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
    let object = match json::value(text).map_err(|error| not_json(Place::Fields, &error))? {
        Value::Object(object) => object,
        // PHP's object without properties, if it was an array on its way.
        Value::Array(array) if is_empty(array) => return Ok(HashMap::new()),
        other => return Err(wrong(Place::Fields, &other, "an object")),
    };
    let members = json::members(object).map_err(|error| not_json(Place::Fields, &error))?;
    let mut fields = HashMap::with_capacity(members.len());
    for member in members {
        let key = member.key.map_err(|text| Refusal::LoneSurrogate {
            place: Place::Key,
            text: excerpt(text),
        })?;
        if fields.contains_key(&key) {
            return Err(Refusal::DuplicateKey { key: excerpt(&key) });
        }
        fields.insert(key, member.value);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests;
