//! Bodies: what the program makes of them is what the manual says.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use taskqueue::task::payload::{Argument, Body, Call, Native, Pointer, argv, read};
use uuid::Uuid;

use super::damage::{damaged, damages};
use super::manual::{Asked, Given, Meaning, meaning};
use crate::corpus;

/// Beyond that a body takes long and says nothing new.
const LONGEST: usize = 3000;

/// Hostile bodies, and some that are not.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let cases = corpus::load(Uuid::from_u128(1), Uuid::from_u128(2));
    let mut seeds: Vec<Vec<u8>> = cases.into_iter().map(|case| case.body).collect();
    seeds.retain(|seed| seed.len() < LONGEST);
    let good: [&[u8]; 7] = [
        br#"{"taskqueue":1,"command":"x","max_attempts":7,"retry":["1h 5m",10,0.5],"timeout":"2d","env":{"A_1":"x","b":2}}"#,
        br#"{"taskqueue":1,"command":"x","tags":["urgent","b=2","a=\u0031=","\u00e4"]}"#,
        br#"{"taskqueue":1,"uuid":"00000000-0000-7000-8000-0000000000aF","store":"00000000-0000-7000-8000-000000000001"}"#,
        br#"{"taskqueue":1,"uuid":"00000000-0000-7000-8000-0000000000aF","store":"00000000-0000-7000-8000-000000000001","for":"a"}"#,
        br#"{"taskqueue":1,"uuid":"00000000-0000-7000-8000-000000000001","command":"a:b","arguments":["x",1.50,"-"],"options":{"f":true,"g":"h","n":-1e5,"o":null}}"#,
        br#" { "options" : [ ] , "arguments" : [ ] , "command" : "_" , "taskqueue" : 1 } "#,
        br#"{"taskqueue":1,"command":"x","options":{"a":"\ud83d\ude00\u0041","b":false}}"#,
    ];
    // Often enough to be damaged often.
    for _ in 0..50 {
        seeds.extend(good.map(<[u8]>::to_vec));
    }
    seeds
});

/// What a body that is nearly right may have too much of.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"\0",
    b"0",
    b"1",
    b"-",
    b".",
    b"e5",
    b"E+1",
    b"true",
    b"false",
    b"null",
    b"[]",
    b"{}",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"\\udc00",
    b"\\u0074",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\"taskqueue\":1,",
    b"\"taskqueue\":2,",
    b"\"arguments\":[],",
    b"\"options\":{},",
    b"\"tags\":[],",
    b"\"a=1\",",
    b"=",
    b"\"uuid\":null,",
    b"\"store\":\"00000000-0000-7000-8000-000000000001\",",
    b"\"a\":",
    b"\"-a\":1,",
    b"1e999",
    b"\"\\u0000\"",
];

fn damaged_body() -> impl Strategy<Value = Vec<u8>> {
    (select(SEEDS.as_slice()), damages(WORDS)).prop_map(|(seed, damages)| damaged(&seed, &damages))
}

/// What may stand for an argument or an option.
const RIGHT: &[&str] = &[
    "1",
    "0",
    "-1",
    "1.0",
    "1e5",
    "-0",
    "123456789012345678901234567890",
    r#""""#,
    r#""x""#,
    r#""-x""#,
    r#""a b""#,
    r#""\n\\\"""#,
    r#""\ud83d\ude00""#,
    r#""{command}""#,
];

/// What may not, or not everywhere.
const ODD: &[&str] = &[
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[1]",
    r#""\ud83d""#,
    r#""\u0000""#,
    r#"{"a":[{}]}"#,
    "\"\u{7f}\u{2028}\"",
];

fn value() -> impl Strategy<Value = String> {
    let one = prop_oneof![12 => select(RIGHT), 1 => select(ODD)];
    one.prop_map(str::to_owned)
}

fn arguments() -> impl Strategy<Value = String> {
    prop::collection::vec(value(), 0..4).prop_map(|of| format!("[{}]", of.join(",")))
}

fn tags() -> impl Strategy<Value = String> {
    let right = [
        r#""a""#,
        r#""b=1""#,
        r#""c=""#,
        r#""d=e=f""#,
        r#""\u00e4 ö,""#,
    ];
    let odd = [
        r#""a=2""#,
        r#""""#,
        r#""=a""#,
        r#""\u0000""#,
        r#""\u0085""#,
        "1",
        "null",
        "[]",
    ];
    let one = prop_oneof![12 => select(right.to_vec()), 1 => select(odd.to_vec())];
    prop::collection::vec(one, 0..4).prop_map(|of| format!("[{}]", of.join(",")))
}

