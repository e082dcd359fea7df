//! Lines between a tender and a worker that is not ours.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use taskqueue::link::{Lines, MAX_LINE, Order, Ordered, Reply, Report, Ticket};

use super::damage::{damaged, damages};

const SEEDS: &[&[u8]] = &[
    b"{\"report\":\"ready\"}\n{\"report\":\"busy\",\"task\":12,\"group\":4711}\n",
    b"{\"report\":\"idle\",\"jobs\":3,\"output\":1048}\n\n \n{\"report\":\"troubled\",\"task\":12}",
    b"{\"report\":\"answered\",\"ticket\":7,\"refused\":\"no\"}\n{\"order\":\"ping\",\"ticket\":7}\n",
    b"{\"order\":\"drain\",\"grace_ms\":30000}\n{\"order\":\"stop\"}\n{\"order\":\"drain\"}\n",
];

const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\"",
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"-1",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1.5",
    b"\"busy\"",
    b"\"more\":{},",
    b"\"task\":1,",
    b"\0",
    b"\xff",
    b"null",
    &[b'x'; MAX_LINE],
    &[b' '; MAX_LINE - 3],
];

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        Just(Report::Ready),
        (
            any::<i64>(),
            any::<i32>(),
            any::<Option<u64>>(),
            prop::option::of(".{0,60}")
        )
            .prop_map(|(task, group, left, notice)| Report::Busy {
                task,
                group,
                left: left.map(Duration::from_millis),
                notice,
            }),
        (any::<i64>(), ".{0,60}").prop_map(|(task, reason)| Report::Troubled { task, reason }),
        (any::<u64>(), any::<u64>()).prop_map(|(jobs, output)| Report::Idle { jobs, output }),
        (any::<u64>(), reply()).prop_map(|(ticket, reply)| Report::Answered {
            ticket: Ticket(ticket),
            reply,
        }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        "\\PC{0,200}".prop_map(|reason| Reply::Refused { reason }),
    ]
}

fn order() -> impl Strategy<Value = Ordered> {
    let order = prop_oneof![
        Just(Order::Stop),
        Just(Order::Reload),
        Just(Order::Reopen),
        Just(Order::Ping),
        any::<Option<u64>>().prop_map(|grace_ms| Order::Drain { grace_ms }),
        any::<(i64, i64, bool)>().prop_map(|(task, attempt, now)| Order::Cancel {
            task,
            attempt,
            now
        }),
    ];
    (order, any::<Option<u64>>()).prop_map(|(order, ticket)| Ordered {
        order,
        ticket: ticket.map(Ticket),
    })
}

/// None for a line that is too long.
fn split(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What has no end is no line, unless it is too long to become one.
    if lines.last().is_some_and(|line| line.len() < MAX_LINE) {
        lines.pop();
    }
    let blank = |line: &&[u8]| line.len() < MAX_LINE && line.trim_ascii().is_empty();
    let whole = |line: &[u8]| (line.len() < MAX_LINE).then(|| line.to_vec());
    lines
        .into_iter()
        .filter(|line| !blank(line))
        .map(whole)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_the_same_however_they_arrive(
        seeds in prop::collection::vec(select(SEEDS), 1..4), damages in damages(WORDS), cut in 1_usize..300,
    ) {
        let bytes = damaged(&seeds.concat(), &damages);
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(cut) {
            lines.push(piece);
            found.extend(std::iter::from_fn(|| lines.next_line()).map(Result::ok));
        }
        prop_assert_eq!(&found, &split(&bytes));
        for line in found.into_iter().flatten() {
            // What is understood can be said again, and means the same.
            if let Ok(report) = Report::decode(&line) {
                prop_assert_eq!(Report::decode(&report.encode()), Ok(report.clone()));
            }
            if let Ok(order) = Ordered::decode(&line) {
                prop_assert_eq!(Ordered::decode(&order.encode()), Ok(order));
            }
        }
    }

    #[test]
    fn what_is_said_is_heard(report in report(), order in order()) {
        prop_assert_eq!(Report::decode(&report.encode()), Ok(report.clone()));
        prop_assert_eq!(Ordered::decode(&order.encode()), Ok(order));
        prop_assert!(report.encode().len() < MAX_LINE && order.encode().len() < MAX_LINE);
    }
}
