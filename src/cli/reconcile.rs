//! `taskqueue reconcile`

use std::io::{self, Write};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::connect::{self, block_on, broker};
use super::worker::identity;
use crate::config::Config;
use crate::ledger::{Durability, Store};
use crate::reconcile::{Error, Memory, Pass, Standing, Summary};
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue reconcile --dry-run
  taskqueue reconcile --use-tube invoices

Recovers tasks whose workers died, and puts jobs that were never put or that the broker has forgotten.
A tender does it at its start and every 30 seconds, a worker without a tender too; by hand it looks for
the job of every task that waits.
Any number may do it at once: nothing is put twice.")]
pub struct Flags {
    /// Only tasks of this tube [default: every tube with tasks that wait or run]
    #[arg(long, value_name = "TUBE")]
    use_tube: Vec<TubeName>,
    /// Only count what there is to do
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<(), Failure> {
    let done = match connect::existing(&config.store)? {
        None => Summary::default(),
        Some(_) => reconcile(&flags, config)?,
    };
    print(&flags, done)?;
    Ok(())
}

fn reconcile(flags: &Flags, config: &Config) -> Result<Summary, Failure> {
    let store = Store::over(connect::ledger(config, Durability::ProcessDeath)?)?;
    let commands = Arc::new(config.commands.clone());
    block_on(async {
        let mut broker = broker(config);
        let tubes = match flags.use_tube.as_slice() {
            [] => store.call(|db| db.tubes_in_use()).await?,
            named => named.to_vec(),
        };
        let mut standing = Standing::newcomer(identity("reconcile", "", None));
        let mut all = Summary::default();
        for tube in &tubes {
            let mut pass = Pass {
                broker: broker.as_mut(),
                store: &store,
                commands: &commands,
                standing: &mut standing,
                tube,
                dry_run: flags.dry_run,
            };
            let done = pass.run(&mut Memory::new(true)).await;
            all.add(done.map_err(|error| match error {
                Error::Store(error) => Failure::from(error),
                Error::Broker(error) => Failure::from(error),
            })?);
        }
        Ok(all)
    })
}

fn print(flags: &Flags, done: Summary) -> io::Result<()> {
    let Summary {
        lost,
        failed,
        stuck,
        put,
    } = done;
    let mut out = io::stdout().lock();
    if flags.json {
        let figures = json!({
            "dry_run": flags.dry_run, "lost": lost, "failed": failed, "stuck": stuck, "put": put,
        });
        return writeln!(out, "{figures}");
    }
    let (recover, puts) = match flags.dry_run {
        true => ("would recover", "would put"),
        false => ("recovered", "put"),
    };
    writeln!(
        out,
        "{recover} {lost} tasks of dead workers, and {puts} {put} jobs"
    )?;
    if failed > 0 {
        writeln!(
            out,
            "{failed} of these tasks failed: their workers died too often"
        )?;
    }
    if stuck > 0 {
        writeln!(
            out,
            "{stuck} were left alone: something that they started could not be ended"
        )?;
    }
    Ok(())
}
