//! From a body's bytes to what it asks for.

use std::collections::HashSet;

use serde_json::value::RawValue;
use uuid::Uuid;

pub(super) use super::complaint::{is_empty, not_json, said, without_nul, wrong};
use super::excerpt::excerpt;
use super::json::{self, Member, Value};
use super::own;
use super::time;
use super::{
    Argument, Body, Call, Native, NotNative, OptionName, OptionValue, Place, Pointer, Refusal,
};
use crate::task::Millis;
use crate::task::after::{IfParentFails, Links, MOST_PARENTS, Parent, Terms, bad_reference};
use crate::task::id::TaskId;
use crate::task::tag::{self, BadTag, Tag};
use crate::task::unique::Unique;

/// The key that makes a body a native one.
const MARK: &str = "taskqueue";

/// The key under which a pointer says to people what it is about.
const ABOUT: &str = "for";

/// Reads a body. Never fails: every body is one of the four kinds, in time linear in its length.
pub fn read(body: &[u8]) -> Body {
    match open(body) {
        Ok(members) => understand(&members).unwrap_or_else(Body::Refused),
        Err(reason) => Body::Other(reason),
    }
}

/// The members of a native body, whether or not they make sense.
fn open(body: &[u8]) -> Result<Vec<Member<'_>>, NotNative> {
    if body.is_empty() {
        return Err(NotNative::Empty);
    }
    let text = std::str::from_utf8(body).map_err(|error| NotNative::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    if text.starts_with('\u{feff}') {
        return Err(NotNative::ByteOrderMark);
    }
    let not_json = |error: serde_json::Error| NotNative::NotJson {
        reason: said(&error),
    };
    if !text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{')
    {
        let found = json::value(text).map_err(not_json)?.kind();
        return Err(NotNative::NotAnObject { found });
    }
    let members = json::members(text).map_err(not_json)?;
    if members.iter().any(is_mark) {
        Ok(members)
    } else {
        Err(NotNative::NoKey)
    }
}

fn is_mark(member: &Member<'_>) -> bool {
    matches!(&member.key, Ok(key) if key == MARK)
}

/// The values of the known keys, each given at most once.
#[derive(Default)]
struct Fields<'a> {
    version: Option<&'a RawValue>,
    uuid: Option<&'a RawValue>,
    store: Option<&'a RawValue>,
    command: Option<&'a RawValue>,
    arguments: Option<&'a RawValue>,
    options: Option<&'a RawValue>,
    tags: Option<&'a RawValue>,
    at: Option<&'a RawValue>,
    unique: Option<&'a RawValue>,
    own: own::Fields<'a>,
    reference: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
    after_any: Option<&'a RawValue>,
    if_parent_fails: Option<&'a RawValue>,
    /// What a pointer says to people.
    about: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn of(members: &[Member<'a>]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for member in members {
            let key = member.key.as_ref().map_err(|text| Refusal::LoneSurrogate {
                place: Place::Key,
                text: excerpt(text),
            })?;
            let field = match key.as_str() {
                MARK => &mut fields.version,
                "uuid" => &mut fields.uuid,
                "store" => &mut fields.store,
                "command" => &mut fields.command,
                "arguments" => &mut fields.arguments,
                "options" => &mut fields.options,
                "tags" => &mut fields.tags,
                "at" => &mut fields.at,
                "unique" => &mut fields.unique,
                "max_attempts" => &mut fields.own.max_attempts,
                "retry" => &mut fields.own.retry,
                "timeout" => &mut fields.own.timeout,
                "env" => &mut fields.own.env,
                "ref" => &mut fields.reference,
                "after" => &mut fields.after,
                "after_any" => &mut fields.after_any,
                "if_parent_fails" => &mut fields.if_parent_fails,
                ABOUT => &mut fields.about,
                _ => return Err(Refusal::UnknownKey { key: excerpt(key) }),
            };
            if field.replace(member.value).is_some() {
                return Err(Refusal::DuplicateKey { key: excerpt(key) });
            }
        }
        Ok(fields)
    }
}

