//! What is printed once a command has exited: by the programs that its output goes through, and by what a task has left
//! running on purpose.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::{exists, lines, status};
use crate::support::{Running, TEND_ONE, Taskqueue, until};

/// Makes a script in the folder.
fn script(taskqueue: &Taskqueue, name: &str, text: &str) {
    let path = taskqueue.path(name);
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_script_whose_output_goes_through_another_program_keeps_its_last_lines() {
    let taskqueue = Taskqueue::embedded();
    let (mut config, mut names) = (String::new(), Vec::new());
    for (name, code, pause) in [
        ("well-slow", 0, 0.03),
        ("well", 0, 0.001),
        ("failed-slow", 1, 0.03),
        ("failed", 1, 0.001),
    ] {
        let slow = format!("while read -r l; do sleep {pause}; echo \"$l\"; done");
        script(
            &taskqueue,
            name,
            &format!(
                "exec > >({slow} | tee {name}.log) 2>&1\nfor i in $(seq 20); do echo line $i; done\nexit {code}"
            ),
        );
        config.push_str(&format!("[commands.{name}]\nrun = ['./{name}']\n"));
        names.push(name);
    }
    taskqueue.configure(&config);
    for name in &names {
        taskqueue.run(&["put", "--use-tube", "t", name]).ok();
    }
    taskqueue.work("t", names.len());
    let whole: String = (1..=20).map(|line| format!("line {line}\n")).collect();
    for (name, id) in names.iter().zip(1..) {
        let task = taskqueue.show(&id.to_string());
        assert_eq!(task["attempts"][0]["output"], whole, "{name}");
        let own = taskqueue.path(&format!("{name}.log"));
        assert_eq!(fs::read_to_string(own).unwrap(), whole, "{name}");
    }
}

/// In the command's own group, as a shell leaves it there, one that prints now and then and one that does not.
#[test]
fn what_a_done_task_leaves_running_lives_on_when_it_prints() {
    let taskqueue = Taskqueue::embedded();
    // For longer than its output is read for the record.
    let ticks =
        "for i in {1..12}; do echo tick $i; echo $i >> ticks; sleep 0.6; done; echo over >> ticks";
    script(&taskqueue, "shell", &format!("({ticks}) &\nexit 0"));
    script(
        &taskqueue,
        "apart",
        &format!(
            "setsid bash -c '{}' &\nexit 0",
            ticks.replace("ticks", "apart.ticks")
        ),
    );
    // SIGPIPE is what nohup does not see to.
    script(
        &taskqueue,
        "flood",
        "setsid nohup bash -c 'head -c 3000000 /dev/zero && touch flooded' &\nexit 0",
    );
    script(&taskqueue, "nothing", "exit 0");
    taskqueue.configure(
        &["nothing", "shell", "apart", "flood"]
            .map(|name| format!("[commands.{name}]\nrun = ['./{name}']\n"))
            .concat(),
    );
    let put = |command: &str| taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    put("nothing");
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    until("done", || status(&taskqueue, "1") == "done");
    let before = pipes(&worker);
    for command in ["shell", "apart", "flood"] {
        put(command);
    }
    for (id, file) in [("2", "ticks"), ("3", "apart.ticks")] {
        let file = taskqueue.path(file);
        until("all was printed", || {
            lines(&file).last().is_some_and(|last| last == "over")
        });
        assert_eq!(status(&taskqueue, id), "done");
    }
    until("all was thrown away", || taskqueue.path("flooded").exists());
    // Nothing is kept open for what has ended.
    until("the pipes are closed", || pipes(&worker) == before);
}

/// How many ends of pipes a process has open.
fn pipes(process: &Running) -> usize {
    let descriptors = format!("/proc/{}/fd", process.pid().as_raw_nonzero());
    let open = fs::read_dir(descriptors).unwrap().flatten();
    let names = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    names
        .filter(|name| name.to_string_lossy().starts_with("pipe:"))
        .count()
}

/// Workers come and go; their tender stays.
#[test]
fn what_a_done_task_leaves_running_outlives_its_worker() {
    let taskqueue = Taskqueue::embedded();
    let ticks =
        "for i in {1..8}; do echo tick $i; echo $i >> ticks; sleep 0.4; done; echo over >> ticks";
    script(
        &taskqueue,
        "apart",
        &format!("echo $PPID >> workers\nsetsid bash -c '{ticks}' &\nexit 0"),
    );
    taskqueue.configure("[commands.apart]\nrun = ['./apart']\n");
    taskqueue.run(&["put", "--use-tube", "t", "apart"]).ok();
    let tender = [TEND_ONE.as_slice(), &["--max-worker-jobs", "1"]].concat();
    let tender = taskqueue.start(&tender);
    let workers = taskqueue.path("workers");
    until("the worker is gone", || {
        lines(&workers)
            .first()
            .is_some_and(|worker| !exists(worker))
    });
    let ticks = taskqueue.path("ticks");
    let printed = lines(&ticks).len();
    assert!(printed < 7, "the worker took its time: {printed}");
    until("all was printed", || {
        lines(&ticks).last().is_some_and(|last| last == "over")
    });
    drop(tender);
}

#[test]
fn what_a_done_task_leaves_running_in_silence_holds_nobody_up_for_long() {
    let taskqueue = Taskqueue::embedded();
    script(&taskqueue, "silent", "sleep 300 &\necho $! >> pids\nexit 0");
    taskqueue.configure("[commands.silent]\nrun = ['./silent']\n");
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "silent"]).ok();
    }
    let begun = Instant::now();
    taskqueue.work("t", 2);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    for pid in lines(&taskqueue.path("pids")) {
        assert!(exists(&pid), "a daemon of a task that is done stays");
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}
