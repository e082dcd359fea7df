use super::*;
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
    assert_eq!(app.retry.max_attempts, 5);
    assert_eq!(app.retry.backoff.first, Duration::from_secs(1));
    assert_eq!(app.retry.backoff.factor, 2);
    assert_eq!(app.on_failure, OnFailure::Bury);
    assert!(app.body_on_stdin);
    let body = br#"Acme\Task::{"text":"t","wait":1,"z":2}"#;
    let Body::Native(Native { uuid: None, call }) = config.commands.read(body) else {
        panic!("the type is not there");
    };
    assert_eq!(call.command.as_str(), "app:x");
    assert_eq!(call.arguments, ["1"]);
    assert_eq!(call.options_json(), r#"{"zest":2,"message":"t"}"#);
    assert!(config.commands.find("other").is_none());
    assert!(config.commands.find(EXAMPLE_COMMAND).is_some());
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        ("max_worker = 1", "unknown field `max_worker`"),
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
        ("[types.T]", "missing field `command`"),
        ("[types.T]\nargument = []", "unknown field `argument`"),
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
            "expected a string",
        ),
        ("broker = 'redis://x'", "broker: 'redis://x' is no broker"),
    ];
    for (text, part) in table {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?} gave\n{error}");
        assert!(error.contains("/etc/t.toml"), "{error}");
    }
}
