use std::path::Path;

use super::super::tests::read;
use super::super::{Config, line_of};
use super::*;

/// The conditions of a command in a tube, for whoever runs the tests.
fn settled(text: &str, tube: &str, command: &str) -> Conditions {
    let mut config = read(text).unwrap();
    config.settle().unwrap();
    of(&config, tube, command)
}

fn of(config: &Config, tube: &str, command: &str) -> Conditions {
    let command = config.commands.find(command).unwrap();
    Conditions::clone(command.conditions.of(&tube.parse().unwrap()))
}

#[test]
fn the_narrowest_table_wins_key_by_key() {
    let text = "
        [defaults]
        umask = '022'
        nice = 1
        directory = '/d'
        kill_after = 1
        limits = { core = 0, nofile = 10 }
        environment = { A = 'd', B = 'd', C = 'd' }
        [tubes.t]
        umask = '027'
        nice = 2
        no_new_privileges = true
        limits = { core = 1 }
        environment = { A = 't', B = false }
        [tubes.other]
        [commands.a]
        run = ['x']
        umask = '077'
        limits = { file_size = '1K' }
        environment = { A = true }
        clear_environment = true
        [commands.b]
        run = ['x']
        no_new_privileges = false
        environment = ['A', 'Z']
        [commands.c]
        run = ['x']
        directory = 'down/there'
        [types]
        'Example' = { command = 'taskqueue:example-task-worker' }";
    let limit = |found: &Conditions, limit| found.limits.get(&limit).copied();
    let shown = |found: &Conditions| {
        let named = found.variables.named.iter();
        let named = named.map(|(name, variable)| match variable {
            Variable::Set(value) => format!("{name}={value}"),
            Variable::Kept => name.clone(),
            Variable::Withheld => format!("-{name}"),
        });
        named.collect::<Vec<_>>().join(" ")
    };
    for (tube, command, umask, nice, nnp, core, clear, variables) in [
        ("t", "a", 0o77, 2, true, 1, true, "A -B C=d"),
        ("other", "a", 0o77, 1, false, 0, true, "A B=d C=d"),
        ("t", "b", 0o27, 2, false, 1, true, "A Z"),
        ("none", "b", 0o22, 1, false, 0, true, "A Z"),
        ("t", "c", 0o27, 2, true, 1, false, "A=t -B C=d"),
        ("none", "c", 0o22, 1, false, 0, false, "A=d B=d C=d"),
        // What has no table of its own runs as the tube and the defaults say.
        (
            "t",
            super::super::EXAMPLE_COMMAND,
            0o27,
            2,
            true,
            1,
            false,
            "A=t -B C=d",
        ),
        (
            "none",
            super::super::EXAMPLE_COMMAND,
            0o22,
            1,
            false,
            0,
            false,
            "A=d B=d C=d",
        ),
    ] {
        let found = settled(text, tube, command);
        let what = format!("{command} in {tube}: {found:?}");
        assert_eq!(
            (found.umask, found.nice),
            (Some(umask), Some(nice)),
            "{what}"
        );
        assert_eq!(found.no_new_privileges, nnp, "{what}");
        assert_eq!(limit(&found, Limit::Core), Some(Some(core)), "{what}");
        assert_eq!(limit(&found, Limit::Nofile), Some(Some(10)), "{what}");
        assert_eq!(found.variables.clear, clear, "{what}");
        assert_eq!(shown(&found), variables, "{what}");
        assert_eq!(found.kill_after, Some(Duration::from_secs(1)), "{what}");
        assert_eq!(found.identity, None, "{what}");
    }
    let found = settled(text, "t", "a");
    assert_eq!(limit(&found, Limit::FileSize), Some(Some(1024)));
    assert_eq!(found.directory.as_deref(), Some(Path::new("/d")));
    // From where the file is.
    let found = settled(text, "t", "c");
    assert_eq!(
        found.directory.as_deref(),
        Some(Path::new("/etc/down/there"))
    );
}

#[test]
fn without_a_word_all_is_as_the_worker_has_it() {
    let found = settled("[commands.a]\nrun = ['x']\n[tubes.t]", "t", "a");
    assert_eq!(found, Conditions::default());
}

