//! What a server says that is nearly right: whatever is understood was said, and nothing that is said does harm.
//! `make fuzz` goes on for longer.

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::stats::Dictionary;
use super::wire::{Decoder, Reply};
use crate::broker::{Instance, JobStats, TubeStats};

/// Shorter than some of the bodies.
const MAX_BODY: usize = 300;

fn reply() -> impl Strategy<Value = Reply> {
    let body = || prop::collection::vec(any::<u8>(), 0..400).prop_map(Into::into);
    prop_oneof![
        2 => select(vec![
            Reply::Buried, Reply::NotIgnored, Reply::DeadlineSoon, Reply::TimedOut, Reply::Deleted, Reply::Released,
            Reply::Touched, Reply::KickedJob, Reply::Paused, Reply::NotFound, Reply::JobTooBig, Reply::Draining,
            Reply::ExpectedCrlf, Reply::OutOfMemory, Reply::InternalError, Reply::BadFormat, Reply::UnknownCommand,
        ]),
        2 => any::<u64>().prop_flat_map(|n| select(vec![
            Reply::Inserted(n), Reply::InsertedBuried(n), Reply::Watching(n), Reply::Kicked(n),
        ])),
        1 => "[a-z]{1,200}".prop_map(Reply::Using),
        1 => (any::<u64>(), body()).prop_map(|(id, body)| Reply::Reserved(id, body)),
        1 => (0_u64..9, body()).prop_map(|(id, body)| Reply::Found(id, body)),
        1 => body().prop_map(Reply::Data),
    ]
}

/// As a server says it.
fn said(reply: &Reply) -> Vec<u8> {
    let word = reply.word();
    let (line, body) = match reply {
        Reply::Inserted(n) | Reply::InsertedBuried(n) | Reply::Watching(n) | Reply::Kicked(n) => {
            (format!("{word} {n}"), None)
        }
        Reply::Using(tube) => (format!("{word} {tube}"), None),
        Reply::Reserved(id, body) | Reply::Found(id, body) => {
            (format!("{word} {id} {}", body.len()), Some(body))
        }
        Reply::Data(body) => (format!("{word} {}", body.len()), Some(body)),
        // The body, which nobody kept, is left out.
        Reply::ReservedTooBig(id, size) => (format!("{word} {id} {size}"), None),
        Reply::Buried
        | Reply::NotIgnored
        | Reply::DeadlineSoon
        | Reply::TimedOut
        | Reply::Deleted
        | Reply::Released
        | Reply::Touched
        | Reply::KickedJob
        | Reply::Paused
        | Reply::NotFound
        | Reply::JobTooBig
        | Reply::Draining
        | Reply::ExpectedCrlf
        | Reply::OutOfMemory
        | Reply::InternalError
        | Reply::BadFormat
        | Reply::UnknownCommand => (word.to_owned(), None),
    };
    let mut said = [line.as_bytes(), b"\r\n"].concat();
    if let Some(body) = body {
        said.extend_from_slice(body);
        said.extend_from_slice(b"\r\n");
    }
    said
}

/// A few bytes replaced, inserted or left out.
fn damaged(mut bytes: Vec<u8>, damages: Vec<(Index, usize, Vec<u8>)>) -> Vec<u8> {
    for (at, removed, inserted) in damages {
        let at = at.index(bytes.len() + 1);
        let end = (at + removed).min(bytes.len());
        bytes.splice(at..end, inserted);
    }
    bytes
}

fn damages() -> impl Strategy<Value = Vec<(Index, usize, Vec<u8>)>> {
    let words = [
        "",
        "",
        "\r\n",
        "\n",
        " ",
        "0",
        "1",
        "9999999999999999999",
        "OK 2\r\n",
        "---\n",
        ": ",
        "- ",
        "\"",
        "-1",
        "x",
    ];
    let inserted = prop_oneof![
        3 => select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec((any::<Index>(), 0_usize..4, inserted), 0..4)
}

/// The replies of a stream, and what of it was left; None in the end if it could not be read on.
fn decoded(stream: &[u8]) -> (Vec<Reply>, Option<Vec<u8>>) {
    let mut decoder = Decoder::new(MAX_BODY);
    let mut input = BytesMut::from(stream);
    let mut replies = Vec::new();
    loop {
        let before = input.clone();
        match decoder.decode(&mut input) {
            Ok(Some(reply)) => replies.push(reply),
            Ok(None) => return (replies, Some(before.to_vec())),
            Err(_) => return (replies, None),
        }
    }
}

/// A number may have noughts before it; whoever says it again leaves them out.
fn without_noughts(stream: &[u8]) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::new();
    for (at, byte) in stream.iter().enumerate() {
        let begins = kept.last().is_none_or(|last| *last == b' ');
        let goes_on = stream.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(*byte == b'0' && begins && goes_on) {
            kept.push(*byte);
        }
    }
    kept
}

const STATS: &str = "---\nid: \"f5 6\"\nversion: \"1.12\"\nmax-job-size: 65535\ndraining: false\nos: #1 SMP\n\
    tube: a.b\nstate: delayed\npri: 4294967295\nage: 3\nttr: 60\ntime-left: 6\nreserves: 1\ntimeouts: 2\nreleases: 3\n\
    buries: 4\nkicks: 5\ncurrent-jobs-ready: 1\ncurrent-jobs-reserved: 2\ncurrent-jobs-delayed: 3\n\
    current-jobs-buried: 4\ncurrent-waiting: 5\npause: 5\npause-time-left: 0\n";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_understood_is_what_was_said(
        replies in prop::collection::vec(reply(), 0..5), damages in damages(),
    ) {
        let stream = damaged(replies.iter().flat_map(said).collect(), damages);
        let (understood, _) = decoded(&stream);
        // Of a body that was passed over nobody knows what it was.
        let kept = |reply: &&Reply| !matches!(reply, Reply::ReservedTooBig(..));
        let again: Vec<u8> = understood.iter().take_while(kept).flat_map(said).collect();
        let whole = without_noughts(&stream);
        prop_assert!(
            whole.starts_with(&without_noughts(&again)),
            "{} was understood as {understood:?}", stream.escape_ascii()
        );
    }

    #[test]
    fn what_is_said_rightly_is_understood(replies in prop::collection::vec(reply(), 0..5)) {
        let too_long = |reply: &Reply| match reply {
            Reply::Found(_, body) | Reply::Data(body) => body.len() > MAX_BODY,
            _ => false,
        };
        let stream: Vec<u8> = replies.iter().flat_map(said).collect();
        let passed_over = |reply| match reply {
            Reply::Reserved(id, body) if body.len() > MAX_BODY => Reply::ReservedTooBig(id, body.len()),
            other => other,
        };
        let replies: Vec<Reply> = replies.into_iter().map(passed_over).collect();
        let (understood, rest) = decoded(&stream);
        match replies.iter().position(too_long) {
            Some(at) => prop_assert_eq!((&understood[..], rest), (&replies[..at], None)),
            None => prop_assert_eq!((understood, rest), (replies, Some(Vec::new()))),
        }
    }

    #[test]
    fn damaged_statistics_can_be_read(damages in damages()) {
        let data = damaged(STATS.into(), damages);
        if let Ok(stats) = Dictionary::parse(&data) {
            let _ = Instance::try_from(&stats);
            let _ = TubeStats::try_from(&stats);
            if let Ok(job) = JobStats::try_from(&stats) {
                prop_assert!(stats.get("tube").is_some_and(|tube| tube == job.tube.as_str()));
            }
        }
    }
}
