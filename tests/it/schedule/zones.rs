//! The rule for daylight saving, in all zones of the database, against a slow and obvious model.
//!
//! The model walks through every quarter of an hour that the clock on the wall could show, and asks the library for
//! time what instants show it. Days on which the clock is not set are alike: of these the test takes some, and all of
//! them with `TASKQUEUE_ALL_DAYS=1`.

use std::collections::BTreeSet;

use jiff::civil::{DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use taskqueue::schedule::cron::Cron;
use taskqueue::zone::Zone;

/// All times of the expressions are quarters of an hour, and so are all offsets of these years.
const STEP: i64 = 900;

const YEARS: std::ops::Range<i16> = 2025..2028;

/// An expression, what it means on the clock, and whether elapsed time counts.
type Expression = (&'static str, fn(DateTime) -> bool, bool);

const EXPRESSIONS: [Expression; 5] = [
    (
        "30 2 * * *",
        |at| (at.hour(), at.minute()) == (2, 30),
        false,
    ),
    ("0 * * * *", |at| at.minute() == 0, true),
    ("*/15 * * * *", |at| at.minute() % 15 == 0, true),
    ("0 0 * * *", |at| (at.hour(), at.minute()) == (0, 0), false),
    (
        "15,45 1-3 * * sun",
        |at| {
            at.minute() % 30 == 15
                && (1..=3).contains(&at.hour())
                && at.weekday() == jiff::civil::Weekday::Sunday
        },
        false,
    ),
];

/// Begins and ends, in seconds since 1970, of the times that are looked at.
fn spans(zone: &TimeZone, seed: u64) -> Vec<(i64, i64)> {
    let from = date(YEARS.start, 1, 1).in_tz("UTC").unwrap().timestamp();
    let until = date(YEARS.end, 1, 1).in_tz("UTC").unwrap().timestamp();
    if std::env::var_os("TASKQUEUE_ALL_DAYS").is_some() {
        return vec![(from.as_second(), until.as_second())];
    }
    let mut days: BTreeSet<i64> = zone
        .following(from)
        .take_while(|change| change.timestamp() < until)
        .flat_map(|change| {
            let day = change.timestamp().as_second().div_euclid(86_400);
            [day - 1, day, day + 1]
        })
        .collect();
    let (first, last) = (from.as_second() / 86_400, until.as_second() / 86_400);
    let mut random = seed;
    for _ in 0..4 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        days.insert(first + i64::try_from(random >> 33).unwrap() % (last - first));
    }
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for day in days {
        match spans.last_mut() {
            Some((_, end)) if *end == day * 86_400 => *end += 86_400,
            Some(_) | None => spans.push((day * 86_400, (day + 1) * 86_400)),
        }
    }
    spans
}

/// What comes in `begin..end`.
fn model(
    zone: &TimeZone,
    matches: fn(DateTime) -> bool,
    elapsed: bool,
    (begin, end): (i64, i64),
) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    if elapsed {
        let mut at = begin;
        while at < end {
            let shown = zone.to_datetime(Timestamp::from_second(at).unwrap());
            if shown.second() == 0 && matches(shown) {
                found.insert(at);
            }
            at += STEP;
        }
        return found;
    }
    // Clocks are at most a day from UTC.
    let mut shown = TimeZone::UTC.to_datetime(Timestamp::from_second(begin - 86_400).unwrap());
    let last = TimeZone::UTC.to_datetime(Timestamp::from_second(end + 86_400).unwrap());
    while shown < last {
        if matches(shown) {
            let at = match zone.to_ambiguous_timestamp(shown).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(shown).unwrap(),
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(shown).unwrap(),
                // The last instant before it at which the clock had not been set yet, and a second.
                AmbiguousOffset::Gap { before, after } => {
                    let (mut low, mut high) = (
                        after.to_timestamp(shown).unwrap(),
                        before.to_timestamp(shown).unwrap(),
                    );
                    while high.duration_since(low) > SignedDuration::from_secs(1) {
                        let middle =
                            Timestamp::from_second((low.as_second() + high.as_second()) / 2)
                                .unwrap();
                        match zone.to_offset(middle) == before {
                            true => low = middle,
                            false => high = middle,
                        }
                    }
                    high
                }
            };
            if (begin..end).contains(&at.as_second()) {
                found.insert(at.as_second());
            }
        }
        shown = shown.checked_add(STEP.seconds()).unwrap();
    }
    found
}

#[test]
fn times_come_by_the_rule_in_every_zone() {
    let (mut zones, mut checked) = (0, 0);
    for (seed, name) in jiff::tz::db().available().enumerate() {
        let zone = TimeZone::get(name.as_str()).unwrap();
        let ours = Zone::named(name.as_str()).unwrap();
        zones += 1;
        let from = date(YEARS.start, 1, 1).in_tz("UTC").unwrap().timestamp();
        let mut changes = zone.following(from).take(9);
        assert!(
            changes.all(|change| i64::from(change.offset().seconds()) % STEP == 0),
            "{name:?}"
        );
        for span in spans(&zone, seed as u64) {
            for (text, matches, elapsed) in EXPRESSIONS {
                let cron: Cron = text.parse().unwrap();
                let found: Vec<i64> = cron
                    .after(span.0 - 1, &ours)
                    .take_while(|at| *at < span.1)
                    .collect();
                let expected: Vec<i64> = model(&zone, matches, elapsed, span).into_iter().collect();
                checked += found.len();
                assert_eq!(
                    found,
                    expected,
                    "{text} in {name}, from {}",
                    Timestamp::from_second(span.0).unwrap()
                );
                // And asked one by one.
                let first = cron.after(span.0 - 1, &ours).next();
                for pair in found.windows(2).step_by(7) {
                    assert_eq!(
                        cron.after(pair[0], &ours).next(),
                        Some(pair[1]),
                        "{text} in {name}"
                    );
                }
                assert!(first.is_some());
            }
        }
    }
    assert!(zones > 300, "only {zones} zones: is tzdata installed?");
    assert!(checked > 100_000, "{checked}");
}
