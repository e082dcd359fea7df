use std::collections::BTreeSet;

use super::*;
use crate::config::tests::read;
use crate::config::{Config, file};
use crate::task::command::Command;

fn command(text: &str) -> Command {
    let mut config = read(text).unwrap();
    assert_eq!(config.unsettled(), []);
    Command::clone(config.commands.find("a").unwrap())
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

/// The keys that a table knows, as its reader names them.
fn keys<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
    let Err(error) = toml::from_str::<T>("no_such_key = 1") else {
        panic!("any key is taken");
    };
    let message = error.message().to_owned();
    let (_, known) = message.split_once("expected one of ").unwrap();
    let known = known
        .split(", ")
        .map(|key| key.trim_matches('`').to_owned());
    known.collect()
}

/// What is about one program, and so is no default for all.
const OF_ONE_COMMAND: [&str; 8] = [
    "hooks",
    "run",
    "cleanup",
    "before",
    "after",
    "stdin",
    "dash_arguments",
    "options",
];

/// Every other key, with a value that is not the usual one.
const OF_ALL: [(&str, &str); 23] = [
    ("timeout", "'10m'"),
    ("max_attempts", "'endless'"),
    ("max_lost", "9"),
    ("max_snoozes", "9"),
    ("backoff", "{ first = 7, factor = 3, max = 70 }"),
    ("retry", "['5m', 600]"),
    ("retry_jitter", "0"),
    ("retry_on", "['exit']"),
    ("task_max_attempts", "50"),
    ("task_timeout", "'2h'"),
    ("task_environment", "['TENANT']"),
    ("on_failure", "'bury'"),
    ("user", "0"),
    ("group", "0"),
    ("directory", "'/tmp'"),
    ("environment", "{ A = 'b' }"),
    ("clear_environment", "true"),
    ("umask", "'027'"),
    ("nice", "19"),
    ("oom_score_adjust", "1000"),
    ("limits", "{ core = 0 }"),
    ("no_new_privileges", "true"),
    ("kill_after", "3"),
];

#[test]
fn what_a_command_can_say_the_defaults_can_say_for_all() {
    let mut of_command = keys::<file::Command>();
    for key in OF_ONE_COMMAND {
        assert!(of_command.remove(key), "{key}");
    }
    assert_eq!(keys::<file::Defaults>(), of_command);
    let walked: BTreeSet<String> = OF_ALL.iter().map(|(key, _)| (*key).into()).collect();
    assert_eq!(walked, of_command);
    let tube = "t".parse().unwrap();
    let is_root = rustix::process::geteuid().is_root();
    for (key, value) in OF_ALL {
        let said = format!("{key} = {value}");
        if matches!(key, "user" | "group") {
            if is_root {
                let all = command(&format!("[defaults]\n{said}\n[commands.a]\nrun = ['x']"));
                assert_eq!(all, command(&format!("[commands.a]\nrun = ['x']\n{said}")));
            }
            continue;
        }
        let of = |text: &str| {
            let mut config = read(text).unwrap();
            assert_eq!(config.unsettled(), [], "{text}");
            let command = config.commands.find("a").unwrap();
            let plan = config
                .commands
                .plan(
                    uuid::Uuid::nil(),
                    &tube,
                    &crate::task::command::Content::Call(crate::task::payload::Call {
                        command: "a".parse().unwrap(),
                        arguments: vec![],
                        options: vec![],
                    }),
                )
                .unwrap();
            // How many may be lost, a tube may say between the two.
            let max_lost = config.commands.rules(&tube, Some(&plan)).max_lost;
            let mut command = Command::clone(command);
            command.retry.max_lost = max_lost;
            command
        };
        let none = of("[commands.a]\nrun = ['x']");
        let by_defaults = of(&format!("[defaults]\n{said}\n[commands.a]\nrun = ['x']"));
        let by_itself = of(&format!("[commands.a]\nrun = ['x']\n{said}"));
        assert_ne!(by_defaults, none, "{key} changes nothing");
        assert_eq!(by_defaults, by_itself, "{key}");
    }
}

#[test]
fn the_narrower_table_says_it() {
    let minutes = |minutes: &[u64]| {
        let waits: Vec<Duration> = minutes
            .iter()
            .map(|m| Duration::from_secs(m * 60))
            .collect();
        Some(Waits::new(&waits).unwrap())
    };
    let list = minutes(&[5, 10]);
    use Attempts::{Endless, Most};
    // The defaults, the command; how often it is tried, and after what waits.
    let table = [
        ("", "", Most(1), None),
        ("", "retry = ['5m', '10m']", Most(3), list.clone()),
        (
            "",
            "retry = ['5m', '10m']\nmax_attempts = 9",
            Most(9),
            list.clone(),
        ),
        (
            "",
            "retry = ['5m', '10m']\nmax_attempts = 1",
            Most(1),
            list.clone(),
        ),
        (
            "",
            "retry = ['5m', '10m']\nmax_attempts = 'endless'",
            Endless,
            list.clone(),
        ),
        ("retry = ['5m', '10m']", "", Most(3), list.clone()),
        (
            "retry = ['5m', '10m']",
            "max_attempts = 2",
            Most(2),
            list.clone(),
        ),
        (
            "retry = ['5m', '10m']",
            "backoff = { first = 1 }",
            Most(3),
            None,
        ),
        (
            "backoff = { first = 1 }",
            "retry = ['5m', '10m']",
            Most(3),
            list.clone(),
        ),
        (
            "max_attempts = 9",
            "retry = ['5m', '10m']",
            Most(3),
            list.clone(),
        ),
        ("max_attempts = 9", "backoff = { first = 1 }", Most(9), None),
        (
            "max_attempts = 'endless'",
            "max_attempts = 4",
            Most(4),
            None,
        ),
    ];
    for (defaults, own, attempts, waits) in table {
        let is = command(&format!(
            "[defaults]\n{defaults}\n[commands.a]\nrun = ['x']\n{own}"
        ));
        let both = format!("{defaults} / {own}");
        assert_eq!(is.retry.max_attempts, attempts, "{both}");
        assert_eq!(is.retry.waits, waits, "{both}");
    }
    let is = command(
        "[defaults]\nbackoff = { first = 1, max = 9 }\ntimeout = 5\n[commands.a]\nrun = ['x']\nbackoff = { max = 8 }\n\
         timeout = 'unlimited'",
    );
    let seconds = Duration::from_secs;
    assert_eq!(
        (is.retry.backoff.first, is.retry.backoff.max),
        (seconds(1), seconds(8))
    );
    assert_eq!(is.timeout, None);
    let is = command("[defaults]\ntimeout = 5\n[commands.a]\nrun = ['x']");
    assert_eq!(is.timeout, Some(seconds(5)));
}

