//! `taskqueue check`

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::support::{Beanstalkd, Running, Taskqueue};

#[test]
fn what_is_right_is_said_to_be_and_nothing_is_made() {
    let server = Beanstalkd::start();
    for taskqueue in [Taskqueue::with(&server), Taskqueue::embedded()] {
        taskqueue.configure("[commands.a]\nrun = ['true']\n[commands.'b:*']\nrun = ['/bin/echo', '{command}']\n[tubes.t]\n");
        let said = taskqueue.run(&["check"]).ok();
        assert!(
            said.starts_with("OK: ") && said.ends_with("taskqueue.toml\n"),
            "{said}"
        );
        assert!(!taskqueue.store().exists());
        taskqueue.run(&["put", "--use-tube", "t", "a"]).ok();
        let said = taskqueue.run(&["check", "--json"]).json();
        assert_eq!((&said["ok"], &said["findings"]), (&json!(true), &json!([])));
    }
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("\n");
    let said = taskqueue.run(&["check"]).ok();
    assert!(said.contains("is empty, and so all defaults"), "{said}");
}

#[test]
fn every_finding_has_its_line() {
    let taskqueue = Taskqueue::alone();
    for (name, text, mode) in [
        ("script", "", 0o644),
        ("elsewhere", "#!/no/such/php\n", 0o755),
    ] {
        fs::write(taskqueue.path(name), text).unwrap();
        fs::set_permissions(taskqueue.path(name), Permissions::from_mode(mode)).unwrap();
    }
    taskqueue.configure(
        "[commands.a]\nrun = ['/nowhere/at/all']\n[commands.b]\ntimeout = 3\nrun = ['./script']\n\
         [commands.c]\nrun = ['./elsewhere']\n\
         [commands.d]\nrun = ['/bin/true']\ncleanup = ['/nowhere/either']\n\
         [tubes.u]\nworker_command = ['no-such-program-anywhere']\nworker_protocol = 'lines'\n",
    );
    taskqueue.keep_store_at(taskqueue.path("script/t.db"));
    let ran = taskqueue.run(&["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{ran:?}");
    for part in [
        "taskqueue.toml:2: commands.\"a\".run: /nowhere/at/all cannot be started: there is no such file",
        "taskqueue.toml:5: commands.\"b\".run: ./script cannot be started: ./script may not be executed",
        "taskqueue.toml:7: commands.\"c\".run: ./elsewhere cannot be started: its first line is '#!/no/such/php'",
        "taskqueue.toml:10: commands.\"d\".cleanup: /nowhere/either cannot be started: there is no such file",
        "taskqueue.toml:12: tubes.\"u\".worker_command: the worker command no-such-program-anywhere of the tube u cannot",
        // These two are said by variables, and not by the file.
        "\nstore: cannot open the store ",
        "\nbroker: cannot reach ",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(ran.stdout.lines().count(), 7, "{}", ran.stdout);
}

#[test]
fn a_wrong_configuration_is_another_matter() {
    let taskqueue = Taskqueue::embedded();
    for (text, line, part) in [
        ("\n[tubes.t]\nmax_worker = 1\n", json!(3), "there is no key"),
        ("\n\n[tubes.t\n", json!(3), "this is no TOML"),
        ("\n[commands.x]\nrun = []\n", json!(3), "no program"),
        ("broker = 'http://x'\n", json!(1), "http://x"),
        (
            "[tubes.t]\ncommand = 'x'\n",
            json!(2),
            "there is no [commands.\"x\"]",
        ),
        (
            "\n[tubes.t]\nmin_workers = 3\nmax_workers = 2\n",
            json!(2),
            "min workers 3 is more than max workers 2",
        ),
        (
            "[pools.p]\nmax = 2\ntubes = { t = 0 }\n",
            json!(3),
            "it must be a whole number from 1 to 1000\n  |\n3 | tubes = { t = 0 }\n  |               ^",
        ),
        (
            "[pools.p]\nmax = 0\ntubes = { t = 1 }\n",
            json!(2),
            "it must be a whole number from 1 to 10000",
        ),
        (
            "[pools.p]\nmax = 2\ntube = { t = 1 }\n",
            json!(3),
            "there is no key tube here: did you mean tubes?",
        ),
        (
            "[pools.p]\nmax = 2\ntubes = {}\n",
            json!(3),
            "no tube is named",
        ),
        (
            "[pools.p]\nmax = 2\ntubes = { t = 1 }\n[pools.q]\nmax = 2\ntubes = { t = 1 }\n",
            json!(6),
            "it stands in the pool p already",
        ),
        (
            "[tubes.t]\noutside_max = 1\n",
            json!(2),
            "the tube stands in no pool",
        ),
        (
            "[pools.p]\nmax = 2\ntubes = { t = 1 }\n[tubes.t]\nmax_workers = 2\noutside_max = 3\n",
            json!(6),
            "outside_max of the tube t is 3, and its max workers 2",
        ),
        (
            "[pools.p]\nmax = 3\ntubes = { t = 1, u = 1 }\n[tubes.t]\nmode = 'static'\nmax_workers = 3\n",
            json!(2),
            "its tubes always have 5 workers, and its max is 3",
        ),
        (
            "[pools.p]\nmax = 3\ntubes = { t = 1, u = 1 }\n[tubes.t]\nmode = 'static'\nmax_workers = 3\n\
             [tubes.u]\nmode = 'ondemand'\n",
            json!(2),
            "always have all its 3 workers, and u could never have one",
        ),
    ] {
        taskqueue.configure(text);
        let mut bare = taskqueue.command(&["check", "--json"]);
        bare.env_remove("TASKQUEUE_BROKER");
        let output = bare.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["findings"][0]["line"], line, "{said}");
        let reason = said["findings"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(part), "{said}");
    }
    let ran = taskqueue.run(&["check", "--config", "nowhere.toml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains("nowhere.toml"), "{ran:?}");
}

/// What the variables of a tender's flags say wins over the file, and may not fit it.
#[test]
fn the_variables_of_a_tender_are_heeded() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[tubes.t]\nmin_workers = 3\n");
    for (value, code, part) in [
        ("", 0, "OK: "),
        (
            "2",
            2,
            "taskqueue.toml:1: tubes.\"t\": the limits of the tube t: ",
        ),
        ("x", 2, "TASKQUEUE_MAX_WORKERS: 'x'"),
    ] {
        let mut check = taskqueue.command(&["check"]);
        check.env("TASKQUEUE_MAX_WORKERS", value);
        let ran = Running::start(check).wait();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stdout.contains(part), "{ran:?}");
    }
}

#[test]
fn a_store_that_may_only_be_read_is_found() {
    if !geteuid().is_root() {
        eprintln!("not run as root: whether a store that may only be read is found was not tested");
        return;
    }
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.a]\nrun = ['true']\n");
    taskqueue.run(&["put", "--use-tube", "t", "a"]).ok();
    let folder = taskqueue.path("");
    let check = |folder_mode, store_mode| {
        // That may set the folder's mode. It leaves the group, which is root's.
        let command = taskqueue.command_as(65_534, &["check"]);
        fs::set_permissions(&folder, Permissions::from_mode(folder_mode)).unwrap();
        fs::set_permissions(taskqueue.store(), Permissions::from_mode(store_mode)).unwrap();
        let locks = taskqueue.path("t.db-locks");
        fs::set_permissions(locks, Permissions::from_mode(0o664)).unwrap();
        Running::start(command).wait()
    };
    assert_eq!(check(0o775, 0o664).code, Some(0));
    for (folder_mode, store_mode) in [(0o755, 0o664), (0o775, 0o644), (0o755, 0o644)] {
        let ran = check(folder_mode, store_mode);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stdout.starts_with("store: the store "),
            "{folder_mode:o} {store_mode:o}: {ran:?}"
        );
    }
    // So is the file that says who lives.
    let command = taskqueue.command_as(65_534, &["check"]);
    fs::set_permissions(taskqueue.store(), Permissions::from_mode(0o664)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o775)).unwrap();
    fs::set_permissions(taskqueue.path("t.db-locks"), Permissions::from_mode(0o600)).unwrap();
    let ran = Running::start(command).wait();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("the file of locks "), "{ran:?}");
    // The folder beside the store, or the one that the store is to be made in, is another's.
    fs::create_dir(taskqueue.path("t.db-tubes")).unwrap();
    let ran = check(0o775, 0o664);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout.contains("t.db-tubes: permission denied"),
        "{ran:?}"
    );
    fs::create_dir(taskqueue.path("theirs")).unwrap();
    taskqueue.keep_store_at(taskqueue.path("theirs/new/t.db"));
    let ran = Running::start(taskqueue.command_as(65_534, &["check"])).wait();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout
            .contains("theirs/new/t.db-tubes: permission denied"),
        "{ran:?}"
    );
}

