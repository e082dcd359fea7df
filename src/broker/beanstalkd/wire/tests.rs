use bytes::Bytes;
use proptest::prelude::*;

use super::reply::MAX_LINE;
use super::*;

const MAX_BODY: usize = 100;

/// Everything that a stream's pieces decode to, up to the first error.
fn decode_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Reply>, Option<Malformed>) {
    let mut decoder = Decoder::new(MAX_BODY);
    let mut input = BytesMut::new();
    let mut replies = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(malformed) => return (replies, Some(malformed)),
            }
        }
    }
    (replies, None)
}

#[test]
fn commands_are_encoded() {
    let tube: TubeName = "a.b".parse().unwrap();
    let put = Command::Put {
        priority: u32::MAX,
        delay: 0,
        ttr: 1,
        body: b"\r\n\0\xff",
    };
    let release = Command::Release {
        id: 7,
        priority: 8,
        delay: 9,
    };
    let bury = Command::Bury { id: 7, priority: 8 };
    let table: &[(Command<'_>, &[u8])] = &[
        (put, b"put 4294967295 0 1 4\r\n\r\n\0\xff\r\n"),
        (Command::Use(&tube), b"use a.b\r\n"),
        (Command::Watch(&tube), b"watch a.b\r\n"),
        (Command::Ignore(&tube), b"ignore a.b\r\n"),
        (Command::Reserve(0), b"reserve-with-timeout 0\r\n"),
        (
            Command::Delete(u64::MAX),
            b"delete 18446744073709551615\r\n",
        ),
        (release, b"release 7 8 9\r\n"),
        (bury, b"bury 7 8\r\n"),
        (Command::Touch(1), b"touch 1\r\n"),
        (Command::Peek(1), b"peek 1\r\n"),
        (Command::Kick(3), b"kick 3\r\n"),
        (Command::KickJob(1), b"kick-job 1\r\n"),
        (Command::Stats, b"stats\r\n"),
        (Command::StatsJob(1), b"stats-job 1\r\n"),
        (Command::StatsTube(&tube), b"stats-tube a.b\r\n"),
        (Command::PauseTube(&tube, 5), b"pause-tube a.b 5\r\n"),
    ];
    for (command, wire) in table {
        let mut out = BytesMut::new();
        command.encode(&mut out);
        assert_eq!(out, wire, "{command:?}");
    }
}

#[test]
fn replies_are_decoded() {
    let body = |bytes: &'static [u8]| Bytes::from_static(bytes);
    let table: &[(&[u8], Reply)] = &[
        (b"INSERTED 0\r\n", Reply::Inserted(0)),
        (
            b"INSERTED 18446744073709551615\r\n",
            Reply::Inserted(u64::MAX),
        ),
        (b"BURIED 5\r\n", Reply::InsertedBuried(5)),
        (b"BURIED\r\n", Reply::Buried),
        (b"USING a-b\r\n", Reply::Using("a-b".into())),
        (b"WATCHING 2\r\n", Reply::Watching(2)),
        (b"NOT_IGNORED\r\n", Reply::NotIgnored),
        (b"RESERVED 1 0\r\n\r\n", Reply::Reserved(1, body(b""))),
        (
            b"RESERVED 1 4\r\n\r\n\0\xff\r\n",
            Reply::Reserved(1, body(b"\r\n\0\xff")),
        ),
        (b"FOUND 2 1\r\nx\r\n", Reply::Found(2, body(b"x"))),
        (b"OK 3\r\n---\r\n", Reply::Data(body(b"---"))),
        (b"DEADLINE_SOON\r\n", Reply::DeadlineSoon),
        (b"TIMED_OUT\r\n", Reply::TimedOut),
        (b"DELETED\r\n", Reply::Deleted),
        (b"RELEASED\r\n", Reply::Released),
        (b"TOUCHED\r\n", Reply::Touched),
        (b"KICKED 12\r\n", Reply::Kicked(12)),
        (b"KICKED\r\n", Reply::KickedJob),
        (b"PAUSED\r\n", Reply::Paused),
        (b"NOT_FOUND\r\n", Reply::NotFound),
        (b"JOB_TOO_BIG\r\n", Reply::JobTooBig),
        (b"DRAINING\r\n", Reply::Draining),
        (b"EXPECTED_CRLF\r\n", Reply::ExpectedCrlf),
        (b"OUT_OF_MEMORY\r\n", Reply::OutOfMemory),
        (b"INTERNAL_ERROR\r\n", Reply::InternalError),
        (b"BAD_FORMAT\r\n", Reply::BadFormat),
        (b"UNKNOWN_COMMAND\r\n", Reply::UnknownCommand),
    ];
    for (wire, reply) in table {
        let whole = decode_all([*wire]);
        assert_eq!(whole, (vec![reply.clone()], None), "{}", excerpt(wire));
        assert_eq!(decode_all(wire.chunks(1)), whole, "{}", excerpt(wire));
        assert!(wire.starts_with(reply.word().as_bytes()));
    }
}

#[test]
fn nonsense_is_refused() {
    let endless = [b'A'; MAX_LINE];
    let table: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"DELETED\n",
        b"deleted\r\n",
        b"DELETED 1\r\n",
        b"DELETED \r\n",
        b" DELETED\r\n",
        b"DELETED\r\r\n",
        b"INSERTED\r\n",
        b"INSERTED x\r\n",
        b"INSERTED \r\n",
        b"INSERTED -1\r\n",
        b"INSERTED +1\r\n",
        b"INSERTED 18446744073709551616\r\n",
        b"INSERTED 1 2\r\n",
        b"RESERVED 1\r\n",
        b"RESERVED 1 -5\r\n",
        b"FOUND 1 101\r\n",
        b"OK 101\r\n",
        b"RESERVED 1 1073741825\r\n",
        b"RESERVED 1 18446744073709551615\r\n",
        b"RESERVED 1 99999999999999999999\r\n",
        b"RESERVED 1 2 3\r\n",
        b"RESERVED 1 1\r\nx\n\n",
        b"RESERVED 1 1\r\nxyz",
        b"OK\r\n",
        b"\xff\xfe\r\n",
        &endless,
    ];
    for wire in table {
        let (replies, malformed) = decode_all([*wire]);
        assert_eq!(replies, [], "{}", excerpt(wire));
        assert!(malformed.is_some(), "{} was accepted", excerpt(wire));
    }
}

