use super::*;
use crate::task::command::OnFailure;
use crate::task::payload::{Body, Native};

pub(super) fn read(text: &str) -> Result<Config, Error> {
    let overrides = Overrides {
        store: Some(StoreUrl::Sqlite("/s/t.db".into())),
        ..Overrides::default()
    };
    let written = Written {
        file: Some("/etc/t.toml".into()),
        text: text.into(),
    };
    Config::of(written, &overrides)
}

#[test]
fn a_whole_file() {
    let config = read(
        r#"
        broker = "beanstalk://queue:1"
        grace_period = "1m"
        withhold_environment = ["SECRET"]
        [tubes.mail]
        command = "mail"
        max_workers = 3
        [commands.mail]
        run = ["./mail"]
        [commands."app:*"]
        run = ["php", "{command}"]
        timeout = 90
        max_attempts = 5
        backoff = { first = "1s" }
        on_failure = "bury"
        stdin = "body"
        [types.'Acme\Task']
        command = "app:x"
        arguments = ["wait"]
        options = { zest = "z", message = "text" }
        "#,
    )
    .unwrap();
    assert_eq!(config.broker.to_string(), "beanstalk://queue:1");
    assert_eq!(config.grace_period, Duration::from_secs(60));
    let app = config.commands.find("app:x").unwrap();
    assert_eq!(app.timeout, Some(Duration::from_secs(90)));
    assert_eq!(app.retry.max_attempts, 5.into());
    assert_eq!(app.retry.backoff.first, Duration::from_secs(1));
    assert_eq!(app.retry.backoff.factor, 2);
    assert_eq!(app.on_failure, OnFailure::Bury);
    assert!(app.body_on_stdin);
    let body = br#"Acme\Task::{"text":"t","wait":1,"z":2}"#;
    let Body::Native(Native {
        uuid: None, call, ..
    }) = config.commands.read(body)
    else {
        panic!("the type is not there");
    };
    assert_eq!(call.command.as_str(), "app:x");
    assert_eq!(call.arguments_json(), r#"["1"]"#);
    assert_eq!(call.options_json(), r#"{"zest":2,"message":"t"}"#);
    assert!(config.commands.find("other").is_none());
}

#[test]
fn a_pool_names_tubes_that_are_configured_by_that() {
    let text = "[pools.p]\nmax = 9\ntubes = { high = 8, low = 1 }\n[tubes.low]\noutside_max = 2\n[tubes.other]\n";
    let config = read(text).unwrap();
    let tubes: Vec<&str> = config.tubes.keys().map(TubeName::as_str).collect();
    assert_eq!(tubes, ["high", "low", "other"]);
    assert_eq!(config.tubes[&"low".parse().unwrap()].outside_max, Some(2));
    let [SharedPool { name, max, weights }] = config.pools.as_slice() else {
        panic!("{:?}", config.pools);
    };
    let weights: Vec<(&str, u32)> = weights
        .iter()
        .map(|(tube, n)| (tube.as_str(), *n))
        .collect();
    assert_eq!(
        (name.as_str(), *max, weights),
        ("p", 9, vec![("high", 8), ("low", 1)])
    );
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        ("max_worker = 1", "there is no key max_worker here"),
        ("[tubes.mail]\nmax_worker = 1", "  | ^^^^^^^^^^"),
        ("[tubes.mail]\nmax_workers = -1", "max_workers = -1"),
        ("[tubes.'a b']", "tubes.\"a b\": the tube name"),
        (
            "[tubes.mail]\ncommand = 'x'",
            "tubes.\"mail\".command: there is no [commands.\"x\"]",
        ),
        (
            "[commands.'a b']\nrun = ['x']",
            "commands.\"a b\": a command's name",
        ),
        ("[commands.a]\nrun = []", "commands.\"a\".run: no program"),
        (
            "[commands.a]\nrun = ['x']\ncleanup = []",
            "commands.\"a\".cleanup: no program",
        ),
        (
            "[commands.'*']\nrun = ['x']\ncleanup = ['{command}', 'a']",
            ".cleanup: the program itself",
        ),
        ("[commands.'*']\nrun = ['{command}']", "the program itself"),
        (
            "[commands.a]\nrun = ['x']\nmax_attempts = 0",
            ".max_attempts: must be at least 1",
        ),
        (
            "[tubes.mail]\nmax_lost = 0",
            "tubes.\"mail\".max_lost: must be at least 1",
        ),
        (
            "[limits.l]\ncommands = ['*']",
            "limits.\"l\": limits nothing",
        ),
        (
            "[limits.l]\nconcurrency = 1",
            "limits.\"l\": is of concern to nobody",
        ),
        (
            "[limits.l]\nconcurrency = 0\ncommands = ['*']",
            "limits.\"l\".concurrency: must be from 1 to 10000",
        ),
        (
            "[limits.l]\nrate = '90'\ntubes = ['t']",
            "limits.\"l\".rate: \"90\" is no rate",
        ),
        (
            "[limits.l]\nconcurrency = 1\nby = 'account'\ntubes = ['t']",
            "limits.\"l\".by: \"account\" says not what counts together",
        ),
        (
            "[limits.l]\nconcurrency = 1\ncommands = ['x']",
            "limits.\"l\".commands: there is no [commands.\"x\"]",
        ),
        (
            "[limits.l]\nconcurrency = 1\ncommands = ['a b']",
            "limits.\"l\".commands: \"a b\" is no command's name",
        ),
        (
            "[limits.l]\nconcurrency = 1\ntubes = ['a b']",
            "limits.\"l\".tubes: ",
        ),
        (
            "[limits.'a b']\nconcurrency = 1\ncommands = ['*']",
            "limits.\"a b\": a limit's name",
        ),
        (
            "[limits.l]\nconcurrency = 1\nper = 'x'\ncommands = ['*']",
            "per",
        ),
        (
            "[commands.a]\nrun = ['x']\ntimeout = 'soon'",
            "'soon' is no duration",
        ),
        (
            "[types.'Acme\\Task']\ncommand = 'x'",
            r#"types."Acme\\Task".command: there is no [commands."x"]"#,
        ),
        (
            "[types.T]\ncommand = 'app:*'\n[commands.'app:*']\nrun = ['x']",
            "types.\"T\".command: the command name \"app:*\" has '*' in it",
        ),
        ("[types.T]", "the key command is missing"),
        ("[types.T]\nargument = []", "there is no key argument here"),
        (
            "[types.'\\T']\ncommand = 'x'",
            r#"types."\\T": "\\T" is no class name"#,
        ),
        (
            "[types.T]\ncommand = 'x'\narguments = ['']",
            "types.\"T\".arguments: a field has no name",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { a = '' }",
            "types.\"T\".options.\"a\": the field has no name",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { '--a' = 'a' }",
            "types.\"T\".options.\"--a\": the option name \"--a\" begins with a hyphen",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { a = true }",
            "should be a string, which names a field, or a table",
        ),
        (
            "[commands.x]\nrun = ['x']\noptions = 'some'",
            "should be an array of options' names, or \"any\"",
        ),
        (
            "[commands.x]\nrun = ['x']\noptions = ['--a']",
            "commands.\"x\".options: the option name \"--a\" begins with a hyphen",
        ),
        (
            "[commands.x]\noptions = ['a']",
            "commands.\"x\".run: no program",
        ),
        (
            "[tubes.t]\ncommands = ['y', 'z:*']\n[commands.y]\nrun = ['x']",
            "tubes.\"t\".commands: there is no [commands.\"z:*\"], nor one that it stands for",
        ),
        (
            "[tubes.t]\ncommands = ['a b']",
            "tubes.\"t\".commands: \"a b\" is no command's name",
        ),
        (
            "[tubes.t]\nraw_only = true",
            "tubes.\"t\".raw_only: needs a command",
        ),
        (
            "[tubes.t]\nraw_only = true\ncommand = 'y'\ncommands = ['y']\n[commands.y]\nrun = ['x']",
            "tubes.\"t\".commands: means nothing beside raw_only",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { a = {} }",
            "types.\"T\".options.\"a\": needs a field or a value",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { a = { field = 'a', value = 1 } }",
            "types.\"T\".options.\"a\": has both a field and a value",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { a = { value = [] } }",
            "types.\"T\".options.\"a\": a value is a string, a number, true or false",
        ),
        (
            "[types.T]\ncommand = 'x'\noptions = { a = { fields = 'a' } }",
            "there is no key fields here",
        ),
        ("broker = 'redis://x'", "broker: 'redis://x' is no broker"),
    ];
    for (text, part) in table {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?} gave\n{error}");
        assert!(error.contains("/etc/t.toml"), "{error}");
    }
}

