//! What tenders make of schedules: each time once, whatever dies and whatever the clock says.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use taskqueue::crash::{Point, VARIABLE};

use super::{COMMANDS, fired, set_clock, shown, tender_of};
use crate::support::{Beanstalkd, Running, Taskqueue, until};

const HOUR: i64 = 3_600_000;

fn lines(taskqueue: &Taskqueue, file: &str) -> Vec<String> {
    let text = fs::read_to_string(taskqueue.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn number(taskqueue: &Taskqueue, sql: &str) -> i64 {
    taskqueue
        .sqlite()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

fn end(tender: Running) {
    tender.signal(Signal::TERM);
    let ran = tender.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[track_caller]
fn add(taskqueue: &Taskqueue, args: &[&str]) {
    let mut command = taskqueue.command(&[&["schedule", "add"], args].concat());
    command.env(taskqueue::clock::STEP_VARIABLE, taskqueue.path("clock"));
    let ran = Running::start(command).wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

/// All that has come of it.
fn until_fired(taskqueue: &Taskqueue, count: usize) -> Vec<(i64, bool)> {
    until("fired", || fired(taskqueue).len() >= count);
    fired(taskqueue)
}

#[test]
fn a_schedule_of_the_configuration_comes_and_goes_with_it() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let two = "[schedules.tick]\ntube = \"t\"\ncommand = \"job\"\nevery = 1\n\
        [schedules.other]\ntube = \"t\"\ncommand = \"job\"\ncron = \"@yearly\"\n";
    taskqueue.configure(&format!("{COMMANDS}{two}"));
    set_clock(&taskqueue, 0);
    let tender = Running::start(tender_of(&taskqueue, "t"));
    until("three have run", || lines(&taskqueue, "log").len() >= 3);
    add(
        &taskqueue,
        &["mine", "--use-tube", "t", "--cron", "@yearly", "job"],
    );
    for line in lines(&taskqueue, "log") {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words[2]), ("tick", "no"), "{line}");
        words[1].parse::<jiff::Timestamp>().unwrap();
    }
    let times: Vec<i64> = fired(&taskqueue).iter().map(|(at, _)| *at).collect();
    assert!(
        times.windows(2).all(|pair| (pair[1] - pair[0]) % 1000 == 0),
        "{times:?}"
    );

    taskqueue.configure(COMMANDS);
    taskqueue.run(&["reload"]).ok();
    let names = "SELECT group_concat(name) FROM schedules";
    until("gone", || {
        let names: String = taskqueue
            .sqlite()
            .query_row(names, [], |row| row.get(0))
            .unwrap();
        names == "mine"
    });
    // A faulty one changes nothing, and says where the fault is.
    taskqueue.configure(&format!(
        "{COMMANDS}[schedules.x]\ntube = \"t\"\ncommand = \"job\"\ncron = \"x\"\n"
    ));
    let said = taskqueue.run(&["reload"]).failed(2);
    assert!(said.contains("it has 1 of five fields"), "{said}");
    end(tender);
}

/// Down for three hours, of which three times come.
#[test]
fn what_is_missed_is_made_up_for_as_it_is_said() {
    for (missed, made) in [
        (&["--missed", "one"][..], vec![(3, true)]),
        (&["--missed", "skip"], vec![]),
        (
            &["--missed", "all", "--limit", "2"],
            vec![(2, true), (3, true)],
        ),
        (&["--missed", "all"], vec![(1, true), (2, true), (3, true)]),
    ] {
        let taskqueue = Taskqueue::embedded();
        taskqueue.configure(COMMANDS);
        let now = jiff::Timestamp::now().as_millisecond();
        let hour = now / HOUR * HOUR;
        // Half past, so that no time is near.
        let half = hour + HOUR / 2 - now;
        set_clock(&taskqueue, half);
        add(
            &taskqueue,
            &[
                &[
                    "h",
                    "--use-tube",
                    "t",
                    "--cron",
                    "0 * * * *",
                    "--zone",
                    "UTC",
                ],
                missed,
                &["job"],
            ]
            .concat(),
        );
        set_clock(&taskqueue, half + 3 * HOUR);
        let tender = Running::start(tender_of(&taskqueue, "t"));
        let decided = format!(
            "SELECT count(*) FROM schedules WHERE nominal = {}",
            hour + 3 * HOUR
        );
        until("decided", || number(&taskqueue, &decided) == 1);
        let expected: Vec<(i64, bool)> = made
            .iter()
            .map(|(n, late)| (hour + n * HOUR, *late))
            .collect();
        assert_eq!(
            until_fired(&taskqueue, expected.len()),
            expected,
            "{missed:?}"
        );
        until("run", || lines(&taskqueue, "log").len() == expected.len());
        assert!(
            lines(&taskqueue, "log")
                .iter()
                .all(|line| line.ends_with(":00:00+00:00 1"))
        );
        end(tender);
    }
}

#[test]
fn a_time_that_comes_while_a_task_runs_waits_or_is_skipped() {
    for (overlap, both) in [("skip", false), ("queue", false), ("allow", true)] {
        let taskqueue = Taskqueue::embedded();
        taskqueue.configure(COMMANDS);
        set_clock(&taskqueue, 0);
        add(
            &taskqueue,
            &[
                "s",
                "--use-tube",
                "t",
                "--every",
                "1",
                "--overlap",
                overlap,
                "slow",
            ],
        );
        let tender = Running::start({
            let mut command = tender_of(&taskqueue, "t");
            command.args(["--spare-workers", "0"]);
            command
        });
        until("some", || lines(&taskqueue, "slow").len() >= 4);
        let open = number(
            &taskqueue,
            "SELECT count(*) FROM tasks WHERE finished IS NULL",
        );
        assert!(both || open <= 1, "{overlap}: {open}");
        end(tender);
        let begun_together = lines(&taskqueue, "slow")
            .windows(2)
            .any(|pair| pair[0] == pair[1]);
        assert!(!begun_together, "{overlap}: one worker runs one at a time");
        assert!(fired(&taskqueue).len() >= 2, "{overlap}");
    }
}

#[test]
fn an_interval_from_the_end_waits_for_all_attempts() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(
        "[commands.twice]\n\
         run = [\"/bin/sh\", \"-c\", \"echo $TASKQUEUE_TASK_ID >> log; test $TASKQUEUE_ATTEMPT = 2\"]\n\
         max_attempts = 2\nbackoff = { first = 1 }\n",
    );
    set_clock(&taskqueue, 0);
    add(&taskqueue, &["s", "--use-tube", "t", "--every=-1", "twice"]);
    let tender = Running::start(tender_of(&taskqueue, "t"));
    until("two tasks", || lines(&taskqueue, "log").len() >= 4);
    end(tender);
    assert_eq!(lines(&taskqueue, "log")[..4], ["1", "1", "2", "2"]);
    assert!(number(&taskqueue, "SELECT max(finished) FROM tasks") > 0);
}

/// Killed before a time is decided, after, and after the job is put: by two tenders, and with the clock set an hour
/// forward and back meanwhile.
#[test]
fn each_time_comes_once_whatever_dies_and_whatever_the_clock_says() {
    let points = [Point::FireDecided, Point::Fired, Point::FireRung];
    let server = Beanstalkd::start();
    let all = points.map(|point| (point, Taskqueue::with(&server)));
    for (point, taskqueue) in all
        .into_iter()
        .chain(points.map(|point| (point, Taskqueue::embedded())))
    {
        taskqueue.configure(COMMANDS);
        set_clock(&taskqueue, 0);
        add(
            &taskqueue,
            &[
                "s",
                "--use-tube",
                "t",
                "--every",
                "1",
                "--overlap",
                "allow",
                "--missed",
                "all",
                "job",
            ],
        );
        let mut dying = tender_of(&taskqueue, "u");
        dying.env(VARIABLE, format!("{point:?}"));
        let ran = Running::start(dying).wait();
        assert_eq!(ran.code, None, "it was not killed at {point:?}");
        let one = Running::start(tender_of(&taskqueue, "t"));
        let other = Running::start(tender_of(&taskqueue, "u"));
        until_fired(&taskqueue, 3);
        set_clock(&taskqueue, -HOUR);
        sleep(Duration::from_secs(2));
        set_clock(&taskqueue, 0);
        let before = fired(&taskqueue).len();
        until_fired(&taskqueue, before + 2);
        taskqueue.run(&["schedule", "pause", "s"]).ok();
        let all = fired(&taskqueue);
        let gaps: Vec<i64> = all.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap == 1000), "{point:?}: {gaps:?}");
        let first = number(&taskqueue, "SELECT made FROM schedules");
        assert_eq!(all[0].0, first, "{point:?}: the first is missing");
        // Each was run once, also the one whose job was not put.
        taskqueue.run(&["reconcile"]).ok();
        until("run", || {
            taskqueue.run(&["reconcile"]).ok();
            lines(&taskqueue, "log").len() >= all.len()
        });
        let mut ran = lines(&taskqueue, "log");
        ran.sort();
        let count = ran.len();
        ran.dedup();
        assert_eq!((ran.len(), count), (all.len(), all.len()), "{point:?}");
        end(one);
        end(other);
    }
}

