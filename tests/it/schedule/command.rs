//! `taskqueue schedule`, and `[schedules]` as it is checked.

use super::{COMMANDS, shown};
use crate::support::Taskqueue;

const BERLIN: [&str; 4] = ["--zone", "Europe/Berlin", "--from", "2026-03-28 00:00"];

#[test]
fn the_next_times_of_an_expression_are_printed_without_a_store() {
    let taskqueue = Taskqueue::embedded();
    let next = |cron: &str, count: &str| {
        let args = [
            &["schedule", "next", "-n", count, "--cron", cron][..],
            &BERLIN,
        ]
        .concat();
        taskqueue.run(&args).ok_without_store()
    };
    assert_eq!(
        next("30 2 * * *", "3"),
        "2026-03-28T02:30:00+01:00\n2026-03-29T03:00:00+02:00\n2026-03-30T02:30:00+02:00\n"
    );
    assert_eq!(next("@daily", "1"), "2026-03-29T00:00:00+01:00\n");
    assert!(!taskqueue.store().exists());
    for (args, said) in [
        (
            &["--cron", "0 25 * * *"][..],
            "--cron: hours go from 0 to 23\n  0 25 * * *\n    ^^\n",
        ),
        (
            &["--cron", "0 0 * * *", "--zone", "Mars/Olympus"],
            "--zone: there is no time zone 'Mars/Olympus'",
        ),
        (
            &["--cron", "0 0 * * *", "--from", "soon"],
            "--from: 'soon' is no time",
        ),
        (&[], "taskqueue schedule next needs <NAME>"),
    ] {
        let ran = taskqueue
            .run(&[&["schedule", "next"], args].concat())
            .failed(2);
        assert!(ran.contains(said), "{ran}");
    }
}

#[test]
fn schedules_are_added_shown_paused_run_and_removed() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    let run = |args: &[&str]| taskqueue.run(&[&["schedule"], args].concat());
    assert_eq!(
        run(&["list"]).ok_without_store(),
        "NAME  WHEN  NEXT  TASK  STATE\n"
    );
    let add = [
        "add",
        "nightly",
        "--use-tube",
        "t",
        "--cron",
        "30 2 * * mon-fri",
        "--zone",
        "Europe/Berlin",
    ];
    let more = [
        "--missed",
        "all",
        "--limit",
        "3",
        "--overlap",
        "queue",
        "job",
        "12",
        "--option",
        "x=y",
    ];
    let add = [&add[..], &more].concat();
    assert_eq!(run(&add).ok(), "the schedule nightly is made\n");
    assert_eq!(run(&add).ok(), "the schedule nightly was so before\n");
    let show = run(&["show", "nightly"]).ok();
    for said in [
        "at 02:30, on Monday to Friday, by the clock of Europe/Berlin",
        "job [\"12\"] {\"x\":\"y\"} in the tube t",
        "all: the newest 3 are made up for",
        "queue",
    ] {
        assert!(show.contains(said), "{show}");
    }
    let next = run(&["next", "-n", "2", "nightly"]).ok();
    assert_eq!(next.lines().count(), 2);
    assert!(
        next.lines().all(|line| line.contains("T02:30:00+0")),
        "{next}"
    );

    run(&["pause", "nightly"]).ok();
    assert_eq!(shown(&taskqueue, "nightly")["state"], "paused");
    assert_eq!(run(&["next", "nightly"]).stdout, "");
    assert_eq!(run(&["run", "nightly"]).ok(), "1\n");
    assert_eq!(taskqueue.show("1")["arguments"][0], "12");
    run(&["resume", "nightly"]).ok();
    assert_eq!(shown(&taskqueue, "nightly")["tasks"][0]["id"], 1);
    let status = taskqueue.run(&["status"]);
    assert!(
        status
            .stdout
            .contains("nothing comes of 1 schedule: no tender"),
        "{}",
        status.stdout
    );

    // One row that makes no sense hides no other.
    run(&["add", "odd", "--use-tube", "t", "--every", "1h", "job"]).ok();
    let sqlite = taskqueue.sqlite();
    sqlite
        .execute(
            "UPDATE schedules SET timing = '{\"cron\":\"61 * * * *\"}' WHERE name = 'odd'",
            [],
        )
        .unwrap();
    let list = run(&["list"]).ok();
    assert!(
        list.contains("makes no sense: its timing: minutes go from 0 to 59"),
        "{list}"
    );
    assert!(list.contains("nightly  30 2 * * mon-fri"), "{list}");
    run(&["remove", "nightly"]).ok();
    for command in ["show", "pause", "resume", "run", "remove", "next"] {
        let said = run(&[command, "nightly"]).failed(1);
        assert!(said.contains("there is no schedule nightly"), "{said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    for (args, said) in [
        (&["job"][..], "says no time"),
        (&["--every", "0.5", "job"], "a second at least"),
        (
            &["--every=-1", "--from", "start", "job"],
            "--from: at once again is counted from the end",
        ),
        (
            &["--cron", "* * * * *", "--from", "end", "job"],
            "--from: goes with every",
        ),
        (
            &["--cron", "* * * * *", "--limit", "3", "job"],
            "--limit: goes with missed",
        ),
        (
            &["--every", "1h", "--zone", "UTC", "job"],
            "--zone: goes with cron or at",
        ),
        (&["--at", "soon", "job"], "--at: 'soon' is no time"),
        (
            &["--at", "2001-01-01 9:00", "job"],
            "--at: '2001-01-01 9:00' is no time",
        ),
        (&["--at", "2001-01-01 09:00", "job"], "that time is past"),
        (
            &["--every", "1h", "--while", "waiting", "job"],
            "taskqueue schedule add needs --unique",
        ),
    ] {
        let said_so = taskqueue
            .run(&[&["schedule", "add", "x", "--use-tube", "t"], args].concat())
            .failed(2);
        assert!(said_so.contains(said), "{args:?}: {said_so}");
    }
    let table = [
        (
            "cron = \"0 25 * * *\"",
            ".cron: hours go from 0 to 23\n  0 25 * * *\n    ^^",
        ),
        (
            "cron = \"0 2 * * *\"\nzone = \"Mars/X\"",
            ".zone: there is no time zone 'Mars/X'",
        ),
        ("at = \"tomorrow\"", ".at: 'tomorrow' is no date and time"),
        ("every = 0", "a second at least"),
        ("every = \"1h\"\nwhen = 1", "when"),
        ("", "says no time"),
        ("every = \"1h\"\nlimit = 5", ".limit: goes with missed"),
        (
            "every = \"1h\"\nunique = 1",
            ".unique: is true, a key, or a table",
        ),
        (
            "every = \"1h\"\nunique = \"\"",
            ".unique: a key has a byte at least",
        ),
        (
            "every = \"1h\"\nunique = { if_exists = \"drop\" }",
            ".unique: 'drop' is neither keep, replace nor refuse",
        ),
        (
            "every = \"1h\"\nunique = { kept = \"x\" }",
            "key, while and if_exists; it has kept",
        ),
    ];
    for (text, said) in table {
        let schedule =
            format!("{COMMANDS}[schedules.x]\ntube = \"t\"\ncommand = \"job\"\n{text}\n");
        taskqueue.configure(&schedule);
        let ran = taskqueue.run(&["check"]);
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.stdout);
        assert!(ran.stdout.contains(said), "{text}: {}", ran.stdout);
    }
    for (text, said) in [
        ("command = \"gone\"", "gone"),
        ("tube = \"t\"\nevery = 60", "makes nothing"),
        ("command = \"job\"\nevery = 60", "says no tube"),
    ] {
        let more = if text.contains("every") {
            ""
        } else {
            "tube = \"t\"\nevery = 60\n"
        };
        taskqueue.configure(&format!("{COMMANDS}[schedules.x]\n{text}\n{more}"));
        let ran = taskqueue.run(&["check"]);
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.stdout);
        assert!(ran.stdout.contains(said), "{text}: {}", ran.stdout);
    }
}

