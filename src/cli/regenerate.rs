//! `taskqueue regenerate`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::configured::{self, block_on, broker};
use crate::broker::{Broker, JobState};
use crate::clock::now;
use crate::config::Config;
use crate::connect;
use crate::crash::{self, Point};
use crate::ledger::announce::{Again, OldJob};
use crate::ledger::put::NotRegenerated;
use crate::ledger::{Durability, Store};
use crate::reconcile::announce;
use crate::task::id::TaskId;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue regenerate --id 5
  taskqueue regenerate --id 5,6 --use-tube slow

Only failed tasks are regenerated: the same task waits again, keeps its attempts and gets a fresh
budget of them.
One id that cannot be regenerated does not stop the others; the exit code is 1 then.")]
pub struct Flags {
    /// The tasks' ids
    #[arg(long, value_name = "ID[,ID…]", required = true, value_delimiter = ',')]
    id: Vec<i64>,
    /// Put them into this tube from now on
    #[arg(long, value_name = "TUBE")]
    use_tube: Option<TubeName>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let store = match connect::existing(&config.store)? {
        Some(_) => Some(Store::over(configured::ledger(
            config,
            Durability::PowerCut,
        )?)?),
        None => None,
    };
    block_on(async {
        let mut broker = broker(config);
        let mut all_well = true;
        let mut rows = Vec::new();
        for id in flags.id {
            let tube = flags.use_tube.clone();
            let regenerated = match &store {
                Some(store) => {
                    let regenerated = store
                        .call(move |db| db.regenerate(TaskId(id), tube.as_ref(), now()))
                        .await;
                    match regenerated {
                        Ok(regenerated) => regenerated.map_err(|why| why.to_string()),
                        Err(error) if error.is_of_one_row() => Err(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
                None => Err(NotRegenerated::NoSuchTask { id: TaskId(id) }.to_string()),
            };
            match (regenerated, &store) {
                (Ok(again), Some(store)) => {
                    ring(broker.as_mut(), store, &again).await?;
                    rows.push(
                        json!({ "id": id, "uuid": again.uuid.to_string(), "regenerated": true }),
                    );
                }
                (Err(why), _) => {
                    all_well = false;
                    writeln!(io::stderr(), "taskqueue: {why}")?;
                    rows.push(json!({ "id": id, "regenerated": false, "error": why }));
                }
                (Ok(_), None) => {}
            }
        }
        print(&rows, flags.json)?;
        Ok(if all_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

fn print(rows: &[Value], as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        return writeln!(out, "{}", Value::from(rows));
    }
    rows.iter()
        .filter(|row| row["regenerated"] == true)
        .try_for_each(|row| writeln!(out, "task {} was regenerated", row["id"]))
}

/// Removes the task's old job and puts a new one. It is recorded as waiting already: a broker that cannot
/// be reached is no failure.
async fn ring(broker: &mut dyn Broker, store: &Store, again: &Again) -> Result<(), Failure> {
    crash::here(Point::Regenerated);
    if let Some(old) = &again.old_job
        && remove_buried(broker, old).await
    {
        crash::here(Point::OldJobRemoved);
        let id = again.put.task;
        store.call(move |db| db.note_deleted(&[id])).await?;
    }
    if let Err(error) = announce(broker, store, std::slice::from_ref(again)).await {
        writeln!(
            io::stderr(),
            "taskqueue: warning: {error}; task {} is recorded and will be put when the broker is back",
            again.put.task
        )?;
    }
    Ok(())
}

/// A job that stays buried could be kicked and run the task once more. In another instance of the broker
/// the number may be somebody else's job by now, so that one is left alone. True if it was removed.
async fn remove_buried(broker: &mut dyn Broker, old: &OldJob) -> bool {
    let Ok(instance) = broker.instance().await else {
        return false;
    };
    if old.instance.as_deref() != Some(instance.as_str()) {
        return false;
    }
    match broker.stats_job(old.id).await {
        // Somebody may have kicked it in this instant; the claim copes with a job too many.
        Ok(Some(stats)) if stats.state == JobState::Buried => broker.remove(old.id).await.is_ok(),
        _ => false,
    }
}
