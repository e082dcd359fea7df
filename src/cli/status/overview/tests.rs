//! The overview of made-up tenders, in terminals of several sizes.

use std::collections::BTreeSet;

use super::*;
use crate::cli::status::full::full;
use crate::cli::status::tubes::Tubes;
use crate::control::words::{BackingOff, Census};
use crate::task::id::TaskId;

const NARROW: Room = Room {
    columns: 80,
    rows: 24,
};

fn worker(name: String, task: Option<i64>) -> Worker {
    Worker {
        name,
        pid: Some(4_194_304),
        state: task.map_or("idle", |_| "busy").into(),
        reason: None,
        age: 7200.0,
        task,
        troubled: false,
        trouble: None,
        notice: None,
        jobs: 1_000_000,
        output: 0,
        memory: Some(5_000_000_000),
    }
}

fn pool(tube: &str, workers: u32) -> Pool {
    let named = (1..=workers).map(|n| worker(format!("{tube}-{n}"), (n == 1).then_some(2_000_000)));
    Pool {
        tube: tube.into(),
        state: "tended".into(),
        min: 1,
        spare: 0,
        max: workers,
        target: Some(workers),
        decision: Some("hold".into()),
        reason: Some("as many as wanted".into()),
        ready: Some(3),
        paused: false,
        census: Census {
            starting: 0,
            idle: workers.saturating_sub(1),
            busy: workers.min(1),
            stopping: 0,
            before: Some(0),
            troubled: 0,
        },
        back_off: None,
        backing_off: None,
        shared_pool: None,
        lack: None,
        started: u64::from(workers),
        restarts: 0,
        workers: named.collect(),
    }
}

fn seen(pools: Vec<Pool>) -> Seen {
    let names = pools.iter().map(|pool| pool.tube.parse().unwrap());
    let named: BTreeSet<TubeName> = names.collect();
    let tender = Status {
        pid: 4711,
        host: "a.host.with.a.name".into(),
        version: "0.1.0".into(),
        age: 90_000.0,
        pools,
    };
    Seen {
        store: "/var/lib/taskqueue/tasks.db".into(),
        tenders: vec![tender],
        silent: Vec::new(),
        counts: BTreeMap::new(),
        reports: BTreeMap::new(),
        named,
        schedules: 0,
        limits: Vec::new(),
        configured: None,
        tubes: Tubes::default(),
    }
}

fn says(seen: &mut Seen, task: i64, percent: f64, message: &str) {
    let said = TaskReport {
        attempt: 1,
        at: 0,
        percent: Some(percent),
        message: Some(message.into()),
        result: None,
        has_result: false,
    };
    seen.reports.insert(TaskId(task), said);
}

fn backs_off(pool: &mut Pool, reason: &str, next: Option<f64>) {
    pool.backing_off = Some(BackingOff {
        failures: 3,
        reason: Some(reason.into()),
        since: 12.0,
        next,
    });
}

