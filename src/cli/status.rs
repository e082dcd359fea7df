//! `taskqueue status`

use std::io::Write;
use std::process::ExitCode;
use std::thread;

use clap::Args;

use super::Failure;
use super::global::Global;
use super::out::{out, screen};
use crate::ledger::counts::COUNTED;
use crate::tube::TubeName;

mod frame;
mod full;
mod overview;
mod seen;
mod table;
mod tubes;
mod watch;
mod why;

use seen::{Asked, EVERY, look};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue status
  taskqueue status --watch
  taskqueue status --json | jq '.tenders[].pools[] | {tube, target, reason}'

Of the tasks of a tube that wait, that have failed, and that are cancelled, 100000 each are counted: \
>100000 says that there are more, as does 100001 in JSON. The jobs at the broker are all counted.

Exits with 0 if a tender answers, and with 1 if none does: what the store knows is printed all the same.")]
pub struct Flags {
    /// Only this tube
    #[arg(long, value_name = "TUBE")]
    use_tube: Vec<TubeName>,
    /// Look again every second, until interrupted
    ///
    /// On a terminal it takes the whole screen, shows what there is room for, and marks what has changed; q leaves.
    /// Into a pipe it prints one look after the other
    #[arg(long)]
    watch: bool,
    /// Print a JSON object a look
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, global: &Global) -> Result<ExitCode, Failure> {
    let store = global.store()?;
    // Whatever is wrong with the rest of the configuration, the store can be looked at.
    let config = global.load();
    let limits = config.as_ref().ok().map(|config| {
        let limits = config.commands.limits().iter();
        limits.map(|limit| limit.name.clone()).collect()
    });
    let broker = config.map(|config| config.broker);
    let broker = broker.map_err(|failure| failure.to_string());
    let asked = Asked {
        tubes: flags.use_tube,
        store,
        broker,
        limits,
        most: COUNTED + 1,
    };
    if flags.watch && !flags.json && screen().is_some() {
        // What fits into it are the broker's numbers, and for how long the oldest task is due.
        return watch::watch(Asked { most: 1, ..asked });
    }
    loop {
        let seen = look(&asked)?;
        let mut out = out(flags.json);
        let text = match flags.json {
            true => format!("{}\n", seen.json()),
            false => full::full(&seen),
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
        drop(out);
        if !flags.watch {
            return Ok(seen.exit_code());
        }
        thread::sleep(EVERY);
    }
}
