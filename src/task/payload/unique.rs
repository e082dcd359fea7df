//! What a body says of its task's key.

use super::excerpt::excerpt;
use super::json::{self, Value};
use super::read::{not_json, text, wrong};
use super::{Place, Refusal};
use crate::task::unique::Unique;

const UNIQUE: &str = "unique";

/// Reads `true`, a key, or an object with `key`, `while` and `if_exists`, each of which may be left out. `false` and
/// `null` are as if nothing were there.
pub fn read(value: &Value<'_>) -> Result<Option<Unique>, Refusal> {
    let place = Place::Member(UNIQUE);
    match value {
        Value::Bool(true) => Ok(Some(Unique::default())),
        Value::Bool(false) | Value::Null => Ok(None),
        Value::Text(key) => Ok(Some(Unique {
            key: Some(key.parse().map_err(Refusal::UniqueKey)?),
            ..Unique::default()
        })),
        Value::Object(object) => {
            let members = json::members(object).map_err(|error| not_json(place, &error))?;
            members_of(&members).map(Some)
        }
        Value::Number(_) | Value::Array(_) | Value::LoneSurrogate(_) => {
            Err(wrong(place, value, "true, a string or an object"))
        }
    }
}

fn members_of(members: &[json::Member<'_>]) -> Result<Unique, Refusal> {
    let mut unique = Unique::default();
    let mut seen = Vec::with_capacity(members.len());
    for member in members {
        let key = member.key.as_ref().map_err(|text| Refusal::LoneSurrogate {
            place: Place::Member(UNIQUE),
            text: excerpt(text),
        })?;
        if seen.contains(&key) {
            return Err(Refusal::DuplicateKey { key: excerpt(key) });
        }
        seen.push(key);
        let value = || text(Place::Member(UNIQUE), member.value);
        match key.as_str() {
            "key" => unique.key = Some(value()?.parse().map_err(Refusal::UniqueKey)?),
            "while" => {
                unique.scope = value()?
                    .parse()
                    .map_err(|_| no_word("while", "waiting, unfinished or a duration"))?;
            }
            "if_exists" => {
                unique.if_exists = value()?
                    .parse()
                    .map_err(|_| no_word("if_exists", "keep, replace or refuse"))?;
            }
            _ => return Err(Refusal::UniqueMember { key: excerpt(key) }),
        }
    }
    Ok(unique)
}

fn no_word(key: &'static str, wanted: &str) -> Refusal {
    Refusal::Unique {
        key,
        why: format!("this is none of: {wanted}"),
    }
}
