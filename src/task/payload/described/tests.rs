use proptest::prelude::*;

use super::super::OptionValue;
use super::*;

fn mapping(arguments: &[&str], options: &[(&str, &str)]) -> Mapping {
    Mapping {
        command: "x".parse().unwrap(),
        arguments: arguments.iter().map(|&field| field.into()).collect(),
        options: options
            .iter()
            .map(|&(name, field)| (name.parse().unwrap(), field.into()))
            .collect(),
    }
}

/// What becomes of the fields when `wait` is an argument and `message` an option.
fn call(fields: &str) -> Result<Call, Refusal> {
    let body = format!(r"Acme\Task::{fields}");
    let described = Described::split(body.as_bytes()).unwrap();
    mapping(&["wait"], &[("message", "message")]).call(&described)
}

fn split(body: &[u8]) -> Option<(&str, &[u8])> {
    Described::split(body).map(|described| (described.name, described.fields))
}

#[test]
fn a_body_is_taken_apart_at_its_first_separator() {
    #[rustfmt::skip]
    let table: &[(&str, Option<(&str, &str)>)] = &[
        (r"Acme\Task\Hello::{}", Some((r"Acme\Task\Hello", "{}"))),
        ("Hello::{\"a\":\"b::c\"}", Some(("Hello", "{\"a\":\"b::c\"}"))),
        ("_9::", Some(("_9", ""))),
        ("a::::b", Some(("a", "::b"))),
        ("a:::b", Some(("a", ":b"))),
        ("Ünïcode\\Wört::{}", Some(("Ünïcode\\Wört", "{}"))),
        ("", None),
        ("::", None),
        ("::{}", None),
        (r"\Acme::{}", None),
        (r"Acme\::{}", None),
        (r"Acme\\Task::{}", None),
        (r"Acme\9::{}", None),
        ("9::{}", None),
        ("Acme/Task::{}", None),
        ("Acme.Task::{}", None),
        (" Acme::{}", None),
        ("Acme ::{}", None),
        ("Acme:{}", None),
        ("Acme", None),
        ("class@anonymous\0/x.php:3$0::{}", None),
        ("{\"taskqueue\":1,\"command\":\"a::b\"}", None),
    ];
    for (body, expected) in table {
        let expected = expected.map(|(name, fields)| (name, fields.as_bytes()));
        assert_eq!(split(body.as_bytes()), expected, "{body:?}");
    }
    assert_eq!(split(b"A::\xff"), Some(("A", &b"\xff"[..])));
    assert_eq!(split(b"A\xff::{}"), None);
}

