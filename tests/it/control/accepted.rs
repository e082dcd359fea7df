//! What a tender has accepted holds, whatever stands in the file or under the program's name by now.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{pids, pool, until_idle};
use crate::support::{Running, Taskqueue, until};

/// The tube `t` with two workers, and the command `job`, which adds that word to the file `said`.
fn configure(taskqueue: &Taskqueue, word: &str, more: &str) {
    let said = taskqueue.path("said");
    taskqueue.configure(&format!(
        "{more}\n[commands.job]\nrun = ['/bin/sh', '-c', 'echo {word} >> {}']\n\
         [tubes.t]\nmin_workers = 2\nspare_workers = 0\nmax_workers = 2\n",
        said.display()
    ));
}

fn start(taskqueue: &Taskqueue) -> Running {
    taskqueue.start(&["tender", "--log-file", "log"])
}

fn log(taskqueue: &Taskqueue) -> String {
    fs::read_to_string(taskqueue.path("log")).unwrap_or_default()
}

fn said(taskqueue: &Taskqueue) -> Vec<String> {
    let text = fs::read_to_string(taskqueue.path("said")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Runs so many jobs, and gives the words that all jobs have said.
fn run_jobs(taskqueue: &Taskqueue, jobs: usize) -> Vec<String> {
    let body = "{\"taskqueue\":1,\"command\":\"job\"}\n".repeat(jobs);
    let before = said(taskqueue).len();
    let put = [
        "put",
        "--use-tube",
        "t",
        "--batch",
        "-",
        "--config",
        "/dev/null",
    ];
    let ran = taskqueue.run_with(&put, body.as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    until("all said", || said(taskqueue).len() == before + jobs);
    // A worker that is killed before its outcomes are recorded has its jobs run again.
    let left = "SELECT count(*) FROM tasks WHERE status <> 'done'";
    until("all recorded", || {
        taskqueue.sqlite().query_row(left, [], |row| row.get(0)) == Ok(0)
    });
    said(taskqueue)
}

/// Kills all workers, and waits for others.
fn replace_workers(taskqueue: &Taskqueue) {
    let before = pids(&pool(taskqueue));
    for pid in &before {
        let pid = Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    until("others", || {
        let pool = pool(taskqueue);
        pool["census"]["idle"] == 2 && pids(&pool).is_disjoint(&before)
    });
}

#[test]
fn workers_go_by_what_was_accepted_and_never_by_the_file() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue, "old", "");
    let tender = start(&taskqueue);
    until_idle(&taskqueue, 2);
    // Edited, and not reloaded yet.
    configure(&taskqueue, "new", "");
    replace_workers(&taskqueue);
    let worker = *pids(&pool(&taskqueue)).first().unwrap();
    let worker = Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
    kill_process(worker, Signal::HUP).unwrap();
    assert_eq!(run_jobs(&taskqueue, 8), ["old"; 8]);

    taskqueue.run(&["reload"]).ok();
    let all = run_jobs(&taskqueue, 8);
    assert_eq!(all[8..], ["new"; 8]);

    for wrong in ["[tubes.t]\nmax_worker = 3\n", "", "  \n"] {
        taskqueue.configure(wrong);
        taskqueue.run(&["reload"]).failed(2);
        replace_workers(&taskqueue);
    }
    fs::remove_file(taskqueue.path("taskqueue.toml")).unwrap();
    let refused = taskqueue.run(&["reload"]).failed(2);
    assert!(refused.contains("taskqueue.toml"), "{refused}");
    replace_workers(&taskqueue);
    let all = run_jobs(&taskqueue, 8);
    assert_eq!(all[16..], ["new"; 8]);
    assert_eq!(pool(&taskqueue)["back_off"], serde_json::Value::Null);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_worker_that_has_no_room_for_the_configuration_refuses_it() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue, "one", "");
    let _tender = start(&taskqueue);
    until_idle(&taskqueue, 2);
    let workers: Vec<Pid> = pids(&pool(&taskqueue))
        .into_iter()
        .map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()).unwrap())
        .collect();
    let give = |limit: &[Rlimit]| -> Vec<Rlimit> {
        let given = workers.iter().zip(limit.iter().cycle());
        given
            .map(|(pid, limit)| prlimit(Some(*pid), Resource::Nofile, *limit).unwrap())
            .collect()
    };
    let none = Rlimit {
        current: Some(0),
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    let before = give(&[none]);
    configure(&taskqueue, "two", "");
    taskqueue.run(&["reload"]).ok();
    until("it is named", || {
        log(&taskqueue).contains("did not come with the order")
    });
    give(&before);
    assert_eq!(run_jobs(&taskqueue, 2), ["one"; 2]);
    taskqueue.run(&["reload"]).ok();
    assert_eq!(run_jobs(&taskqueue, 2)[2..], ["two"; 2]);
}

