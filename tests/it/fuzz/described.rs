//! Bodies of the PHP TaskQueue likewise.

use proptest::prelude::*;
use proptest::sample::select;
use taskqueue::task::payload::{Described, Mapping};

use super::bodies::asked;
use super::damage::{damaged, damages};
use super::json::Json;
use super::manual::{Asked, Given, argument, option};

const SEEDS: &[&[u8]] = &[
    br#"Acme\Task\Invoice::{"a":"12","b":"pdf","taskIdentifier":"9"}"#,
    br#"A::{"a":1,"b":true,"c":null}"#,
    br#"A::{"a":1,"b":null,"c":{"d":[1]}}"#,
    br#"A::[]"#,
    br#"A::{"a":1,"c":2,"c":3}"#,
    br#"A::{"c":"\ud800","a":1}"#,
    br#"A::{"\ud800":1,"a":1}"#,
    br#"A::{"b":"x\u0041","a":""}"#,
    "Größe::{\"a\":\"ä\"}".as_bytes(),
    br#"std::move"#,
];

const WORDS: &[&[u8]] = &[
    b"::",
    b":",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\"",
    b"\"a\":1,",
    b"\"b\":false,",
    b"\"a\":[]",
    b" ",
    b"\0",
    b"\xff",
    b"\\u0000",
    b"\\ud800",
    b"9",
    b"-",
    b"null",
    b"\"c\":1,",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    (select(SEEDS), damages(WORDS)).prop_map(|(seed, damages)| damaged(seed, &damages))
}

/// Type and fields, if a class's name stands before the first `::`.
fn split(body: &[u8]) -> Option<(&str, &[u8])> {
    let at = body.windows(2).position(|two| two == b"::")?;
    let name = std::str::from_utf8(&body[..at]).ok()?;
    let part = |part: &str| {
        let letter = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
        part.chars().all(|c| letter(c) || c.is_ascii_digit())
            && part.chars().next().is_some_and(letter)
    };
    let is_name = name.len() <= 200 && name.split('\\').all(part);
    is_name.then(|| (name, &body[at + 2..]))
}

/// With `arguments = ["a"]` and `options = { x = "b" }`. None: refused.
fn call(fields: &[u8]) -> Option<Asked> {
    let members = match Json::read(fields)? {
        Json::Object(members) => members,
        Json::Array(elements) if elements.is_empty() => Vec::new(),
        _ => return None,
    };
    for (at, (key, _)) in members.iter().enumerate() {
        key.as_ref()?;
        if members[..at].iter().any(|(other, _)| other == key) {
            return None;
        }
    }
    let get = |name: &str| members.iter().find(|(key, _)| key.as_deref() == Some(name));
    Some(Asked {
        command: "run".into(),
        arguments: vec![text_or_number(argument(&get("a")?.1)?)],
        options: match get("b") {
            Some((_, value)) => vec![("x".into(), option("x", value)?)],
            None => Vec::new(),
        },
    })
}

/// A text that is a number and nothing else is one.
fn text_or_number(given: Given) -> Given {
    let whole = Json::Number(given.element.clone());
    let is_number = Json::read(given.element.as_bytes()).is_some_and(|value| value == whole);
    Given {
        negative: given.element.starts_with('-') && is_number,
        ..given
    }
}

fn mapping() -> Mapping {
    Mapping {
        command: "run".parse().unwrap(),
        arguments: vec!["a".into()],
        options: vec![("x".parse().unwrap(), "b".into())],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_one_means_what_the_manual_says(body in body()) {
        let shown = body.escape_ascii().to_string();
        let described = Described::split(&body);
        let expected = split(&body);
        prop_assert_eq!(described.map(|d| d.name()), expected.map(|(name, _)| name), "{}", &shown);
        if let (Some(described), Some((_, fields))) = (described, expected) {
            let made = mapping().call(&described).ok().map(|call| asked(&call));
            prop_assert_eq!(made, call(fields), "{}", &shown);
        }
    }
}
