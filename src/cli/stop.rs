//! `taskqueue stop`

use std::env;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::out::out;
use super::reach::{Reached, odd, some_tenders};
use crate::address::StoreUrl;
use crate::config::duration;
use crate::connect;
use crate::control::words::Worker;
use crate::control::{Answer, Request};
use crate::harmless::one_line;
use crate::process::leftover::STORE_VARIABLE;
use crate::process::variables::{TASK_VARIABLE, TUBE_VARIABLE};
use crate::tube::TubeName;

/// How much longer than a tender says it needs it may take, unless told otherwise.
const MORE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue stop
  taskqueue stop --use-tube invoices --now
  taskqueue stop --timeout 1m || taskqueue stop --now

A graceful shutdown: workers drain, that is take no more jobs, and running commands get the
tender's grace period, as with TERM.
Waits until the tender and its workers are gone; exits with 1 if they are not in time.
Within a task it does not wait for the tender of that task, which itself waits for the task.")]
pub struct Flags {
    /// Only the tender of this tube [default: every tender of the store]
    #[arg(long, value_name = "TUBE")]
    use_tube: Vec<TubeName>,
    /// End commands at once
    #[arg(long)]
    now: bool,
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = duration::parse,
        help = "How long to wait",
        long_help = "How long to wait: seconds, or with a unit [default: what the tender needs, and 10 s more]"
    )]
    timeout: Option<Duration>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, store: &StoreUrl) -> Result<(), Failure> {
    let begun = Instant::now();
    let found = some_tenders(store, &flags.use_tube)?;
    let around = tenders_around_us(store, &found);
    let (mut asked, mut tenders) = (Vec::new(), Vec::new());
    let mut failed = Ok(());
    // All are told before one is waited for, and one that cannot be told keeps none from it.
    for tender in found {
        let answer = match tender.ask(&Request::Stop { now: flags.now }) {
            Ok(answer) => answer,
            // It ended by itself meanwhile.
            Err(_) if tender.is_gone(store) => {
                tenders.push(json!({ "pid": tender.pid, "host": tender.host, "ended": true }));
                continue;
            }
            Err(failure) => {
                failed = failed.and(Err(failure));
                continue;
            }
        };
        match answer {
            // It waits for us.
            (_, Answer::Stopping { .. }) if around.contains(&tender) => {
                tenders.push(json!({ "pid": tender.pid, "host": tender.host, "ended": false }));
            }
            (client, Answer::Stopping { within_ms }) => {
                let needs = Duration::from_millis(within_ms).saturating_add(MORE);
                let patience = flags.timeout.unwrap_or(needs);
                asked.push((tender, client, begun.checked_add(patience)));
            }
            (_, other) => failed = failed.and(Err(odd(&other))),
        }
    }
    let within: Vec<Value> = tenders
        .iter()
        .filter(|tender| tender["ended"] == false)
        .cloned()
        .collect();
    let (mut left, mut who) = (Vec::new(), Vec::new());
    for (tender, mut client, until) in asked {
        let pid = tender.pid;
        let ended = client.wait_for_end(until);
        tenders.push(json!({ "pid": pid, "host": tender.host, "ended": ended }));
        if !ended {
            left.push(pid.to_string());
            who.extend(workers_left(&tender));
        }
    }
    print(&flags, &tenders)?;
    for tender in within.iter().filter(|_| !flags.json) {
        let mut out = out(flags.json);
        let pid = &tender["pid"];
        writeln!(
            out,
            "the tender, process {pid}, ends when this task has ended, and was not waited for"
        )?;
    }
    if left.is_empty() {
        return failed;
    }
    let waited = begun.elapsed().as_secs();
    Err(Failure::new(format!(
        "the tender, process {}, has not ended within {waited}s; it goes on ending{}{}",
        left.join(", "),
        if who.is_empty() {
            ""
        } else {
            ", and waits for "
        },
        who.join(", ")
    ))
    .next("to end it and its commands at once: taskqueue stop --now"))
}

/// The most workers that are named.
const NAMED: usize = 20;

/// How long a tender may take to say which workers it has.
const WHICH_WORKERS: Duration = Duration::from_secs(1);

/// Whom a tender still waits for, as far as it says.
fn workers_left(tender: &Reached) -> Vec<String> {
    let named = workers_of(tender).into_iter().map(|worker| {
        let process = worker
            .pid
            .map_or_else(String::new, |pid| format!(", process {pid}"));
        let task = worker
            .task
            .map_or_else(String::new, |task| format!(", with task {task}"));
        format!("the worker {}{process}{task}", one_line(&worker.name))
    });
    named.take(NAMED).collect()
}

fn workers_of(tender: &Reached) -> Vec<Worker> {
    match tender.ask_within(&Request::Status, WHICH_WORKERS) {
        Ok((_, Answer::Status(status))) => {
            let pools = status.pools.into_iter();
            pools.flat_map(|pool| pool.workers).collect()
        }
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The tender of the task that this process is a part of, if it is one of these: that tender ends only when we have
/// ended. Of several that have the task's tube, all but one end; if none of them says that it has the task, it may be
/// any of them.
fn tenders_around_us(store: &StoreUrl, found: &[Reached]) -> Vec<Reached> {
    let tube = tube_around_us(store);
    let of_tube = found.iter().filter(|tender| tender.tends(tube.as_ref()));
    let of_tube: Vec<Reached> = of_tube.cloned().collect();
    if of_tube.len() < 2 {
        return of_tube;
    }
    let task: Option<i64> = env::var(TASK_VARIABLE).ok().and_then(|id| id.parse().ok());
    let has_task = |tender: &&Reached| {
        let mut workers = workers_of(tender).into_iter();
        workers.any(|worker| worker.task.is_some() && worker.task == task)
    };
    match of_tube.iter().find(has_task) {
        Some(tender) => vec![tender.clone()],
        None => of_tube,
    }
}

/// The tube of the task that this process is a part of, if it is one of the store.
fn tube_around_us(store: &StoreUrl) -> Option<TubeName> {
    let (id, tube) = (
        env::var(STORE_VARIABLE).ok()?,
        env::var(TUBE_VARIABLE).ok()?,
    );
    // A store that cannot be opened keeps nobody from ending its tender.
    let ledger = connect::existing(store).ok().flatten()?;
    let is_ours = ledger.id().to_string() == id;
    tube.parse().ok().filter(|_| is_ours)
}

fn print(flags: &Flags, tenders: &[Value]) -> io::Result<()> {
    let mut out = out(flags.json);
    if flags.json {
        return writeln!(out, "{}", json!({ "tenders": tenders }));
    }
    for tender in tenders.iter().filter(|tender| tender["ended"] == true) {
        writeln!(out, "the tender, process {}, has ended", tender["pid"])?;
    }
    Ok(())
}
