use super::*;
use crate::pool::{Census, Demand, Limits};

mod histories;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A tube as a crew would claim for it: its weight, limits, workers (idle, busy, stopping), and the jobs that wait.
fn claim(
    weight: u32,
    (min, spare, max): (u32, u32, u32),
    (idle, busy, stopping): (u32, u32, u32),
    ready: u64,
) -> Claim {
    let limits = Limits::new(min, spare, max).unwrap();
    let census = Census {
        idle,
        busy,
        stopping,
        ..Census::default()
    };
    let demand = Demand::Ready(ready);
    Claim {
        part: Part { weight, outside: 0 },
        min,
        max,
        census,
        resting: idle,
        going: 0,
        needs: limits.needed(&census, demand),
        wants: limits.target(&census, demand),
        able: u32::MAX,
        has_backlog: demand.exceeds(&census),
    }
}

fn outside(outside: u32, claim: Claim) -> Claim {
    let part = Part {
        outside,
        ..claim.part
    };
    Claim { part, ..claim }
}

/// How many each may start and how many of each go, at the first look.
fn fresh(places: u32, claims: &[Claim]) -> (Vec<u32>, Vec<u32>) {
    let (shares, _) = share(places, claims, &Account::default(), s(0));
    read(claims, &shares)
}

fn read(claims: &[Claim], shares: &Shares) -> (Vec<u32>, Vec<u32>) {
    let started = claims.iter().zip(&shares.of);
    let started = started.map(|(claim, share)| share.most - claim.census.total());
    let yields = shares.of.iter().map(|share| share.yields);
    (started.collect(), yields.collect())
}

const NONE: (u32, u32, u32) = (0, 0, 0);
const ANY: (u32, u32, u32) = (0, 0, 99);
const FLOOD: u64 = 1000;

#[test]
fn places_that_are_free_are_divided_by_weight() {
    let flooded = |weight| claim(weight, ANY, NONE, FLOOD);
    let table: &[(u32, &[u32], &[u32])] = &[
        (9, &[8, 1], &[8, 1]),
        (18, &[8, 1], &[16, 2]),
        (10, &[1, 1], &[5, 5]),
        (6, &[3, 2, 1], &[3, 2, 1]),
        (1, &[1, 8, 4], &[0, 1, 0]),
        (4, &[1000, 1], &[4, 0]),
        (0, &[1, 1], &[0, 0]),
    ];
    for (places, weights, expected) in table {
        let claims: Vec<Claim> = weights.iter().map(|weight| flooded(*weight)).collect();
        assert_eq!(fresh(*places, &claims).0, *expected, "{places} {weights:?}");
    }
}

