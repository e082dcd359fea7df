//! As whom, where and with what commands run: real processes, and real users.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};

use super::{exists, lines, number, status};
use crate::support::{Running, Taskqueue, until};

/// Nobody's number, on nearly every system.
const THEM: u32 = 65_534;

/// False, and said so, where another user's processes cannot be had.
fn is_root(what: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("not run as root: {what} was not tested");
    }
    is_root
}

/// A folder that everybody may enter, and one command that runs that script.
fn with_script(script: &str, rest: &str) -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    fs::set_permissions(taskqueue.path(""), Permissions::from_mode(0o1777)).unwrap();
    configure(&taskqueue, script, rest);
    taskqueue
}

/// `rest` stands in the command's table, and may have others after it.
fn configure(taskqueue: &Taskqueue, script: &str, rest: &str) {
    taskqueue.configure(&format!(
        "[commands.look]\nrun = ['/bin/sh', '-c', '''{script}''']\n{rest}"
    ));
}

/// What the next attempt printed, which must go well.
#[track_caller]
fn printed(taskqueue: &Taskqueue) -> String {
    let id = taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    taskqueue.work("t", 1);
    let task = taskqueue.show(id.trim());
    assert_eq!(task["status"], "done", "{task}");
    task["attempts"][0]["output"].as_str().unwrap().to_owned()
}

/// The numbers that stand in a line of `/proc/PID/status`.
fn numbers(status: &str, name: &str) -> Vec<u32> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

fn start(taskqueue: &Taskqueue, mut command: Command) -> Running {
    command.stderr(File::create(taskqueue.path("said")).unwrap());
    Running::start(command)
}

fn said(taskqueue: &Taskqueue, words: &str) -> usize {
    let said = fs::read_to_string(taskqueue.path("said")).unwrap_or_default();
    said.matches(words).count()
}

/// A user in several groups, who is gone again after the test.
struct User {
    name: String,
}

impl User {
    fn made() -> Option<User> {
        let name = format!("tq-test-{}", std::process::id() % 100_000);
        let made = Command::new("useradd")
            .args([
                "--no-create-home",
                "--home-dir",
                "/tmp",
                "--shell",
                "/bin/false",
            ])
            .args(["--groups", "games,users", &name])
            .output();
        match made {
            Ok(made) if made.status.success() => Some(User { name }),
            other => {
                eprintln!("no user can be made here: {other:?}");
                None
            }
        }
    }

