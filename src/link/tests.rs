use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use std::time::Duration;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn answered(ticket: u64, reply: Reply) -> Report {
    let ticket = Ticket(ticket);
    Report::Answered { ticket, reply }
}

fn refused(reason: &str) -> Reply {
    let reason = reason.into();
    Reply::Refused { reason }
}

fn ordered(order: Order, ticket: u64) -> Option<Ordered> {
    let ticket = Some(Ticket(ticket));
    Some(Ordered { order, ticket })
}

/// The next one, which has no descriptor with it.
async fn order(tender: &mut Tender) -> Option<Ordered> {
    let (ordered, handed) = tender.order().await?;
    assert!(handed.is_none());
    Some(ordered)
}

#[test]
fn lines_read_as_documented() {
    let reports = [
        (Report::Ready, r#"{"report":"ready"}"#),
        (
            Report::Busy {
                task: 12,
                group: 4711,
                left: None,
                notice: None,
            },
            r#"{"report":"busy","task":12,"group":4711}"#,
        ),
        (
            Report::Busy {
                task: 12,
                group: 4711,
                left: Some(Duration::from_secs(3)),
                notice: Some("it is stopped".into()),
            },
            r#"{"report":"busy","task":12,"group":4711,"left_ms":3000,"notice":"it is stopped"}"#,
        ),
        (
            Report::Troubled {
                task: 12,
                reason: String::new(),
            },
            r#"{"report":"troubled","task":12}"#,
        ),
        (
            Report::Troubled {
                task: 0,
                reason: "no \"process\"".into(),
            },
            r#"{"report":"troubled","task":0,"reason":"no \"process\""}"#,
        ),
        (
            Report::Idle {
                jobs: 3,
                output: u64::MAX,
            },
            r#"{"report":"idle","jobs":3,"output":18446744073709551615}"#,
        ),
        (
            answered(7, Reply::Done),
            r#"{"report":"answered","ticket":7}"#,
        ),
        (
            answered(7, refused("no\"t\nso")),
            r#"{"report":"answered","ticket":7,"refused":"no\"t\nso"}"#,
        ),
    ];
    for (report, text) in reports {
        assert_eq!(report.encode(), format!("{text}\n").as_bytes());
        assert_eq!(Report::decode(text.as_bytes()).unwrap(), report);
    }
    let cancel = |now| Order::Cancel {
        task: 12,
        attempt: 3,
        now,
    };
    let orders = [
        (Order::drain(None), None, r#"{"order":"drain"}"#),
        (
            Order::drain(Some(Duration::from_secs(30))),
            Some(1),
            r#"{"order":"drain","ticket":1,"grace_ms":30000}"#,
        ),
        (Order::Stop, Some(2), r#"{"order":"stop","ticket":2}"#),
        (Order::Reload, Some(3), r#"{"order":"reload","ticket":3}"#),
        (Order::Reopen, Some(4), r#"{"order":"reopen","ticket":4}"#),
        (
            cancel(false),
            Some(6),
            r#"{"order":"cancel","ticket":6,"task":12,"attempt":3}"#,
        ),
        (
            cancel(true),
            None,
            r#"{"order":"cancel","task":12,"attempt":3,"now":true}"#,
        ),
        (
            Order::Ping,
            Some(u64::MAX),
            r#"{"order":"ping","ticket":18446744073709551615}"#,
        ),
    ];
    for (order, ticket, text) in orders {
        let ticket = ticket.map(Ticket);
        let ordered = Ordered { order, ticket };
        assert_eq!(ordered.encode(), format!("{text}\n").as_bytes());
        assert_eq!(Ordered::decode(text.as_bytes()).unwrap(), ordered);
    }
}

/// Whoever says it, and whatever it is escaped to.
#[test]
fn a_reason_is_cut_to_what_a_line_holds() {
    for letter in ["x", "\u{1}", "ä", "\u{1f41b}"] {
        let reason = letter.repeat(2000);
        let line = Report::Troubled { task: 1, reason }.encode();
        assert!(line.len() < MAX_LINE, "{letter}");
        let Report::Troubled { reason, .. } = Report::decode(&line).unwrap() else {
            panic!("{line:?}");
        };
        assert_eq!(reason.len(), 600, "{letter}");
    }
    let long = "x".repeat(2000);
    for theirs in [
        format!(r#"{{"report":"troubled","reason":"{long}"}}"#),
        format!(r#"{{"report":"answered","refused":"{long}"}}"#),
    ] {
        match Report::decode(theirs.as_bytes()) {
            Ok(
                Report::Troubled { reason, .. }
                | Report::Answered {
                    reply: Reply::Refused { reason },
                    ..
                },
            ) => assert_eq!(reason.len(), 600),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_unknown_is_tolerated_and_what_is_left_out_is_zero() {
    let newer = br#"{"memory":9.5,"report":"busy","nested":{"a":[1]},"task":7}"#;
    assert_eq!(
        Report::decode(newer).unwrap(),
        Report::Busy {
            task: 7,
            group: 0,
            left: None,
            notice: None,
        }
    );
    assert_eq!(
        Report::decode(br#"{"report":"idle"}"#).unwrap(),
        Report::Idle { jobs: 0, output: 0 }
    );
    for bad in [
        "",
        "ready",
        "{}",
        r#"{"report":"dead"}"#,
        r#"{"report":"busy","task":"x"}"#,
        "\u{0}\u{ff}",
    ] {
        assert!(Report::decode(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_line_that_is_too_long_is_passed_over_to_its_end() {
    let mut lines = Lines::default();
    for _ in 0..10 {
        lines.push(&[b'x'; MAX_LINE / 2]);
        if let Some(line) = lines.next_line() {
            assert_eq!(line, Err(BadLine::TooLong));
        }
    }
    lines.push(b"tail\n\n{\"report\":\"ready\"}\n");
    assert_eq!(
        lines.next_line(),
        Some(Ok(br#"{"report":"ready"}"#.to_vec()))
    );
    assert_eq!(lines.next_line(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..9000), cut in 1_usize..500) {
        let mut lines = Lines::default();
        for piece in bytes.chunks(cut) {
            lines.push(piece);
            while let Some(line) = lines.next_line() {
                if let Ok(line) = line {
                    let _ = Report::decode(&line);
                    let _ = Ordered::decode(&line);
                }
            }
        }
        lines.push(b"\n{\"report\":\"ready\"}\n");
        let last = std::iter::from_fn(|| lines.next_line()).last();
        prop_assert_eq!(last, Some(Ok(br#"{"report":"ready"}"#.to_vec())));
    }
}

#[test]
fn both_ends_understand_each_other_and_notice_the_end() {
    runtime().block_on(async {
        let (mut worker, theirs) = Worker::pair().unwrap();
        let mut tender = Tender::from_stream(theirs.into()).unwrap();
        tender.report(Report::Ready);
        assert_eq!(worker.reports.next().await, Some(Ok(Report::Ready)));
        let first = worker.orders.send(Order::drain(None)).unwrap();
        let second = worker.orders.send(Order::Stop).unwrap();
        assert_eq!((first, second), (Ticket(1), Ticket(2)));
        assert_eq!(order(&mut tender).await, ordered(Order::drain(None), 1));
        tender.report(Report::Idle { jobs: 1, output: 2 });
        drop(worker.orders);
        assert_eq!(order(&mut tender).await, ordered(Order::Stop, 2));
        drop(tender);
        let last = worker.reports.next().await;
        assert_eq!(last, Some(Ok(Report::Idle { jobs: 1, output: 2 })));
        assert_eq!(worker.reports.next().await, None);
    });
}

/// Both ends of a link that has no room, and what was reported last.
fn full() -> (Worker, Tender, Report) {
    let (worker, theirs) = Worker::pair().unwrap();
    let mut tender = Tender::from_stream(theirs.into()).unwrap();
    for jobs in 0..50_000 {
        tender.report(Report::Idle { jobs, output: 0 });
    }
    let last = Report::Busy {
        task: 1,
        group: 2,
        left: None,
        notice: None,
    };
    tender.report(last.clone());
    (worker, tender, last)
}

#[test]
fn a_tender_that_does_not_read_stops_no_worker_and_hears_the_last_state() {
    runtime().block_on(async {
        let (mut worker, mut tender, last) = full();
        let reader = async {
            let mut heard = 0;
            while let Some(report) = worker.reports.next().await {
                heard += 1;
                if report.unwrap() == last {
                    break;
                }
            }
            heard
        };
        tokio::select! {
            heard = reader => assert!(heard < 50_000, "{heard} of 50,000"),
            order = tender.order() => panic!("{order:?}"),
        }
    });
}

/// Of what a worker does only the latest counts; of answers each does.
#[test]
fn answers_are_kept_until_there_is_room_and_no_more_than_so_many() {
    runtime().block_on(async {
        let (mut worker, mut tender, last) = full();
        for ticket in 1..=100 {
            tender.report(answered(ticket, refused("it is wrong")));
        }
        let reader = async {
            let mut answers = Vec::new();
            let mut latest = None;
            while let Some(report) = worker.reports.next().await {
                match report.unwrap() {
                    Report::Answered { ticket, .. } => answers.push(ticket.0),
                    other => latest = Some(other),
                }
                if latest.as_ref() == Some(&last) {
                    break;
                }
            }
            answers
        };
        tokio::select! {
            answers = reader => assert_eq!(answers, (1..=64).collect::<Vec<_>>()),
            order = tender.order() => panic!("{order:?}"),
        }
    });
}

/// Whatever a reason says, and however long it is: the line is one that is read.
#[test]
fn a_reason_has_room_in_its_line() {
    for part in ["x", "\"", "\\", "\n", "\u{1}", "\u{7f}", "é", "𝄞"] {
        for count in [0, 1, 600, 100_000] {
            let reason = part.repeat(count);
            let line = answered(u64::MAX, refused(&reason)).encode();
            assert!(line.len() <= MAX_LINE, "{part:?} × {count}: {}", line.len());
            match Report::decode(&line).unwrap() {
                Report::Answered {
                    reply: Reply::Refused { reason: read },
                    ..
                } => assert!(reason.starts_with(&read) && (read == reason || read.len() > 596)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_foreign_end_may_write_whatever_it_likes() {
    runtime().block_on(async {
        let (mut worker, theirs) = Worker::pair().unwrap();
        let mut foreign = UnixStream::from(theirs);
        foreign
            .write_all(b"hello\n{\"report\":\"ready\"}\n")
            .unwrap();
        assert!(worker.reports.next().await.unwrap().is_err());
        assert_eq!(worker.reports.arrived(), Some(Ok(Report::Ready)));
        assert_eq!(worker.reports.arrived(), None);
        worker.orders.send(Order::Stop).unwrap();
        let mut order = [0; 28];
        foreign.read_exact(&mut order).unwrap();
        assert_eq!(&order, b"{\"order\":\"stop\",\"ticket\":1}\n");
    });
}

/// Whatever came before and comes after, and however much one read takes.
#[test]
fn a_descriptor_comes_with_its_order_and_no_other() {
    runtime().block_on(async {
        for before in 30..40 {
            let (mut worker, theirs) = Worker::pair().unwrap();
            let mut tender = Tender::from_stream(theirs.into()).unwrap();
            for _ in 0..before {
                worker.orders.send(Order::Ping).unwrap();
            }
            let (handed, mut writer) = std::io::pipe().unwrap();
            writer.write_all(b"this").unwrap();
            drop(writer);
            let mut reload = |handed| worker.orders.send_with(Order::Reload, handed).unwrap();
            reload(Some(handed.as_fd()));
            reload(None);
            for _ in 0..before {
                assert_eq!(order(&mut tender).await.unwrap().order, Order::Ping);
            }
            let (ordered, handed) = tender.order().await.unwrap();
            assert_eq!(ordered.order, Order::Reload);
            let mut read = String::new();
            let mut handed = std::fs::File::from(handed.unwrap());
            handed.read_to_string(&mut read).unwrap();
            assert_eq!(read, "this", "after {before}");
            assert_eq!(order(&mut tender).await.unwrap().order, Order::Reload);
        }
    });
}

/// Between its other words, and as many as a worker may have.
#[test]
fn what_still_prints_is_handed_over() {
    runtime().block_on(async {
        let (mut worker, theirs) = Worker::pair().unwrap();
        let mut tender = Tender::from_stream(theirs.into()).unwrap();
        tender.report(Report::Ready);
        let (readers, mut writers): (Vec<_>, Vec<_>) =
            (0..20).map(|_| std::io::pipe().unwrap()).unzip();
        let closed = tender.hand_over(readers.into_iter().map(Into::into));
        assert_eq!(closed, 0);
        drop(tender);
        assert_eq!(worker.reports.next().await, Some(Ok(Report::Ready)));
        assert_eq!(worker.reports.next().await, None);
        let handed: Vec<_> = std::iter::from_fn(|| worker.reports.handed()).collect();
        assert_eq!(handed.len(), writers.len());
        for (pipe, writer) in handed.into_iter().zip(&mut writers) {
            writer.write_all(b"this").unwrap();
            let mut read = [0; 4];
            std::fs::File::from(pipe).read_exact(&mut read).unwrap();
            assert_eq!(&read, b"this");
        }
    });
}

#[test]
fn nothing_is_handed_to_a_tender_that_is_gone() {
    runtime().block_on(async {
        let (worker, theirs) = Worker::pair().unwrap();
        let mut tender = Tender::from_stream(theirs.into()).unwrap();
        drop(worker);
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert_eq!(tender.hand_over(std::iter::once(reader.into())), 1);
        assert!(writer.write_all(b"this").is_err());
    });
}