#[test]
fn whatever_fits_is_had_and_what_is_needed_goes_before_what_is_spare() {
    let table = [
        // An idle tube leaves all to the other.
        ([claim(8, ANY, NONE, 0), claim(1, ANY, NONE, FLOOD)], [0, 9]),
        // Three are enough for the one, whatever its weight.
        ([claim(8, ANY, NONE, 3), claim(1, ANY, NONE, FLOOD)], [3, 6]),
        // Neither is kept from what it wants by its own.
        (
            [claim(8, (0, 0, 2), NONE, FLOOD), claim(1, ANY, NONE, FLOOD)],
            [2, 7],
        ),
        // A job goes before a worker that waits for one.
        (
            [claim(8, (0, 5, 9), NONE, 0), claim(1, ANY, NONE, 8)],
            [1, 8],
        ),
        // The least of each is its own.
        (
            [claim(8, ANY, NONE, FLOOD), claim(1, (4, 0, 9), NONE, 0)],
            [5, 4],
        ),
        (
            [
                claim(8, ANY, (0, 5, 0), FLOOD),
                claim(1, (4, 0, 9), NONE, 0),
            ],
            [0, 4],
        ),
        // What stands still counts until it is gone.
        (
            [
                claim(8, ANY, (0, 0, 7), FLOOD),
                claim(1, (1, 0, 9), NONE, 0),
            ],
            [1, 1],
        ),
        // Outside, there is always room.
        (
            [
                outside(3, claim(1, ANY, NONE, FLOOD)),
                claim(1, ANY, (0, 9, 0), FLOOD),
            ],
            [3, 0],
        ),
        (
            [
                outside(3, claim(1, ANY, (0, 2, 0), FLOOD)),
                claim(1, ANY, (0, 8, 0), FLOOD),
            ],
            [2, 0],
        ),
        (
            [
                outside(3, claim(1, (0, 0, 2), NONE, FLOOD)),
                claim(1, ANY, (0, 9, 0), FLOOD),
            ],
            [2, 0],
        ),
        // Nobody knows how many an earlier tender has left of the one: nobody starts any.
        (
            [
                Claim {
                    census: Census {
                        before: UNCOUNTED,
                        ..Census::default()
                    },
                    ..claim(1, ANY, NONE, FLOOD)
                },
                claim(1, ANY, NONE, FLOOD),
            ],
            [0, 0],
        ),
        // Who backs off leaves all but its own to others.
        (
            [
                Claim {
                    able: 0,
                    ..claim(8, (2, 0, 9), NONE, FLOOD)
                },
                claim(1, ANY, NONE, FLOOD),
            ],
            [2, 7],
        ),
    ];
    for (claims, expected) in table {
        assert_eq!(fresh(9, &claims).0, expected, "{claims:?}");
    }
}

#[test]
fn who_rests_makes_room_at_once_and_nobody_else_does() {
    let waits = claim(1, ANY, NONE, 2);
    let table = [
        // Only as many as are missing, and only who is not needed.
        ([claim(1, ANY, (5, 4, 0), 0), waits], [2, 0]),
        ([claim(1, ANY, (5, 4, 0), 4), waits], [1, 0]),
        // Never below its least.
        ([claim(1, (8, 0, 9), (9, 0, 0), 0), waits], [1, 0]),
        ([claim(1, (9, 0, 9), (9, 0, 0), 0), waits], [0, 0]),
        // For none that is only to be spare.
        (
            [claim(1, ANY, (9, 0, 0), 0), claim(1, (0, 3, 9), NONE, 0)],
            [0, 0],
        ),
        // Not while nobody knows whether it is needed, nor when it has just had a job.
        (
            [
                Claim {
                    resting: 0,
                    ..claim(1, ANY, (5, 4, 0), 0)
                },
                waits,
            ],
            [0, 0],
        ),
        // Whoever is about to be gone makes that room.
        (
            [
                Claim {
                    going: 2,
                    ..claim(1, ANY, (5, 2, 2), 0)
                },
                waits,
            ],
            [0, 0],
        ),
        // A worker outside takes nobody's place.
        (
            [
                outside(8, claim(1, ANY, (6, 0, 0), 0)),
                claim(1, ANY, (0, 9, 0), 5),
            ],
            [0, 0],
        ),
        // There is room.
        ([claim(1, ANY, (5, 1, 0), 0), waits], [0, 0]),
        // Who cannot start any needs no room.
        (
            [claim(1, ANY, (5, 4, 0), 0), Claim { able: 0, ..waits }],
            [0, 0],
        ),
    ];
    for (claims, expected) in table {
        assert_eq!(fresh(9, &claims).1, expected, "{claims:?}");
    }
}

/// What comes of it when the same is looked at again and again: when who goes.
fn first_yield(places: u32, claims: &[Claim]) -> Option<(Duration, Vec<u32>)> {
    let mut account = Account::default();
    for tick in 0..20_000 {
        let now = ms(tick * 50);
        let (shares, next) = share(places, claims, &account, now);
        account = next;
        let (_, yields) = read(claims, &shares);
        if yields.iter().any(|yields| *yields > 0) {
            return Some((now, yields));
        }
        assert!(shares.again.is_none_or(|at| at > now), "time stands still");
    }
    None
}

