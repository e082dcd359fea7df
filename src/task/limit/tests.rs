use super::*;
use crate::task::payload::{Body, read};

fn bounds(concurrency: Option<u32>, rate: Option<(u32, Millis)>) -> Bounds {
    Bounds {
        concurrency,
        rate: rate.map(|(allowed, per)| Rate { allowed, per }),
    }
}

#[test]
fn the_next_of_a_line_begins_when_there_is_room() {
    let two = bounds(Some(2), None);
    let rate = bounds(None, Some((3, 100)));
    let both = bounds(Some(2), Some((3, 100)));
    #[rustfmt::skip]
    let table: [(Bounds, u32, &[Millis], Room); 15] = [
        (Bounds::default(), 1000, &[1000], Room::Now),
        (two, 0, &[], Room::Now),
        (two, 1, &[1000, 1000, 1000], Room::Now),
        (two, 2, &[], Room::Full),
        (two, 3, &[], Room::Full),
        (bounds(Some(1), None), 1, &[], Room::Full),
        (rate, 1000, &[], Room::Now),
        (rate, 0, &[999, 1000], Room::Now),
        (rate, 0, &[950, 999, 1000], Room::At(1050)),
        // In whatever order they were noted, and the oldest of the last three counts.
        (rate, 0, &[1000, 910, 901, 999], Room::At(1010)),
        // A span is as long as it is: what began a whole span ago is not in it.
        (rate, 0, &[900, 950, 1000], Room::Now),
        // Whoever is noted later than now was first to be written; and what is planned is as what began.
        (rate, 0, &[1001, 1002, 1003], Room::At(1101)),
        (rate, 0, &[900, 1002, 1003], Room::Now),
        (both, 2, &[], Room::Full),
        (both, 1, &[950, 960, 970], Room::At(1050)),
    ];
    for (bounds, taken, starts, expected) in table {
        assert_eq!(
            bounds.room(taken, starts, 1000),
            expected,
            "{bounds} {taken} {starts:?}"
        );
    }
}

#[test]
fn in_no_span_begin_more_than_are_allowed_whenever_somebody_asks() {
    // Those who ask come at odd times, and the clocks of some are behind.
    let mut seed: u64 = 7;
    let mut random = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Millis::try_from((seed >> 33) % below).unwrap()
    };
    for allowed in [1, 2, 5] {
        let bounds = bounds(None, Some((allowed, 100)));
        let (mut starts, mut clock): (Vec<Millis>, Millis) = (Vec::new(), 10_000);
        for _ in 0..2000 {
            clock += random(30);
            let now = clock - random(20);
            let known: Vec<Millis> = starts
                .iter()
                .copied()
                .filter(|start| bounds.counts(*start, now))
                .collect();
            if bounds.room(0, &known, now) == Room::Now {
                starts.push(now);
            }
        }
        assert!(starts.len() > 200, "{allowed}: {}", starts.len());
        for start in &starts {
            let within = starts
                .iter()
                .filter(|one| (*start..start + 100).contains(one));
            assert!(
                within.count() <= usize::try_from(allowed).unwrap(),
                "{allowed} {start}"
            );
        }
    }
}

#[test]
fn starts_of_a_clock_that_was_set_back_do_not_count() {
    let rate = bounds(None, Some((3, 100)));
    for (start, counts) in [
        (900, false),
        (901, true),
        (1000, true),
        (1500, true),
        (1000 + AHEAD, true),
        (1001 + AHEAD, false),
    ] {
        assert_eq!(rate.counts(start, 1000), counts, "{start}");
    }
}

