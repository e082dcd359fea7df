//! Commands of which a task says something itself.

use std::time::Duration;

use crate::task::command::Command;
use crate::task::conditions::Variable;
use crate::task::own::{Bounds, MostTime, Own};
use crate::task::retry::{Attempts, Waits};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn often(attempts: Attempts) -> Own {
    Own {
        max_attempts: Some(attempts),
        ..Own::default()
    }
}

fn waits(waits: &[u64]) -> Own {
    let waits: Vec<Duration> = waits.iter().copied().map(seconds).collect();
    Own {
        waits: Some(Waits::new(&waits).unwrap()),
        ..Own::default()
    }
}

fn timeout(timeout: u64) -> Own {
    Own {
        timeout: Some(seconds(timeout)),
        ..Own::default()
    }
}

fn with(name: &str, value: &str) -> Own {
    let mut own = Own::default();
    own.add_variable(name, value.into()).unwrap();
    own
}

fn command(max_attempts: Attempts, timeout: Option<u64>, bounds: Bounds) -> Command {
    let mut command = Command::new(vec!["x".into()]);
    command.retry.max_attempts = max_attempts;
    command.timeout = timeout.map(seconds);
    command.bounds = bounds;
    command
}

#[test]
fn what_a_task_says_wins_within_its_bounds() {
    use Attempts::{Endless, Most};
    let none = Bounds::default;
    let up_to = |most| Bounds {
        max_attempts: Some(most),
        ..Bounds::default()
    };
    let time = |timeout| Bounds {
        timeout,
        ..Bounds::default()
    };
    // What the task says, of what command, and how often and how long that is tried, or the key that would allow it.
    let table = [
        (
            often(Most(3)),
            command(Most(5), None, none()),
            Ok((Most(3), None)),
        ),
        (
            often(Most(5)),
            command(Most(5), None, none()),
            Ok((Most(5), None)),
        ),
        (
            often(Most(6)),
            command(Most(5), None, none()),
            Err("task_max_attempts = 6"),
        ),
        (
            often(Most(6)),
            command(Most(5), None, up_to(Most(50))),
            Ok((Most(6), None)),
        ),
        (
            often(Most(51)),
            command(Most(5), None, up_to(Most(50))),
            Err("task_max_attempts = 51"),
        ),
        // Fewer than the command has by itself.
        (
            often(Most(5)),
            command(Most(5), None, up_to(Most(2))),
            Err("task_max_attempts = 5"),
        ),
        (
            often(Endless),
            command(Most(5), None, up_to(Most(u32::MAX))),
            Err("task_max_attempts = \"endless\""),
        ),
        (
            often(Endless),
            command(Most(1), None, up_to(Endless)),
            Ok((Endless, None)),
        ),
        (
            often(Most(2)),
            command(Endless, None, none()),
            Ok((Most(2), None)),
        ),
        (
            waits(&[1, 2]),
            command(Most(3), None, none()),
            Ok((Most(3), None)),
        ),
        (
            waits(&[1, 2, 3]),
            command(Most(3), None, none()),
            Err("task_max_attempts = 4"),
        ),
        (
            timeout(5),
            command(Most(1), Some(10), none()),
            Ok((Most(1), Some(5))),
        ),
        (
            timeout(11),
            command(Most(1), Some(10), none()),
            Err("task_timeout = 11"),
        ),
        (
            timeout(11),
            command(Most(1), None, none()),
            Ok((Most(1), Some(11))),
        ),
        (
            timeout(11),
            command(Most(1), None, time(MostTime::Most(seconds(10)))),
            Err("task_timeout = 11"),
        ),
        (
            timeout(11),
            command(Most(1), Some(10), time(MostTime::Most(seconds(20)))),
            Ok((Most(1), Some(11))),
        ),
        (
            timeout(11),
            command(Most(1), Some(10), time(MostTime::Any)),
            Ok((Most(1), Some(11))),
        ),
        (
            with("TENANT", "a"),
            command(Most(1), None, none()),
            Err("task_environment = [\"TENANT\"]"),
        ),
    ];
    let tube = "t".parse().unwrap();
    for (own, of, expected) in table {
        let is = of.with(&own, &tube);
        let is = is
            .as_ref()
            .map(|is| (is.retry.max_attempts, is.timeout.map(|t| t.as_secs())));
        let is = is.map_err(|out| out.key.as_str());
        assert_eq!(is, expected, "{own:?} of {of:?}");
    }
}

#[test]
fn only_variables_that_are_named_come_into_the_environment() {
    let bounds = Bounds {
        environment: ["TENANT", "LOCALE"]
            .map(|name| name.parse().unwrap())
            .into(),
        ..Bounds::default()
    };
    let of = command(Attempts::Most(1), None, bounds);
    let tube = "t".parse().unwrap();
    let is = of.with(&with("TENANT", "acme"), &tube).unwrap();
    let named = &is.conditions.of(&tube).variables.named;
    assert_eq!(named.get("TENANT"), Some(&Variable::Set("acme".into())));
    let out = of.with(&with("OTHER", "x"), &tube).unwrap_err();
    assert_eq!(out.allowed, "only LOCALE, TENANT");
    assert_eq!(
        out.key,
        "task_environment = [\"LOCALE\", \"TENANT\", \"OTHER\"]"
    );
}
