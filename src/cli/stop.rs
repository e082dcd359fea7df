//! `taskqueue stop`

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::reach::{odd, some_tenders};
use crate::address::StoreUrl;
use crate::config::duration;
use crate::control::{Answer, Request};
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
Waits until the tender and its workers are gone; exits with 1 if they are not in time.")]
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
    let mut asked = Vec::new();
    // All are told before one is waited for.
    for tender in some_tenders(store, &flags.use_tube)? {
        match tender.ask(&Request::Stop { now: flags.now })? {
            (client, Answer::Stopping { within_ms }) => {
                let needs = Duration::from_millis(within_ms).saturating_add(MORE);
                let patience = flags.timeout.unwrap_or(needs);
                asked.push((tender, client, begun.checked_add(patience)));
            }
            (_, other) => return Err(odd(&other)),
        }
    }
    let mut tenders = Vec::new();
    let mut left = Vec::new();
    for (tender, mut client, until) in asked {
        let pid = tender.pid;
        let ended = client.wait_for_end(until);
        tenders.push(json!({ "pid": pid, "host": tender.host, "ended": ended }));
        if !ended {
            left.push(pid.to_string());
        }
    }
    print(&flags, &tenders)?;
    if left.is_empty() {
        return Ok(());
    }
    let waited = begun.elapsed().as_secs();
    Err(Failure::new(format!(
        "the tender, process {}, has not ended within {waited}s; it goes on ending",
        left.join(", ")
    ))
    .next("to end it and its commands at once: taskqueue stop --now"))
}

fn print(flags: &Flags, tenders: &[Value]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if flags.json {
        return writeln!(out, "{}", json!({ "tenders": tenders }));
    }
    for tender in tenders.iter().filter(|tender| tender["ended"] == true) {
        writeln!(out, "the tender, process {}, has ended", tender["pid"])?;
    }
    Ok(())
}
