//! `taskqueue demo`

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;

use super::Failure;
use super::out::{is_terminal, out};
use super::put::UNSERVED;
use crate::address::{BrokerUrl, StoreUrl};
use crate::connect;
use crate::ledger::read::{DisplayedStatus, Filter, Key, Task};
use crate::ledger::worker::Known;
use crate::process::program;
use crate::signals;

mod show;

use show::{Board, summary};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue demo
  taskqueue demo --broker beanstalk://127.0.0.1:11300

Everything is in a temporary folder and a tube of its own, and is gone afterwards. Without --broker the queue is in
that folder too, and no server is needed.")]
pub struct Flags {}

/// How many tasks there are: enough for every worker to have some, few enough to be over soon.
const TASKS: u64 = 36;

/// It is over by then, or something is wrong.
const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(100);

/// What the demo's tasks run.
const CONFIGURATION: &str = r#"
[commands."taskqueue:example-task-worker"]

[commands."demo:count"]
run = ["/bin/sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.1; done"]

[commands."demo:garbage"]
run = ["/bin/sh", "-c", "head -c 4096 /dev/urandom"]

[commands."demo:fail"]
run = ["/bin/sh", "-c", "echo 'there is no invoice 13' >&2; exit 65"]
"#;

/// What each task asks for, in turn; the one that fails and the one that prints garbage are among them.
fn arguments(task: u64) -> Vec<&'static str> {
    match task {
        13 => vec!["demo:fail"],
        20 => vec!["demo:garbage"],
        n if n % 6 == 0 => vec![
            "taskqueue:example-task-worker",
            "1",
            "--option",
            "message=hello world",
        ],
        _ => vec!["demo:count"],
    }
}

/// Runs it from beginning to end.
pub fn run(_: &Flags, broker: Option<&BrokerUrl>) -> Result<(), Failure> {
    let mut asked = signals::listen(&[], LIMIT, || {})?;
    let stage = Stage::new(broker)?;
    let folder = stage.dir.path().display();
    writeln!(out(false), "queueing {TASKS} tasks in {folder}")?;
    for task in 1..=TASKS {
        stage.put(&arguments(task))?;
    }
    let mut tender = stage.tend()?;
    let mut board = Board::new(TASKS, is_terminal());
    let begun = Instant::now();
    let over = loop {
        thread::sleep(LOOK);
        let (tasks, workers) = stage.look()?;
        board.update(&tasks, &workers)?;
        if tasks.iter().filter(|task| is_ended(task)).count() as u64 == TASKS {
            break Ok(());
        }
        if asked.try_recv().is_ok() {
            break Err(Failure::new("was interrupted before all tasks were done"));
        }
        if let Some(status) = tender.process.try_wait()? {
            break Err(Failure::new(format!(
                "the tender ended too early: {status}"
            )));
        }
        if begun.elapsed() > LIMIT {
            break Err(Failure::new(format!(
                "not all tasks were done within {}s",
                LIMIT.as_secs()
            )));
        }
    };
    board.finish();
    tender.end()?;
    let (tasks, workers) = stage.look()?;
    let summary = summary(&tasks, &workers, begun.elapsed());
    out(false).write_all(summary.as_bytes())?;
    over
}

fn is_ended(task: &Task) -> bool {
    task.status.is_ended()
}

/// The temporary folder, and how our own program is run in it.
struct Stage {
    dir: TempDir,
    broker: String,
    tube: String,
}

impl Stage {
    fn new(broker: Option<&BrokerUrl>) -> Result<Stage, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("taskqueue-demo-")
            .tempdir()?;
        fs::write(dir.path().join("taskqueue.toml"), CONFIGURATION)?;
        Ok(Stage {
            dir,
            broker: broker.map_or_else(|| "embedded".into(), BrokerUrl::to_string),
            // A broker that others use must not notice.
            tube: match broker {
                Some(_) => {
                    let uuid = Uuid::now_v7().simple().to_string();
                    // Its end is chance, its beginning the time.
                    format!("demo-{}", uuid.get(24..).unwrap_or(&uuid))
                }
                None => "demo".into(),
            },
        })
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("demo.db")
    }

    /// Our own program with the folder's configuration; nothing of the caller's reaches it.
    fn command(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let mut command = Command::new(program::found(program::name().as_os_str()));
        let of_ours =
            |(name, _): &(OsString, OsString)| name.to_string_lossy().starts_with("TASKQUEUE_");
        for (name, _) in std::env::vars_os().filter(of_ours) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .arg("--config")
            .arg(self.dir.path().join("taskqueue.toml"))
            .arg("--store")
            .arg(self.store())
            .args(["--broker", &self.broker])
            .stdin(Stdio::null());
        Ok(command)
    }

    fn put(&self, arguments: &[&str]) -> Result<(), Failure> {
        let all = [&["put", "--use-tube", &self.tube], arguments].concat();
        let put = self.command(&all)?.stdout(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&put.stderr);
        // A warning is no failure of put's, but the demo would wait for a broker in vain. Its tender begins later.
        let warns = |line: &str| line.contains("taskqueue: warning: ") && !line.contains(UNSERVED);
        if !put.status.success() || said.lines().any(warns) {
            return Err(Failure::new(format!(
                "could not queue a task: {}",
                said.trim()
            )));
        }
        Ok(())
    }

    fn tend(&self) -> Result<Tender, Failure> {
        let arguments = [
            "tender",
            "--use-tube",
            &self.tube,
            "--min-workers",
            "2",
            "--max-workers",
            "4",
            "--log",
            "error",
        ];
        let process = self.command(&arguments)?.spawn()?;
        Ok(Tender { process })
    }

    fn look(&self) -> Result<(Vec<Task>, Vec<Known>), Failure> {
        let Some(db) = connect::existing(&StoreUrl::Sqlite(self.store()))? else {
            return Ok((vec![], vec![]));
        };
        let mut tasks = Vec::new();
        db.list(&Filter::default(), TASKS, |task| {
            tasks.push(task);
            true
        })?;
        tasks.reverse();
        // A list has no output; of the few that failed, people want to see it.
        for task in &mut tasks {
            if task.status == DisplayedStatus::Failed
                && let Some(whole) = db.show(Key::Id(task.id))?
            {
                *task = whole;
            }
        }
        Ok((tasks, db.workers()?))
    }
}

/// The tender's process; it does not outlive this.
struct Tender {
    process: Child,
}

impl Tender {
    /// Lets it drain.
    fn end(&mut self) -> Result<(), Failure> {
        if self.process.try_wait()?.is_none() {
            // It may be gone in this instant.
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
            self.process.wait()?;
        }
        Ok(())
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        // Where something went wrong before; there is nobody left to tell of more.
        let _ = self.end();
    }
}
