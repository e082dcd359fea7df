//! `taskqueue delete`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::bulk::{Bulk, BulkFlags, Deed};
use super::configured::{self, block_on};
use crate::api::{NotDeleted, Status};
use crate::config::Config;
use crate::connect;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue delete 5,6
  taskqueue delete --status waiting --tag customer=4711
  taskqueue delete --status failed --command invoice:send --until 30d --yes

A task goes with its attempts and what they printed. What runs is not deleted.
A task that another producer's job brought goes with that job, or stays where the broker cannot be
asked: the job would become a task again.
The room in the store is used again; taskqueue cleanup gives it back to the disk.")]
pub struct Flags {
    #[command(flatten)]
    bulk: BulkFlags,
}

const DEED: Deed = Deed {
    verb: "delete",
    done: "deleted",
    of: &[
        Status::Waiting,
        Status::Done,
        Status::Failed,
        Status::Cancelled,
    ],
    only: "what runs is not deleted",
};

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let bulk = Bulk::of(DEED, &flags.bulk, config)?;
    if connect::existing(&config.store)?.is_none() {
        return bulk.nothing(|id| NotDeleted::NoSuchTask { id }.into());
    }
    let queue = configured::queue(config)?;
    block_on(async {
        let act = async |chosen: &_, hear: &mut dyn FnMut(&_)| queue.delete_all(chosen, hear).await;
        bulk.run(&queue, act).await
    })
}