#[test]
fn the_longest_class_name_is_one() {
    for (len, is_one) in [(MAX_NAME_LEN, true), (MAX_NAME_LEN + 1, false)] {
        let name = "n".repeat(len);
        assert_eq!(name.parse::<TypeName>().is_ok(), is_one);
        assert_eq!(split(format!("{name}::").as_bytes()).is_some(), is_one);
    }
    let reason = r"\A".parse::<TypeName>().unwrap_err().to_string();
    assert!(
        reason.starts_with(r#""\\A" is no class name: at most 200 bytes of letters"#),
        "{reason}"
    );
}

#[test]
fn other_texts_have_a_separator_too() {
    for (body, looks) in [
        ("A::{}", true),
        ("A:: \n{", true),
        ("A::[]", true),
        ("std::move(x)", false),
        ("A::", false),
        ("A::1", false),
    ] {
        let described = Described::split(body.as_bytes()).unwrap();
        assert_eq!(described.type_name().is_some(), looks, "{body}");
    }
}

fn elements(call: &Call) -> Vec<&str> {
    call.arguments.iter().map(Argument::as_str).collect()
}

/// PHP's serializers write texts for numbers, by the types that the class declares.
#[test]
fn a_text_that_is_a_number_is_one() {
    for (fields, expected) in [
        (
            r#"{"wait":"-1001234567890"}"#,
            Argument::Negative("-1001234567890".into()),
        ),
        (r#"{"wait":-5}"#, Argument::Negative("-5".into())),
        (r#"{"wait":"-5 "}"#, Argument::Text("-5 ".into())),
        (r#"{"wait":"-rf"}"#, Argument::Text("-rf".into())),
        (r#"{"wait":"5"}"#, Argument::Text("5".into())),
    ] {
        assert_eq!(call(fields).unwrap().arguments, [expected], "{fields}");
    }
}

#[test]
fn options_have_fixed_values_and_defaults() {
    let mut mapping = mapping(&[], &[]);
    let name = |name: &str| name.parse::<OptionName>().unwrap();
    let text = |text: &str| OptionValue::Text(text.into());
    mapping.options = vec![
        (name("format"), Source::Fixed(text("pdf"))),
        (
            name("speed"),
            Source::Field {
                field: "speed".into(),
                default: Some(text("low")),
            },
        ),
        (name("copy"), Source::Fixed(OptionValue::Flag)),
    ];
    for (fields, speed) in [
        (r#"{"a":"x"}"#, Some("low")),
        (r#"{"speed":"high","format":"html"}"#, Some("high")),
        (r#"{"speed":null}"#, None),
    ] {
        let body = format!("T::{fields}");
        let call = mapping
            .call(&Described::split(body.as_bytes()).unwrap())
            .unwrap();
        let expected = match speed {
            Some(speed) => format!(r#"{{"format":"pdf","speed":"{speed}","copy":true}}"#),
            None => r#"{"format":"pdf","speed":false,"copy":true}"#.into(),
        };
        assert_eq!(call.options_json(), expected, "{fields}");
    }
}

#[test]
fn named_fields_become_a_call() {
    let message = "message".parse::<OptionName>().unwrap();
    #[rustfmt::skip]
    let table: &[(&str, &str, Option<OptionValue>)] = &[
        (r#"{"taskIdentifier":"12","message":"hello","wait":"1"}"#, "1", Some(OptionValue::Text("hello".into()))),
        (r#"{"wait":1,"message":0}"#, "1", Some(OptionValue::Number("0".into()))),
        (r#"{"wait":-1.50e+3,"message":1E5}"#, "-1.50e+3", Some(OptionValue::Number("1E5".into()))),
        (r#"{"wait":"","message":""}"#, "", Some(OptionValue::Text("".into()))),
        (r#"{"wait":"x","message":true}"#, "x", Some(OptionValue::Flag)),
        (r#"{"wait":"x","message":false}"#, "x", Some(OptionValue::Off)),
        (r#"{"wait":"x","message":null}"#, "x", Some(OptionValue::Off)),
        (r#"{"wait":"x"}"#, "x", None),
        (" {\n\"wait\" : \"x\" }\r\n", "x", None),
        (r#"{"wait":"x","nobody's":[{}],"other":"\ud800"}"#, "x", None),
        (r#"{"wa\u0069t":"\u00e4\ud83d\ude00\/"}"#, "ä😀/", None),
    ];
    for (fields, argument, option) in table {
        let call = call(fields).unwrap();
        assert_eq!(elements(&call), [*argument], "{fields}");
        let options: Vec<_> = option
            .iter()
            .map(|o| (message.clone(), o.clone()))
            .collect();
        assert_eq!(call.options, options, "{fields}");
    }
}

#[test]
fn the_mapping_has_the_order() {
    let body = br#"T::{"a":1,"b":2,"c":3}"#;
    let described = Described::split(body).unwrap();
    let call = mapping(
        &["c", "a", "c"],
        &[("z", "b"), ("y", "missing"), ("a", "b")],
    )
    .call(&described)
    .unwrap();
    assert_eq!(elements(&call), ["3", "1", "3"]);
    assert_eq!(call.options_json(), r#"{"z":2,"a":2}"#);
}

#[test]
fn a_type_without_fields_is_a_call_too() {
    for body in ["T::{}", "T::[]", "T::[ ]", "T::{\"x\":{}}"] {
        let described = Described::split(body.as_bytes()).unwrap();
        let call = mapping(&[], &[("a", "a")]).call(&described).unwrap();
        assert_eq!((call.arguments.len(), call.options.len()), (0, 0), "{body}");
    }
}

#[test]
fn what_is_wrong_with_fields_is_refused() {
    #[rustfmt::skip]
    let table = [
        ("", "what follows the body's type is not JSON: nothing is there"),
        (" \n", "what follows the body's type is not JSON: nothing is there"),
        ("{", "what follows the body's type is not JSON: it ends within"),
        ("{}x", "what follows the body's type is not JSON: something follows"),
        ("{}{}", "what follows the body's type is not JSON: something follows"),
        ("hello", "what follows the body's type is not JSON: there is no value"),
        (":{}", "what follows the body's type is not JSON: there is no value"),
        ("\u{feff}{}", "what follows the body's type is not JSON: there is no value"),
        ("\"x\"", "what follows the body's type is a string, not an object"),
        ("null", "what follows the body's type is null, not an object"),
        ("[1]", "what follows the body's type is an array, not an object"),
        ("{}", "the payload has no field \"wait\", which is argument 1"),
        (r#"{"Wait":1}"#, "the payload has no field \"wait\", which is argument 1"),
        (r#"{"wait":true}"#, "the field \"wait\" is true, not a string or a number"),
        (r#"{"wait":null}"#, "the field \"wait\" is null, not a string or a number"),
        (r#"{"wait":[]}"#, "the field \"wait\" is an array, not a string or a number"),
        (r#"{"wait":{}}"#, "the field \"wait\" is an object, not a string or a number"),
        (r#"{"wait":"\ud800"}"#, "the field \"wait\" has half a surrogate pair in it"),
        (r#"{"wait":"a\u0000b"}"#, "the field \"wait\" has a NUL in it"),
        (r#"{"wait":1,"message":[]}"#, "the field \"message\" is an array, not a string, a number, true, false or null"),
        (r#"{"wait":1,"message":{}}"#, "the field \"message\" is an object, not"),
        (r#"{"wait":1,"message":"\u0000"}"#, "the field \"message\" has a NUL in it"),
        (r#"{"wait":1,"wait":1}"#, "the payload has the key \"wait\" twice"),
        (r#"{"wait":1,"\u0077ait":1}"#, "the payload has the key \"wait\" twice"),
        (r#"{"wait":1,"other":1,"other":2}"#, "the payload has the key \"other\" twice"),
        (r#"{"wait":1,"\ud800":2}"#, "a key of the payload has half a surrogate pair in it"),
    ];
    for (fields, reason) in table {
        let refusal = call(fields).unwrap_err().to_string();
        assert!(refusal.starts_with(reason), "{fields} was {refusal}");
    }
    let described = Described::split(b"A::{\"wait\":\"\xff\"}").unwrap();
    assert_eq!(
        mapping(&[], &[]).call(&described).unwrap_err().to_string(),
        "what follows the body's type is not JSON: not UTF-8 from byte 9 on"
    );
}

#[test]
fn depth_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(call(&format!(r#"{{"wait":1,"other":{deep}}}"#)).is_ok());
    assert_eq!(
        call(&format!(r#"{{"wait":{deep}}}"#))
            .unwrap_err()
            .to_string(),
        "the field \"wait\" is an array, not a string or a number"
    );
    assert!(call(&"{\"a\":".repeat(100_000)).is_err());
}

/// Class names, and texts that are nearly one.
fn name() -> impl Strategy<Value = String> {
    let part = "[a-zA-Z_äß][a-zA-Z0-9_äß]{0,12}";
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("\\"))
}

fn object(fields: &[(String, String)]) -> String {
    let members = fields
        .iter()
        .map(|(key, value)| format!("{}:{}", json::quoted(key), json::quoted(value)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

proptest! {
    #[test]
    fn any_bytes_can_be_split(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Described::split(&body).is_none_or(|d| is_class_name(d.name)));
    }

    #[test]
    fn any_fields_can_be_read(name in name(), fields in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = [name.as_bytes(), SEPARATOR, &fields].concat();
        let described = Described::split(&body).unwrap();
        prop_assert_eq!(described.fields, &fields[..]);
        let _ = described.type_name();
        let _ = mapping(&["a"], &[("b", "b")]).call(&described);
    }

    #[test]
    fn a_damaged_body_can_be_read(
        value in any::<String>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut body = format!("A\\B::{}", object(&[("wait".into(), value)])).into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Some(described) = Described::split(&body) {
            let _ = mapping(&["wait"], &[("message", "message")]).call(&described);
        }
    }

    #[test]
    fn what_is_written_is_read(
        name in name(),
        values in prop::collection::btree_map(any::<String>(), "[^\0]{0,40}", 1..8),
    ) {
        let fields: Vec<(String, String)> = values.into_iter().collect();
        let body = format!("{name}::{}", object(&fields));
        let described = Described::split(body.as_bytes()).unwrap();
        prop_assert_eq!(described.name(), &name);
        let wanted: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
        let call = mapping(&wanted, &[("last", wanted[0])]).call(&described).unwrap();
        let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        prop_assert_eq!(elements(&call), values.clone());
        prop_assert_eq!(&call.options[0].1, &OptionValue::Text(values[0].into()));
    }
}
