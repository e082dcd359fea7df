//! Whatever bytes are in a body, what becomes of it is what the corpus says.

use taskqueue::task::payload::{Body, Call, argv, read};
use uuid::Uuid;

use crate::corpus::{Case, Expect, Tube, load};

const STORE: Uuid = Uuid::from_u128(0x0198_f000_0000_7000_8000_0000_0000_0001);
const TAKEN: Uuid = Uuid::from_u128(0x0198_f000_0000_7000_8000_0000_0000_0002);

/// What becomes of a body, with a refusal's whole reason in place of a part of it.
///
/// Stands in for the worker: what is the payload's to decide is asked of the real thing.
fn outcome(case: &Case) -> Expect {
    let refused = |reason: String| Expect::Refused { reason };
    match read(&case.body) {
        Body::Pointer(pointer) if pointer.store == STORE => Expect::Gone,
        Body::Pointer(_) => Expect::ForeignStore,
        Body::Refused(reason) => refused(reason.to_string()),
        Body::Other(_) if case.tube == Tube::Raw => Expect::Stdin(case.body.clone()),
        Body::Other(reason) => refused(reason.to_string()),
        Body::Native(native) if native.uuid == Some(TAKEN) => {
            refused(format!("another task has the uuid {TAKEN}"))
        }
        Body::Native(native) => run(&native.call),
    }
}

/// What the recorder finds, with the commands that the corpus is written for.
fn run(call: &Call) -> Expect {
    let (run, dash_arguments) = match call.command.as_str() {
        "safe" => (vec!["recorder"], false),
        "dashes" => (vec!["recorder"], true),
        name if name.starts_with("ns:") => (vec!["recorder", "{command}"], false),
        name => {
            let reason = format!("the command {name:?} is not configured");
            return Expect::Refused { reason };
        }
    };
    let run: Vec<String> = run.into_iter().map(String::from).collect();
    match argv(call, &run, dash_arguments) {
        Ok(argv) => Expect::Argv(argv.into_iter().skip(1).collect()),
        Err(reason) => Expect::Refused {
            reason: reason.to_string(),
        },
    }
}

#[test]
fn every_body_becomes_what_the_corpus_says() {
    let mut wrong = Vec::new();
    for case in load(STORE, TAKEN) {
        let outcome = outcome(&case);
        let right = match (&case.expect, &outcome) {
            (Expect::Refused { reason: part }, Expect::Refused { reason }) => reason.contains(part),
            (expected, outcome) => expected == outcome,
        };
        if !right {
            let text = format!("{}: {outcome:?} and not {:?}", case.name, case.expect);
            wrong.push(text.chars().take(400).collect::<String>());
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_reason_is_short_and_printable() {
    for case in load(STORE, TAKEN) {
        if let Expect::Refused { reason } = outcome(&case) {
            let plain = |c: char| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c);
            assert!(reason.chars().all(plain), "{}: {reason:?}", case.name);
            assert!(reason.chars().count() <= 250, "{}: {reason}", case.name);
        }
    }
}
