//! `taskqueue check`

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::{Beanstalkd, Taskqueue};

#[test]
fn what_is_right_is_said_to_be_and_nothing_is_made() {
    let server = Beanstalkd::start();
    for taskqueue in [Taskqueue::with(&server), Taskqueue::embedded()] {
        taskqueue.configure("[commands.a]\nrun = ['true']\n[commands.'b:*']\nrun = ['/bin/echo', '{command}']\n[tubes.t]\n");
        let said = taskqueue.run(&["check"]).ok();
        assert!(
            said.starts_with("OK: ") && said.contains("taskqueue.toml"),
            "{said}"
        );
        assert!(!taskqueue.store().exists());
        taskqueue.run(&["put", "--use-tube", "t", "a"]).ok();
        let said = taskqueue.run(&["check", "--json"]).json();
        assert_eq!((&said["ok"], &said["findings"]), (&json!(true), &json!([])));
    }
}

#[test]
fn every_finding_has_its_line() {
    let taskqueue = Taskqueue::alone();
    fs::write(taskqueue.path("script"), "").unwrap();
    fs::set_permissions(taskqueue.path("script"), fs::Permissions::from_mode(0o644)).unwrap();
    taskqueue.configure(
        "[commands.a]\nrun = ['/nowhere/at/all']\n[commands.b]\ntimeout = 3\nrun = ['./script']\n\
         [tubes.t]\nmin_workers = 3\nmax_workers = 2\n[tubes.u]\nworker_command = ['no-such-program-anywhere']\n",
    );
    taskqueue.keep_store_at(taskqueue.path("script/t.db"));
    let ran = taskqueue.run(&["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{ran:?}");
    for part in [
        "taskqueue.toml:2: commands.\"a\".run: /nowhere/at/all cannot be run: No such file",
        "taskqueue.toml:5: commands.\"b\".run: ./script cannot be run: Permission denied",
        "taskqueue.toml:6: tubes.\"t\": min workers 3 is more than max workers 2",
        "taskqueue.toml:10: tubes.\"u\".worker_command: no-such-program-anywhere cannot be run",
        "taskqueue.toml: store: ",
        "taskqueue.toml: broker: ",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(
        ran.stdout.matches("taskqueue.toml:").count(),
        6,
        "{}",
        ran.stdout
    );
}

#[test]
fn a_wrong_configuration_is_another_matter() {
    let taskqueue = Taskqueue::embedded();
    for (text, line, part) in [
        ("\n[tubes.t]\nmax_worker = 1\n", json!(3), "unknown field"),
        ("\n[commands.x]\nrun = []\n", json!(3), "no program"),
        ("broker = 'http://x'\n", json!(1), "http://x"),
    ] {
        taskqueue.configure(text);
        let mut bare = taskqueue.command(&["check", "--json"]);
        bare.env_remove("TASKQUEUE_BROKER");
        let output = bare.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["findings"][0]["line"], line, "{said}");
        let reason = said["findings"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(part), "{said}");
    }
    let ran = taskqueue.run(&["check", "--config", "nowhere.toml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains("nowhere.toml"), "{ran:?}");
}