#[test]
fn a_lost_attempt_is_counted_by_the_narrowest_table_that_says_it() {
    let tube = "t".parse().unwrap();
    for (text, expected) in [
        ("", None),
        ("[defaults]\nmax_lost = 7\n", Some(7)),
        (
            "[defaults]\nmax_lost = 7\n[tubes.t]\nmax_lost = 8\n",
            Some(8),
        ),
    ] {
        let config: Config = read(text).unwrap();
        assert_eq!(config.commands.rules(&tube, None).max_lost, expected);
    }
}

#[test]
fn what_is_wrong_with_it_is_said() {
    for (own, says) in [
        ("retry = []", "retry: a list of waits has at least one"),
        (
            "retry = ['5m']\nbackoff = { first = 1 }",
            "retry: stands beside backoff",
        ),
        ("retry = ['soon']", "'soon' is no duration"),
        ("retry = ['400d']", "retry: a wait has 366 days at most"),
        (
            "retry = ['5m', 0]\nmax_attempts = 'endless'",
            "retry: its last wait is none",
        ),
        (
            "backoff = { first = 0 }\nmax_attempts = 'endless'",
            "backoff: its last wait is none",
        ),
        (
            "backoff = { first = 0 }\ntask_max_attempts = 'endless'",
            "backoff: its last wait is none",
        ),
        (
            "retry_jitter = 1.5",
            "retry_jitter: it is a share of the wait",
        ),
        (
            "retry_jitter = -0.1",
            "retry_jitter: it is a share of the wait",
        ),
        (
            "retry_on = ['exits']",
            "retry_on: \"exits\" is none of \"exit\", \"timeout\"",
        ),
        (
            "max_attempts = 'often'",
            "\"often\" is no number of attempts",
        ),
        ("max_attempts = 0", "max_attempts: must be at least 1"),
        ("max_attempts = -1", "it is no number of attempts"),
        (
            "task_max_attempts = 0",
            "task_max_attempts: must be at least 1",
        ),
        ("timeout = 0", "timeout: must be more than 0"),
        ("task_timeout = 0", "task_timeout: must be more than 0"),
        (
            "task_environment = ['PATH']",
            "task_environment: \"PATH\": no task can bring PATH",
        ),
        (
            "task_environment = ['LD_PRELOAD']",
            "\"LD_PRELOAD\": no task can bring",
        ),
        (
            "task_environment = ['TASKQUEUE_ID']",
            "\"TASKQUEUE_ID\": no task can bring",
        ),
        ("task_environment = ['A=b']", "\"A=b\": a name has letters"),
    ] {
        for (table, begin) in [
            ("[commands.a]\nrun = ['x']", "commands.\"a\"."),
            ("[defaults]", "defaults."),
        ] {
            // Of the defaults alone it is not known how often a command is tried.
            if table == "[defaults]" && says.contains("its last wait") {
                continue;
            }
            let error = refused(&format!("{table}\n{own}"));
            assert!(error.contains(says), "{own}: {error}");
            if says
                .split(':')
                .next()
                .is_some_and(|key| own.starts_with(key))
            {
                assert!(error.contains(begin), "{own}: {error}");
            }
        }
    }
}

#[test]
fn the_tasks_of_a_schedule_may_say_it_too() {
    let with = |own: &str| {
        format!(
            "[commands.a]\nrun = ['x']\ntask_max_attempts = 3\ntask_environment = ['TENANT']\n\
             [schedules.s]\nevery = 60\ntube = 't'\ncommand = 'a'\n{own}"
        )
    };
    let config = read(&with(
        "retry = ['5m', '10m']\ntimeout = 9\nenv = { TENANT = 'acme' }",
    ))
    .unwrap();
    let (_, spec) = config.schedules.first().unwrap();
    let own = spec.template.own.as_deref().unwrap();
    assert_eq!(
        own.written(),
        r#"{"retry":[300000,600000],"timeout":9000,"env":{"TENANT":"acme"}}"#
    );
    for (own, says) in [
        ("max_attempts = 4", "task_max_attempts = 4"),
        (
            "env = { OTHER = 'x' }",
            "task_environment = [\"TENANT\", \"OTHER\"]",
        ),
        ("env = { PATH = 'x' }", "no task can bring PATH"),
        ("retry = []", "schedules.\"s\".retry"),
    ] {
        let error = refused(&with(own));
        assert!(error.contains(says), "{own}: {error}");
    }
}