#[test]
fn the_options_that_tasks_use_are_listed_as_they_are_to_be_written() {
    let taskqueue = Taskqueue::embedded();
    let config = |options: &str| {
        format!(
            "[commands.a]\nrun = ['true']\n{options}[commands.'b:*']\nrun = ['true']\n[commands.c]\nrun = ['cat']\n\
             stdin = 'body'\n[tubes.t]\n"
        )
    };
    taskqueue.configure(&config("options = 'any'\n"));
    for put in [
        &["a", "--option", "format=pdf"][..],
        &["a", "--option", "copies=2", "--option", "format=x"],
        &["a"],
        &["b:x", "--option", "quiet"],
        &["c", "--option", "whatever"],
        &["nobody", "--option", "x"],
    ] {
        taskqueue.run(&[&["put", "--use-tube", "t"], put].concat());
    }
    taskqueue.configure(&config("options = ['zest']\n"));
    // What is refused is no reason to allow it.
    taskqueue.run(&["put", "--use-tube", "hostile", "a", "--option", "exec=id"]);
    taskqueue.work("hostile", 1);
    let said = taskqueue.run(&["check"]);
    let (first, lists) = said.stdout.split_once("\n\n").unwrap();
    assert!(
        said.code == Some(0) && first.starts_with("OK: "),
        "{said:?}"
    );
    assert_eq!(
        lists.split_once("\n\n").unwrap().1,
        "[commands.\"a\"]\noptions = [\"copies\", \"format\", \"zest\"]   # used by 2 tasks\n\n\
         [commands.\"b:*\"]\noptions = [\"quiet\"]   # used by 1 task\n"
    );
    let said = taskqueue.run(&["check", "--json"]).json();
    assert_eq!(said["ok"], json!(true));
    assert_eq!(
        said["missing"],
        json!([
            { "key": "commands.\"a\".options", "options": ["copies", "format", "zest"], "tasks": 2 },
            { "key": "commands.\"b:*\".options", "options": ["quiet"], "tasks": 1 },
        ])
    );
    taskqueue.configure(
        &config("options = ['zest', 'copies', 'format']\n")
            .replace("'b:*']\n", "'b:*']\noptions = 'any'\n"),
    );
    let said = taskqueue.run(&["check", "--json"]).json();
    assert!(said.get("missing").is_none(), "{said}");
}
