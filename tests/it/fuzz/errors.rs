//! Configurations, questions and answers of a control socket, and lines of a batch, nearly right: nobody panics, and
//! what is said of them is no order to a terminal.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::select;
use taskqueue::config::{Config, Overrides, Written};
use taskqueue::control::{Answer, Request};
use taskqueue::harmless;
use taskqueue::task::payload::{Body, read};

use super::damage::{damaged, damages};

const CONFIGURATIONS: &[&[u8]] = &[
    b"broker = \"embedded\"\nstore = \"t.db\"\ngrace_period = \"30s\"\nwithhold_environment = [\"KEY\"]\n",
    b"[tubes.\"a\xc3\xa4\"]\nmode = \"static\"\nmax_workers = 3\nmax_refused = 7\ncommand = \"mail\"\n",
    b"[commands.mail]\nrun = [\"./send\", \"{command}\"]\ntimeout = \"10m\"\nbackoff = { first = \"1s\", factor = 2 }\n",
    b"[commands.\"app:*\"]\nrun = [\"php\"]\non_failure = \"bury\"\n[types.'A\\B']\ncommand = \"app:b\"\n",
];

const QUESTIONS: &[&[u8]] = &[
    b"\"status\"",
    b"{\"stop\":{\"now\":true}}",
    b"{\"scale\":{\"tube\":\"t\",\"min\":1,\"spare\":null,\"max\":18446744073709551615}}",
    b"{\"explain\":{\"tube\":\"t\"}}",
    b"{\"stopping\":{\"within_ms\":30000}}",
    b"{\"refused\":{\"reason\":\"no\"}}",
    b"{\"reloaded\":{\"changed\":[\"a\"],\"kept\":[]}}",
    b"{\"status\":{\"pid\":1,\"host\":\"h\",\"version\":\"0\",\"age\":1.0,\"pools\":[]}}",
];

const LINES: &[&[u8]] = &[
    b"{\"taskqueue\":1,\"command\":\"a:b\",\"arguments\":[\"1\",2],\"options\":{\"x\":true,\"y\":1e400}}",
    b"{\"taskqueue\":1,\"uuid\":\"00000000-0000-7000-8000-000000000001\",\"command\":\"a\"}",
    b"Vendor\\Type::{\"taskIdentifier\":\"12\"}",
];

/// What a stranger would put in.
const WORDS: &[&[u8]] = &[
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b[2J",
    b"\x9b",
    b"\xc2\x9b31m",
    b"\r",
    b"\n",
    b"\0",
    b"\x7f",
    b"\xc2\x85",
    b"\xe2\x80\xae",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\\u001b",
    b"\\u202e",
    b"\"",
    b"'",
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b"-1",
    b"18446744073709551616",
    b"\"\"\"",
];

fn is_order(c: char) -> bool {
    let is_turned = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    let is_unseen = is_turned || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}');
    (c.is_control() && c != '\n' && c != '\t') || is_unseen
}

/// What is said of it, as it comes to a terminal.
fn assert_harmless(said: &str) -> Result<(), TestCaseError> {
    let shown = harmless::lines(said);
    prop_assert!(!shown.contains(is_order), "{}", shown.escape_debug());
    let shown = harmless::one_line(said);
    prop_assert!(
        !shown.contains(is_order) && !shown.contains(['\n', '\t']),
        "{}",
        shown.escape_debug()
    );
    let string = serde_json::json!({ "said": said }).to_string();
    let object = harmless::json(&string);
    prop_assert!(!object.contains(is_order), "{}", object.escape_debug());
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    prop_assert_eq!(object["said"].as_str(), Some(said));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_configuration_is_read_or_refused(
        seeds in prop::collection::vec(select(CONFIGURATIONS), 1..4), damages in damages(WORDS),
    ) {
        let bytes = damaged(&seeds.concat(), &damages);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let written = Written { file: Some(PathBuf::from("/nowhere/taskqueue.toml")), text };
        if let Err(error) = Config::of(written, &Overrides::default()) {
            assert_harmless(&error.to_string())?;
        }
    }

    #[test]
    fn questions_and_answers_are_understood_or_refused(seed in select(QUESTIONS), damages in damages(WORDS)) {
        let bytes = damaged(seed, &damages);
        match serde_json::from_slice::<Request>(&bytes) {
            Ok(request) => assert_harmless(&format!("{request:?}"))?,
            Err(error) => assert_harmless(&error.to_string())?,
        }
        match serde_json::from_slice::<Answer>(&bytes) {
            Ok(answer) => assert_harmless(&format!("{answer:?}"))?,
            Err(error) => assert_harmless(&error.to_string())?,
        }
    }

    /// A refusal goes into a row, which others than us may print: it has no order in it itself.
    #[test]
    fn lines_of_a_batch_are_tasks_or_refused(seed in select(LINES), damages in damages(WORDS)) {
        let said = match read(&damaged(seed, &damages)) {
            Body::Refused(refusal) => refusal.to_string(),
            Body::Other(why) => why.to_string(),
            Body::Native(_) | Body::Pointer(_) => return Ok(()),
        };
        prop_assert!(!said.contains(is_order) && !said.contains(['\n', '\t']), "{}", said.escape_debug());
        assert_harmless(&said)?;
    }
}