#[test]
fn a_task_stands_in_the_line_of_what_it_has() {
    let long = "x".repeat(LONGEST_KEY + 1);
    let body = format!(
        r#"{{"taskqueue":1,"command":"c","arguments":["7",-3,""],
            "options":{{"a":"b","n":1.50,"t":true,"f":false,"e":"","l":"{long}","s":"sha256:x","q":"\"\"","z":"\n"}},
            "tags":["plain","k=v","e="]}}"#
    );
    let Body::Native(native) = read(body.as_bytes()) else {
        panic!("{body}");
    };
    let call = Some(&native.call);
    let key = |by: &str, call: Option<&Call>| {
        let limit = Limit {
            name: "l".into(),
            bounds: Bounds::default(),
            by: by.parse().unwrap(),
            commands: Vec::new(),
            tubes: BTreeSet::new(),
        };
        let tags = || Ok::<_, ()>(native.tags.clone());
        limit.key("c", call, tags).unwrap().as_str().to_owned()
    };
    #[rustfmt::skip]
    let table = [
        ("command", "c"), ("argument:1", "7"), ("argument:2", "-3"), ("argument:3", "\"\""), ("argument:4", ""),
        ("option:a", "b"), ("option:n", "1.50"), ("option:t", "true"), ("option:f", ""), ("option:e", "\"\""),
        ("option:none", ""), ("tag:k", "v"), ("tag:plain", "\"\""), ("tag:e", "\"\""), ("tag:none", ""),
    ];
    for (by, expected) in table {
        assert_eq!(key(by, call), expected, "{by}");
    }
    for by in ["option:l", "option:s", "option:q", "option:z"] {
        let key = key(by, call);
        assert!(key.starts_with(DIGEST) && key.len() == 71, "{by}: {key}");
    }
    for (by, expected) in [
        ("option:a", ""),
        ("argument:1", ""),
        ("command", "c"),
        ("tag:k", "v"),
    ] {
        assert_eq!(key(by, None), expected, "{by}");
    }
}

#[test]
fn what_counts_together_is_said_in_a_word() {
    for (text, expected) in [
        ("command", Some(By::Command)),
        ("option:account", Some(By::Option("account".into()))),
        ("argument:12", Some(By::Argument(12))),
        ("tag:k", Some(By::Tag("k".into()))),
        ("argument:0", None),
        ("argument:-1", None),
        ("argument:", None),
        ("option:", None),
        ("option", None),
        ("tag:k=v", None),
        ("commands", None),
        ("command:x", None),
        ("", None),
    ] {
        assert_eq!(text.parse::<By>().ok(), expected, "{text}");
    }
}

#[test]
fn bounds_read_well() {
    #[rustfmt::skip]
    let table = [
        (bounds(Some(2), None), "2 at a time"), (bounds(None, Some((90, 10_000))), "90 in 10s"),
        (bounds(Some(2), Some((5, 60_000))), "2 at a time, 5 in 1m"), (bounds(None, Some((1, 7_200_000))), "1 in 2h"),
        (bounds(None, Some((1, 86_400_000))), "1 in 1d"), (bounds(None, Some((1, 1500))), "1 in 1500ms"),
    ];
    for (bounds, expected) in table {
        assert_eq!(bounds.to_string(), expected);
    }
}

#[test]
fn as_many_are_to_have_a_job_as_could_be_let_go() {
    let two = bounds(Some(2), None);
    let rate = bounds(None, Some((3, 100)));
    let both = bounds(Some(5), Some((3, 100)));
    for (bounds, running, expected, left) in [
        (two, 0, 0, 2),
        (two, 1, 0, 1),
        (two, 0, 1, 1),
        (two, 1, 1, 0),
        (two, 2, 0, 0),
        (two, 7, 7, 0),
        // What has begun frees no place of a rate, but whoever is next is let go for its time.
        (rate, 100, 0, 3),
        (rate, 100, 2, 1),
        (rate, 0, 3, 0),
        (both, 0, 0, 3),
        (both, 3, 0, 2),
        (both, 3, 1, 1),
        (both, 5, 0, 0),
        (both, 0, 3, 0),
    ] {
        let found = bounds.left(running, expected);
        assert_eq!(found, left, "{bounds:?}, {running}, {expected}");
    }
}