    fn id(&self, what: &str) -> Vec<u32> {
        let said = Command::new("id")
            .args([what, &self.name])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

const IDENTITY: &str = "cat /proc/self/status; env | sort";

#[test]
fn a_command_has_its_users_whole_identity_and_none_of_ours() {
    if !is_root("a command's user") {
        return;
    }
    let Some(user) = User::made() else {
        return;
    };
    let name = &user.name;
    let taskqueue = with_script(IDENTITY, &format!("user = '{name}'\n"));
    let seen = printed(&taskqueue);
    let sorted = |mut numbers: Vec<u32>| {
        numbers.sort_unstable();
        numbers
    };
    let (uid, gid, groups) = (user.id("-u"), user.id("-g"), user.id("-G"));
    assert_eq!(numbers(&seen, "Uid:"), uid.repeat(4));
    assert_eq!(numbers(&seen, "Gid:"), gid.repeat(4));
    assert_eq!(sorted(numbers(&seen, "Groups:")), sorted(groups));
    for none in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(
            seen.contains(&format!("{none}:\t0000000000000000")),
            "{seen}"
        );
    }
    assert_eq!(numbers(&seen, "NoNewPrivs:"), [0]);
    for line in [
        "HOME=/tmp",
        &format!("USER={name}"),
        &format!("LOGNAME={name}"),
        "SHELL=/bin/false",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
    }
    // A group that is said comes in the place of the user's own.
    configure(
        &taskqueue,
        IDENTITY,
        &format!("user = '{name}'\ngroup = 'games'\n"),
    );
    let seen = printed(&taskqueue);
    let games = numbers(&seen, "Gid:");
    assert_eq!((numbers(&seen, "Uid:"), games.len()), (uid.repeat(4), 4));
    assert!(
        games[0] != gid[0] && numbers(&seen, "Groups:").contains(&games[0]),
        "{seen}"
    );
    assert!(!numbers(&seen, "Groups:").contains(&gid[0]), "{seen}");
}

#[test]
fn a_number_that_nobody_has_is_somebody_too() {
    if !is_root("a user without a name") {
        return;
    }
    let taskqueue = with_script(IDENTITY, "user = 987654\ngroup = 987655\n");
    let seen = printed(&taskqueue);
    assert_eq!(numbers(&seen, "Uid:"), [987_654; 4]);
    assert_eq!(numbers(&seen, "Gid:"), [987_655; 4]);
    assert_eq!(numbers(&seen, "Groups:"), [987_655]);
    assert!(!seen.contains("\nHOME="), "ours is not theirs: {seen}");
}

const LIMITS: &str =
    "cat /proc/self/limits /proc/self/status; umask; nice; cat /proc/self/oom_score_adj; pwd";

fn has_its_limits(user: &str) {
    let rest = "umask = '0037'\nnice = 7\noom_score_adjust = 321\nno_new_privileges = true\ndirectory = 'sub'\n\
        limits = { nofile = 99, nproc = 5000, core = 0, cpu = '90s', memory = '8G', file_size = '1M' }\n";
    let taskqueue = with_script(LIMITS, &format!("{user}{rest}"));
    fs::create_dir(taskqueue.path("sub")).unwrap();
    let seen = printed(&taskqueue);
    for (name, soft, hard) in [
        ("Max open files", "99", "99"),
        ("Max processes", "5000", "5000"),
        ("Max core file size", "0", "0"),
        ("Max cpu time", "90", "95"),
        ("Max address space", "8589934592", "8589934592"),
        ("Max file size", "1048576", "1048576"),
    ] {
        let mut lines = seen.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(words, [soft, hard], "{name}");
    }
    assert_eq!(numbers(&seen, "NoNewPrivs:"), [1]);
    let last: Vec<&str> = seen.lines().rev().take(4).collect();
    let folder = fs::canonicalize(taskqueue.path("sub")).unwrap();
    assert_eq!(last, [folder.to_str().unwrap(), "321", "7", "0037"]);
    // What the worker itself is bound to is as it was.
    configure(&taskqueue, LIMITS, "");
    let seen = printed(&taskqueue);
    assert!(seen.contains("NoNewPrivs:\t0"), "{seen}");
}

#[test]
fn a_command_has_its_limits() {
    has_its_limits("");
}

#[test]
fn a_command_of_another_user_has_its_limits() {
    if is_root("the limits of another user's command") {
        has_its_limits("user = 'nobody'\n");
    }
}

#[test]
fn a_command_finds_the_variables_that_are_configured() {
    let names = "env | cut -d= -f1 | sort | grep -v -E '^(PWD|SHLVL|_|OLDPWD)$' | tr '\\n' ' '";
    let taskqueue = with_script(names, "");
    let run = |rest: &str| {
        configure(&taskqueue, names, rest);
        taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
        let args = ["worker", "--use-tube", "t", "--max-jobs", "1"];
        let mut command = taskqueue.command(&args);
        command.env("SECRET", "s").env("KEPT", "k");
        assert_eq!(Running::start(command).wait().code, Some(0));
        let id = number(&taskqueue, "SELECT max(id) FROM tasks");
        let task = taskqueue.show(&id.to_string());
        let output = task["attempts"][0]["output"].as_str().unwrap().to_owned();
        let ours = |name: &&str| !name.starts_with("TASKQUEUE_");
        let (theirs, own): (Vec<&str>, Vec<&str>) = output.split_whitespace().partition(ours);
        assert_eq!(own.len(), 11, "always set: {own:?}");
        theirs.join(" ")
    };
    let usual = "COLUMNS HOME KEPT LINES PATH SECRET TZ XDG_RUNTIME_DIR";
    assert_eq!(run(""), usual);
    assert_eq!(
        run("environment = ['KEPT', 'PATH', 'NONE']"),
        "COLUMNS KEPT LINES PATH"
    );
    assert_eq!(run("clear_environment = true"), "COLUMNS LINES");
    assert_eq!(
        run("clear_environment = true\nenvironment = { KEPT = true, NEW = 'n', LINES = false }"),
        "COLUMNS KEPT NEW"
    );
    assert_eq!(
        run("environment = { SECRET = false, COLUMNS = false }"),
        "HOME KEPT LINES PATH TZ XDG_RUNTIME_DIR"
    );
}

/// Else Symfony's console starts `stty`, to ask a terminal that is none.
#[test]
fn a_command_finds_how_wide_its_output_is() {
    let script = "echo $COLUMNS $LINES";
    let taskqueue = with_script(script, "");
    assert_eq!(printed(&taskqueue), "80 24\n");
    configure(&taskqueue, script, "environment = { COLUMNS = '132' }");
    assert_eq!(printed(&taskqueue), "132 24\n");
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    configure(&taskqueue, script, "");
    let mut command = taskqueue.command(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    command.env("LINES", "50");
    Running::start(command).wait();
    assert_eq!(taskqueue.show("3")["attempts"][0]["output"], "80 50\n");
}

/// A pipe belongs to whoever made it, and `/dev/stdout` opens it anew.
#[test]
fn a_command_of_another_user_can_open_its_streams_by_their_names() {
    if !is_root("what another user's command can open") {
        return;
    }
    let script = "cat /dev/stdin >/dev/stdout; echo error >/dev/stderr";
    let taskqueue = with_script(script, "user = 'nobody'\n[tubes.t]\ncommand = 'look'\n");
    taskqueue
        .run_with(&["put", "--use-tube", "t", "--stdin"], b"body ")
        .ok();
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["attempts"][0]["output"], "body error\n");
}

const COULD_NOT: &str = "could not start a command; gave its job back";

#[test]
fn what_a_worker_cannot_give_is_its_trouble_and_said_once() {
    if !is_root("a folder that is closed to a command's user") {
        return;
    }
    let taskqueue = with_script("pwd", "user = 'nobody'\ndirectory = 'closed'\n");
    let closed = taskqueue.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    }
    let worker = start(
        &taskqueue,
        taskqueue.command(&["worker", "--use-tube", "t"]),
    );
    until("said", || said(&taskqueue, COULD_NOT) == 1);
    let words = format!(
        "cannot enter {} as nobody: Permission denied",
        closed.display()
    );
    assert_eq!(said(&taskqueue, &words), 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(
        number(&taskqueue, "SELECT count(*) FROM attempts"),
        0,
        "nothing is spent"
    );
    // Between two tries.
    until("given back", || status(&taskqueue, "1") == "waiting");
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    let well = "SELECT count(*) FROM tasks WHERE status = 'done' AND attempt = 1 AND lost = 0";
    until("done", || number(&taskqueue, well) == 3);
    assert_eq!(said(&taskqueue, COULD_NOT), 1);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

/// As in a container that gives root no such right.
#[test]
fn root_without_the_right_to_change_users_says_so_and_fails_nothing() {
    if !is_root("root without rights") {
        return;
    }
    let taskqueue = with_script("id -u", "user = 'nobody'\n");
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    for (without, words) in [
        (
            "-setgid",
            "cannot set the supplementary groups of nobody: Operation not permitted",
        ),
        (
            "-setuid",
            "cannot become the user nobody: Operation not permitted",
        ),
    ] {
        let ours = taskqueue.command(&["worker", "--use-tube", "t"]);
        let mut command = Command::new("setpriv");
        command
            .args(["--bounding-set", without])
            .arg(ours.get_program())
            .args(ours.get_args());
        command.env_clear().current_dir(taskqueue.path(""));
        for (name, value) in ours.get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        let worker = start(&taskqueue, command);
        until(without, || said(&taskqueue, words) == 1);
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
        assert_eq!(status(&taskqueue, "1"), "waiting");
    }
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["attempts"][0]["output"], "65534\n");
}

#[test]
fn without_root_another_user_is_refused_at_the_start_and_at_a_reload() {
    if !is_root("who is refused without root") {
        return;
    }
    let taskqueue = with_script("true", "user = 'root'\n");
    let refused = "commands.\"look\".user: only root can run commands as root, and this is nobody";
    let run = |args: &[&str]| Running::start(taskqueue.command_as(THEM, args)).wait();
    for args in [
        &["tender", "--use-tube", "t"][..],
        &["worker", "--use-tube", "t"],
    ] {
        let complaint = run(args).failed(2);
        assert!(complaint.contains(refused), "{complaint}");
    }
    // Theirs to make a store in.
    chown(taskqueue.path(""), Some(THEM), None).unwrap();
    // Whoever puts runs nothing.
    run(&["put", "--use-tube", "t", "look"]).ok();
    let checked = run(&["check"]);
    assert!(
        checked.stdout.contains(&format!("toml:3: {refused}")),
        "{checked:?}"
    );
    configure(&taskqueue, "true", "user = 'nobody'\n");
    let tender = start(
        &taskqueue,
        taskqueue.command_as(THEM, &["tender", "--use-tube", "t"]),
    );
    until("done", || status(&taskqueue, "1") == "done");
    configure(&taskqueue, "true", "user = 'root'\n");
    let complaint = run(&["reload"]).failed(2);
    assert!(complaint.contains(refused), "{complaint}");
    assert_eq!(said(&taskqueue, "commands run as root"), 0);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn root_is_told_once_of_commands_that_name_no_user() {
    if !is_root("what root is told") {
        return;
    }
    let taskqueue = with_script(
        "id -u",
        "[commands.other]\nrun = ['x']\n[commands.fine]\nrun = ['x']\nuser = 'root'",
    );
    let warning = "WARN commands run as root, since nothing names their user";
    let tend = |expected: usize, rest: &str| {
        configure(&taskqueue, "id -u", rest);
        let id = taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
        let tender = start(
            &taskqueue,
            taskqueue.command(&["tender", "--use-tube", "t"]),
        );
        until("done", || status(&taskqueue, id.trim()) == "done");
        tender.signal(Signal::TERM);
        assert_eq!(tender.wait().code, Some(0));
        assert_eq!(said(&taskqueue, warning), expected, "{rest}");
    };
    tend(
        1,
        "[commands.other]\nrun = ['x']\n[commands.fine]\nrun = ['x']\nuser = 'root'",
    );
    assert_eq!(said(&taskqueue, "commands=2"), 1);
    tend(0, "user = 'root'");
    tend(0, "[defaults]\nuser = 'root'");
    tend(0, "[tubes.t]\nuser = 'nobody'");
    assert_eq!(taskqueue.show("4")["attempts"][0]["output"], "65534\n");
}

#[test]
fn a_reload_has_later_commands_run_as_another() {
    if !is_root("a reload to another user") {
        return;
    }
    let taskqueue = with_script("id -u", "user = 'root'");
    let tender = start(
        &taskqueue,
        taskqueue.command(&["tender", "--use-tube", "t"]),
    );
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    until("done", || status(&taskqueue, "1") == "done");
    configure(&taskqueue, "id -u", "user = 'nobdy'");
    let complaint = taskqueue.run(&["reload"]).failed(2);
    assert!(
        complaint.contains("there is no user \"nobdy\""),
        "{complaint}"
    );
    configure(&taskqueue, "id -u", "user = 'nobody'");
    taskqueue.run(&["reload"]);
    let ran_as = |id: &str| taskqueue.show(id)["attempts"][0]["output"].clone();
    assert_eq!(ran_as("1"), "0\n");
    // The workers hear of it a moment later.
    let mut id = String::new();
    until("another", || {
        id = taskqueue
            .run(&["put", "--use-tube", "t", "look"])
            .ok()
            .trim()
            .to_owned();
        until("done", || status(&taskqueue, &id) == "done");
        ran_as(&id) == "65534\n"
    });
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_cleanup_runs_as_its_command() {
    if !is_root("a cleanup's user") {
        return;
    }
    let taskqueue = with_script(
        "sleep 300",
        "user = 'nobody'\ndirectory = 'open'\nenvironment = { SAID = 'x' }\ntimeout = '300ms'\nkill_after = '1s'\n\
         cleanup = ['/bin/sh', '-c', 'echo $(id -u) $(id -G) $SAID $HOME > tidied']\n",
    );
    let open = taskqueue.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["attempts"][0]["outcome"], "timed_out");
    assert_eq!(lines(&open.join("tidied")), ["65534 65534 x /nonexistent"]);
}

#[test]
fn a_command_that_does_not_hear_is_killed_when_it_is_configured() {
    let taskqueue = with_script(
        "trap '' TERM; while :; do sleep 0.05; done",
        "timeout = '300ms'\nkill_after = '1s'\n",
    );
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    let begun = Instant::now();
    taskqueue.work("t", 1);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1300), "{took:?}");
    let attempt = &taskqueue.show("1")["attempts"][0];
    assert_eq!(attempt["outcome"], "timed_out");
    let took = "SELECT finished - started FROM attempts";
    let span = number(&taskqueue, took);
    assert!((1300..4500).contains(&span), "{span} ms");
}

