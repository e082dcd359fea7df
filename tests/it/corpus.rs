//! Loads `tests/hostile/bodies.jsonl`: hostile bodies, and what must become of each.
//!
//! A line is an object:
//!
//! | key | meaning |
//! |---|---|
//! | `name` | unique |
//! | `tube` | `native`: the tube has no command for raw bodies; `raw`: it has one, which gets them on stdin |
//! | `body` | a piece, or an array of pieces that are put one after the other |
//! | `expect` | `refused`, `run`, `foreign-store` or `gone` |
//! | `reason` | for `refused`: a part of the reason |
//! | `argv` | for `run` of a call: all that the program finds in its argv after its own name; without it the body itself arrives on stdin, unchanged |
//!
//! A piece is a text, `{"hex":"ff00"}` or `{"repeat":"[","times":10000}` (hex may have `times` too).
//! An element of `argv` is a piece or an array of them; `{"all":"a","times":9}` stands for a whole
//! argv. In every text `$STORE` stands for the id of our store, and `$TAKEN_UUID` for the uuid of
//! a task in it whose content is not that of any body here.
//!
//! The configuration that the expectations are about:
//!
//! | command | `run` | |
//! |---|---|---|
//! | `safe` | a recorder | takes any options |
//! | `dashes` | the recorder | takes any options, and arguments may begin with a hyphen |
//! | `few` | the recorder | takes the options `copies` and `format` |
//! | `ns:*` | the recorder, `{command}` | takes any options; so the name comes first in `argv` |
//! | `raw` | the recorder | takes no options |
//!
//! | type | command | arguments | options |
//! |---|---|---|---|
//! | `Acme\Hello` | `safe` | `wait` | `message` |
//! | `Acme\Dashes` | `dashes` | `a`, `b` | |
//! | `Acme\Ns` | `ns:hello` | | `z`, then `a` |
//! | `Acme\Bare` | `safe` | | |
//! | `Acme\Few` | `few` | | `to`, then `kind`, which is always `fixed` |
//!
//! A field has the name of its option.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

/// Fewer cases than this mean that somebody lost some.
const AT_LEAST: usize = 650;

/// The largest body that beanstalkd takes by default.
const LARGEST_BODY: usize = 65_535;

/// What a tube does with bodies that are not native.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tube {
    /// It refuses them.
    Native,
    /// It gives them to a command on stdin.
    Raw,
}

/// What must become of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing runs, and the reason has this in it.
    Refused { reason: String },
    /// The recorder runs and finds exactly this after its own name.
    Argv(Vec<String>),
    /// The tube's command runs and reads exactly this.
    Stdin(Vec<u8>),
    /// The job is left to the workers of another store.
    ForeignStore,
    /// The task was cleaned up: the job goes, nothing runs.
    Gone,
}

/// One hostile body.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub tube: Tube,
    pub body: Vec<u8>,
    pub expect: Expect,
}

/// Every case, for a store with this id in which a task with the uuid `taken` exists.
pub fn load(store: Uuid, taken: Uuid) -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/bodies.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let loader = Loader { store, taken };
    let cases: Vec<Case> = text.lines().map(|line| loader.case(line)).collect();
    let mut names = HashSet::new();
    for case in &cases {
        assert!(names.insert(&case.name), "{} is there twice", case.name);
        let len = case.body.len();
        assert!(len <= LARGEST_BODY, "{} has {len} bytes", case.name);
    }
    assert!(cases.len() >= AT_LEAST, "only {} cases", cases.len());
    cases
}

struct Loader {
    store: Uuid,
    taken: Uuid,
}

impl Loader {
    fn case(&self, line: &str) -> Case {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let name = line["name"].as_str().unwrap().to_owned();
        let tube = match line["tube"].as_str() {
            Some("native") => Tube::Native,
            Some("raw") => Tube::Raw,
            _ => panic!("{name}: {} is no tube", line["tube"]),
        };
        let body = self.bytes(&line["body"]);
        let argv = line.get("argv");
        let expect = match line["expect"].as_str() {
            Some("refused") => Expect::Refused {
                reason: self.text(&line["reason"]),
            },
            Some("run") => match argv {
                Some(argv) => Expect::Argv(self.argv(argv)),
                None if tube == Tube::Raw => Expect::Stdin(body.clone()),
                None => panic!("{name} has no argv"),
            },
            Some("foreign-store") => Expect::ForeignStore,
            Some("gone") => Expect::Gone,
            _ => panic!("{name}: {} is not to be expected", line["expect"]),
        };
        Case {
            name,
            tube,
            body,
            expect,
        }
    }

    fn argv(&self, argv: &Value) -> Vec<String> {
        match argv {
            Value::Array(elements) => elements.iter().map(|element| self.text(element)).collect(),
            all => vec![self.text(&all["all"]); times(all)],
        }
    }

    fn text(&self, pieces: &Value) -> String {
        String::from_utf8(self.bytes(pieces)).unwrap()
    }

    fn bytes(&self, pieces: &Value) -> Vec<u8> {
        match pieces {
            Value::Array(pieces) => pieces.iter().flat_map(|piece| self.bytes(piece)).collect(),
            Value::String(text) => text
                .replace("$STORE", &self.store.to_string())
                .replace("$TAKEN_UUID", &self.taken.to_string())
                .into_bytes(),
            piece => match (piece["repeat"].as_str(), piece["hex"].as_str()) {
                (Some(text), None) => text.repeat(times(piece)).into_bytes(),
                (None, Some(hex)) => unhex(hex).repeat(times(piece)),
                _ => panic!("{piece} is no piece"),
            },
        }
    }
}

fn times(piece: &Value) -> usize {
    piece
        .get("times")
        .map_or(1, |times| usize::try_from(times.as_u64().unwrap()).unwrap())
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex} is cut short");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
