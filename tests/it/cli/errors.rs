//! What is said when something is wrong: what, on what, why, and what to do next.

use crate::support::{Beanstalkd, Taskqueue};

#[test]
fn an_unknown_key_has_a_caret_under_it() {
    let taskqueue = Taskqueue::alone();
    taskqueue.configure("[tubes.mail]\nmax_worker = 1\n");
    for args in [
        &["list"][..],
        &["put", "--use-tube", "t", "ok"],
        &["worker", "--use-tube", "mail"],
        &["ping"],
    ] {
        let said = taskqueue.run(args).failed(2);
        for part in [
            "taskqueue.toml",
            "there is no key max_worker here",
            "2 | max_worker = 1",
            "\n  | ^^^^^^^^^^",
            "max_workers",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert!(!taskqueue.store().exists());
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let taskqueue = Taskqueue::alone();
    let said = taskqueue
        .run(&["list", "--config", "nowhere.toml"])
        .failed(2);
    assert!(said.contains("nowhere.toml"), "{said}");
    std::fs::create_dir(taskqueue.path("folder")).unwrap();
    let said = taskqueue.run(&["list", "--config", "folder"]).failed(2);
    assert!(said.contains("folder"), "{said}");
}

#[test]
fn a_store_of_a_kind_that_is_not_there_is_refused_by_name() {
    let taskqueue = Taskqueue::alone();
    let url = "postgres://tasks@db/tasks";
    let said = taskqueue.run(&["list", "--store", url]).failed(2);
    assert!(
        said.contains(url) && said.contains("no PostgreSQL yet"),
        "{said}"
    );
    taskqueue.configure(&format!("store = \"{url}\"\n"));
    let bare = |args: &[&str]| {
        let mut command = taskqueue.command(args);
        command.env_remove("TASKQUEUE_STORE");
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for args in [&["list"][..], &["status"]] {
        let (code, said) = bare(args);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("store: ") && said.contains(url), "{said}");
    }
    let put = [
        "put",
        "--use-tube",
        "t",
        "work",
        "--store",
        "sqlite:other.db",
    ];
    assert_eq!(taskqueue.run(&put).code, Some(0));
    assert!(taskqueue.path("other.db").exists());
}

#[test]
fn a_missing_subcommand_shows_what_there_is() {
    let taskqueue = Taskqueue::alone();
    let said = taskqueue.run(&[]).failed(2);
    for name in [
        "tender",
        "worker",
        "put",
        "list",
        "show",
        "regenerate",
        "cleanup",
        "ping",
        "add-example-task",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
    let said = taskqueue.run(&["lst"]).failed(2);
    assert!(said.contains("list"), "{said}");
    let ran = taskqueue.run(&["--version"]);
    assert_eq!(
        ran.ok(),
        concat!("taskqueue ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_store_that_cannot_be_opened_is_named_with_what_to_do() {
    let taskqueue = Taskqueue::alone();
    std::fs::create_dir(taskqueue.path("folder")).unwrap();
    std::fs::write(taskqueue.path("file"), "text").unwrap();
    let writing = [
        &["put", "--use-tube", "t", "ok"][..],
        &["worker", "--use-tube", "t"],
        &["add-example-task"],
    ];
    let reading = [
        &["list"][..],
        &["show", "1"],
        &["regenerate", "--id", "1"],
        &["cleanup", "--period", "0"],
    ];
    for store in ["folder", "file", "file/t.db", "/proc/nowhere/t.db"] {
        for args in writing.iter().chain(&reading) {
            // In /proc there is no such folder: nothing to read yet.
            if store.starts_with("/proc") && reading.contains(args) {
                continue;
            }
            let said = taskqueue
                .run(&[args, &["--store", store][..]].concat())
                .failed(1);
            for part in ["cannot open the store", store, "--store PATH"] {
                assert!(said.contains(part), "{args:?} {store}: {said}");
            }
        }
    }
    assert_eq!(std::fs::read(taskqueue.path("file")).unwrap(), b"text");
}

#[test]
fn a_store_that_is_not_ours_is_named() {
    let taskqueue = Taskqueue::alone();
    taskqueue
        .sqlite()
        .execute_batch("CREATE TABLE x (y)")
        .unwrap();
    for args in [
        &["list"][..],
        &["put", "--use-tube", "t", "ok"],
        &["cleanup", "--period", "0"],
    ] {
        let said = taskqueue.run(args).failed(1);
        assert!(said.contains("not a taskqueue store"), "{said}");
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let stores = |name: &str| taskqueue.path(name).exists();
    // From where the file is.
    std::fs::create_dir(taskqueue.path("sub")).unwrap();
    std::fs::write(taskqueue.path("sub/c.toml"), "store = 'file.db'").unwrap();
    let run = |args: &[&str], store: Option<&str>| {
        let mut command = taskqueue.bare(&[args, &["put", "--use-tube", "t", "ok"]].concat());
        command.env("TASKQUEUE_BROKER", server.url());
        command.env("TASKQUEUE_CONFIG", "sub/c.toml");
        if let Some(store) = store {
            command.env("TASKQUEUE_STORE", store);
        }
        crate::support::Running::start(command).wait().ok();
    };
    run(&[], None);
    assert!(stores("sub/file.db"));
    run(&[], Some("environment.db"));
    assert!(stores("environment.db"));
    run(&["--store", "flag.db"], Some("environment.db"));
    assert!(stores("flag.db"));
    let ran = taskqueue.run(&["list", "--store", "flag.db"]);
    assert!(
        ran.stdout.contains("waiting"),
        "after the subcommand too: {ran:?}"
    );
}

#[test]
fn a_filter_for_events_that_is_none_is_wrong_usage() {
    let taskqueue = Taskqueue::alone();
    let said = taskqueue.run(&["list", "--log", "a=b=c"]).failed(2);
    assert!(said.contains("a=b=c"), "{said}");
    assert_eq!(
        taskqueue.run(&["list", "--log-format", "xml"]).code,
        Some(2)
    );
}

#[test]
fn no_place_for_a_store_says_how_to_name_one() {
    if rustix::process::geteuid().is_root() {
        return; // root has one
    }
    let taskqueue = Taskqueue::alone();
    let mut command = taskqueue.bare(&["list"]);
    command.env_remove("HOME");
    let said = crate::support::Running::start(command).wait().failed(2);
    assert!(said.contains("--store PATH"), "{said}");
}

#[test]
fn limits_that_contradict_each_other_are_refused_by_name() {
    let taskqueue = Taskqueue::alone();
    let tender = |flags: &[&str]| {
        let args = [&["tender", "--use-tube", "t"], flags].concat();
        taskqueue.run(&args).failed(2)
    };
    let refused = tender(&["--min-workers", "5", "--max-workers", "3"]);
    assert!(
        refused.contains('5') && refused.contains('3') && refused.contains("tube t"),
        "{refused}"
    );
    // Against the default, too.
    let refused = tender(&["--min-workers", "6"]);
    assert!(refused.contains('6') && refused.contains('5'), "{refused}");
    let refused = tender(&["--max-workers", "0"]);
    assert!(refused.contains("max workers is 0"), "{refused}");
    let refused = tender(&["--mode", "static", "--max-workers", "0"]);
    assert!(refused.contains("max workers is 0"), "{refused}");
    taskqueue.configure("[tubes.t]\nmode = \"always\"\n");
    let refused = tender(&[]);
    assert!(
        refused.contains(r#""dynamic", "static", "ondemand""#),
        "{refused}"
    );
    taskqueue.configure("");
    assert!(!taskqueue.store().exists(), "nothing was begun");

    let refused = taskqueue.run(&["tender"]).failed(2);
    assert!(refused.contains("nothing to tend"), "{refused}");
}

/// A run with one more variable.
fn with(taskqueue: &Taskqueue, args: &[&str], name: &str, value: &str) -> (Option<i32>, String) {
    let mut command = taskqueue.command(args);
    command.env(name, value);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = ['/bin/true']\n");
    let put = ["put", "--use-tube", "t", "ok"];
    let globals = ["CONFIG", "BROKER", "LOG", "LOG_FORMAT", "LOG_FILE"];
    for name in globals {
        let name = format!("TASKQUEUE_{name}");
        let (code, said) = with(&taskqueue, &["list"], &name, "");
        assert_eq!(code, Some(0), "{name}");
        assert!(said.starts_with("there is no store"), "{name}: {said}");
    }
    let flag = ["list", "--store", "t.db"];
    assert_eq!(with(&taskqueue, &flag, "TASKQUEUE_STORE", "").0, Some(0));
    taskqueue.run(&put).ok();
    let work = ["worker", "--use-tube", "t", "--max-jobs", "1"];
    let (code, said) = with(&taskqueue, &work, "TASKQUEUE_WORKER_NAME", "");
    assert_eq!(code, Some(0), "{said}");
    taskqueue.run(&put).ok();
    let (code, said) = with(&taskqueue, &work, "TASKQUEUE_GRACE_PERIOD", "");
    assert_eq!(code, Some(0), "{said}");
    for name in [
        "MODE",
        "MIN_WORKERS",
        "SPARE_WORKERS",
        "MAX_WORKERS",
        "SHRINK_AFTER",
        "MAX_WORKER_AGE",
        "MAX_WORKER_BUFFER",
        "MAX_WORKER_JOBS",
        "MAX_WORKER_MEMORY",
        "LIMIT",
        "WORKER_COMMAND",
        "WORKER_PROTOCOL",
    ] {
        // It comes as far as what is wrong with the flags.
        let name = format!("TASKQUEUE_{name}");
        let (code, said) = with(&taskqueue, &["tender"], &name, "");
        assert_eq!(code, Some(2));
        assert!(said.contains("nothing to tend"), "{name}: {said}");
    }
}

#[test]
fn a_variable_with_a_wrong_value_is_named() {
    let taskqueue = Taskqueue::embedded();
    for (name, value, args) in [
        ("TASKQUEUE_BROKER", "nonsense", &["ping"][..]),
        ("TASKQUEUE_LOG_FORMAT", "xml", &["list"]),
        ("TASKQUEUE_MAX_WORKERS", "many", &["tender"]),
        (
            "TASKQUEUE_GRACE_PERIOD",
            "soon",
            &["worker", "--use-tube", "t"],
        ),
        ("TASKQUEUE_STORE", "t.db\r", &["list"]),
        ("TASKQUEUE_BROKER", "\"embedded\"", &["list"]),
        ("TASKQUEUE_LOG", "'info'", &["list"]),
    ] {
        let (code, said) = with(&taskqueue, args, name, value);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains(name) && !said.contains("--log-format <"),
            "{said}"
        );
    }
    // Of a flag, the flag.
    let flag = ["tender", "--max-workers=many"];
    let (_, said) = with(&taskqueue, &flag, "TASKQUEUE_MAX_WORKERS", "3");
    assert!(said.contains("--max-workers: 'many'"), "{said}");
    // The flag wins, wherever it stands.
    for args in [
        ["list", "--broker", "embedded"],
        ["--broker", "embedded", "list"],
    ] {
        let (code, said) = with(&taskqueue, &args, "TASKQUEUE_BROKER", "nonsense");
        assert_eq!(code, Some(0), "{said}");
    }
    let files: Vec<_> = std::fs::read_dir(taskqueue.path("")).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}
