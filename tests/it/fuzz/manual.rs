//! What taskqueue-payload(7) says of a body, as code that shares nothing with the program.

use uuid::Uuid;

use super::json::Json;
use super::own;

/// What a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// With its tags, and when it is to run.
    Native(Option<Uuid>, Asked, Vec<String>, Option<i64>),
    /// To a task, in a store.
    Pointer(Uuid, Uuid),
    /// Meant for us, and wrong.
    Refused,
    /// Not meant for us.
    Other,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub command: String,
    pub arguments: Vec<Given>,
    /// As they will stand in the argument list; None for what is not given.
    pub options: Vec<(String, Option<String>)>,
}

/// An argument: the element that it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub element: String,
    /// A number below zero, of which the hyphen is a part.
    pub negative: bool,
}

pub fn meaning(body: &[u8]) -> Meaning {
    let Some(Json::Object(members)) = Json::read(body) else {
        return Meaning::Other;
    };
    let ours = members
        .iter()
        .any(|(key, _)| key.as_deref() == Some("taskqueue"));
    match ours {
        true => native(&members).unwrap_or(Meaning::Refused),
        false => Meaning::Other,
    }
}

const KEYS: [&str; 13] = [
    "taskqueue",
    "uuid",
    "store",
    "command",
    "arguments",
    "options",
    "tags",
    "at",
    "max_attempts",
    "retry",
    "timeout",
    "env",
    // Of pointers alone, whatever it says.
    "for",
];

/// None: refused.
fn native(members: &[(Option<String>, Json)]) -> Option<Meaning> {
    let mut seen = Vec::new();
    for (key, _) in members {
        let key = key.as_deref()?;
        if !KEYS.contains(&key) || seen.contains(&key) {
            return None;
        }
        seen.push(key);
    }
    let get = |name: &str| {
        let found = members.iter().find(|(key, _)| key.as_deref() == Some(name));
        found.map(|(_, value)| value)
    };
    if get("taskqueue") != Some(&Json::Number("1".into())) {
        return None;
    }
    let id = match get("uuid") {
        Some(value) => Some(uuid(value)?),
        None => None,
    };
    if let Some(store) = get("store") {
        let alone = seen.iter().filter(|key| **key != "for").count() == 3;
        return alone.then_some(Meaning::Pointer(id?, uuid(store)?));
    }
    if seen.contains(&"for") {
        return None;
    }
    let command = get("command")?.text()?;
    let asked = Asked {
        command: is_name(command, "_:-").then(|| command.to_owned())?,
        arguments: match get("arguments") {
            Some(Json::Array(elements)) => elements.iter().map(argument).collect::<Option<_>>()?,
            Some(_) => return None,
            None => Vec::new(),
        },
        options: match get("options") {
            Some(Json::Object(members)) => options(members)?,
            Some(Json::Array(elements)) if elements.is_empty() => Vec::new(),
            Some(_) => return None,
            None => Vec::new(),
        },
    };
    let tags = match get("tags") {
        Some(Json::Array(elements)) => tags(elements)?,
        Some(_) => return None,
        None => Vec::new(),
    };
    let at = match get("at") {
        Some(at) => Some(time(at.text()?)?),
        None => None,
    };
    let own = own::Said {
        max_attempts: get("max_attempts"),
        retry: get("retry"),
        timeout: get("timeout"),
        env: get("env"),
    };
    own.is_right()
        .then_some(Meaning::Native(id, asked, tags, at))
}

/// As RFC 3339 has it: so many characters, and then an offset.
fn time(text: &str) -> Option<i64> {
    let offset = text.trim_start_matches(|c: char| !"+Zz".contains(c));
    let zulu = offset.eq_ignore_ascii_case("z");
    let is_long = text.len() >= if zulu { 20 } else { 25 };
    let at: jiff::Timestamp = text.parse().ok()?;
    is_long.then_some(at.as_millisecond())
}

/// In the order of their names; twenty at most, each of a hundred bytes at most, no name twice.
fn tags(elements: &[Json]) -> Option<Vec<String>> {
    let texts: Vec<&str> = elements.iter().map(Json::text).collect::<Option<_>>()?;
    let is_right = |tag: &&str| {
        !tag.is_empty()
            && !tag.starts_with('=')
            && tag.len() <= 100
            && !tag.chars().any(char::is_control)
    };
    let name = |tag: &&str| tag.split('=').next().unwrap().to_owned();
    let mut names: Vec<String> = texts.iter().map(name).collect();
    names.sort();
    names.dedup();
    if texts.len() > 20 || names.len() < texts.len() || !texts.iter().all(is_right) {
        return None;
    }
    let of = |name: &String| texts.iter().find(|tag| tag.split('=').next() == Some(name));
    names
        .iter()
        .map(|name| of(name).map(|tag| (*tag).to_owned()))
        .collect()
}

fn is_name(name: &str, more: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    (1..=200).contains(&name.len()) && !name.starts_with('-') && name.chars().all(known)
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn uuid(value: &Json) -> Option<Uuid> {
    let text = value.text()?;
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if lengths != [8, 4, 4, 4, 12] {
        return None;
    }
    let digits = parts.concat();
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_hex.then(|| Uuid::from_u128(u128::from_str_radix(&digits, 16).unwrap()))
}

pub fn argument(value: &Json) -> Option<Given> {
    match value {
        Json::Number(digits) => Some(Given {
            element: digits.clone(),
            negative: digits.starts_with('-'),
        }),
        Json::Text(text) => text
            .clone()
            .filter(|text| !text.contains('\0'))
            .map(|element| Given {
                element,
                negative: false,
            }),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn options(members: &[(Option<String>, Json)]) -> Option<Vec<(String, Option<String>)>> {
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    for (name, value) in members {
        let name = name.as_deref()?;
        if !is_name(name, "_-") || options.iter().any(|(other, _)| other == name) {
            return None;
        }
        options.push((name.to_owned(), option(name, value)?));
    }
    Some(options)
}

/// The element that an option becomes; the inner None: nothing.
pub fn option(name: &str, value: &Json) -> Option<Option<String>> {
    match value {
        Json::Bool(true) => Some(Some(format!("--{name}"))),
        Json::Bool(false) | Json::Null => Some(None),
        Json::Number(_) | Json::Text(_) => {
            Some(Some(format!("--{name}={}", argument(value)?.element)))
        }
        Json::Array(_) | Json::Object(_) => None,
    }
}

impl Asked {
    /// What runs, with `run = ["run", "{command}"]`; None if it may not.
    pub fn argv(&self, dash_arguments: bool) -> Option<Vec<String>> {
        if !dash_arguments
            && self
                .arguments
                .iter()
                .any(|argument| argument.element.starts_with('-') && !argument.negative)
        {
            return None;
        }
        let mut argv = vec!["run".to_owned(), self.command.clone()];
        argv.extend(
            self.arguments
                .iter()
                .map(|argument| argument.element.clone()),
        );
        argv.extend(
            self.options
                .iter()
                .filter_map(|(_, element)| element.clone()),
        );
        Some(argv)
    }
}