/// A plan's argv without its program, or the reason why there is none.
fn planned(config: &Config, tube: &str, body: &'static str) -> Result<String, String> {
    let content = crate::task::command::Content::Unread(bytes::Bytes::from_static(body.as_bytes()));
    let plan = config
        .commands
        .plan(uuid::Uuid::nil(), &tube.parse().unwrap(), &content);
    plan.map(|plan| plan.argv[1..].join(" "))
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn what_producers_may_ask_for_is_said_here() {
    let config = read(
        r#"
        [tubes.few]
        commands = ["say", "app:*"]
        [tubes.bytes]
        command = "take"
        raw_only = true
        [commands.say]
        run = ["say"]
        options = ["a"]
        [commands."app:x"]
        run = ["x"]
        options = "any"
        [commands.take]
        run = ["take", "bytes"]
        [commands.reads]
        run = ["reads"]
        stdin = "body"
        [types.T]
        command = "say"
        options = { fixed = { value = 3 }, b = { field = "f", default = "d" }, flag = { value = true } }
        "#,
    )
    .unwrap();
    let a = r#"{"taskqueue":1,"command":"say","options":{"a":1}}"#;
    let x = r#"{"taskqueue":1,"command":"app:x","options":{"anything":1}}"#;
    let c = r#"{"taskqueue":1,"command":"say","options":{"c":1}}"#;
    for (tube, body, expected) in [
        ("few", a, Ok("--a=1")),
        ("few", x, Ok("--anything=1")),
        ("few", c, Err("the option \"c\"")),
        (
            "few",
            r#"{"taskqueue":1,"command":"take"}"#,
            Err("may not run in tube few"),
        ),
        ("few", "T::{}", Ok("--fixed=3 --b=d --flag")),
        (
            "few",
            r#"T::{"f":"e","fixed":4}"#,
            Ok("--fixed=3 --b=e --flag"),
        ),
        ("other", r#"{"taskqueue":1,"command":"take"}"#, Ok("bytes")),
        (
            "other",
            r#"{"taskqueue":1,"command":"reads","options":{"q":1}}"#,
            Ok(""),
        ),
        ("bytes", a, Ok("bytes")),
    ] {
        match (planned(&config, tube, body), expected) {
            (Ok(argv), Ok(expected)) => assert_eq!(argv, expected, "{body}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{body}: {reason}"),
            (found, _) => panic!("{tube} {body}: {found:?}"),
        }
    }
}

#[test]
fn the_example_runs_where_the_file_says_so_or_says_nothing() {
    let other = "[commands.x]\nrun = ['x']\n";
    let named = format!("[commands.'{EXAMPLE_COMMAND}']\n");
    for (text, may_run) in [
        (String::new(), true),
        ("[tubes.t]\nmax_workers = 3".into(), true),
        (other.into(), false),
        (format!("{other}{named}"), true),
        (format!("{other}{named}timeout = '1m'"), true),
        (
            format!("{other}[types.T]\ncommand = '{EXAMPLE_COMMAND}'"),
            true,
        ),
        (
            format!("{other}[tubes.t]\ncommands = ['{EXAMPLE_COMMAND}']"),
            true,
        ),
        (
            format!("{other}[tubes.t]\ncommand = '{EXAMPLE_COMMAND}'"),
            true,
        ),
    ] {
        let config = read(&text).unwrap();
        let body = r#"{"taskqueue":1,"command":"taskqueue:example-task-worker","arguments":["1"],"options":{"message":"hog"}}"#;
        match planned(&config, "other", body) {
            Ok(argv) => assert_eq!(argv, "example-task-worker 1 --message=hog", "{text}"),
            Err(reason) => assert!(
                reason.contains(&named[..named.len() - 1].replace('\'', "\"")),
                "{reason}"
            ),
        }
        assert_eq!(planned(&config, "other", body).is_ok(), may_run, "{text}");
    }
}
