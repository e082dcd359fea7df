//! `taskqueue flush`

use std::process::ExitCode;

use clap::Args;

use super::bulk::{Bulk, Deed, HowFlags};
use super::configured::{self, block_on};
use super::{Failure, log};
use crate::api::{Error, Filter, Status, Summary};
use crate::config::Config;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue flush --use-tube mail --dry-run
  taskqueue flush --use-tube mail --yes

Deletes the tasks of a tube that wait, due or not, and then the jobs there that are ready or
delayed, whoever put them. What runs goes on, and what has failed stays, with its buried jobs.
Tasks that are put meanwhile may stay; where only their jobs were deleted, they are put again.")]
pub struct Flags {
    /// The tube
    #[arg(long, value_name = "TUBE")]
    use_tube: TubeName,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Only count the tasks
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

const DEED: Deed = Deed {
    verb: "flush",
    done: "deleted",
    of: &[Status::Waiting],
    only: "only what waits is deleted",
};

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let filter = Filter::default()
        .tube(&flags.use_tube)
        .status(Status::Waiting);
    let how = HowFlags::of(flags.yes, flags.dry_run, flags.json);
    let bulk = Bulk::among(DEED, &how, config, filter)?.asking_anyway();
    let queue = configured::queue(config)?;
    let tube = &flags.use_tube;
    block_on(async {
        let act = async |chosen: &_, hear: &mut dyn FnMut(&_)| -> Result<Summary, Error> {
            let summary = queue.delete_all(chosen, hear).await?;
            match queue.delete_jobs(tube).await {
                Ok(0) => {}
                Ok(1) => log::note(format_args!("1 other job of the tube {tube} was deleted")),
                Ok(jobs) => log::note(format_args!(
                    "{jobs} other jobs of the tube {tube} were deleted"
                )),
                Err(error) => log::warn(format_args!(
                    "{error}; jobs that others put into the tube may still be there"
                )),
            }
            Ok(summary)
        };
        bulk.run(&queue, act).await
    })
}