fn options() -> impl Strategy<Value = String> {
    let right = [
        r#""a""#,
        r#""b""#,
        r#""C""#,
        r#""d-e""#,
        r#""_""#,
        r#""\u0066""#,
        r#""9""#,
    ];
    let odd = [
        r#""-a""#,
        r#""""#,
        r#""a b""#,
        r#""\u0061""#,
        r#""\ud800""#,
        r#""ä""#,
    ];
    let name = prop_oneof![12 => select(right.to_vec()), 1 => select(odd.to_vec())];
    let given = prop_oneof![4 => value(), 2 => select(vec!["true", "false", "null"]).prop_map(str::to_owned)];
    prop::collection::vec((name, given), 0..4).prop_map(|of| {
        let members: Vec<String> = of
            .iter()
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn uuid() -> impl Strategy<Value = String> {
    let right = any::<u128>().prop_map(|bits| format!(r#""{}""#, Uuid::from_u128(bits)));
    let odd = [
        r#""00000000000070008000000000000001""#,
        r#""{00000000-0000-7000-8000-000000000001}""#,
        "null",
    ];
    prop_oneof![8 => right, 1 => select(odd.to_vec()).prop_map(str::to_owned)]
}

/// Rarely, and only then, something else.
fn mostly(right: &'static str, odd: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![19 => Just(right), 1 => select(odd)].prop_map(str::to_owned)
}

/// Pieces of JSON put together in an order that JSON allows. Right more often than not: what is wrong in one
/// place hides what follows.
fn written_body() -> impl Strategy<Value = Vec<u8>> {
    let space = select(vec!["", "", "", " ", "\n\t"]);
    let mark = mostly(r#""taskqueue""#, &[r#""t\u0061skqueue""#, r#""TaskQueue""#]);
    let name = mostly(
        r#""a:b-c_9""#,
        &[r#""-x""#, r#""""#, r#""a b""#, "1", r#""\u0061""#],
    );
    let extra = select(vec![
        r#""options""#,
        r#""arguments""#,
        r#""tags""#,
        r#""at""#,
        r#""max_attempts""#,
        r#""timeout""#,
        r#""retry""#,
        r#""env""#,
        r#""other""#,
        r#""\ud800""#,
        r#""Command""#,
        r#""for""#,
    ]);
    let sometimes = prop::option::weighted::<BoxedStrategy<String>>;
    let members = (
        (mark, mostly("1", &["2", "0", "1.0", r#""1""#, "true"])),
        sometimes(0.95, name.boxed()),
        sometimes(0.6, arguments().boxed()),
        sometimes(0.6, options().boxed()),
        sometimes(0.3, tags().boxed()),
        sometimes(0.4, uuid().boxed()),
        sometimes(0.1, uuid().boxed()),
        prop::option::weighted(0.05, (extra, value())),
    );
    let members = members.prop_flat_map(
        |(mark, command, arguments, options, tags, uuid, store, extra)| {
            let pointer = store.is_some() && extra.is_none();
            let unless = |given: Option<String>| given.filter(|_| !pointer);
            let known = [
                ("command", unless(command)),
                ("arguments", unless(arguments)),
                ("options", unless(options)),
                ("tags", unless(tags)),
                ("uuid", uuid),
                ("store", store),
            ];
            let mut members = vec![mark];
            let given = known
                .into_iter()
                .filter_map(|(key, value)| Some((format!("{key:?}"), value?)));
            members.extend(given);
            members.extend(extra.map(|(key, value)| (key.to_owned(), value)));
            Just(members).prop_shuffle()
        },
    );
    (members, space).prop_map(|(members, space)| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{space}{key}{space}:{space}{value}{space}"))
            .collect();
        format!("{space}{{{}}}{space}", members.join(",")).into_bytes()
    })
}

/// What the program makes of it, in the manual's words.
fn program(body: &[u8]) -> Meaning {
    match read(body) {
        Body::Native(Native {
            uuid,
            call,
            tags,
            at,
            unique: _,
            own: _,
            links: _,
        }) => {
            let tags = tags.iter().map(ToString::to_string).collect();
            Meaning::Native(uuid, asked(&call), tags, at)
        }
        Body::Pointer(Pointer { uuid, store }) => Meaning::Pointer(uuid, store),
        Body::Refused(refusal) => {
            let reason = refusal.to_string();
            assert!(!reason.is_empty() && reason.len() < 600, "{reason}");
            Meaning::Refused
        }
        Body::Other(reason) => {
            assert!(reason.to_string().len() < 600, "{reason}");
            Meaning::Other
        }
    }
}

/// An option's element is what the program puts into the argument list for it alone.
pub fn asked(call: &Call) -> Asked {
    let option = |option: &(_, _)| {
        let alone = Call {
            arguments: Vec::new(),
            options: vec![option.clone()],
            command: call.command.clone(),
        };
        argv(&alone, &["run".into()], false)
            .unwrap()
            .get(1)
            .cloned()
    };
    Asked {
        command: call.command.to_string(),
        arguments: call
            .arguments
            .iter()
            .map(|argument| Given {
                element: argument.as_str().to_owned(),
                negative: matches!(argument, Argument::Negative(_)),
            })
            .collect(),
        options: call
            .options
            .iter()
            .map(|one| (one.0.to_string(), option(one)))
            .collect(),
    }
}

fn check(body: &[u8]) -> Result<(), TestCaseError> {
    let shown = body.escape_ascii().to_string();
    prop_assert_eq!(program(body), meaning(body), "{}", &shown);
    if let Body::Native(Native { call, .. }) = read(body) {
        let run = ["run".to_owned(), "{command}".to_owned()];
        for dash in [true, false] {
            prop_assert_eq!(
                argv(&call, &run, dash).ok(),
                asked(&call).argv(dash),
                "{}",
                &shown
            );
        }
        let uuid = Uuid::from_u128(7);
        let again = Body::Native(Native {
            uuid: Some(uuid),
            call: call.clone(),
            tags: Vec::new(),
            at: None,
            unique: None,
            own: None,
            links: None,
        });
        prop_assert_eq!(read(&call.to_body(uuid)), again, "{}", &shown);
    }
    Ok(())
}

#[test]
fn every_hostile_body_means_what_the_manual_says() {
    for seed in SEEDS.iter() {
        check(seed).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_body_means_what_the_manual_says(body in damaged_body()) {
        check(&body)?;
    }

    #[test]
    fn a_body_written_at_random_means_what_the_manual_says(body in written_body()) {
        check(&body)?;
    }
}