#[test]
fn one_command_for_every_body_runs_as_its_tube_says() {
    let mut config = read("[defaults]\nnice = 4\n[tubes.t]\nnice = 5").unwrap();
    config.settle().unwrap();
    let command = crate::task::command::Command::new(vec!["cat".into()]);
    Arc::make_mut(&mut config.commands).take_every_body("cat".into(), command);
    for (tube, nice) in [("t", 5), ("other", 4)] {
        let tube = tube.parse().unwrap();
        let raw = crate::task::command::Content::Raw(b"body".as_slice().into());
        let plan = config
            .commands
            .plan(uuid::Uuid::max(), &tube, &raw)
            .unwrap();
        assert_eq!(plan.command.conditions.of(&tube).nice, Some(nice));
    }
}

#[test]
fn what_is_wrong_is_named_by_key_and_line() {
    for (line, wrong, key, part) in [
        (3, "umask = '8'", "umask", "octal digits"),
        (3, "umask = '1777'", "umask", "at most \"777\""),
        (3, "umask = '+27'", "umask", "octal digits"),
        (3, "nice = 20", "nice", "-20 to 19"),
        (
            3,
            "oom_score_adjust = -1001",
            "oom_score_adjust",
            "-1000 to 1000",
        ),
        (3, "user = ''", "user", "no name"),
        (3, "user = 4294967295", "user", "no number of anybody's"),
        (3, "group = 4294967295", "group", "no number of anybody's"),
        (3, "directory = ''", "directory", "no name"),
        (
            3,
            "environment = ['A=1']",
            "environment",
            "to set A, write a table",
        ),
        (3, "environment = ['']", "environment", "is not empty"),
        (
            3,
            "environment = { 'A=' = '1' }",
            "environment.\"A=\"",
            "to set A",
        ),
        (
            3,
            "environment = { A = \"\\u0000\" }",
            "environment.\"A\"",
            "NUL",
        ),
        (
            3,
            "environment = { TASKQUEUE_UUID = 'x' }",
            "environment.\"TASKQUEUE_UUID\"",
            "always set",
        ),
        (
            3,
            "environment = { TASKQUEUE_ATTEMPT = false }",
            "environment.\"TASKQUEUE_ATTEMPT\"",
            "always set",
        ),
        (
            4,
            "environment = ['A']\nclear_environment = false",
            "clear_environment",
            "contradicts",
        ),
    ] {
        for table in ["[defaults]", "[tubes.t]", "[commands.a]\nrun = ['x']"] {
            let text = format!("\n{table}\n{wrong}");
            let more = table.matches('\n').count();
            let Err(super::super::Error::Value {
                key: found, reason, ..
            }) = read(&text)
            else {
                panic!("{text} was read");
            };
            let end = format!(".{key}");
            assert!(found.ends_with(&end), "{found} is not {end}");
            assert!(reason.contains(part), "{reason}");
            assert_eq!(line_of(&text, &found), Some(line + more), "{text}");
        }
    }
}

#[test]
fn what_is_of_the_wrong_kind_is_shown() {
    for (wrong, part) in [
        ("umask = 27", "should be a text in quotes"),
        ("limits = { nofiles = 1 }", "did you mean nofile?"),
        ("limits = { nofile = -1 }", "negative"),
        ("limits = { memory = '1X' }", "'1X' is no limit"),
        ("limits = { memory = '99999999T' }", "is no limit"),
        ("limits = { cpu = 'x' }", "is no duration"),
        ("environment = 'A'", "a list of names, or a table"),
        ("environment = { A = 1 }", "a string, true for"),
        ("user = -1", "no number of anybody's"),
        ("user = true", "a name, or a number"),
        ("usr = 'x'", "did you mean user?"),
    ] {
        let error = read(&format!("[defaults]\n{wrong}")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(part), "{wrong} gave\n{error}");
        assert!(error.contains("\n2 | "), "{error}");
    }
}

#[test]
fn whom_nobody_knows_is_named_with_the_key_that_names_them() {
    for (text, key, part) in [
        (
            "[defaults]\nuser = 'no such user'\n[commands.a]\nrun = ['x']",
            "defaults.user",
            "there is no user \"no such user\"",
        ),
        (
            "[tubes.t]\ngroup = 'no such group'\n[commands.a]\nrun = ['x']",
            "tubes.\"t\".group",
            "there is no group \"no such group\"",
        ),
        (
            "[commands.a]\nrun = ['x']\ndirectory = '~'",
            "commands.\"a\".directory",
            "no user is named",
        ),
    ] {
        let mut config = read(text).unwrap();
        let wrong = config.unsettled();
        let [(found, why)] = wrong.as_slice() else {
            panic!("{wrong:?}");
        };
        assert_eq!(found, key);
        assert!(why.contains(part), "{why}");
    }
}

