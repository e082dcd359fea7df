//! A command that the kernel kills for memory, in a cgroup of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::status;
use crate::support::{Running, Taskqueue};

/// Enough for a worker; what fills it is killed.
const LIMIT: &str = "67108864";

/// A memory cgroup, gone when dropped. `None` where this user may make none.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make() -> Option<Cgroup> {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path_of = |kind: &str| {
            let line = cgroups.lines().find(|line| line.contains(kind))?;
            Some(line.rsplit_once(':')?.1.trim_start_matches('/').to_owned())
        };
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("taskqueue-test-{}", std::process::id());
        let one = path_of(":memory:").map(|path| root.join("memory").join(path));
        let two = path_of("0::").map(|path| root.join(path));
        let made = [
            (one, "memory.limit_in_bytes"),
            (Some(root.join("memory")), "memory.limit_in_bytes"),
            (two, "memory.max"),
            (Some(root.to_owned()), "memory.max"),
        ];
        made.into_iter().find_map(|(parent, limit)| {
            let path = parent?.join(&name);
            fs::create_dir(&path).ok()?;
            // Gone again if it has no limits.
            let made = Cgroup(path);
            fs::write(made.0.join(limit), LIMIT).ok()?;
            Some(made)
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn what_the_kernel_kills_for_memory_is_recorded_so() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(
        r#"
        [commands.greedy]
        run = ["python3", "-c", "x = bytearray(256 << 20); import time; time.sleep(60)"]
        [commands.killed]
        run = ["/bin/sh", "-c", "kill -9 $$"]
        "#,
    );
    for command in ["killed", "greedy"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    let Some(cgroup) = Cgroup::make() else {
        println!("skipped: this user may make no memory cgroup");
        return;
    };
    let worker = taskqueue.command(&["worker", "--use-tube", "t", "--max-jobs", "2"]);
    let procs = cgroup.0.join("cgroup.procs");
    // A shell goes in and becomes the worker.
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
    shell
        .arg(procs)
        .arg(worker.get_program())
        .args(worker.get_args());
    shell.current_dir(taskqueue.path(""));
    shell.env_clear();
    for (name, value) in worker.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.stdout(std::process::Stdio::piped());
    shell.stderr(std::process::Stdio::piped());
    let ran = Running::start(shell).wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let attempt = |id| taskqueue.show(id)["attempts"][0].clone();
    let by_itself = attempt("1");
    assert_eq!(by_itself["signal"], 9);
    assert_eq!(by_itself["reason"], json!(null), "{by_itself}");
    let by_the_kernel = attempt("2");
    assert_eq!(status(&taskqueue, "2"), "failed");
    assert_eq!(by_the_kernel["outcome"], "signalled");
    assert_eq!(by_the_kernel["signal"], 9);
    let said = "killed while the kernel killed for memory where it ran";
    assert_eq!(by_the_kernel["reason"], said);
    assert_eq!(taskqueue.show("2")["reason"], said);
}
