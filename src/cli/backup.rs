//! `taskqueue backup` and `taskqueue restore`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::out::{is_terminal, out};
use super::reach::tenders;
use super::{Failure, log};
use crate::address::StoreUrl;
use crate::connect::{self, Copied};
use crate::harmless::one_line;

/// Between two words on how far it is.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue backup /backup/tasks.db
  taskqueue backup /backup/tasks.db --replace     (such as by cron)
  taskqueue backup tasks-$(date +%F).db --json

While tenders and workers go on, and without anybody waiting for it. The copy is one file, as the store was when
it began, looked through for damage, for its owner alone. Put it back with: taskqueue restore FILE
A copy of the store's file by cp is none: what was recorded last is in another file beside it.")]
pub struct BackupFlags {
    /// Where the copy is written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Put it in the place of a file that is there
    #[arg(long)]
    replace: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue restore /backup/tasks.db
  taskqueue restore /backup/tasks.db --store /srv/new/tasks.db

The file is looked through for damage first, and stays as it is. What was at the store's place is kept beside it,
with the time in its name. Refused while anybody uses the store, whom it names: taskqueue stop ends tenders.
Tasks recorded since the backup are not in it. Their jobs, if they are still at the broker, are buried, each with a
warning that has its uuid, and never deleted. What had waited or run then waits and runs again.")]
pub struct RestoreFlags {
    /// What taskqueue backup has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn backup(flags: &BackupFlags, store: &StoreUrl) -> Result<(), Failure> {
    let store = store.canonical()?;
    let mut progress = progress();
    let copied = connect::back_up(&store, &flags.file, flags.replace, &mut progress);
    let copied = copied.map_err(|error| match flags.file.exists() && !flags.replace {
        true => Failure::from(error).next("name another file, or say --replace"),
        false => error.into(),
    })?;
    let Some(Copied { bytes, tasks, .. }) = copied else {
        return Err(
            Failure::new(format!("there is no store {store} to back up"))
                .next("name it with --store PATH or TASKQUEUE_STORE"),
        );
    };
    let file = named(&flags.file);
    let mut out = out(flags.json);
    if flags.json {
        let line = json!({ "file": file, "bytes": bytes, "tasks": tasks });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(out, "wrote {file}: {}, {bytes} bytes", counted(tasks))?;
    Ok(())
}

pub fn restore(flags: &RestoreFlags, store: &StoreUrl) -> Result<(), Failure> {
    let store = store.canonical()?;
    if let Some(tender) = tenders(&store, &[])?.first() {
        let (pid, host) = (tender.pid, one_line(&tender.host));
        return Err(Failure::new(format!(
            "the store {store} is in use: a tender, process {pid} on {host}, tends tubes of it"
        ))
        .next("end it first with: taskqueue stop"));
    }
    let Copied { tasks, kept, .. } = connect::restore(&store, &flags.file, &mut progress())?;
    let kept = kept.as_deref().map(named);
    let mut out = out(flags.json);
    if flags.json {
        let line = json!({ "store": store.to_string(), "tasks": tasks, "kept": kept });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(out, "restored {store}: {}", counted(tasks))?;
    if let Some(kept) = kept {
        writeln!(out, "what was there before is {kept}")?;
    }
    Ok(())
}

fn counted(tasks: u64) -> String {
    let noun = if tasks == 1 { "task" } else { "tasks" };
    format!("{tasks} {noun}")
}

fn named(file: &Path) -> String {
    file.display().to_string()
}

/// Tells people now and then how far it is.
fn progress() -> impl FnMut(u64, u64) {
    let mut told = Instant::now();
    move |left, all| {
        if is_terminal() && told.elapsed() >= EVERY {
            told = Instant::now();
            let done = all.saturating_sub(left).saturating_mul(100);
            let percent = done.checked_div(all).unwrap_or(100);
            log::note(format_args!("taskqueue: {percent}% copied"));
        }
    }
}
