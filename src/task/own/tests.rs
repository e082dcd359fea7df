use super::*;

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

#[test]
fn what_can_be_no_variable_of_a_task() {
    let long = "x".repeat(101);
    for (name, why) in [
        ("PATH", BadName::Reserved),
        ("LD_PRELOAD", BadName::Reserved),
        ("LD_", BadName::Reserved),
        ("TASKQUEUE_STORE", BadName::Reserved),
        ("", BadName::NoName),
        ("1A", BadName::NoName),
        ("A=B", BadName::NoName),
        ("A B", BadName::NoName),
        ("Ä", BadName::NoName),
        ("A\0", BadName::NoName),
        (long.as_str(), BadName::NoName),
    ] {
        assert_eq!(name.parse::<VariableName>(), Err(why), "{name}");
    }
    for name in ["A", "_", "a1", "MY_PATH", "LDAP", "PATHS"] {
        assert!(name.parse::<VariableName>().is_ok(), "{name}");
    }
    let mut own = with("A", "x");
    let twice = own.add_variable("A", "y".into());
    assert!(matches!(twice, Err(BadOwn::Twice { .. })), "{twice:?}");
    for value in ["a\0b".to_owned(), "x".repeat(LONGEST_VALUE + 1)] {
        let bad = own.add_variable("B", value);
        assert!(matches!(bad, Err(BadOwn::Value { .. })), "{bad:?}");
    }
    assert!(own.add_variable("B", "x".repeat(LONGEST_VALUE)).is_ok());
    for n in own.environment.len()..=MOST_VARIABLES {
        own.add_variable(&format!("N{n}"), String::new()).unwrap();
    }
    assert_eq!(own.checked(), Err(BadOwn::TooMany(MOST_VARIABLES + 1)));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let no_pause = Own {
        max_attempts: Some(Attempts::Endless),
        ..waits(&[5, 0])
    };
    let table = [
        (often(Attempts::Most(0)), BadOwn::NoAttempt),
        (timeout(0), BadOwn::Timeout),
        (timeout(367 * 86_400), BadOwn::Timeout),
        (no_pause, BadOwn::NoPause),
    ];
    for (own, bad) in table {
        assert_eq!(own.clone().checked(), Err(bad), "{own:?}");
    }
    assert_eq!(Own::default().checked(), Ok(None));
    assert_eq!(timeout(1).checked(), Ok(Some(timeout(1))));
}

#[test]
fn what_stands_in_a_row_is_read_back() {
    let all = Own {
        max_attempts: Some(Attempts::Endless),
        timeout: Some(Duration::from_millis(1500)),
        ..waits(&[300, 600])
    };
    let all = with("TENANT", "\"a\u{1}\" = b").or(&all);
    let written = r#"{"max_attempts":"endless","retry":[300000,600000],"timeout":1500,"env":{"TENANT":"\"a\u0001\" = b"}}"#;
    assert_eq!(all.written(), written);
    for own in [all, often(Attempts::Most(7)), waits(&[0]), timeout(5)] {
        assert_eq!(Own::read(&own.written()), Ok(own));
    }
    for bad in [
        "",
        "{\"max_attempts\":0}",
        "{\"max_attempts\":\"often\"}",
        "{\"retry\":[]}",
        "{\"env\":{\"PATH\":\"x\"}}",
        "{\"later\":1}",
    ] {
        assert!(Own::read(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_list_says_how_often_where_nothing_narrower_does() {
    let wide = Own {
        max_attempts: Some(Attempts::Most(9)),
        timeout: Some(seconds(9)),
        ..with("A", "wide")
    };
    let narrow = with("A", "narrow").or(&waits(&[1, 2])).or(&wide);
    assert_eq!(narrow.attempts(), Some(Attempts::Most(3)));
    assert_eq!(narrow.timeout, Some(seconds(9)));
    assert_eq!(narrow.environment, with("A", "narrow").environment);
    assert_eq!(timeout(1).or(&wide).attempts(), Some(Attempts::Most(9)));
}

#[test]
fn people_read_it_as_they_write_it() {
    let all = Own {
        max_attempts: Some(Attempts::Endless),
        timeout: Some(Duration::from_millis(1500)),
        ..waits(&[0, 5, 300, 5400, 7200, 172_800])
    };
    assert_eq!(
        all.words(),
        "max_attempts endless, retry 0s,5s,5m,90m,2h,2d, timeout 1500ms"
    );
    assert_eq!(with("A", "secret").words(), "");
}
