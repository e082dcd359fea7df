use proptest::prelude::*;

use super::*;

/// The reason why a body is refused.
fn refused(body: &str) -> String {
    match read(body.as_bytes()) {
        Body::Refused(reason) => reason.to_string(),
        other => panic!("{body:?} was not refused but is {other:?}"),
    }
}

fn native(body: &str) -> Native {
    match read(body.as_bytes()) {
        Body::Native(native) => native,
        other => panic!("{body:?} is not native but {other:?}"),
    }
}

/// A native body with this text for its call, and the argv tail that it becomes.
fn tail(members: &str) -> Result<Vec<String>, Refusal> {
    let call = native(&format!(r#"{{"taskqueue":1,{members}}}"#)).call;
    let argv = argv(&call, &["run".into()], false)?;
    Ok(argv[1..].to_vec())
}

const UUID: &str = "0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

#[test]
fn a_call_becomes_whole_elements() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        (r#""command":"x""#, &[]),
        (r#""command":"x","arguments":[],"options":{}"#, &[]),
        (r#""command":"x","options":[ ]"#, &[]),
        (r#""command":"x","arguments":["a b","","$(id)"]"#, &["a b", "", "$(id)"]),
        (r#""command":"x","arguments":[0,1E5,1e5,1.0]"#, &["0", "1E5", "1e5", "1.0"]),
        (r#""options":{"b":true,"a":false,"n":null,"t":"x=y","e":"","d":1E5},"command":"x""#,
            &["--b", "--t=x=y", "--e=", "--d=1E5"]),
        (r#""command":"x","arguments":["1"],"options":{"z":1,"a":2}"#, &["1", "--z=1", "--a=2"]),
        (r#""\u0063ommand":"x","arguments":["\u00e4\n\ud83d\ude00"]"#, &["ä\n😀"]),
    ];
    for (members, expected) in table {
        assert_eq!(tail(members).unwrap(), *expected, "{members}");
    }
    let numbers = tail(r#""command":"x","arguments":[-0.0,-5,-1e9]"#).unwrap();
    assert_eq!(numbers, ["-0.0", "-5", "-1e9"]);
    assert_eq!(
        tail(r#""command":"x","arguments":["a","-0.0"]"#)
            .unwrap_err()
            .to_string(),
        "argument 2 begins with a hyphen, which the command \"x\" does not allow: \"-0.0\""
    );
}

#[test]
fn numbers_keep_their_digits() {
    let long = "9".repeat(400);
    for digits in ["0", "-0", "1.0", "1E5", "1e5", "1e999999", "-1e-9", &long] {
        let call = native(&format!(
            r#"{{"taskqueue":1,"command":"x","arguments":[ {digits} ],"options":{{"n":{digits}}}}}"#
        ))
        .call;
        let argv = argv(&call, &["run".into()], true).unwrap();
        assert_eq!(argv[1..], [digits.to_string(), format!("--n={digits}")]);
        assert_eq!(call.options_json(), format!(r#"{{"n":{digits}}}"#));
    }
}

#[test]
fn a_pointer_is_read_back() {
    let pointer = Pointer {
        uuid: UUID.parse().unwrap(),
        store: Uuid::max(),
    };
    let body = pointer.to_body(None);
    assert_eq!(
        String::from_utf8_lossy(&body),
        format!(
            r#"{{"taskqueue":1,"uuid":"{UUID}","store":"ffffffff-ffff-ffff-ffff-ffffffffffff"}}"#
        )
    );
    assert_eq!(read(&body), Body::Pointer(pointer));
    assert!(pointer.is_as_written(&body));

    // What it says to people changes nothing.
    let about = About::command("invoice:send");
    let body = pointer.to_body(Some(&about));
    let text = String::from_utf8_lossy(&body);
    assert!(text.ends_with(r#","for":"invoice:send"}"#), "{text}");
    assert_eq!(read(&body), Body::Pointer(pointer));
    assert!(pointer.is_as_written(&body));
    for odd in [
        text.replace(":1,", ": 1,"),
        text.replace("\"for\"", " \"for\""),
        text.replace(r#""invoice:send""#, "7"),
    ] {
        assert_eq!(read(odd.as_bytes()), Body::Pointer(pointer), "{odd}");
        assert!(!pointer.is_as_written(odd.as_bytes()), "{odd}");
    }
}

#[test]
fn a_native_body_may_name_its_task() {
    let body = format!("\r\n {{\"uuid\":\"{UUID}\",\"command\":\"a:b\",\"taskqueue\":1}}\t");
    assert_eq!(native(&body).uuid, Some(UUID.parse().unwrap()));
    let shouted = body.replace(UUID, &UUID.to_uppercase());
    assert_eq!(native(&shouted).uuid, native(&body).uuid);
    assert_eq!(native(r#"{"taskqueue":1,"command":"x"}"#).uuid, None);
}

#[test]
fn what_is_wrong_is_refused_with_its_reason() {
    #[rustfmt::skip]
    let table = [
        (r#"{"taskqueue":2,"anything":[]}"#, "the payload is of a later version, \"2\", and this program reads version 1"),
        (r#"{"taskqueue":1.0}"#, "the payload's version is \"1.0\", not the integer 1"),
        (r#"{"taskqueue":0}"#, "the payload's version is \"0\", not the integer 1"),
        (r#"{"taskqueue":"1"}"#, "the payload's \"taskqueue\" is a string, not the integer 1"),
        (r#"{"taskqueue":1}"#, "the payload has no \"command\""),
        (r#"{"taskqueue":1,"taskqueue":2}"#, "the payload has the key \"taskqueue\" twice"),
        (r#"{"taskqueue":1,"\u0074askqueue":1}"#, "the payload has the key \"taskqueue\" twice"),
        (r#"{"taskqueue":1,"Command":"x"}"#, "the payload has the unknown key \"Command\"; known are"),
        (r#"{"taskqueue":1,"\ud800":"x"}"#, "a key of the payload has half a surrogate pair in it: \"\\\"\\\\ud800\\\"\""),
        (r#"{"taskqueue":1,"command":7}"#, "the payload's \"command\" is a number, not a string"),
        (r#"{"taskqueue":1,"command":""}"#, "the command name \"\" is empty"),
        (r#"{"taskqueue":1,"command":"-x"}"#, "the command name \"-x\" begins with a hyphen"),
        (r#"{"taskqueue":1,"command":"a/b"}"#, "the command name \"a/b\" has '/' in it; allowed are letters, digits and _ : -"),
        (r#"{"taskqueue":1,"command":"x","arguments":"a"}"#, "the payload's \"arguments\" is a string, not an array"),
        (r#"{"taskqueue":1,"command":"x","arguments":["a",true]}"#, "argument 2 is true, not a string or a number"),
        (r#"{"taskqueue":1,"command":"x","arguments":["\ud800"]}"#, "argument 1 has half a surrogate pair in it"),
        (r#"{"taskqueue":1,"command":"x","arguments":["a\u0000b"]}"#, "argument 1 has a NUL in it: \"a\\0b\""),
        (r#"{"taskqueue":1,"command":"x","options":[[]]}"#, "the payload's \"options\" is an array, not an object"),
        (r#"{"taskqueue":1,"command":"x","options":{"a":[]}}"#, "the value of option \"a\" is an array, not a string, a number, true, false or null"),
        (r#"{"taskqueue":1,"command":"x","options":{"a":{"$serde_json::private::Number":"1"}}}"#, "the value of option \"a\" is an object"),
        (r#"{"taskqueue":1,"command":"x","options":{"a b":1}}"#, "the option name \"a b\" has ' ' in it"),
        (r#"{"taskqueue":1,"command":"x","options":{"a":1,"b":2,"a":null}}"#, "the option \"a\" is given twice"),
        (r#"{"taskqueue":1,"command":"x","uuid":"0198f3a45b6c7d8e9fa0b1c2d3e4f506"}"#, "the payload's \"uuid\" is \"0198f3a45b6c7d8e9fa0b1c2d3e4f506\", not a UUID with hyphens"),
        (r#"{"taskqueue":1,"command":"x","uuid":null}"#, "the payload's \"uuid\" is null, not a string"),
        (r#"{"taskqueue":1,"command":"x","for":"y"}"#, "the payload has the unknown key \"for\"; known are"),
        (r#"{"taskqueue":1,"store":"x"}"#, "the payload has no \"uuid\""),
        (r#"{"taskqueue":1,"store":"x","options":{}}"#, "the payload has both \"store\" and \"options\""),
    ];
    for (body, reason) in table {
        let refused = refused(body);
        assert!(refused.starts_with(reason), "{body}: {refused}");
    }
}

#[test]
fn what_is_not_native_is_left_alone() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 11] = [
        (b"", "the body is empty"),
        (b" ", "not JSON: it ends before there is a value at byte 1"),
        (b"hello", "not JSON: there is no value at byte 1"),
        (b"{\"taskqueue\":1,\"command\":\"\xff\"}", "not JSON: not UTF-8 from byte 26 on"),
        (br#"{"taskqueue":1,"command":"x""#, "not JSON: it ends within an object at byte 28"),
        (br#"{"taskqueue":1} {"taskqueue":1}"#, "not JSON: something follows its end at byte 17"),
        ("\u{feff}{\"taskqueue\":1}".as_bytes(), "not JSON: the body begins with a byte order mark"),
        (br#"{"task":{"taskqueue":1}}"#, "JSON, but without a \"taskqueue\" key"),
        (br#"[{"taskqueue":1}]"#, "JSON, but an array, not an object with a \"taskqueue\" key"),
        (br#""taskqueue""#, "JSON, but a string, not an object with a \"taskqueue\" key"),
        (br"App\Task\Hello::{}", "not JSON: there is no value at byte 1"),
    ];
    for (body, reason) in table {
        match read(body) {
            Body::Other(not_native) => assert_eq!(not_native.to_string(), reason),
            other => panic!("{body:?} is {other:?}"),
        }
    }
}

#[test]
fn depth_costs_no_stack() {
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(100_000);
        assert!(matches!(read(deep.as_bytes()), Body::Other(_)));
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(
        read(deep.as_bytes()),
        Body::Other(NotNative::NotAnObject { .. })
    ));
    let inside = format!(r#"{{"taskqueue":1,"command":"x","arguments":[{deep}]}}"#);
    assert_eq!(
        refused(&inside),
        "argument 1 is an array, not a string or a number"
    );
}

#[test]
fn a_reason_stays_short_and_printable() {
    let name = "\u{202e}\u{1b}[2J'".repeat(10_000);
    let reason = name.parse::<CommandName>().unwrap_err().to_string();
    assert!(reason.len() < 200, "{reason}");
    assert!(
        reason.starts_with("the command name \"\\u{202e}\\u{1b}[2J'\\u{202e}"),
        "{reason}"
    );
    assert!(
        reason.ends_with("\"… has 80000 bytes, at most 200 are allowed"),
        "{reason}"
    );
}

#[test]
fn the_longest_name_is_a_name() {
    assert!("n".repeat(MAX_NAME_LEN).parse::<CommandName>().is_ok());
    assert!("n".repeat(MAX_NAME_LEN).parse::<OptionName>().is_ok());
    assert!("n".repeat(MAX_NAME_LEN + 1).parse::<OptionName>().is_err());
    assert!("a:b".parse::<OptionName>().is_err());
    assert!("a\n".parse::<CommandName>().is_err());
}

#[test]
fn options_of_the_command_line() {
    let parse = |given: &[&str]| {
        let given: Vec<String> = given.iter().map(|&text| text.into()).collect();
        Call::parse_options(&given)
    };
    let name = |text: &str| text.parse::<OptionName>().unwrap();
    assert_eq!(
        parse(&["a=1=2", "b", "c="]).unwrap(),
        [
            (name("a"), OptionValue::Text("1=2".into())),
            (name("b"), OptionValue::Flag),
            (name("c"), OptionValue::Text(String::new())),
        ]
    );
    for (given, reason) in [
        (&["a=1", "a"][..], "the option \"a\" is given twice"),
        (&["=1"], "the option name \"\" is empty"),
        (&["--a=1"], "the option name \"--a\" begins with a hyphen"),
        (
            &["a=\0"],
            "the value of option \"a\" has a NUL in it: \"\\0\"",
        ),
    ] {
        assert_eq!(parse(given).unwrap_err().to_string(), reason);
    }
}

#[test]
fn an_argv_needs_a_program_and_puts_the_name_where_it_is_asked_for() {
    let call = native(r#"{"taskqueue":1,"command":"a:b","arguments":["{command}"]}"#).call;
    let run = ["php", "{command}", "x{command}"].map(String::from);
    assert_eq!(
        argv(&call, &run, false).unwrap(),
        ["php", "a:b", "x{command}", "{command}"]
    );
    assert_eq!(
        argv(&call, &[], false).unwrap_err().to_string(),
        "the command \"a:b\" has no program to run"
    );
}

#[test]
fn an_argv_never_holds_what_the_kernel_would_cut() {
    let mut call = native(r#"{"taskqueue":1,"command":"x"}"#).call;
    call.arguments = vec!["a\0b".into()];
    assert!(argv(&call, &["run".into()], true).is_err());
    // Nor what passes for a number without being one.
    call.arguments = vec![Argument::Negative("-x".into())];
    assert!(argv(&call, &["run".into()], false).is_err());
    assert_eq!(call.arguments_json(), r#"["-x"]"#);
    call.arguments.clear();
    call.options = vec![("n".parse().unwrap(), OptionValue::Number("\0".into()))];
    assert!(argv(&call, &["run".into()], true).is_err());
    // And a number that is none does no harm in the store.
    call.options = vec![(
        "n".parse().unwrap(),
        OptionValue::Number("1,\"m\":2".into()),
    )];
    assert_eq!(call.options_json(), r#"{"n":"1,\"m\":2"}"#);
}

#[test]
fn a_row_is_read_as_strictly_as_a_body() {
    for (command, arguments, options) in [
        ("", "[]", "{}"),
        ("x", "", "{}"),
        ("x", "{}", "{}"),
        ("x", "[]", "[1]"),
        ("x", "[]", "{"),
        ("x", "[\"\\u0000\"]", "{}"),
        ("x", "[]", r#"{"a":1,"a":1}"#),
    ] {
        assert!(
            Call::from_parts(command, arguments, options).is_err(),
            "{command} {arguments} {options}"
        );
    }
}

fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(vec!['"', '\\', '-', '=', '\'', '\n', '{', '$', ' ', '/']);
    // Replaced, not rejected: a long run would have too many rejects.
    let not_nul = |c| if c == '\0' { '0' } else { c };
    let c = prop_oneof![3 => any::<char>().prop_map(not_nul), 1 => awkward];
    prop::collection::vec(c, 0..24).prop_map(String::from_iter)
}

fn call() -> impl Strategy<Value = Call> {
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,6})?";
    let value = prop_oneof![
        Just(OptionValue::Flag),
        Just(OptionValue::Off),
        text().prop_map(OptionValue::Text),
        number.prop_map(OptionValue::Number),
    ];
    let name = "[a-zA-Z0-9_][a-zA-Z0-9_-]{0,20}";
    let options = prop::collection::vec((name, value), 0..6).prop_map(|options| {
        let mut options: Vec<(OptionName, OptionValue)> = options
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value))
            .collect();
        let mut seen = Vec::new();
        options.retain(|(name, _)| {
            let new = !seen.contains(name);
            seen.push(name.clone());
            new
        });
        options
    });
    let command = "[a-zA-Z0-9_:][a-zA-Z0-9_:-]{0,20}".prop_map(|name| name.parse().unwrap());
    let negative = "-(0|[1-9][0-9]{0,20})".prop_map(Argument::Negative);
    let argument = prop_oneof![4 => text().prop_map(Argument::Text), 1 => negative];
    (command, prop::collection::vec(argument, 0..6), options).prop_map(
        |(command, arguments, options)| Call {
            command,
            arguments,
            options,
        },
    )
}

fn body_of(call: &Call) -> String {
    format!(
        r#"{{"taskqueue":1,"command":"{}","arguments":{},"options":{}}}"#,
        call.command,
        call.arguments_json(),
        call.options_json()
    )
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let is_other = matches!(read(&body), Body::Other(_));
        prop_assert!(is_other);
    }

    #[test]
    fn a_damaged_body_can_be_read(
        call in call(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut body = body_of(&call).into_bytes();
        let at = at.index(body.len());
        if cut {
            body.truncate(at);
            let is_other = matches!(read(&body), Body::Other(_));
            prop_assert!(is_other);
        } else {
            body[at] = byte;
            if let Body::Native(native) = read(&body) {
                prop_assert!(argv(&native.call, &["run".into()], true).is_ok());
            }
        }
    }

    #[test]
    fn a_call_survives_the_store(call in call()) {
        let again = Call::from_parts(
            call.command.as_str(), &call.arguments_json(), &call.options_json(),
        );
        prop_assert_eq!(again.unwrap(), call);
    }

    #[test]
    fn a_call_survives_a_body(call in call()) {
        let native = Native {
            uuid: None,
            call,
            tags: Vec::new(),
            at: None,
            unique: None,
            own: None,
            links: None,
        };
        prop_assert_eq!(read(body_of(&native.call).as_bytes()), Body::Native(native));
    }

    #[test]
    fn no_payload_merges_or_splits_an_element(call in call()) {
        let run = ["program".to_string(), "fixed".to_string()];
        let argv = argv(&call, &run, true).unwrap();
        prop_assert_eq!(&argv[..2], &run[..]);
        let (arguments, options) = argv[2..].split_at(call.arguments.len());
        let texts: Vec<&str> = call.arguments.iter().map(Argument::as_str).collect();
        prop_assert_eq!(arguments, &texts[..]);
        let mut given = call.options.iter().filter(|(_, value)| *value != OptionValue::Off);
        for element in options {
            let (name, value) = given.next().unwrap();
            let element = element.strip_prefix("--").unwrap();
            match value {
                OptionValue::Text(value) | OptionValue::Number(value) => {
                    prop_assert_eq!(element.split_once('='), Some((name.as_str(), value.as_str())));
                }
                _ => prop_assert_eq!(element, name.as_str()),
            }
        }
        prop_assert!(given.next().is_none());
    }

    #[test]
    fn a_leading_hyphen_needs_leave(call in call()) {
        let hyphen = call.arguments.iter().any(|argument| match argument {
            Argument::Text(text) => text.starts_with('-'),
            Argument::Negative(_) => false,
        });
        prop_assert_eq!(argv(&call, &["run".into()], false).is_err(), hyphen);
    }
}