/// An hour forward, in which an hourly time passes, and back again.
#[test]
fn a_clock_that_is_set_forward_and_back_fires_nothing_twice() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    let now = jiff::Timestamp::now().as_millisecond();
    let hour = now / HOUR * HOUR;
    let half = hour + HOUR / 2 - now;
    set_clock(&taskqueue, half);
    add(
        &taskqueue,
        &[
            "h",
            "--use-tube",
            "t",
            "--cron",
            "0 * * * *",
            "--zone",
            "UTC",
            "job",
        ],
    );
    let tenders = ["t", "u"].map(|tube| Running::start(tender_of(&taskqueue, tube)));
    sleep(Duration::from_secs(1));
    assert_eq!(fired(&taskqueue), []);
    set_clock(&taskqueue, half + HOUR);
    assert_eq!(until_fired(&taskqueue, 1), [(hour + HOUR, true)]);
    set_clock(&taskqueue, half);
    sleep(Duration::from_secs(6));
    set_clock(&taskqueue, half + HOUR);
    sleep(Duration::from_secs(6));
    assert_eq!(fired(&taskqueue), [(hour + HOUR, true)]);
    assert_eq!(shown(&taskqueue, "h")["tasks"].as_array().unwrap().len(), 1);
    tenders.into_iter().for_each(end);
}

