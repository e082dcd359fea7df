use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn lines_read_as_documented() {
    let reports = [
        (Report::Ready, r#"{"report":"ready"}"#),
        (
            Report::Busy {
                task: 12,
                group: 4711,
            },
            r#"{"report":"busy","task":12,"group":4711}"#,
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
        (Report::Pong { id: 7 }, r#"{"report":"pong","id":7}"#),
    ];
    for (report, text) in reports {
        assert_eq!(report.encode(), format!("{text}\n").as_bytes());
        assert_eq!(Report::decode(text.as_bytes()).unwrap(), report);
    }
    let orders = [
        (Order::drain(None), r#"{"order":"drain"}"#),
        (
            Order::drain(Some(Duration::from_secs(30))),
            r#"{"order":"drain","grace_ms":30000}"#,
        ),
        (Order::Stop, r#"{"order":"stop"}"#),
        (Order::Reload, r#"{"order":"reload"}"#),
        (Order::Reopen, r#"{"order":"reopen"}"#),
        (Order::Ping { id: 7 }, r#"{"order":"ping","id":7}"#),
    ];
    for (order, text) in orders {
        assert_eq!(order.encode(), format!("{text}\n").as_bytes());
        assert_eq!(Order::decode(text.as_bytes()).unwrap(), order);
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
        assert_eq!(reason.len(), 400, "{letter}");
    }
    let long = "x".repeat(2000);
    let theirs = format!(r#"{{"report":"troubled","reason":"{long}"}}"#);
    match Report::decode(theirs.as_bytes()) {
        Ok(Report::Troubled { reason, .. }) => assert_eq!(reason.len(), 400),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_unknown_is_tolerated_and_what_is_left_out_is_zero() {
    let newer = br#"{"memory":9.5,"report":"busy","nested":{"a":[1]},"task":7}"#;
    assert_eq!(
        Report::decode(newer).unwrap(),
        Report::Busy { task: 7, group: 0 }
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
                    let _ = Order::decode(&line);
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
        worker.orders.send(Order::drain(None)).unwrap();
        worker.orders.send(Order::Stop).unwrap();
        assert_eq!(tender.order().await, Some(Order::drain(None)));
        tender.report(Report::Idle { jobs: 1, output: 2 });
        drop(worker.orders);
        assert_eq!(tender.order().await, Some(Order::Stop));
        drop(tender);
        let last = worker.reports.next().await;
        assert_eq!(last, Some(Ok(Report::Idle { jobs: 1, output: 2 })));
        assert_eq!(worker.reports.next().await, None);
    });
}

#[test]
fn a_tender_that_does_not_read_stops_no_worker_and_hears_the_last_state() {
    runtime().block_on(async {
        let (mut worker, theirs) = Worker::pair().unwrap();
        let mut tender = Tender::from_stream(theirs.into()).unwrap();
        for jobs in 0..50_000 {
            tender.report(Report::Idle { jobs, output: 0 });
        }
        let last = Report::Busy { task: 1, group: 2 };
        tender.report(last.clone());
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
        let mut order = [0; 16];
        foreign.read_exact(&mut order).unwrap();
        assert_eq!(&order, br#"{"order":"stop"}"#);
    });
}
