use super::super::payload::{OptionName, Source};
use super::*;

mod own;

const BODY: &[u8] = br#"Acme\Task::{"taskIdentifier":"12","message":"hello","wait":"1"}"#;

fn commands(with_type: bool) -> Commands {
    let mut commands = Commands::default();
    commands.add("example", Command::new(vec!["run".into()]));
    commands.add("raw", Command::new(vec!["cat".into()]));
    assert!(commands.take_raw("raw".parse().unwrap(), "raw"));
    let message: OptionName = "message".parse().unwrap();
    let mapping = |command: &str| Mapping {
        command: command.parse().unwrap(),
        arguments: vec!["wait".into()],
        options: vec![(message.clone(), "message".into())],
    };
    assert!(!commands.take_type("Other".parse().unwrap(), mapping("missing")));
    if with_type {
        assert!(commands.take_type(r"Acme\Task".parse().unwrap(), mapping("example")));
    }
    commands
}

fn plan(commands: &Commands, tube: &str, body: &'static [u8]) -> Result<Plan, String> {
    let content = Content::Unread(Bytes::from_static(body));
    let plan = commands.plan(Uuid::max(), &tube.parse().unwrap(), &content);
    plan.map_err(|refusal| refusal.to_string())
}

/// As of a task that was refused, when its type was configured after that.
#[test]
fn a_body_of_a_configured_type_runs_in_any_tube() {
    for tube in ["native", "raw"] {
        let plan = plan(&commands(true), tube, BODY).unwrap();
        assert_eq!(plan.name, "example");
        assert_eq!(plan.argv, ["run", "1", "--message=hello"]);
        assert_eq!(plan.stdin, None);
        let cut = super::tests::plan(&commands(true), tube, br#"Acme\Task::{"wait":"#);
        let reason = cut.unwrap_err();
        assert!(reason.starts_with("what follows the body's type is not JSON"));
    }
}

#[test]
fn a_body_of_another_type_is_raw_or_refused() {
    let raw = plan(&commands(false), "raw", BODY).unwrap();
    assert_eq!(
        (raw.name.as_str(), raw.stdin.as_deref()),
        ("raw", Some(BODY))
    );
    assert_eq!(
        plan(&commands(false), "native", BODY).unwrap_err(),
        "the body's type is not configured; add [types.\"Acme\\\\Task\"] to run it; and tube native has no \
         command for raw bodies"
    );
    let code = plan(&commands(true), "native", b"std::move(x)").unwrap_err();
    assert!(code.starts_with("not JSON"), "{code}");
}

#[test]
fn one_command_for_every_body_gets_those_of_a_type_too() {
    let mut commands = commands(true);
    commands.take_every_body("all".into(), Command::new(vec!["cat".into()]));
    let plan = plan(&commands, "native", BODY).unwrap();
    assert_eq!(
        (plan.name.as_str(), plan.stdin.as_deref()),
        ("all", Some(BODY))
    );
}

fn name(name: &str) -> OptionName {
    name.parse().unwrap()
}

/// One command of that name or pattern, which takes these options.
fn with_options(pattern: &str, options: Options) -> Commands {
    let mut commands = Commands::default();
    let command = Command {
        options,
        ..Command::new(vec!["run".into()])
    };
    commands.add(pattern, command);
    commands
}

fn native(command: &str, options: &str) -> Content {
    Content::Call(Call::from_parts(command, "[]", options).unwrap())
}

fn argv_or_reason(
    commands: &Commands,
    tube: &str,
    content: &Content,
) -> Result<Vec<String>, String> {
    let plan = commands.plan(Uuid::max(), &tube.parse().unwrap(), content);
    plan.map(|plan| plan.argv[1..].to_vec())
        .map_err(|refusal| refusal.to_string())
}

/// The argv without its program, or how the reason begins.
type Expected = Result<&'static [&'static str], &'static str>;