#[test]
fn a_busy_worker_goes_once_another_tube_has_fallen_behind() {
    let table = [
        // One place: after a second of the other's time by equal weight, after eight by eight to one.
        (
            1,
            vec![claim(1, ANY, (0, 1, 0), FLOOD), claim(1, ANY, NONE, FLOOD)],
            Some((1050, vec![1, 0])),
        ),
        (
            1,
            vec![claim(8, ANY, (0, 1, 0), FLOOD), claim(1, ANY, NONE, FLOOD)],
            Some((8050, vec![1, 0])),
        ),
        (
            1,
            vec![claim(1, ANY, (0, 1, 0), FLOOD), claim(8, ANY, NONE, FLOOD)],
            Some((150, vec![1, 0])),
        ),
        // Nine places that one tube has had alone.
        (
            9,
            vec![claim(8, ANY, (0, 9, 0), FLOOD), claim(1, ANY, NONE, FLOOD)],
            Some((900, vec![1, 0])),
        ),
        // They are divided as they should be, and stay so.
        (
            9,
            vec![
                claim(8, ANY, (0, 8, 0), FLOOD),
                claim(1, ANY, (0, 1, 0), FLOOD),
            ],
            None,
        ),
        // They cannot be: three to two of four.
        (
            4,
            vec![
                claim(3, ANY, (0, 3, 0), FLOOD),
                claim(2, ANY, (0, 1, 0), FLOOD),
            ],
            Some((1050, vec![1, 0])),
        ),
        (
            4,
            vec![
                claim(3, ANY, (0, 2, 0), FLOOD),
                claim(2, ANY, (0, 2, 0), FLOOD),
            ],
            Some((1000, vec![0, 1])),
        ),
        // The least of a tube is its own for ever, and so is what is outside.
        (
            2,
            vec![
                claim(1, (2, 0, 9), (0, 2, 0), FLOOD),
                claim(1, ANY, NONE, FLOOD),
            ],
            None,
        ),
        (
            2,
            vec![
                outside(2, claim(1, (0, 0, 2), (0, 2, 0), FLOOD)),
                claim(1, ANY, (0, 2, 0), FLOOD),
            ],
            None,
        ),
        // Nobody goes for one that could not start any, nor for one that its own limit keeps from more.
        (
            1,
            vec![
                claim(1, ANY, (0, 1, 0), FLOOD),
                Claim {
                    able: 0,
                    ..claim(1, ANY, NONE, FLOOD)
                },
            ],
            None,
        ),
        (
            2,
            vec![
                claim(1, ANY, (0, 1, 0), FLOOD),
                claim(8, (0, 0, 1), (0, 1, 0), FLOOD),
            ],
            None,
        ),
    ];
    for (places, claims, expected) in table {
        let expected = expected.map(|(at, yields)| (ms(at), yields));
        assert_eq!(
            first_yield(places, &claims),
            expected,
            "{places} {claims:?}"
        );
    }
}

#[test]
fn those_that_were_told_to_go_count_as_gone_until_they_could_have_finished() {
    let mut account = Account::default();
    let mut goes = Vec::new();
    let mut stopping = 0;
    for tick in 0..200 {
        let now = ms(tick * 50);
        let full = [
            claim(1, ANY, (0, 4 - stopping, stopping), FLOOD),
            claim(1, ANY, NONE, FLOOD),
        ];
        let (shares, next) = share(4, &full, &account, now);
        account = next;
        if shares.of[0].yields > 0 {
            goes.push((now, shares.of[0].yields));
            stopping += shares.of[0].yields;
        }
    }
    // Half of the places, and the others once so much has been used that they are the other tube's too.
    assert_eq!(goes, [(ms(300), 2), (ms(1050), 1), (ms(3050), 1)]);
}

