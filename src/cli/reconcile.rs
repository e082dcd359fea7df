//! `taskqueue reconcile`

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::configured::{self, block_on, broker};
use super::failure::next_step;
use super::out::out;
use super::worker::{environment, identity};
use super::{Failure, log};
use crate::config::Config;
use crate::connect;
use crate::ledger::{Durability, Store};
use crate::reconcile::{Error, Memory, Passed, Standing, Summary, Trouble, Tubes};
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue reconcile --dry-run
  taskqueue reconcile --use-tube invoices

Recovers tasks whose workers died, and puts jobs that were never put or that the broker has forgotten.
A tender does it at its start and every 30 seconds, a worker without a tender too; by hand it looks for
the job of every task that waits.
One tube's trouble keeps no other from being put right; the exit code is 1 then.
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

pub fn run(flags: Flags, mut config: Config) -> Result<ExitCode, Failure> {
    // Cleanups run as their commands do.
    config.settle()?;
    let mut named = flags.use_tube.iter();
    if let Some(tube) = named.find(|tube| config.foreign_worker(tube).is_some()) {
        return Err(Failure::usage(format!(
            "the tube {tube} is served by another program, its worker_command, for which a task of ours means nothing; \
             nothing was reconciled"
        ))
        .next("let its tasks run elsewhere: taskqueue regenerate --id ID --use-tube ANOTHER"));
    }
    let (done, troubles) = match connect::existing(&config.store)? {
        None => (Summary::default(), Vec::new()),
        Some(_) => reconcile(&flags, &config)?,
    };
    let printed = print(&flags, done);
    for trouble in &troubles {
        log::say(format_args!("taskqueue: {}", failure(trouble)));
    }
    printed?;
    Ok(match troubles.as_slice() {
        [] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What was done in all tubes together, and what was not.
fn reconcile(flags: &Flags, config: &Config) -> Result<(Summary, Vec<Trouble>), Failure> {
    let store = Store::over(configured::ledger(config, Durability::ProcessDeath)?);
    let commands = Arc::clone(&config.commands);
    let environment = environment(config);
    block_on(async {
        let mut broker = broker(config);
        let tubes = match flags.use_tube.as_slice() {
            [] => {
                let mut tubes = store.call(|db| db.tubes_in_use()).await?;
                tubes.retain(|tube| config.foreign_worker(tube).is_none());
                tubes
            }
            named => named.to_vec(),
        };
        let mut standing = Standing::newcomer(identity("reconcile", "", None));
        let mut all = Tubes {
            broker: broker.as_mut(),
            store: &store,
            commands: &commands,
            environment: &environment,
            standing: &mut standing,
            tubes: &tubes,
            dry_run: flags.dry_run,
        };
        let mut memories = vec![Memory::new(true); tubes.len()];
        let Passed { done, troubles } = all.run(&mut memories).await;
        let mut total = Summary::default();
        done.into_iter().for_each(|done| total.add(done));
        Ok((total, troubles))
    })
}

fn failure(trouble: &Trouble) -> Failure {
    let tubes = match trouble.tubes.as_slice() {
        [_] => "the tube",
        _ => "the tubes",
    };
    let (names, error) = (trouble.names(), &trouble.error);
    let what = format!("could not reconcile {tubes} {names}: {error}");
    let next = match error {
        Error::Store(_) => None,
        Error::Broker(error) => next_step(error),
    };
    let failure = Failure::new(what);
    match next {
        Some(next) => failure.next(next),
        None => failure,
    }
}

fn print(flags: &Flags, done: Summary) -> io::Result<()> {
    let Summary {
        lost,
        failed,
        stuck,
        put,
    } = done;
    let mut out = out(flags.json);
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