#[test]
fn an_empty_file_is_refused_by_name() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue, "one", "");
    let _tender = super::tend(&taskqueue, 1, 1, &["--log-file", "log"]);
    until_idle(&taskqueue, 1);
    taskqueue.configure("\n");
    let refused = taskqueue.run(&["reload"]).failed(2);
    assert!(refused.contains("taskqueue.toml is empty"), "{refused}");
    assert_eq!(run_jobs(&taskqueue, 1), ["one"]);
}

#[test]
fn commands_see_nothing_of_it() {
    let taskqueue = Taskqueue::embedded();
    let said = taskqueue.path("said").display().to_string();
    taskqueue.configure(&format!(
        "# a secret\n[commands.job]\nrun = ['/bin/sh', '-c', 'ls -l /proc/self/fd >> {said}; env >> {said}']\n\
         [tubes.t]\nmin_workers = 1\nspare_workers = 0\nmax_workers = 1\n"
    ));
    let _tender = start(&taskqueue);
    until_idle(&taskqueue, 1);
    for time in 1..=2 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
        until("it has run", || {
            taskqueue.show(&time.to_string())["status"] == "done"
        });
        let seen = fs::read_to_string(&said).unwrap();
        assert!(seen.contains("t.db-commands"), "{seen}");
        assert!(
            !seen.contains("memfd") && !seen.contains("CONFIG_FD"),
            "{seen}"
        );
        taskqueue.run(&["reload"]).ok();
    }
}

#[test]
fn a_program_that_is_replaced_or_gone_is_started_by_its_name() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue, "ran", "");
    let (old, new) = (taskqueue.path("old"), taskqueue.path("new"));
    for file in [&old, &new] {
        fs::copy(env!("CARGO_BIN_EXE_taskqueue"), file).unwrap();
    }
    let name = taskqueue.path("tq");
    symlink("old", &name).unwrap();
    let mut command = std::process::Command::new(&name);
    let of_test = taskqueue.command(&["tender", "--log-file", "log"]);
    command
        .args(of_test.get_args())
        .current_dir(taskqueue.path(""));
    command.env_clear();
    for (key, value) in of_test.get_envs() {
        command.env(key, value.unwrap());
    }
    command.env("PWD", taskqueue.path(""));
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let _tender = Running::start(command);
    until_idle(&taskqueue, 2);
    let programs = || {
        let pids = pids(&pool(&taskqueue));
        let program = |pid: &u64| fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        pids.iter().map(program).collect::<Vec<_>>()
    };
    let by_name = |file: &Path| vec![file.canonicalize().unwrap(); 2];
    assert_eq!(programs(), by_name(&old));
    fs::remove_file(&name).unwrap();
    symlink("new", &name).unwrap();
    replace_workers(&taskqueue);
    assert_eq!(programs(), by_name(&new));
    for file in [&old, &new, &name] {
        fs::remove_file(file).unwrap();
    }
    taskqueue.run(&["reload"]).ok();
    replace_workers(&taskqueue);
    assert_eq!(run_jobs(&taskqueue, 4), ["ran"; 4]);
}

