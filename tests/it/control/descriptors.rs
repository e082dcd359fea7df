//! What a tender was started with by mistake goes no further.

use std::fs;
use std::process::{Command, Stdio};

use super::{pids, pool, until_idle};
use crate::support::{Running, Taskqueue};

#[test]
fn what_whoever_starts_a_tender_forgot_to_close_its_workers_do_not_have() {
    let taskqueue = Taskqueue::embedded();
    let secret = taskqueue.path("secret");
    fs::write(&secret, "of somebody else").unwrap();
    let mut command = Command::new("/bin/sh");
    let script = "exec 9<secret; exec \"$0\" tender --use-tube t --min-workers 1 --max-workers 1 --spare-workers 0";
    let ours = taskqueue.command(&[]);
    command
        .args(["-c", script])
        .arg(ours.get_program())
        .current_dir(taskqueue.path(""))
        .env_clear()
        .envs(
            ours.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let tender = Running::start(command);
    until_idle(&taskqueue, 1);
    let has_it = |pid: &str| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut targets = entries.flatten().map(|entry| fs::read_link(entry.path()));
        targets.any(|target| target.is_ok_and(|target| target == secret))
    };
    assert!(has_it(&tender.pid().to_string()));
    for pid in pids(&pool(&taskqueue)) {
        assert!(!has_it(&pid.to_string()));
    }
}
