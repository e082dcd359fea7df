//! `taskqueue status`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::out::{is_terminal, out};
use super::print::span;
use super::reach::{odd, tenders};
use crate::address::StoreUrl;
use crate::api::{TaskReport, json as shape};
use crate::connect;
use crate::control::words::{Pool, Status, Worker};
use crate::control::{Answer, Request};
use crate::harmless::one_line;
use crate::ledger::counts::Counts;
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue status
  taskqueue status --watch
  taskqueue status --json | jq '.tenders[].pools[] | {tube, target, reason}'

Exits with 0 if a tender answers, and with 1 if none does: what the store knows is printed all the same.")]
pub struct Flags {
    /// Only this tube
    #[arg(long, value_name = "TUBE")]
    use_tube: Vec<TubeName>,
    /// Look again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print a JSON object a look
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, store: &StoreUrl) -> Result<ExitCode, Failure> {
    loop {
        let seen = look(&flags, store)?;
        let mut out = out(flags.json);
        let text = match flags.json {
            true => format!("{}\n", seen.json()),
            false => seen.text(),
        };
        if flags.watch && !flags.json && is_terminal() {
            out.clear()?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        drop(out);
        if !flags.watch {
            return Ok(match seen.is_up() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            });
        }
        thread::sleep(EVERY);
    }
}

/// Everything there is to know at one moment.
struct Seen {
    store: String,
    tenders: Vec<Status>,
    /// Those that live and could not be asked, and why.
    silent: Vec<(u32, String, String)>,
    counts: BTreeMap<String, Counts>,
    /// What commands that run have said of their tasks.
    reports: Vec<(TaskId, TaskReport)>,
}

fn look(flags: &Flags, store: &StoreUrl) -> Result<Seen, Failure> {
    let named = |tube: &str| {
        let mut named = flags.use_tube.iter();
        flags.use_tube.is_empty() || named.any(|name| name.as_str() == tube)
    };
    let mut seen = Seen {
        store: store.to_string(),
        tenders: Vec::new(),
        silent: Vec::new(),
        counts: BTreeMap::new(),
        reports: Vec::new(),
    };
    for tender in tenders(store, &flags.use_tube)? {
        match tender.ask(&Request::Status) {
            Ok((_, Answer::Status(mut status))) => {
                status.pools.retain(|pool| named(&pool.tube));
                seen.tenders.push(status);
            }
            Ok((_, other)) => return Err(odd(&other)),
            // It has nothing to say any more.
            Err(_) if tender.leaving && tender.is_gone(store) => {}
            Err(failure) => {
                let reason = failure.to_string();
                seen.silent.push((tender.pid, tender.host, reason));
            }
        }
    }
    if let Some(db) = connect::existing(store)? {
        seen.counts = db.counts()?;
        seen.counts.retain(|tube, _| named(tube));
        let pools = seen.tenders.iter().flat_map(|tender| &tender.pools);
        let workers = pools.flat_map(|pool| &pool.workers);
        let tasks: Vec<TaskId> = workers.filter_map(|one| one.task.map(TaskId)).collect();
        seen.reports = db.reports(&tasks)?;
    }
    Ok(seen)
}

impl Seen {
    fn is_up(&self) -> bool {
        !self.tenders.is_empty() && self.silent.is_empty()
    }