#[test]
fn a_release_that_is_switched_is_where_workers_go() {
    let taskqueue = Taskqueue::embedded();
    let said = taskqueue.path("said").display().to_string();
    let current = taskqueue.path("current");
    for release in ["1", "2", "3"] {
        fs::create_dir(taskqueue.path(release)).unwrap();
        fs::write(
            taskqueue.path(release).join("job.sh"),
            format!("echo {release} >> {said}"),
        )
        .unwrap();
        fs::write(
            taskqueue.path(release).join("taskqueue.toml"),
            format!("# {release}\n[commands.job]\nrun = ['/bin/sh', 'job.sh']\n[tubes.t]\nmin_workers = 2\nspare_workers = 0\nmax_workers = 2\n"),
        )
        .unwrap();
    }
    let switch = |release: &str| {
        let _ = fs::remove_file(&current);
        symlink(release, &current).unwrap();
    };
    switch("1");
    let mut command = taskqueue.command(&["tender", "--log-file", "../log"]);
    command.current_dir(&current).env("PWD", &current);
    let _tender = Running::start(command);
    until_idle(&taskqueue, 2);
    assert_eq!(run_jobs(&taskqueue, 2), ["1"; 2]);
    // New workers are started in the new one.
    switch("2");
    replace_workers(&taskqueue);
    assert_eq!(run_jobs(&taskqueue, 2)[2..], ["2"; 2]);
    // And those that run go there when they are told to.
    switch("3");
    taskqueue.run(&["reload"]).ok();
    assert_eq!(run_jobs(&taskqueue, 4)[4..], ["3"; 4]);
    for gone in ["1", "2"] {
        fs::remove_dir_all(taskqueue.path(gone)).unwrap();
    }
    replace_workers(&taskqueue);
    assert_eq!(run_jobs(&taskqueue, 4)[8..], ["3"; 4]);
    let log = log(&taskqueue);
    assert!(!log.contains("ERROR"), "{log}");
}

/// Also where nobody says by which name it was entered.
#[test]
fn a_folder_that_is_replaced_is_where_workers_go() {
    let taskqueue = Taskqueue::embedded();
    let said = taskqueue.path("said").display().to_string();
    let make = |word: &str| {
        let app = taskqueue.path("app");
        fs::create_dir(&app).unwrap();
        fs::write(app.join("job.sh"), format!("echo {word} >> {said}")).unwrap();
    };
    taskqueue.configure(
        "[commands.job]\nrun = ['/bin/sh', 'job.sh']\n[tubes.t]\nmin_workers = 2\nspare_workers = 0\nmax_workers = 2\n",
    );
    make("one");
    let mut command = taskqueue.command(&["tender", "--config", "../taskqueue.toml"]);
    command.current_dir(taskqueue.path("app"));
    let _tender = Running::start(command);
    until_idle(&taskqueue, 2);
    assert_eq!(run_jobs(&taskqueue, 2), ["one"; 2]);
    fs::rename(taskqueue.path("app"), taskqueue.path("old")).unwrap();
    make("two");
    replace_workers(&taskqueue);
    assert_eq!(run_jobs(&taskqueue, 2)[2..], ["two"; 2]);
}

#[test]
fn a_worker_command_that_is_not_there_is_refused() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue, "one", "");
    let _tender = start(&taskqueue);
    until_idle(&taskqueue, 2);
    fs::write(taskqueue.path("elsewhere"), "#!/no/such/php\n").unwrap();
    fs::set_permissions(taskqueue.path("elsewhere"), Permissions::from_mode(0o755)).unwrap();
    for (program, why) in [
        ("./nowhere", "no such file"),
        ("./elsewhere", "and that interpreter cannot be started"),
        ("no-such-program-anywhere", "no folder of PATH has it"),
        ("/tmp", "is a folder"),
        ("./taskqueue.toml", "chmod +x"),
    ] {
        taskqueue.configure(&format!("[tubes.t]\nworker_command = ['{program}']\n"));
        let refused = taskqueue.run(&["reload"]).failed(1);
        let part = format!("the worker command {program} of the tube t cannot be started");
        assert!(
            refused.contains(&part) && refused.contains(why),
            "{refused}"
        );
    }
    assert_eq!(run_jobs(&taskqueue, 2), ["one"; 2]);
}