/// A row that makes no sense stops no other.
#[test]
fn one_bad_row_stops_no_other() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    set_clock(&taskqueue, 0);
    add(
        &taskqueue,
        &["bad", "--use-tube", "t", "--every", "1", "job"],
    );
    add(
        &taskqueue,
        &["good", "--use-tube", "t", "--every", "1", "job"],
    );
    let sqlite = taskqueue.sqlite();
    sqlite
        .execute("UPDATE schedules SET task = '{}' WHERE name = 'bad'", [])
        .unwrap();
    let tender = Running::start(tender_of(&taskqueue, "t"));
    until("run", || lines(&taskqueue, "log").len() >= 2);
    assert!(
        lines(&taskqueue, "log")
            .iter()
            .all(|line| line.starts_with("good "))
    );
    let said = fs::read_to_string(taskqueue.path("said")).unwrap();
    assert_eq!(said.matches("schedule makes no sense").count(), 1, "{said}");
    end(tender);
}

/// A task that nobody works on has the key of three schedules: none of them stalls, and none of them spins.
#[test]
fn times_are_passed_over_while_a_task_has_the_key() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(&format!(
        "{COMMANDS}[schedules.kept]\ntube = \"t\"\ncommand = \"job\"\nevery = 1\nunique = \"k\"\n\
         [schedules.refused]\ntube = \"t\"\ncommand = \"job\"\nevery = 1\n\
         unique = {{ key = \"k\", if_exists = \"refuse\" }}\n"
    ));
    set_clock(&taskqueue, 0);
    let put = ["put", "--use-tube", "nobody", "job", "--unique=k"];
    assert_eq!(taskqueue.run(&put).ok(), "1\n");
    let again = [
        "again",
        "--use-tube",
        "t",
        "--every=-1",
        "--unique=k",
        "job",
    ];
    add(&taskqueue, &again);
    let tender = Running::start(tender_of(&taskqueue, "t"));
    let passed_over = |name: &str| {
        let sql =
            "SELECT count(*) FROM events WHERE what = 20 AND task = 1 AND detail ->> 'schedule' = ";
        number(&taskqueue, &format!("{sql}'{name}'"))
    };
    let names = ["kept", "refused", "again"];
    until("passed over", || {
        names.iter().all(|name| passed_over(name) >= 3)
    });
    assert_eq!(fired(&taskqueue), []);
    let first = number(&taskqueue, "SELECT min(at) FROM events WHERE what = 20");
    let last = number(&taskqueue, "SELECT max(at) FROM events WHERE what = 20");
    for name in names {
        let most = (last - first) / 1000 + 2;
        assert!(
            passed_over(name) <= most,
            "{name}: {} of {most}",
            passed_over(name)
        );
    }
    let events = taskqueue.run(&["events", "--what", "passed_over"]).ok();
    let line = events.lines().find(|line| line.contains("schedule=kept"));
    assert!(
        line.is_some_and(|line| line.contains("passed_over task 1")),
        "{events}"
    );

    // Whichever of them comes first then has the key.
    taskqueue.run(&["cancel", "1"]).ok();
    until("run", || lines(&taskqueue, "log").len() >= 3);
    end(tender);
    let log = fs::read_to_string(taskqueue.path("said")).unwrap();
    assert!(log.contains("schedule was refused a task"), "{log}");
    let twice =
        "SELECT count(*) FROM (SELECT 1 FROM fires GROUP BY schedule, nominal HAVING count(*) > 1)";
    assert_eq!(number(&taskqueue, twice), 0);
}