fn understand(members: &[Member<'_>]) -> Result<Body, Refusal> {
    // The version comes first: of a later one we cannot know which keys it has.
    let mut marks = members.iter().filter(|member| is_mark(member));
    if let (Some(mark), None) = (marks.next(), marks.next()) {
        check_version(mark.value)?;
    }
    let fields = Fields::of(members)?;
    match fields.store {
        Some(store) => pointer(&fields, store).map(Body::Pointer),
        None => native(&fields).map(Body::Native),
    }
}

fn check_version(raw: &RawValue) -> Result<(), Refusal> {
    match Value::of(raw) {
        Value::Number("1") => Ok(()),
        Value::Number(found) if found.bytes().all(|b| b.is_ascii_digit()) && found != "0" => {
            Err(Refusal::LaterVersion {
                found: excerpt(found),
            })
        }
        Value::Number(found) => Err(Refusal::NoSuchVersion {
            found: excerpt(found),
        }),
        other => Err(wrong(Place::Member(MARK), &other, "the integer 1")),
    }
}

fn pointer(fields: &Fields<'_>, store: &RawValue) -> Result<Pointer, Refusal> {
    for (key, field) in [
        ("command", fields.command),
        ("arguments", fields.arguments),
        ("options", fields.options),
        ("tags", fields.tags),
        ("at", fields.at),
        ("unique", fields.unique),
        ("max_attempts", fields.own.max_attempts),
        ("retry", fields.own.retry),
        ("timeout", fields.own.timeout),
        ("env", fields.own.env),
        ("ref", fields.reference),
        ("after", fields.after),
        ("after_any", fields.after_any),
        ("if_parent_fails", fields.if_parent_fails),
    ] {
        if field.is_some() {
            return Err(Refusal::PointerWith { key });
        }
    }
    let uuid = fields.uuid.ok_or(Refusal::Missing { key: "uuid" })?;
    Ok(Pointer {
        uuid: read_uuid("uuid", uuid)?,
        store: read_uuid("store", store)?,
    })
}

fn native(fields: &Fields<'_>) -> Result<Native, Refusal> {
    if fields.about.is_some() {
        return Err(Refusal::UnknownKey {
            key: excerpt(ABOUT),
        });
    }
    let command = fields.command.ok_or(Refusal::Missing { key: "command" })?;
    let command = text(Place::Member("command"), command)?;
    Ok(Native {
        uuid: match fields.uuid {
            Some(uuid) => Some(read_uuid("uuid", uuid)?),
            None => None,
        },
        call: Call {
            command: command.parse()?,
            arguments: match fields.arguments {
                Some(raw) => arguments(Value::of(raw))?,
                None => Vec::new(),
            },
            options: match fields.options {
                Some(raw) => options(Value::of(raw))?,
                None => Vec::new(),
            },
        },
        tags: match fields.tags {
            Some(raw) => tags(&Value::of(raw))?,
            None => Vec::new(),
        },
        at: match fields.at {
            Some(raw) => Some(at(raw)?),
            None => None,
        },
        unique: match fields.unique {
            Some(raw) => unique(&Value::of(raw))?,
            None => None,
        },
        own: fields.own.read()?.map(Box::new),
        links: Some(links(fields)?)
            .filter(|links| *links != Links::default())
            .map(Box::new),
    })
}

/// Reads what a task has to do with others.
fn links(fields: &Fields<'_>) -> Result<Links, Refusal> {
    let parents = match fields.after {
        Some(raw) => parents(&Value::of(raw))?,
        None => Vec::new(),
    };
    // What a task waits for how, while it waits for nothing, must be a slip.
    for (key, field) in [
        ("after_any", fields.after_any),
        ("if_parent_fails", fields.if_parent_fails),
    ] {
        if field.is_some() && fields.after.is_none() {
            return Err(after(key, "there is no \"after\" for it to speak of"));
        }
    }
    Ok(Links {
        reference: match fields.reference {
            Some(raw) => Some(reference("ref", text(Place::Member("ref"), raw)?)?),
            None => None,
        },
        parents,
        terms: Terms {
            any: match fields.after_any.map(Value::of) {
                None | Some(Value::Bool(false) | Value::Null) => false,
                Some(Value::Bool(true)) => true,
                Some(other) => {
                    return Err(wrong(Place::Member("after_any"), &other, "true or false"));
                }
            },
            if_parent_fails: match fields.if_parent_fails {
                Some(raw) => text(Place::Member("if_parent_fails"), raw)?
                    .parse()
                    .map_err(|why: String| after("if_parent_fails", &why))?,
                None => IfParentFails::default(),
            },
        },
    })
}

/// Reads a task's number, or a reference, or an array of these.
fn parents(value: &Value<'_>) -> Result<Vec<Parent>, Refusal> {
    let place = Place::Member("after");
    let Value::Array(array) = value else {
        return Ok(vec![parent(value)?]);
    };
    let elements = json::elements(array).map_err(|error| not_json(place, &error))?;
    if elements.len() > MOST_PARENTS {
        let why = format!("a task waits for at most {MOST_PARENTS} others");
        return Err(after("after", &why));
    }
    let one = |raw: &RawValue| parent(&Value::of(raw));
    elements.into_iter().map(one).collect()
}

fn parent(value: &Value<'_>) -> Result<Parent, Refusal> {
    match value {
        Value::Number(digits) => match digits.parse() {
            Ok(id @ 1..) => Ok(Parent::Id(TaskId(id))),
            Ok(_) | Err(_) => Err(after("after", "a number in it is no task's")),
        },
        Value::Text(text) => reference("after", text.clone()).map(Parent::Reference),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => Err(wrong(
            Place::Member("after"),
            value,
            "a task's number, a reference or an array of these",
        )),
        Value::LoneSurrogate(_) => Err(wrong(Place::Member("after"), value, "a reference")),
    }
}

fn reference(key: &'static str, text: String) -> Result<String, Refusal> {
    match bad_reference(&text) {
        None => Ok(text),
        Some(why) => Err(after(key, why)),
    }
}

fn after(key: &'static str, why: &str) -> Refusal {
    Refusal::After {
        key,
        why: why.into(),
    }
}

/// Reads an array of tags.
fn tags(value: &Value<'_>) -> Result<Vec<Tag>, Refusal> {
    let place = Place::Member("tags");
    let Value::Array(array) = value else {
        return Err(wrong(place, value, "an array"));
    };
    let elements = json::elements(array).map_err(|error| not_json(place, &error))?;
    if elements.len() > tag::MOST {
        let given = elements.len();
        return Err(Refusal::Tag(BadTag::TooMany { given }));
    }
    let one = |raw: &RawValue| match Value::of(raw) {
        Value::Text(text) => text.parse().map_err(Refusal::Tag),
        other => Err(wrong(Place::Member("tags"), &other, "an array of strings")),
    };
    let tags = elements.into_iter().map(one).collect::<Result<_, _>>()?;
    tag::of_a_task(tags).map_err(Refusal::Tag)
}

fn at(raw: &RawValue) -> Result<Millis, Refusal> {
    let text = text(Place::Member("at"), raw)?;
    time::read(&text).ok_or_else(|| Refusal::Time {
        text: excerpt(&text),
    })
}

/// Reads `true`, a key, or an object with `key`, `while` and `if_exists`, each of which may be left out. `false` and
/// `null` are as if nothing were there.
fn unique(value: &Value<'_>) -> Result<Option<Unique>, Refusal> {
    let place = Place::Member("unique");
    match value {
        Value::Bool(true) => Ok(Some(Unique::default())),
        Value::Bool(false) | Value::Null => Ok(None),
        Value::Text(key) => Ok(Some(Unique {
            key: Some(key.parse().map_err(Refusal::UniqueKey)?),
            ..Unique::default()
        })),
        Value::Object(object) => {
            let members = json::members(object).map_err(|error| not_json(place, &error))?;
            unique_members(&members).map(Some)
        }
        Value::Number(_) | Value::Array(_) | Value::LoneSurrogate(_) => {
            Err(wrong(place, value, "true, a string or an object"))
        }
    }
}

fn unique_members(members: &[json::Member<'_>]) -> Result<Unique, Refusal> {
    let mut unique = Unique::default();
    let mut seen = Vec::with_capacity(members.len());
    for member in members {
        let key = member.key.as_ref().map_err(|text| Refusal::LoneSurrogate {
            place: Place::Member("unique"),
            text: excerpt(text),
        })?;
        if seen.contains(&key) {
            return Err(Refusal::DuplicateKey { key: excerpt(key) });
        }
        seen.push(key);
        let value = || text(Place::Member("unique"), member.value);
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

fn text(place: Place, raw: &RawValue) -> Result<String, Refusal> {
    match Value::of(raw) {
        Value::Text(text) => Ok(text),
        other => Err(wrong(place, &other, "a string")),
    }
}

fn read_uuid(key: &'static str, raw: &RawValue) -> Result<Uuid, Refusal> {
    let text = text(Place::Member(key), raw)?;
    // The other forms that the parser knows (bare, in braces, as a URN) have other lengths.
    let uuid = (text.len() == 36).then(|| Uuid::try_parse(&text).ok());
    uuid.flatten().ok_or_else(|| Refusal::Uuid {
        place: Place::Member(key),
        text: excerpt(&text),
    })
}

/// Reads an array of arguments. A number becomes the digits that it was written with.
pub(super) fn arguments(value: Value<'_>) -> Result<Vec<Argument>, Refusal> {
    let place = Place::Member("arguments");
    let Value::Array(array) = value else {
        return Err(wrong(place, &value, "an array"));
    };
    let elements = json::elements(array).map_err(|error| not_json(place, &error))?;
    let argument = |(index, raw)| argument(Place::Argument(index + 1), Value::of(raw));
    elements.into_iter().enumerate().map(argument).collect()
}

/// Reads one argument.
pub(super) fn argument(place: Place, value: Value<'_>) -> Result<Argument, Refusal> {
    match value {
        Value::Text(text) => without_nul(place, text).map(Argument::Text),
        Value::Number(digits) => Ok(Argument::number(digits)),
        other => Err(wrong(place, &other, "a string or a number")),
    }
}

/// Reads an object of options, in the order in which they were written.
pub(super) fn options(value: Value<'_>) -> Result<Vec<(OptionName, OptionValue)>, Refusal> {
    let place = Place::Member("options");
    let object = match value {
        Value::Object(object) => object,
        // What PHP's json_encode makes of an array without elements, whatever it was meant to be.
        Value::Array(array) if is_empty(array) => return Ok(vec![]),
        _ => return Err(wrong(place, &value, "an object")),
    };
    let members = json::members(object).map_err(|error| not_json(place, &error))?;
    let mut options = Vec::with_capacity(members.len());
    for member in members {
        let name = member.key.map_err(|text| Refusal::LoneSurrogate {
            place: Place::OptionName,
            text: excerpt(text),
        })?;
        let name: OptionName = name.parse()?;
        let value = option(Place::Option(name.to_string()), Value::of(member.value))?;
        options.push((name, value));
    }
    without_duplicates(options)
}

/// Reads what one option is given.
pub(super) fn option(place: Place, value: Value<'_>) -> Result<OptionValue, Refusal> {
    match value {
        Value::Bool(true) => Ok(OptionValue::Flag),
        Value::Bool(false) | Value::Null => Ok(OptionValue::Off),
        Value::Number(digits) => Ok(OptionValue::Number(digits.to_owned())),
        Value::Text(text) => without_nul(place, text).map(OptionValue::Text),
        other => Err(wrong(
            place,
            &other,
            "a string, a number, true, false or null",
        )),
    }
}

/// Passes options on if no two have the same name.
pub(super) fn without_duplicates(
    options: Vec<(OptionName, OptionValue)>,
) -> Result<Vec<(OptionName, OptionValue)>, Refusal> {
    let mut seen = HashSet::with_capacity(options.len());
    match options.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(Refusal::DuplicateOption {
            name: excerpt(name.as_str()),
        }),
        None => Ok(options),
    }
}