#[test]
fn an_incomplete_reply_is_waited_for() {
    let almost_endless = [b'A'; MAX_LINE - 1];
    let table: &[&[u8]] = &[
        b"",
        b"DELETED",
        b"DELETED\r",
        b"RESERVED 1 100\r\n",
        b"RESERVED 1 1073741824\r\n",
        b"RESERVED 1 1\r\nx\r",
        &almost_endless,
    ];
    for wire in table {
        assert_eq!(decode_all([*wire]), (vec![], None), "{}", excerpt(wire));
    }
}

#[test]
fn a_body_that_is_too_long_is_passed_over() {
    let mut wire = b"RESERVED 7 101\r\n".to_vec();
    wire.extend_from_slice(&[b'x'; MAX_BODY + 1]);
    wire.extend_from_slice(b"\r\nTIMED_OUT\r\n");
    let expected = vec![Reply::ReservedTooBig(7, 101), Reply::TimedOut];
    assert_eq!(decode_all(wire.chunks(9)), (expected.clone(), None));
    assert_eq!(decode_all([wire.as_slice()]), (expected, None));
    // It has to end where it says, as any.
    let (replies, malformed) = decode_all([&wire[..wire.len() - 14], b"DELETED\r\n"]);
    assert_eq!(replies, []);
    assert!(malformed.is_some());
}

#[test]
fn what_a_reply_claims_is_not_allocated() {
    let mut decoder = Decoder::new(usize::MAX);
    let mut input = BytesMut::from(&b"RESERVED 1 18446744073709551000\r\nab"[..]);
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(decoder.is_inside_reply());
    assert!(input.capacity() < 1000);
}

#[test]
fn excerpts_are_cut_and_escaped() {
    assert_eq!(excerpt(b"a\r\n\xff\""), r#""a\r\n\xff\"""#);
    let long = [b'x'; EXCERPT + 1];
    assert_eq!(excerpt(&long), format!("\"{}\"...", "x".repeat(EXCERPT)));
}

/// Streams that often are replies, sometimes nearly, and sometimes nothing at all.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "DELETED",
        "RESERVED",
        "FOUND",
        "OK",
        "INSERTED",
        "KICKED",
        "BURIED",
        "1",
        "3",
        "0",
        "-1",
        "99999999999999999999",
        " ",
        "\r\n",
        "\n",
        "abc",
        "\r",
    ]);
    let part = prop_oneof![
        8 => words.prop_map(|word| word.as_bytes().to_vec()),
        4 => (0u64..9, prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(id, body)| {
            let mut reply = format!("RESERVED {id} {}\r\n", body.len()).into_bytes();
            reply.extend_from_slice(&body);
            reply.extend_from_slice(b"\r\n");
            reply
        }),
        2 => Just(b"DELETED\r\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..MAX_LINE * 2),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_cuts_make_no_difference(
        stream in streams(),
        sizes in prop::collection::vec(1usize..50, 1..20),
    ) {
        let mut rest = stream.as_slice();
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        prop_assert_eq!(decode_all(pieces), decode_all([stream.as_slice()]));
    }
}
