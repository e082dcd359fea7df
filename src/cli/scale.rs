//! `taskqueue scale`

use std::io::{self, Write};

use clap::Args;

use super::out::out;
use super::reach::{odd, tending};
use super::{Failure, number};
use crate::address::StoreUrl;
use crate::control::{Answer, Request};
use crate::harmless::one_line;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue scale invoices --max 20
  taskqueue scale invoices --min 4 --spare 2 --max 20

What is not named stays. It holds until the tender ends, or until a reload finds other limits in the configuration.
No worker that runs a command is ended: when there are too many, those that are idle go.")]
pub struct Flags {
    /// The tube whose pool it is
    #[arg(value_name = "TUBE")]
    tube: TubeName,
    /// Workers kept at the least
    #[arg(long, value_name = "N", value_parser = number::small)]
    min: Option<u32>,
    /// Idle workers kept beside the busy ones
    #[arg(long, value_name = "N", value_parser = number::small)]
    spare: Option<u32>,
    /// Workers at the most
    #[arg(long, value_name = "N", value_parser = number::small)]
    max: Option<u32>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, store: &StoreUrl) -> Result<(), Failure> {
    let Flags {
        tube,
        min,
        spare,
        max,
        json,
    } = flags;
    if (min, spare, max) == (None, None, None) {
        return Err(Failure::usage("nothing to change was named")
            .next("name at least one of --min, --spare and --max"));
    }
    let request = Request::Scale {
        tube: tube.clone(),
        min,
        spare,
        max,
    };
    for tender in tending(store, &[tube])? {
        let limits = match tender.ask(&request)? {
            (_, Answer::Scaled(limits)) => limits,
            (_, other) => return Err(odd(&other)),
        };
        let mut out = out(json);
        if json {
            let line = serde_json::to_string(&limits).map_err(io::Error::from)?;
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{}: at least {}, {} spare, at most {}",
                one_line(&limits.tube),
                limits.min,
                limits.spare,
                limits.max
            )?;
        }
    }
    Ok(())
}