#[test]
fn nothing_is_saved_up() {
    let alone = [claim(1, ANY, (0, 4, 0), FLOOD), claim(1, ANY, NONE, 0)];
    let mut account = Account::default();
    for second in 0..3600 {
        account = share(4, &alone, &account, s(second)).1;
    }
    // An hour later both are equal: the places go half and half, and not to the one that had none.
    let both = [claim(1, ANY, NONE, FLOOD), claim(1, ANY, NONE, FLOOD)];
    let (shares, _) = share(4, &both, &account, s(3600));
    assert_eq!(read(&both, &shares).0, [2, 2]);
    // Whoever has waited for the hour has the first of them.
    let waits = [claim(1, ANY, (0, 4, 0), FLOOD), claim(1, ANY, NONE, FLOOD)];
    let mut account = Account::default();
    for second in 0..3600 {
        account = share(4, &waits, &account, s(second)).1;
    }
    let (shares, _) = share(4, &both, &account, s(3600));
    assert_eq!(read(&both, &shares).0, [0, 4]);
    // What was used while everything fitted is held against nobody.
    let fits = [claim(1, ANY, (0, 3, 0), 0), claim(1, ANY, (0, 1, 0), 0)];
    let mut account = Account::default();
    for second in 0..3600 {
        account = share(4, &fits, &account, s(second)).1;
    }
    let (shares, _) = share(4, &both, &account, s(3600));
    assert_eq!(read(&both, &shares).0, [2, 2]);
}

#[test]
fn a_max_that_was_lowered_is_come_to_at_once_and_never_below_the_least() {
    let table = [
        (
            [
                claim(1, ANY, (0, 6, 0), FLOOD),
                claim(1, ANY, (0, 3, 0), FLOOD),
            ],
            [4, 1],
        ),
        (
            [
                claim(1, (5, 0, 9), (0, 6, 0), FLOOD),
                claim(1, ANY, (0, 3, 0), FLOOD),
            ],
            [1, 3],
        ),
        // Those that go already are on their way.
        (
            [
                claim(1, ANY, (0, 2, 4), FLOOD),
                claim(1, ANY, (0, 2, 1), FLOOD),
            ],
            [0, 0],
        ),
        (
            [
                outside(9, claim(1, ANY, (0, 6, 0), FLOOD)),
                claim(1, ANY, (0, 3, 0), FLOOD),
            ],
            [0, 0],
        ),
    ];
    for (claims, expected) in table {
        let (starts, yields) = fresh(4, &claims);
        assert_eq!(yields, expected, "{claims:?}");
        if claims[0].part.outside == 0 {
            assert_eq!(starts, [0, 0], "{claims:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let member = |min, max, outside| Member { min, max, outside };
    let table: &[(u32, &[Member], Result<(), Misfit>)] = &[
        (9, &[member(2, 5, 0), member(3, 3, 0)], Ok(())),
        (5, &[member(2, 5, 0), member(3, 3, 0)], Ok(())),
        (
            4,
            &[member(2, 5, 0), member(3, 3, 0)],
            Err(Misfit::Mins { mins: 5 }),
        ),
        (4, &[member(2, 5, 1), member(3, 3, 0)], Ok(())),
        (
            5,
            &[member(2, 5, 0), member(3, 3, 0), member(0, 1, 0)],
            Err(Misfit::NoPlace { member: 2 }),
        ),
        (
            5,
            &[member(2, 5, 0), member(3, 3, 0), member(0, 1, 1)],
            Ok(()),
        ),
        (
            9,
            &[member(0, 5, 0), member(0, 3, 4)],
            Err(Misfit::Outside {
                member: 1,
                outside: 4,
                max: 3,
            }),
        ),
        (1, &[member(0, 5, 0), member(0, 3, 0)], Ok(())),
    ];
    for (places, members, expected) in table {
        assert_eq!(fits(*places, members), *expected, "{places} {members:?}");
    }
}