fn assert_fits(seen: &Seen, room: Room) -> Vec<String> {
    let text = overview(seen, room).text();
    assert!(
        text.len() <= room.rows,
        "{} lines\n{}",
        text.len(),
        text.join("\n")
    );
    for line in &text {
        assert!(line.chars().count() <= room.columns, "{room:?}: {line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    text
}

#[test]
fn a_few_tubes_are_all_there_with_their_workers() {
    let mut seen = seen(vec![pool("mail", 3), pool("pdf", 1)]);
    seen.tubes.unknown = Some("the broker did not say: no answer within 2 s".into());
    let text = assert_fits(&seen, NARROW);
    let expected = "\
tender 4711, version 0.1.0, up 1d 1h: 2 tubes, 4 workers, 2 busy
store /var/lib/taskqueue/tasks.db
TUBE            BUSY/ALL  READY  DELAY BURIED OLDEST DONE/M FAIL/M WAITED    RAN
mail                 1/3      -      -      -      -      -      -      -      -
pdf                  1/1      -      -      -      -      -      -      -      -
  the broker did not say: no answer within 2 s

WORKER               PID STATE           TASK      AGE  MEMORY
mail-1           4194304 busy         2000000    2h 0m  4768 MiB
pdf-1            4194304 busy         2000000    2h 0m  4768 MiB
mail-2           4194304 idle               -    2h 0m  4768 MiB
mail-3           4194304 idle               -    2h 0m  4768 MiB";
    assert_eq!(text[..expected.lines().count()].join("\n"), expected);
    assert_eq!(text.last().unwrap(), "q to leave");
    assert_eq!(text.len(), 24);
}

#[test]
fn how_far_commands_are_is_beside_their_workers() {
    let mut seen = seen(vec![pool("mail", 2)]);
    says(&mut seen, 2_000_000, 40.0, "half of the rows \u{1b}[2J");
    let text = assert_fits(&seen, NARROW);
    let expected = "\
WORKER        PID STATE           TASK      AGE  MEMORY     PROGRESS
mail-1    4194304 busy         2000000    2h 0m  4768 MiB   40 %, half of the r…
mail-2    4194304 idle               -    2h 0m  4768 MiB";
    assert_eq!(text[5..8].join("\n"), expected);
    let wide = Room {
        columns: 120,
        ..NARROW
    };
    let text = assert_fits(&seen, wide);
    assert!(text[6].contains("40 %, half of the rows"), "{text:#?}");
    let full = full(&seen);
    assert!(
        full.contains("\n  40 %, half of the rows \\u{1b}[2J\n"),
        "{full}"
    );
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let pools: Vec<Pool> = (0..200).map(|n| pool(&format!("tube-{n:03}"), 2)).collect();
    let seen = seen(pools);
    let text = assert_fits(&seen, NARROW);
    assert!(text[3].starts_with("tube-000 "), "{text:?}");
    assert_eq!(text[22].split(' ').next(), Some("tube-019"), "{text:?}");
    let last = "q to leave; 180 more tubes; --use-tube TUBE for one";
    assert_eq!(text[23], last);
}

#[test]
fn trouble_comes_first_and_leaves_room_for_tubes() {
    let mut pools: Vec<Pool> = (0..40).map(|n| pool(&format!("tube-{n:03}"), 2)).collect();
    for pool in pools.iter_mut().skip(10).take(20) {
        backs_off(pool, "worker t-4 ended: exit code 1", Some(3.2));
    }
    let seen = seen(pools);
    let text = assert_fits(&seen, NARROW);
    assert!(text[3].starts_with("tube-010 "), "{text:?}");
    let said = "  tube-010: backs off for 12s, 3 failed in a row, the last so: worker t-4 ended:";
    assert!(text.iter().any(|line| line == said), "{text:#?}");
    let tubes = text.iter().filter(|line| line.starts_with("tube-")).count();
    assert_eq!(tubes, 14, "{text:#?}");
    assert!(
        text[23].contains("26 more tubes, more to say of these"),
        "{text:?}"
    );
}

#[test]
fn it_fits_every_terminal_whatever_things_are_called() {
    let long = "n".repeat(200);
    let mut odd = pool(&long, 30);
    backs_off(&mut odd, &"no \u{1b}[2J way ".repeat(50), None);
    let mut many = pool("mail", 100);
    many.lack = Some("x".repeat(500));
    let mut seen = seen(vec![odd, many]);
    seen.store = format!("/{long}");
    seen.silent.push((7, "host".into(), long.clone()));
    says(&mut seen, 2_000_000, 33.3, &long);
    let tender = seen.tenders[0].clone();
    seen.tenders.extend([tender.clone(), tender]);
    for columns in [1, 20, 79, 80, 81, 200, 500] {
        for rows in [1, 2, 3, 5, 10, 24, 60, 500] {
            let text = assert_fits(&seen, Room { columns, rows });
            assert!(rows < 10 || columns < 80 || text[rows - 1].starts_with("q to leave"));
        }
    }
    // What is printed has no end, and no long lines.
    let full = full(&seen);
    for line in full.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!full.contains('\u{1b}'));
    let words: String = full.split_whitespace().collect();
    assert!(
        words.contains(&long) && words.contains(&"x".repeat(500)),
        "nothing is lost"
    );
}

#[test]
fn it_says_why_a_pool_backs_off() {
    for (next, said) in [
        (
            Some(3.2),
            "backs off for 12s, 3 failed in a row, the last so: worker t-4 ended: signal 9; tries again in 4s",
        ),
        (
            Some(0.0),
            "the last so: worker t-4 ended: signal 9; tries one at a time now",
        ),
        (None, "once that is mended: taskqueue reload"),
    ] {
        let mut pool = pool("mail", 1);
        backs_off(&mut pool, "worker t-4 ended: signal 9", next);
        let why = why::of(&pool);
        assert!(why.contains(said), "{why}");
    }
    // An older tender says it in its own words.
    let mut older = pool("mail", 1);
    older.back_off = Some("3 failed in a row, tries again after 4s".into());
    assert!(why::of(&older).contains("tries again after 4s"));
    // What keeps a worker from being started is not said twice.
    let mut lacking = pool("mail", 1);
    lacking.lack = Some("no program".into());
    backs_off(&mut lacking, "no program", Some(1.0));
    assert_eq!(why::of(&lacking).matches("no program").count(), 1);
}

#[test]
fn large_numbers_have_few_columns() {
    for (n, said) in [
        (0, "0"),
        (99_999, "99999"),
        (100_000, "100k"),
        (99_999_999, "99999k"),
        (100_000_000, "100M"),
        (u64::MAX, "many"),
    ] {
        assert_eq!(count(n), said);
    }
}
