//! `taskqueue explain`

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::out::out;
use super::print::span;
use super::reach::{odd, tending};
use crate::address::StoreUrl;
use crate::control::{Answer, Request};
use crate::harmless::one_line;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue explain invoices
  taskqueue explain invoices --json | jq '.decisions[-1]'

The last 50 decisions about the size of the tube's pool, the oldest first. The same decision one time
after the other is one.")]
pub struct Flags {
    /// The tube whose pool it is
    #[arg(value_name = "TUBE")]
    tube: TubeName,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, store: &StoreUrl) -> Result<(), Failure> {
    let Flags { tube, json } = flags;
    let request = Request::Explain { tube: tube.clone() };
    for tender in tending(store, std::slice::from_ref(&tube))? {
        let decisions = match tender.ask(&request)? {
            (_, Answer::Explained { decisions }) => decisions,
            (_, other) => return Err(odd(&other)),
        };
        let mut out = out(json);
        if json {
            let object = json!({ "tube": tube, "decisions": decisions });
            writeln!(out, "{object}")?;
            continue;
        }
        writeln!(
            out,
            "{:10} {:10} {:>7} {:>6}  {:10} WHY",
            "FIRST", "LAST", "TIMES", "TARGET", "DECISION"
        )?;
        for one in decisions {
            writeln!(
                out,
                "{:10} {:10} {:>7} {:>6}  {:10} {}",
                format!("{} ago", span(one.age)),
                format!("{} ago", span(one.until)),
                one.times,
                one.target,
                one_line(&one.decision),
                one_line(&one.reason)
            )?;
        }
    }
    Ok(())
}