/// Who asks is made up: 1000, of the group 1000.
#[test]
fn others_than_root_can_have_nobody_else_and_no_more() {
    let asker = |user| Asker {
        user,
        group: 1000,
        groups: vec![1000],
        name: "me".into(),
    };
    let table = |text: &str| read(&format!("[defaults]\n{text}")).unwrap().levels;
    let settled = |asker: &Asker, text: &str| {
        let mut wrong = Vec::new();
        let found = table(text).settled(asker, None, None, &mut wrong);
        match wrong.pop() {
            None => Ok(found),
            Some(why) => Err(why),
        }
    };
    let refused = |text: &str| settled(&asker(1000), text).unwrap_err();
    let (key, why) = refused("user = 'root'");
    assert_eq!(key, "defaults.user");
    assert_eq!(why, "only root can run commands as root, and this is me");
    let (key, why) = refused("user = 4711\ngroup = 4711");
    assert_eq!(
        (key.as_str(), why.contains("as 4711")),
        ("defaults.user", true),
        "{why}"
    );
    let (key, why) = refused("group = 'root'");
    assert_eq!(
        (key.as_str(), why.contains("another group")),
        ("defaults.group", true)
    );
    // Ourselves, whom the machine need not know.
    let ours = settled(&asker(1000), "user = 1000\ngroup = 1000").unwrap();
    assert_eq!(ours.identity, None);
    let hard = getrlimit(Resource::Nofile).maximum;
    if let Some(more) = hard.and_then(|hard| hard.checked_add(1)) {
        let (key, why) = refused(&format!("limits = {{ nofile = {more} }}"));
        assert_eq!(key, "defaults.limits.nofile");
        assert!(
            why.contains("hard limit") || why.contains("fs.nr_open"),
            "{why}"
        );
    }
    let (key, why) = settled(&asker(0), "limits = { nofile = 'unlimited' }").unwrap_err();
    assert_eq!(key, "defaults.limits.nofile");
    assert!(why.contains("fs.nr_open"), "{why}");
    assert!(settled(&asker(0), "limits = { memory = 'unlimited' }").is_ok());
    assert!(settled(&asker(1000), "limits = { nofile = 3 }\nnice = 19").is_ok());
    // Root may all of it; a number that nobody has takes a group.
    let (key, why) = settled(&asker(0), "user = 4294967000").unwrap_err();
    assert_eq!(
        (key.as_str(), why.contains("name a group")),
        ("defaults.user", true)
    );
    let found = settled(&asker(0), "user = 4294967000\ngroup = 7").unwrap();
    let identity = found.identity.unwrap();
    assert_eq!(
        (identity.user, identity.group, identity.groups),
        (4_294_967_000, 7, vec![7])
    );
    let home = found.variables.named.get("HOME");
    assert_eq!(home, Some(&Variable::Withheld), "ours is not theirs");
}

#[test]
fn those_are_counted_that_no_user_is_named_for() {
    let commands = "[commands.a]\nrun = ['x']\n[commands.b]\nrun = ['x']\nuser = 'root'\n";
    for (text, tubes, expected) in [
        ("", &["t"][..], 1),
        ("[defaults]\nuser = 'root'\n", &["t"], 0),
        ("[tubes.t]\nuser = 'root'\n", &["t"], 0),
        ("[tubes.t]\nuser = 'root'\n", &["t", "other"], 1),
        ("", &[], 0),
    ] {
        let levels = read(&format!("{text}{commands}")).unwrap().levels;
        let tubes: Vec<TubeName> = tubes.iter().map(|tube| tube.parse().unwrap()).collect();
        assert_eq!(levels.unnamed(&tubes), expected, "{text} {tubes:?}");
    }
}

#[test]
fn a_tender_waits_for_as_long_as_any_command_may_take_to_end() {
    let text = "[defaults]\nkill_after = 1\n[tubes.t]\nkill_after = 7\n[commands.a]\nrun = ['x']\nkill_after = 3";
    let levels = read(text).unwrap().levels;
    let kill_after = |tube: &str| levels.kill_after(&tube.parse().unwrap());
    assert_eq!(kill_after("t"), Some(Duration::from_secs(7)));
    assert_eq!(kill_after("other"), Some(Duration::from_secs(3)));
}
