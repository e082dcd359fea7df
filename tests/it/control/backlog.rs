//! Tasks whose command or tube was taken out of the configuration: they wait, and it is said.

use std::fs;

use super::{pool, until_idle};
use crate::support::{Taskqueue, until};

fn log(taskqueue: &Taskqueue) -> String {
    fs::read_to_string(taskqueue.path("log")).unwrap_or_default()
}

#[test]
fn tasks_wait_for_a_command_that_was_taken_out() {
    let taskqueue = Taskqueue::embedded();
    let with = |command: &str| {
        taskqueue.configure(&format!(
            "[commands.{command}]\nrun = ['/bin/true']\n\
             [tubes.t]\nmin_workers = 1\nspare_workers = 0\nmax_workers = 1\n"
        ));
    };
    with("job");
    let _tender = taskqueue.start(&["tender", "--log-file", "log"]);
    until_idle(&taskqueue, 1);
    with("other");
    taskqueue.run(&["reload"]).ok();
    taskqueue.run(&["pause", "t"]).ok();
    for _ in 0..3 {
        assert_eq!(
            taskqueue.run(&["put", "--use-tube", "t", "job"]).code,
            Some(0)
        );
    }
    taskqueue.run(&["reload"]).ok();
    until("it is said", || {
        log(&taskqueue).contains("tasks wait for a command that is not configured")
    });
    let said = log(&taskqueue);
    let said = said
        .lines()
        .find(|line| line.contains("tasks wait for"))
        .unwrap();
    assert!(
        said.contains("WARN") && said.contains("\"job\"") && said.contains("tasks=3"),
        "{said}"
    );

    taskqueue.run(&["resume", "t"]).ok();
    let reason = "waits for its command: the command job is not configured";
    until("all are parked", || {
        (1..=3).all(|id| {
            let task = taskqueue.show(&id.to_string());
            let is_noted = task["reason"]
                .as_str()
                .is_some_and(|said| said.starts_with(reason));
            task["status"] == "waiting" && is_noted
        })
    });
    assert_eq!(pool(&taskqueue)["back_off"], serde_json::Value::Null);
    with("job");
    taskqueue.run(&["reload"]).ok();
    until("all have run", || {
        (1..=3).all(|id| taskqueue.show(&id.to_string())["status"] == "done")
    });
    assert_eq!(taskqueue.show("1")["reason"], serde_json::Value::Null);
    assert_eq!(taskqueue.show("1")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn tasks_in_a_tube_that_nobody_tends_are_counted_once() {
    let taskqueue = Taskqueue::embedded();
    let tend = |tube: &str| {
        taskqueue.configure(&format!(
            "[commands.job]\nrun = ['/bin/true']\n[tubes.{tube}]\nmax_workers = 1\n"
        ));
    };
    tend("invoices");
    for _ in 0..5 {
        taskqueue
            .run(&["put", "--use-tube", "invoices", "job"])
            .ok();
    }
    taskqueue.run(&["pause", "invoices"]).ok();
    let said = || {
        let lines = log(&taskqueue);
        let lines = lines.lines().filter(|line| line.contains("nobody tends"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let _tender = taskqueue.start(&["tender", "--log-file", "log"]);
    until("it tends", || pool(&taskqueue)["tube"] == "invoices");
    tend("bills");
    taskqueue.run(&["reload"]).ok();
    until("it is said", || !said().is_empty());
    taskqueue.run(&["reload"]).ok();
    let _other = taskqueue.start(&["tender", "--use-tube", "invoices", "--log-file", "log2"]);
    let two = || {
        super::status(&taskqueue)["tenders"]
            .as_array()
            .unwrap()
            .len()
            == 2
    };
    until("another tends", two);
    taskqueue.run(&["reload", "--use-tube", "bills"]).ok();
    let said = said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("\"invoices\"") && said[0].contains("tasks=5"),
        "{said:?}"
    );
}

#[test]
fn where_it_cannot_be_looked_who_tends_nobody_is_said_to_be_missing() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.job]\nrun = ['/bin/true']\n[tubes.bills]\nmax_workers = 1\n");
    taskqueue
        .run(&["put", "--use-tube", "invoices", "job"])
        .ok();
    // Nobody can open a link that leads to itself.
    let tubes = taskqueue.path("t.db-tubes");
    std::fs::create_dir_all(&tubes).unwrap();
    let odd = tubes.join("odd.tube");
    std::os::unix::fs::symlink("odd.tube", &odd).unwrap();
    let tender = taskqueue.start(&["tender", "--log", "debug", "--log-file", "log"]);
    until("it has looked", || {
        log(&taskqueue).contains("could not look who tends what")
    });
    assert!(!log(&taskqueue).contains("nobody tends"));
    std::fs::remove_file(&odd).unwrap();
    tender.signal(rustix::process::Signal::HUP);
    until("it is said", || {
        log(&taskqueue).contains("tasks wait in a tube that nobody tends")
    });
}
