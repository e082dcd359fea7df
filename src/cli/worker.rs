//! `taskqueue worker`

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::configured::{self, block_on, broker};
use super::global::Global;
use super::{Failure, guard, log};
use crate::config::{Config, duration};
use crate::connect;
use crate::grace::WORKER_STUCK;
use crate::guard::Guard;
use crate::ledger::worker::NewWorker;
use crate::ledger::{Durability, Store};
use crate::link;
use crate::process::environment::Environment;
use crate::process::{command, folder, limit};
use crate::reconcile;
use crate::signals::{self, Asked};
use crate::task::command::Command;
use crate::tube::TubeName;
use crate::worker::{self, Configured, Control, OWN_VARIABLES, Settings, Upkeep};

/// What signals may ask of a worker beside its end. That there be more workers, or fewer, asks nothing of it; but it
/// must not be stopped by what was sent to its tender, and to all that is called so.
const HEEDED: [Asked; 4] = [Asked::Reload, Asked::Reopen, Asked::More, Asked::Fewer];

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue worker --use-tube invoices
  taskqueue worker --use-tube mail -- ./send-mail --quietly

With a COMMAND, every body of the tube goes to it on standard input, and no configuration is needed.
TERM, INT or QUIT: takes no more jobs, and gives a running command the grace period.
A second one: ends at once.")]
pub struct Flags {
    /// The tube whose jobs it reserves
    #[arg(long, value_name = "TUBE")]
    use_tube: TubeName,
    /// End after so many jobs, run or refused
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,
    #[arg(
        long,
        value_name = "NAME",
        env = "TASKQUEUE_WORKER_NAME",
        value_parser = NonEmptyStringValueParser::new(),
        help = "What lists and logs call it [default: HOST.PID]",
        long_help = "What lists and logs call it [default: the host's name and the process id]"
    )]
    name: Option<String>,
    /// How long a command may go on after TERM, INT or QUIT
    ///
    /// Seconds, or with a unit; where it is not given, what the configuration says, or 30
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse, env = "TASKQUEUE_GRACE_PERIOD")]
    grace_period: Option<Duration>,
    /// The command that gets every body
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub fn run(flags: Flags, mut config: Config, global: &Global) -> Result<(), Failure> {
    take_every_body(&mut config, &flags.command);
    let grace = flags.grace_period.unwrap_or(config.grace_period);
    let upkeep = Upkeep {
        configure: reader(&config, &flags.command, global),
        reopen: log::reopen,
    };
    folder::remember();
    limit::raise(
        env::var(limit::VARIABLE)
            .ok()
            .and_then(|soft| soft.parse().ok()),
    );
    block_on(async {
        let signals = signals::listen(&HEEDED, WORKER_STUCK, command::kill_current)?;
        let tender = link::Tender::from_env().transpose()?;
        // Open until this process ends: by it the next tender counts us, if ours dies.
        let _slot = link::inherited(link::SLOT_VARIABLE).transpose()?;
        // And by it its guard knows that we live.
        let _guarded = link::inherited(link::GUARD_VARIABLE).transpose()?;
        // Before anything that waits for a store to be there: one that cannot be opened is told at once.
        let store = Store::over(configured::ledger(&config, Durability::ProcessDeath)?);
        let guard = match tender {
            // It has one for all its workers.
            Some(_) => None,
            None => {
                reconcile::sweep(connect::opener(&config.store)).await;
                Some(Guard::post(guard::post(&config, global)?)?)
            }
        };
        let witness: Box<dyn Fn() -> bool + Send + Sync> = match &guard {
            Some(guard) => Box::new(guard.witness()),
            // The tender, which says so itself.
            None => Box::new(|| false),
        };
        let settings = Settings {
            broker: broker(&config),
            store,
            commands: Arc::new(config.commands),
            environment: environment(config.withheld),
            max_jobs: flags.max_jobs,
            identity: identity("", flags.use_tube.as_str(), flags.name),
            control: Control::new(signals, tender, grace, upkeep, witness),
            tube: flags.use_tube,
        };
        worker::run(settings).await?;
        if let Some(guard) = guard {
            guard.dismiss().await;
        }
        Ok(())
    })
}

/// With a command on the command line, every body goes to it.
fn take_every_body(config: &mut Config, argv: &[String]) {
    if let Some(program) = argv.first() {
        let name = Path::new(program)
            .file_name()
            .map_or_else(|| program.clone(), |name| name.to_string_lossy().into());
        let command = Command::new(argv.to_vec());
        config.commands.take_every_body(name, command);
    }
}

/// What reads the configuration again.
fn reader(
    config: &Config,
    argv: &[String],
    global: &Global,
) -> Box<dyn Fn() -> Result<Configured, String> + Send + Sync> {
    let (broker, store) = (config.broker.clone(), config.store.clone());
    let (argv, global) = (argv.to_vec(), global.clone());
    Box::new(move || {
        let mut config = global.load().map_err(|failure| failure.to_string())?;
        if config.broker != broker || config.store != store {
            tracing::warn!("stayed with its broker and store; others take a restart");
        }
        take_every_body(&mut config, &argv);
        Ok(Configured {
            commands: Arc::new(config.commands),
            environment: environment(config.withheld),
        })
    })
}

/// This process, as the store is to know it: by its name, or by what it is, its host and its number.
pub fn identity(what: &str, tube: &str, name: Option<String>) -> NewWorker {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let pid = std::process::id();
    let dot = if what.is_empty() { "" } else { "." };
    NewWorker {
        name: name.unwrap_or_else(|| format!("{what}{dot}{host}.{pid}")),
        tube: tube.into(),
        host,
        pid,
    }
}

/// What all commands find in their environment: ours, less what is withheld, and what each has as its own. A task must
/// not be able to pose as its worker.
fn environment(mut withheld: Vec<String>) -> Environment {
    let ours = [
        link::FD_VARIABLE,
        link::SLOT_VARIABLE,
        link::GUARD_VARIABLE,
        link::NAME_VARIABLE,
        limit::VARIABLE,
    ];
    withheld.extend(ours.into_iter().chain(OWN_VARIABLES).map(String::from));
    Environment::without(&withheld)
}
