//! Keys that are made of what tasks ask for.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Millis;
use super::command::Content;
use super::own::Own;
use super::payload::{Call, OptionValue};
use super::unique::{Hold, Key, Scope, Span, Unique};
use crate::tube::TubeName;

/// What the row of a task that is put now is to hold.
pub fn hold(
    unique: &Unique,
    content: &Content,
    own: Option<&Own>,
    tube: &TubeName,
    now: Millis,
) -> Hold {
    Hold {
        key: match &unique.key {
            Some(key) => key.clone(),
            None => key_of(content, own, tube),
        },
        span: match unique.scope {
            Scope::Waiting => Span::Waiting,
            Scope::Unfinished => Span::Unfinished,
            Scope::For(time) => Span::Until(now.saturating_add(time)),
        },
    }
}

/// The key of what a task asks for. Two calls have one if they lead to the same argv: the order of options is nothing,
/// and a number counts as it is written. What a raw body asks for is its bytes, of its tube's command. What a command
/// is to find in its environment is a part of what is asked for, and how often or for how long is none.
pub fn key_of(content: &Content, own: Option<&Own>, tube: &TubeName) -> Key {
    let mut hash = Sha256::new();
    match content {
        Content::Call(call) => hash.update(canonical(call)),
        Content::Raw(body) | Content::Unread(body) => {
            hash.update(tube.as_str());
            hash.update([0]);
            hash.update(body);
        }
    }
    for (name, value) in own.iter().flat_map(|own| &own.environment) {
        // A name of a variable has no control characters, and a value no NUL.
        for part in [name.as_str(), value] {
            hash.update([0]);
            hash.update(part);
        }
    }
    Key::of_digest(hash.finalize().into())
}

/// A call as text that is the same for all calls which lead to the same argv.
fn canonical(call: &Call) -> String {
    let arguments: Vec<&str> = call.arguments.iter().map(|one| one.as_str()).collect();
    let options: BTreeMap<&str, Value> = call
        .options
        .iter()
        .filter_map(|(name, value)| {
            let value = match value {
                OptionValue::Off => return None,
                OptionValue::Flag => Value::Bool(true),
                OptionValue::Text(text) | OptionValue::Number(text) => text.as_str().into(),
            };
            Some((name.as_str(), value))
        })
        .collect();
    json!([call.command.as_str(), arguments, options]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::payload::{Body, read};

    fn of(rest: &str) -> Key {
        let body = format!(r#"{{"taskqueue":1,"command":"c",{rest}}}"#);
        let Body::Native(native) = read(body.as_bytes()) else {
            panic!("{body} is no native body");
        };
        super::key_of(
            &Content::Call(native.call),
            native.own.as_deref(),
            &"t".parse().unwrap(),
        )
    }

    #[test]
    fn the_key_of_a_call_is_of_what_its_argv_says() {
        let key = of(r#""arguments":["1"],"options":{"a":"1","b":true}"#);
        for same in [
            r#""arguments":[1],"options":{"b":true,"a":1}"#,
            r#""options":{"b":true,"c":false,"a":1},"arguments":["1"]"#,
        ] {
            assert_eq!(of(same), key, "{same}");
        }
        for other in [
            r#""arguments":[1.0],"options":{"a":1,"b":true}"#,
            r#""arguments":[1],"options":{"a":1,"b":"true"}"#,
            r#""arguments":["1","1"],"options":{"a":1,"b":true}"#,
            r#""arguments":["1"],"options":{"a":1}"#,
        ] {
            assert_ne!(of(other), key, "{other}");
        }
    }

    /// They stand in stores, so they stay what they are.
    #[test]
    fn keys_are_what_they_were() {
        assert_eq!(
            canonical(&Call {
                command: "c".parse().unwrap(),
                arguments: vec!["x".into()],
                options: vec![
                    ("b".parse().unwrap(), OptionValue::Flag),
                    ("a".parse().unwrap(), OptionValue::Number("-0".into())),
                ],
            }),
            r#"["c",["x"],{"a":"-0","b":true}]"#
        );
        let raw = Content::Raw("abc".into());
        let key = super::key_of(&raw, None, &"t".parse().unwrap());
        assert_eq!(key.as_str().len(), 71);
        assert_ne!(key, super::key_of(&raw, None, &"u".parse().unwrap()));
    }
}