    fn json(&self) -> Value {
        let silent = |(pid, host, reason): &(u32, String, String)| -> Value {
            json!({ "pid": pid, "host": host, "reason": reason })
        };
        let counts = self.counts.iter();
        let tasks: Vec<_> = counts
            .map(|(tube, counts)| shape::Counts::of(tube, counts))
            .collect();
        let reports = self.reports.iter();
        let reports: Vec<_> = reports
            .map(|(task, said)| shape::Reported::of(*task, said))
            .collect();
        json!({
            "store": self.store,
            "tenders": self.tenders,
            "silent": self.silent.iter().map(silent).collect::<Vec<_>>(),
            "tasks": tasks,
            "reports": reports,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for tender in &self.tenders {
            tender_text(&mut text, tender);
        }
        for (_, _, reason) in &self.silent {
            text.push_str(&format!("{reason}\n\n"));
        }
        if self.tenders.is_empty() && self.silent.is_empty() {
            text.push_str(&format!("no tender is up for the store {}\n\n", self.store));
        }
        line(
            &mut text,
            TASKS,
            ["TASKS OF", "WAITING", "RUNNING", "STALLED", "FAILED"],
        );
        for (tube, counts) in &self.counts {
            let numbers = [
                counts.waiting,
                counts.running,
                counts.stalled,
                counts.failed,
            ];
            let [waiting, running, stalled, failed] = numbers.map(|n| n.to_string());
            line(
                &mut text,
                TASKS,
                [tube, &waiting, &running, &stalled, &failed],
            );
        }
        text
    }
}

/// The width of each column; the last one is as wide as it is.
const TASKS: [usize; 5] = [24, 9, 9, 9, 0];
const POOL: [usize; 8] = [24, 10, 8, 8, 6, 6, 6, 0];
const WORKER: [usize; 8] = [24, 9, 10, 8, 8, 8, 9, 0];

fn line<const N: usize>(text: &mut String, widths: [usize; N], words: [&str; N]) {
    let mut row = String::new();
    for (word, width) in words.iter().zip(widths) {
        row.push_str(&format!("{:<width$}", one_line(word)));
        row.push(' ');
    }
    text.push_str(row.trim_end());
    text.push('\n');
}

fn tender_text(text: &mut String, tender: &Status) {
    let Status {
        pid,
        host,
        version,
        age,
        pools,
    } = tender;
    let (up, host, version) = (span(*age), one_line(host), one_line(version));
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "tender, process {pid} on {host}, version {version}, up {up}\n"
    );
    let heads = [
        "POOL",
        "STATE",
        "SIZE",
        "TARGET",
        "BUSY",
        "IDLE",
        "READY",
        "LAST DECISION",
    ];
    line(text, POOL, heads);
    pools.iter().for_each(|pool| pool_text(text, pool));
    text.push('\n');
    let heads = [
        "WORKER", "PID", "STATE", "AGE", "TASK", "JOBS", "MEMORY", "",
    ];
    line(text, WORKER, heads);
    let workers = pools.iter().flat_map(|pool| &pool.workers);
    workers.for_each(|worker| worker_text(text, worker));
    text.push('\n');
}

fn pool_text(text: &mut String, pool: &Pool) {
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let ready = match pool.paused {
        true => "paused".to_owned(),
        false => number(pool.ready),
    };
    let mut why = match (&pool.decision, &pool.reason) {
        (Some(decision), Some(reason)) => format!("{decision}: {reason}"),
        (_, _) => "-".to_owned(),
    };
    let mut add = |more: String| {
        why.push_str("; ");
        why.push_str(&more);
    };
    match pool.census.before {
        Some(0) => {}
        Some(n) => add(format!("{n} left draining by an earlier tender")),
        None => add("those left by an earlier tender cannot be counted".to_owned()),
    }
    let alive = pool.workers.iter().filter(|w| w.state == "alive").count();
    if alive > 0 {
        add(format!("{alive} do not say whether they work"));
    }
    if pool.census.troubled > 0 {
        add(format!("{} in trouble", pool.census.troubled));
    }
    if let Some(lack) = &pool.lack {
        add(format!("cannot start a worker: {lack}"));
    }
    if let Some(back_off) = &pool.back_off {
        add(back_off.clone());
    }
    if pool.restarts > 0 {
        add(format!("{} died of {}", pool.restarts, pool.started));
    }
    line(
        text,
        POOL,
        [
            &pool.tube,
            &pool.state,
            &format!("{}..{}+{}", pool.min, pool.max, pool.spare),
            &number(pool.target.map(u64::from)),
            &pool.census.busy.to_string(),
            &pool.census.idle.to_string(),
            &ready,
            &why,
        ],
    );
}

fn worker_text(text: &mut String, worker: &Worker) {
    let dash = || "-".to_owned();
    let trouble = match (worker.troubled, &worker.trouble, &worker.reason) {
        (true, Some(trouble), _) => Some(format!("in trouble: {trouble}")),
        (true, None, _) => Some("in trouble".to_owned()),
        (false, _, reason) => reason.clone(),
    };
    let both = [trouble, worker.notice.clone()];
    let remarks: Vec<String> = both.into_iter().flatten().collect();
    line(
        text,
        WORKER,
        [
            &worker.name,
            &worker.pid.map_or_else(dash, |pid| pid.to_string()),
            &worker.state,
            &span(worker.age),
            &worker.task.map_or_else(dash, |task| task.to_string()),
            &worker.jobs.to_string(),
            &worker.memory.map_or_else(dash, bytes),
            &remarks.join("; "),
        ],
    );
}

fn bytes(n: u64) -> String {
    const KIB: u64 = 1024;
    match n {
        0..KIB => format!("{n} B"),
        n if n < 10 * KIB * KIB => format!("{} KiB", n / KIB),
        n => format!("{} MiB", n / KIB / KIB),
    }
}
