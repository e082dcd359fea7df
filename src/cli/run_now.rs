//! `taskqueue run-now`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::bulk::{Bulk, BulkFlags, Deed};
use super::configured::{self, block_on};
use crate::api::{NotEdited, Status};
use crate::config::Config;
use crate::connect;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue run-now 5
  taskqueue run-now --command report --yes

A task that waits is due now, whatever it waits for: its delay, its next attempt, or other tasks. It
gets a new job, and runs as soon as a worker is free. What has failed is regenerated instead.")]
pub struct Flags {
    #[command(flatten)]
    bulk: BulkFlags,
}

const DEED: Deed = Deed {
    verb: "run-now",
    done: "made due",
    of: &[Status::Waiting],
    only: "only what waits can be due now",
};

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let bulk = Bulk::of(DEED, &flags.bulk, config)?;
    if connect::existing(&config.store)?.is_none() {
        return bulk.nothing(|id| NotEdited::NoSuchTask { id }.into());
    }
    let queue = configured::queue(config)?;
    block_on(async {
        let act =
            async |chosen: &_, hear: &mut dyn FnMut(&_)| queue.run_all_now(chosen, hear).await;
        bulk.run(&queue, act).await
    })
}
