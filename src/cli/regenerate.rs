//! `taskqueue regenerate`

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::bulk::{Bulk, BulkFlags, Deed};
use super::configured::{self, block_on};
use super::number;
use crate::api::{Filter, NotRegenerated, Queue, Status};
use crate::config::Config;
use crate::connect;
use crate::task::id::TaskId;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue regenerate 5,6
  taskqueue regenerate --status failed --command invoice:send --since 2h
  taskqueue regenerate --status failed --reason 'Connection refused' --yes
  taskqueue list --use-tube mail --status failed --json | jq '.[].id' | taskqueue regenerate -
  taskqueue regenerate --id 5,6 --use-tube slow

Only tasks that failed or were cancelled are regenerated (requeued): the same task waits again, keeps its
attempts and gets a fresh budget of them.
Whatever it waited for (put --after): it runs at once. Tasks that were cancelled since it failed, or was
cancelled, wait for it again.
One that cannot be regenerated does not stop the others; the exit code is 1 then.
Where tasks are meant that are not all named by their numbers, or more than 1000 of these, it
says first how many; on a terminal it asks, and elsewhere it wants --yes.
Beside --id, the flag --use-tube says where the tasks are put; beside anything else, which are meant.")]
pub struct Flags {
    /// The tasks' ids
    #[arg(
        long,
        value_name = "ID[,ID…]",
        value_delimiter = ',',
        value_parser = number::task,
        conflicts_with_all = ["ids", "status", "command", "tag", "since", "until", "reason", "all"]
    )]
    id: Vec<TaskId>,
    /// Put them into this tube from now on
    #[arg(long, value_name = "TUBE")]
    to_tube: Option<TubeName>,
    #[command(flatten)]
    bulk: BulkFlags,
}

const DEED: Deed = Deed {
    verb: "regenerate",
    done: "regenerated",
    of: &[Status::Failed, Status::Cancelled],
    only: "only tasks that failed or were cancelled are regenerated",
};

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let (bulk, tube) = match flags.id.as_slice() {
        [] => (Bulk::of(DEED, &flags.bulk, config)?, flags.to_tube.clone()),
        ids => {
            let filter = Filter::default().ids(ids.iter().copied());
            let named = &flags.bulk.filter.which.use_tube;
            if named.is_some() && flags.to_tube.is_some() {
                return Err(Failure::usage(
                    "--use-tube and --to-tube exclude each other beside --id: both say where the tasks are put",
                )
                .next("leave out --use-tube"));
            }
            let tube = flags.to_tube.clone().or_else(|| named.clone());
            (Bulk::among(DEED, &flags.bulk.how, config, filter)?, tube)
        }
    };
    if connect::existing(&config.store)?.is_none() {
        return bulk.nothing(|id| NotRegenerated::NoSuchTask { id }.into());
    }
    let queue = configured::queue(config)?;
    block_on(async {
        refuse_foreign(&bulk, tube.as_ref(), &queue).await?;
        let act = async |chosen: &_, hear: &mut dyn FnMut(&_)| {
            queue.regenerate_all(chosen, tube.as_ref(), hear).await
        };
        bulk.run(&queue, act).await
    })
}

/// Refuses all of it if one would get into a tube whose workers know nothing of tasks.
async fn refuse_foreign(
    bulk: &Bulk<'_>,
    into: Option<&TubeName>,
    queue: &Queue,
) -> Result<(), Failure> {
    let refused = |tube: &TubeName, what: String| {
        let reason = format!(
            "{what} the tube {tube}, which is served by another program, its worker_command, for which a task of ours \
             means nothing; nothing was regenerated"
        );
        let next = "name a tube that taskqueue worker serves: --to-tube TUBE";
        Err(Failure::usage(reason).next(next))
    };
    let is_foreign = |tube: &&TubeName| bulk.config.foreign_worker(tube).is_some();
    if let Some(tube) = into {
        return match is_foreign(&tube) {
            true => refused(tube, "--to-tube names".to_owned()),
            false => Ok(()),
        };
    }
    let named = bulk.filter.tube.as_deref();
    let tubes = bulk.config.tubes.keys().filter(is_foreign);
    for tube in tubes.filter(|tube| named.is_none_or(|named| named == tube.as_str())) {
        let found = queue.list(&bulk.filter.clone().tube(tube), None, 1).await?;
        if let Some(task) = found.tasks.first() {
            return refused(tube, format!("the task {} is of", task.id));
        }
    }
    Ok(())
}