#[test]
fn a_command_is_given_the_options_that_are_listed() {
    let none = Options::default;
    let listed = || Options::Named([name("format"), name("copies")].into());
    let two = r#"{"checkpoint":1,"checkpoint-action":"exec=id"}"#;
    #[rustfmt::skip]
    let table: &[(Options, &str, Expected)] = &[
        (none(), "{}", Ok(&[])),
        (none(), r#"{"format":false,"x":null}"#, Ok(&[])),
        (none(), r#"{"format":"pdf"}"#, Err("the command app:x may not be given the option \"format\"; if it is to \
            take it, write options = [\"format\"] under [commands.\"app:*\"]")),
        (none(), two, Err("the command app:x may not be given the options \"checkpoint\", \"checkpoint-action\"; if \
            it is to take them, write options = [\"checkpoint\", \"checkpoint-action\"] under [commands.\"app:*\"]")),
        (listed(), r#"{"copies":2,"format":true}"#, Ok(&["--copies=2", "--format"])),
        (listed(), r#"{"format":"pdf","to":"x"}"#, Err("the command app:x may not be given the option \"to\"; if it \
            is to take it, write options = [\"copies\", \"format\", \"to\"] under [commands.\"app:*\"]")),
        (listed(), r#"{"Format":"pdf"}"#, Err("the command app:x may not be given the option \"Format\"")),
        (Options::Any, two, Ok(&["--checkpoint=1", "--checkpoint-action=exec=id"])),
    ];
    for (options, given, expected) in table {
        let commands = with_options("app:*", options.clone());
        match (
            argv_or_reason(&commands, "t", &native("app:x", given)),
            expected,
        ) {
            (Ok(argv), Ok(expected)) => assert_eq!(argv, *expected, "{given}"),
            (Err(reason), Err(begin)) => assert!(reason.starts_with(begin), "{reason}"),
            (found, _) => panic!("{given}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_reason_names_some_of_many_options() {
    let many: Vec<String> = (0..5000).map(|n| format!("\"o{n}\":1")).collect();
    let content = native("x", &format!("{{{}}}", many.join(",")));
    let reason = argv_or_reason(&with_options("x", Options::default()), "t", &content).unwrap_err();
    assert!(reason.contains("\"o7\" and 4992 more"), "{reason}");
    assert!(reason.len() < 300, "{reason}");
}

/// The table that is named is the one that the command is found by.
#[test]
fn the_table_is_its_own_or_the_longest_pattern() {
    for (tables, expected) in [
        (&["*", "app:*"][..], "app:*"),
        (&["app:x*", "app:x", "*"], "app:x"),
        (&["*"], "*"),
    ] {
        let mut commands = Commands::default();
        for table in tables {
            commands.add(table, Command::new(vec!["run".into()]));
        }
        let content = native("app:x", r#"{"a":1}"#);
        let reason = argv_or_reason(&commands, "t", &content).unwrap_err();
        let end = format!("[commands.{expected:?}]");
        assert!(reason.ends_with(&end), "{reason}");
    }
}

#[test]
fn a_type_names_options_and_fixes_values_for_its_command_alone() {
    let mut commands = with_options("app:*", Options::default());
    let text = |text: &str| OptionValue::Text(text.into());
    let mapping = Mapping {
        command: "app:x".parse().unwrap(),
        arguments: Vec::new(),
        options: vec![
            (name("speed"), "speed".into()),
            (name("format"), Source::Fixed(text("pdf"))),
        ],
    };
    assert!(commands.take_type("T".parse().unwrap(), mapping));
    let described = Content::Unread(Bytes::from_static(br#"T::{"speed":"low","format":"html"}"#));
    let argv = argv_or_reason(&commands, "t", &described).unwrap();
    assert_eq!(argv, ["--speed=low", "--format=pdf"]);
    for (command, options, runs) in [
        ("app:x", r#"{"speed":"any"}"#, true),
        ("app:x", r#"{"format":"pdf"}"#, true),
        ("app:x", r#"{"format":"html"}"#, false),
        ("app:x", r#"{"format":true}"#, false),
        ("app:y", r#"{"speed":"any"}"#, false),
        ("app:y", r#"{"format":"pdf"}"#, false),
    ] {
        let planned = argv_or_reason(&commands, "t", &native(command, options));
        assert_eq!(planned.is_ok(), runs, "{command} {options}");
    }
}

#[test]
fn a_tube_runs_the_commands_that_it_names() {
    let mut commands = with_options("*", Options::default());
    commands.limit("t".parse().unwrap(), vec!["app:*".into(), "report".into()]);
    commands.limit("none".parse().unwrap(), Vec::new());
    for (tube, command, runs) in [
        ("t", "app:x", true),
        ("t", "report", true),
        ("t", "reports", false),
        ("t", "app", false),
        ("none", "report", false),
        ("other", "anything", true),
    ] {
        let content = native(command, "{}");
        let planned = argv_or_reason(&commands, tube, &content);
        match (planned, runs) {
            (Ok(_), true) => {}
            (Err(reason), false) => assert_eq!(
                reason,
                format!(
                    "the command {command} may not run in tube {tube}; to run it there, add \"{command}\" to commands \
                     of [tubes.{tube:?}]"
                )
            ),
            (planned, _) => panic!("{tube} {command}: {planned:?}"),
        }
    }
}

#[test]
fn in_a_tube_of_raw_bodies_no_body_chooses_its_command() {
    let mut commands = commands(true);
    let raw: TubeName = "raw".parse().unwrap();
    commands.take_raw_only(raw.clone());
    for body in [
        BODY,
        br#"{"taskqueue":1,"command":"example"}"#,
        br#"{"taskqueue":"emails"}"#,
        br#"{"taskqueue":1,"uuid":"00000000-0000-0000-0000-000000000001","store":"00000000-0000-0000-0000-000000000002"}"#,
        b"",
    ] {
        let plan = plan(&commands, "raw", body).unwrap();
        assert_eq!((plan.name.as_str(), plan.stdin.as_deref()), ("raw", Some(body)));
    }
    // A call of ours, or one that was recorded before the tube was for raw bodies.
    let content = native("example", r#"{"x":1}"#);
    let plan = commands.plan(Uuid::nil(), &raw, &content).unwrap();
    assert_eq!(plan.name, "raw");
    let body = r#"{"taskqueue":1,"uuid":"00000000-0000-0000-0000-000000000000","command":"example","arguments":[],"options":{"x":1}}"#;
    assert_eq!(plan.stdin.as_deref(), Some(body.as_bytes()));
    assert!(commands.chooses_for(&raw) && !commands.chooses_for(&"native".parse().unwrap()));
}