/// It is another user's, in a session of its own, and its worker is gone.
#[test]
fn what_another_users_command_leaves_running_is_ended() {
    if !is_root("what another user's command leaves") {
        return;
    }
    let taskqueue = with_script(
        "echo $$ >> open/pids; setsid sh -c 'echo $$ >> open/pids; exec sleep 300' & exec sleep 300",
        "user = 'nobody'\n",
    );
    let open = taskqueue.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    let worker = start(
        &taskqueue,
        taskqueue.command(&["worker", "--use-tube", "t"]),
    );
    until("begun", || lines(&open.join("pids")).len() == 2);
    let pids = lines(&open.join("pids"));
    for pid in &pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert_eq!(numbers(&status, "Uid:"), [THEM; 4]);
    }
    worker.signal(Signal::KILL);
    worker.wait();
    until("ended", || !pids.iter().any(|pid| exists(pid)));
}

/// A command of the same user does not find it where its worker has it from.
#[test]
fn what_is_withheld_is_not_found_in_the_worker_either() {
    if !is_root("who may look into a worker") {
        return;
    }
    let script = "cat /proc/$PPID/environ 2>&1 | tr '\\0' '\\n'";
    let taskqueue = with_script(script, "");
    chown(taskqueue.path(""), Some(THEM), None).unwrap();
    for (rest, is_found) in [("", true), ("environment = { SECRET = false }", false)] {
        configure(&taskqueue, script, rest);
        let run = |args: &[&str]| {
            let mut command = taskqueue.command_as(THEM, args);
            command.env("SECRET", "sesame");
            Running::start(command).wait()
        };
        let id = run(&["put", "--use-tube", "t", "look"]).ok();
        run(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
        let task = taskqueue.show(id.trim());
        let output = task["attempts"][0]["output"].as_str().unwrap();
        assert_eq!(output.contains("sesame"), is_found, "{task}");
        assert_eq!(output.contains("ermission denied"), !is_found, "{task}");
    }
}