/// The same from the flags and from the configuration, and what by hand comes of it while a task has the key.
#[test]
fn what_a_schedule_makes_can_have_a_key() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    let run = |args: &[&str]| taskqueue.run(&[&["schedule"], args].concat());
    let add = |if_exists: &str| {
        let when = ["add", "s", "--use-tube", "t", "--every", "1h", "job", "1"];
        let key = ["--unique=k", "--while", "1h 30m", "--if-exists", if_exists];
        run(&[&when[..], &key].concat()).ok()
    };
    add("keep");
    let show = run(&["show", "s"]).ok();
    assert!(show.contains("each has the key k for 1h 30m\n"), "{show}");
    assert!(show.contains("key of    no task\n"), "{show}");
    let put = |args: &[&str]| {
        let args = [&["put", "--use-tube", "t", "job"], args].concat();
        taskqueue.run(&args).ok()
    };
    assert_eq!(put(&["2", "--unique=k"]), "1\n");
    let show = run(&["show", "s"]).ok();
    let said = "key of    task 1, and times are passed over meanwhile\n";
    assert!(show.contains(said), "{show}");
    let unique = &shown(&taskqueue, "s")["unique"];
    let expected =
        serde_json::json!({ "key": "k", "while": "5400s", "if_exists": "keep", "held_by": 1 });
    assert_eq!(*unique, expected);
    let list = run(&["list", "--json"]).json();
    assert_eq!(list[0]["unique"], expected);

    assert_eq!(run(&["run", "s"]).ok(), "1\n", "it stays");
    assert_eq!(taskqueue.show("1")["arguments"][0], "2");
    add("refuse");
    let said = run(&["run", "s"]).failed(1);
    assert!(said.contains("task 1 has this key and waits"), "{said}");
    add("replace");
    assert_eq!(run(&["run", "s"]).ok(), "1\n", "it is given the argument");
    assert_eq!(taskqueue.show("1")["arguments"][0], "1");
    assert_eq!(taskqueue.show("1")["schedule"], "s");
    taskqueue.run(&["cancel", "1"]).ok();
    assert_eq!(run(&["run", "s"]).ok(), "2\n");
    assert_eq!(taskqueue.show("2")["unique"], "k");
    // What was called off cannot come back while that one has the key.
    let said = taskqueue.run(&["regenerate", "1"]).failed(1);
    assert!(said.contains("task 2 has this key and waits"), "{said}");

    let configured = |unique: &str| {
        taskqueue.configure(&format!(
            "{COMMANDS}[schedules.s]\ntube = \"t\"\ncommand = \"job\"\nevery = 60\nunique = {unique}\n"
        ));
        let ran = taskqueue.run(&["check"]);
        assert_eq!(ran.code, Some(0), "{unique}: {}", ran.stdout);
    };
    configured("true");
    configured("\"k\"");
    configured("{ key = \"k\", while = \"waiting\", if_exists = \"replace\" }");
}
