//! `taskqueue reload`

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::out::out;
use super::reach::{odd, tending};
use crate::address::StoreUrl;
use crate::control::{Answer, Request};
use crate::harmless::one_line;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue reload
  taskqueue reload --use-tube invoices --json

Tenders read their configuration again, as after HUP, and apply what has changed in it: limits at once and without
a restart of any worker, what may run from the next job on. A configuration that is wrong changes nothing.
The broker, the store and flags stay as they are until a restart.")]
pub struct Flags {
    /// Only the tender of this tube [default: every tender of the store]
    #[arg(long, value_name = "TUBE")]
    use_tube: Vec<TubeName>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, store: &StoreUrl) -> Result<(), Failure> {
    let mut tenders = Vec::new();
    for tender in tending(store, &flags.use_tube)? {
        let (changed, kept) = match tender.ask(&Request::Reload)? {
            (_, Answer::Reloaded { changed, kept }) => (changed, kept),
            (_, other) => return Err(odd(&other)),
        };
        let mut out = out(false);
        let pid = tender.pid;
        if flags.json {
            tenders.push(json!({ "pid": pid, "changed": changed, "kept": kept }));
            continue;
        }
        writeln!(out, "the tender, process {pid}, has read its configuration")?;
        for change in changed {
            writeln!(out, "  {}", one_line(&change))?;
        }
        for change in kept {
            writeln!(out, "  unchanged: {}", one_line(&change))?;
        }
    }
    if flags.json {
        writeln!(out(true), "{}", json!({ "tenders": tenders }))?;
    }
    Ok(())
}
