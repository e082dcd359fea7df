//! `taskqueue stop`

use std::env;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::out::out;
use super::reach::{Reached, odd, some_tenders, tenders};
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
With --use-tube a tender lets that tube go and goes on with its others, until a reload of a configuration
that names the tube; with none left it ends.
Waits until the tender and its workers are gone; exits with 1 if they are not in time.
Within a task it does not wait for the tender of that task, which itself waits for the task.")]
pub struct Flags {
    /// Let this tube go, and no other [default: every tender of the store ends]
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
    let (mut asked, mut leaving, mut tenders) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = Ok(());
    // All are told before one is waited for, and one that cannot be told keeps none from it.
    for tender in found {
        let answer = match tender.ask(&request(&flags, &tender)) {
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
            (_, Answer::Leaving { within_ms }) => {
                let needs = Duration::from_millis(within_ms).saturating_add(MORE);
                let patience = flags.timeout.unwrap_or(needs);
                let waits =
                    !around.contains(&tender) || !is_named(&flags, tube_around_us(store).as_ref());
                leaving.push((tender, begun.checked_add(patience).filter(|_| waits), waits));
            }
            (_, other) => failed = failed.and(Err(odd(&other))),
        }
    }
    let within: Vec<Value> = tenders
        .iter()
        .filter(|tender| tender["ended"] == false && tender["left"].is_null())
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
    for (tender, until, waits) in leaving {
        let gone = waits && wait_until_left(store, &flags, &tender, until)?;
        let tubes: Vec<&str> = named(&flags, &tender).map(TubeName::as_str).collect();
        let (pid, host) = (tender.pid, &tender.host);
        tenders.push(
            json!({ "pid": pid, "host": host, "ended": false, "left": gone, "tubes": tubes }),
        );
        if waits && !gone {
            failed = failed.and(Err(Failure::new(format!(
                "the tender, process {pid}, has not let go of {} within {}s; it goes on with that",
                tubes.join(", "),
                begun.elapsed().as_secs()
            ))
            .next("to end the commands there at once: the same with --now")));
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

/// What a tender is asked that has more tubes than those that are named: to let these go.
fn request(flags: &Flags, tender: &Reached) -> Request {
    let others = tender
        .tubes
        .iter()
        .any(|tube| !flags.use_tube.contains(tube));
    match others && !flags.use_tube.is_empty() && !tender.leaving {
        true => Request::Leave {
            tubes: named(flags, tender).cloned().collect(),
            now: flags.now,
        },
        false => Request::Stop { now: flags.now },
    }
}

/// Those of its tubes that were named.
fn named<'a>(flags: &'a Flags, tender: &'a Reached) -> impl Iterator<Item = &'a TubeName> {
    let tubes = tender.tubes.iter();
    tubes.filter(|tube| flags.use_tube.contains(tube))
}

fn is_named(flags: &Flags, tube: Option<&TubeName>) -> bool {
    tube.is_some_and(|tube| flags.use_tube.contains(tube))
}

/// Between two looks whether tubes are let go.
const LOOK: Duration = Duration::from_millis(50);

/// Whether the tender has given up the tubes in time.
fn wait_until_left(
    store: &StoreUrl,
    flags: &Flags,
    tender: &Reached,
    until: Option<Instant>,
) -> Result<bool, Failure> {
    loop {
        let found = tenders(store, &flags.use_tube)?;
        let mut found = found.iter().filter(|one| !one.leaving);
        if !found.any(|one| (one.pid, &one.host) == (tender.pid, &tender.host)) {
            return Ok(true);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        thread::sleep(LOOK);
    }
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
    for tender in tenders {
        let Some(tubes) = tender["tubes"].as_array() else {
            continue;
        };
        let tubes: Vec<&str> = tubes.iter().filter_map(Value::as_str).collect();
        let (pid, tubes) = (&tender["pid"], tubes.join(", "));
        match tender["left"] == true {
            true => writeln!(
                out,
                "the tender, process {pid}, has let go of {tubes}, and goes on"
            )?,
            false => writeln!(
                out,
                "the tender, process {pid}, lets go of {tubes}, and goes on"
            )?,
        }
    }
    for tender in tenders.iter().filter(|tender| tender["ended"] == true) {
        writeln!(out, "the tender, process {}, has ended", tender["pid"])?;
    }
    Ok(())
}
