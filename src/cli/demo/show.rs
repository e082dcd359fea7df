//! What the demo shows while it runs and when it is over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::out::out;
use crate::harmless::{lines, one_line};
use crate::ledger::read::{DisplayedStatus, Task};
use crate::ledger::worker::Known;
use crate::task::id::TaskId;

/// Shows how far it is: bars on a terminal, else a line for each thing that happens.
pub(super) enum Board {
    Bars(Bars),
    Lines(Told),
}

pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    /// By the worker's name.
    workers: BTreeMap<String, ProgressBar>,
}

/// What the lines have told already.
#[derive(Default)]
pub(super) struct Told {
    workers: Vec<String>,
    ended: Vec<TaskId>,
}

impl Board {
    pub(super) fn new(tasks: u64, terminal: bool) -> Board {
        if !terminal {
            return Board::Lines(Told::default());
        }
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(tasks));
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks  {elapsed}") {
            total.set_style(style);
        }
        Board::Bars(Bars {
            all,
            total,
            workers: BTreeMap::new(),
        })
    }

    /// Fails only when nobody reads on.
    pub(super) fn update(&mut self, tasks: &[Task], workers: &[Known]) -> io::Result<()> {
        match self {
            Board::Bars(bars) => {
                bars.update(tasks, workers);
                Ok(())
            }
            Board::Lines(told) => told.update(tasks, workers),
        }
    }

    pub(super) fn finish(&self) {
        match self {
            Board::Bars(bars) => {
                bars.workers
                    .values()
                    .for_each(ProgressBar::finish_and_clear);
                bars.total.finish();
            }
            Board::Lines(_) => {}
        }
    }
}

impl Bars {
    fn update(&mut self, tasks: &[Task], workers: &[Known]) {
        let ended = tasks.iter().filter(|task| task.finished.is_some()).count();
        self.total.set_position(ended as u64);
        for worker in workers {
            let all = &self.all;
            let bar = self.workers.entry(worker.name.clone()).or_insert_with(|| {
                let bar = all.add(ProgressBar::no_length());
                if let Ok(style) = ProgressStyle::with_template("{msg}") {
                    bar.set_style(style);
                }
                bar
            });
            let running = worker
                .task
                .and_then(|id| tasks.iter().find(|task| task.id == id));
            let what = match running {
                Some(task) => format!("task {} {}", task.id, command(task)),
                None => "idle".into(),
            };
            bar.set_message(format!("{} (pid {})  {what}", worker.name, worker.pid));
        }
    }
}

impl Told {
    fn update(&mut self, tasks: &[Task], workers: &[Known]) -> io::Result<()> {
        let mut out = out(false);
        for worker in workers {
            if !self.workers.contains(&worker.name) {
                writeln!(out, "worker {} (pid {}) started", worker.name, worker.pid)?;
                self.workers.push(worker.name.clone());
            }
        }
        for task in tasks.iter().filter(|task| task.finished.is_some()) {
            if !self.ended.contains(&task.id) {
                writeln!(
                    out,
                    "task {} {} {} by {}",
                    task.id,
                    command(task),
                    task.status,
                    worker(task)
                )?;
                self.ended.push(task.id);
            }
        }
        Ok(())
    }
}

fn command(task: &Task) -> &str {
    task.command.as_deref().unwrap_or("-")
}

/// Who made its newest attempt.
fn worker(task: &Task) -> &str {
    task.attempts
        .last()
        .map_or("nobody", |attempt| attempt.worker.as_str())
}

/// The table at the end, and what the tasks that failed have printed.
pub(super) fn summary(tasks: &[Task], workers: &[Known], took: Duration) -> String {
    let count = |status| tasks.iter().filter(|task| task.status == status).count();
    let (done, failed) = (count(DisplayedStatus::Done), count(DisplayedStatus::Failed));
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["worker", "pid", "done", "failed"]);
    for worker in workers {
        let (well, otherwise) = worker.ended;
        table.add_row([
            worker.name.clone(),
            worker.pid.to_string(),
            well.to_string(),
            otherwise.to_string(),
        ]);
    }
    table.add_row(["all", "", &done.to_string(), &failed.to_string()]);
    let mut text = format!("\n{table}\n\n");
    for task in tasks {
        if task.status == DisplayedStatus::Failed {
            failure(&mut text, task);
        }
    }
    let seconds = took.as_secs_f32();
    let left = tasks.len().saturating_sub(done + failed);
    let more = match left {
        0 => String::new(),
        left => format!(", {left} left over"),
    };
    let _ = writeln!(text, "{done} done, {failed} failed{more}, in {seconds:.1}s");
    text
}

fn failure(text: &mut String, task: &Task) {
    let reason = task.reason.as_deref().unwrap_or("for no reason");
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "task {} ({}) failed: {}; in a store that stays, `taskqueue show {}` says what it printed:",
        task.id,
        command(task),
        one_line(reason),
        task.id
    );
    for kept in task.attempts.iter().filter_map(|a| a.output.as_ref()) {
        for line in lines(&kept.to_text()).lines() {
            let _ = writeln!(text, "  | {line}");
        }
    }
    text.push('\n');
}
