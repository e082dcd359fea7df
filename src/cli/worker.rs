//! `taskqueue worker`

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::configured::{self, block_on, broker};
use super::global::{
    BROKER_VARIABLE, CONFIG_VARIABLE, GRACE_PERIOD_VARIABLE, Global, STORE_VARIABLE,
};
use super::{Failure, began, guard, log, number};
use crate::config::{Config, Written, duration};
use crate::connect;
use crate::fd;
use crate::grace::WORKER_STUCK;
use crate::guard::Guard;
use crate::ledger::worker::NewWorker;
use crate::ledger::{Durability, Store};
use crate::link;
use crate::ownership;
use crate::process::environment::Environment;
use crate::process::variables::OWN_VARIABLES;
use crate::process::{command, folder, limit};
use crate::reconcile;
use crate::signals::{self, Asked};
use crate::task::command::Command;
use crate::tube::TubeName;
use crate::worker::{self, Configure, Configured, Control, Reload, Settings, Upkeep};

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
    #[arg(long, value_name = "N", value_parser = number::from_1)]
    max_jobs: Option<u64>,
    #[arg(
        long,
        value_name = "NAME",
        env = link::NAME_VARIABLE,
        value_parser = NonEmptyStringValueParser::new(),
        help = "What lists and logs call it [default: HOST.PID]",
        long_help = "What lists and logs call it [default: the host's name and the process id]"
    )]
    name: Option<String>,
    /// How long a command may go on after TERM, INT or QUIT
    ///
    /// Seconds, or with a unit; where it is not given, what the configuration says, or 30
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse, env = GRACE_PERIOD_VARIABLE)]
    grace_period: Option<Duration>,
    /// The command that gets every body
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The configuration: what its tender has accepted, or else what the file says.
fn load(global: &Global) -> Result<(Config, Source), Failure> {
    match link::inherited(link::CONFIGURATION_VARIABLE).transpose()? {
        Some(sealed) => {
            let accepted = Written::unseal(sealed);
            let accepted = accepted.map_err(|error| {
                Failure::new(format!("cannot read what the tender has accepted: {error}"))
            })?;
            Ok((global.of(accepted)?, Source::Tender))
        }
        None => Ok((global.load()?, Source::File)),
    }
}

/// Where a worker has its configuration from, and will have the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Tender,
    File,
}

pub fn run(flags: Flags, global: &Global) -> Result<(), Failure> {
    let identity = identity("", flags.use_tube.as_str(), flags.name);
    log::is_worker(&identity.name);
    let (mut config, source) = load(global)?;
    config.store = config.store.canonical()?;
    config.settle()?;
    keep_what_is_withheld(&config);
    take_every_body(&mut config, &flags.command);
    let unnamed = match flags.command.as_slice() {
        [] => config.levels.unnamed(std::slice::from_ref(&flags.use_tube)),
        _ => usize::from(!config.levels.is_named(&flags.use_tube)),
    };
    let grace = flags.grace_period.unwrap_or(config.grace_period);
    let upkeep = Upkeep {
        configure: reader(&config, source, &flags.command, global),
        reopen: log::reopen,
    };
    limit::raise(
        env::var(limit::VARIABLE)
            .ok()
            .and_then(|soft| soft.parse().ok()),
    );
    let store_url = config.store.clone();
    let is_alone = block_on(async {
        let signals = signals::listen(&HEEDED, WORKER_STUCK, command::kill_current)?;
        let tender = link::Tender::from_env().transpose()?;
        if tender.is_none() {
            began::worker(&config, &flags.use_tube, &identity.name);
        }
        match source {
            Source::Tender => {}
            Source::File => say_who_is_root(unnamed),
        }
        // Open until this process ends: by it the next tender counts us, if ours dies.
        let _slot = link::inherited(link::SLOT_VARIABLE).transpose()?;
        // And by it its guard knows that we live.
        let _guarded = link::inherited(link::GUARD_VARIABLE).transpose()?;
        fd::keep_from_those_we_start();
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
            environment: environment(&config),
            commands: config.commands,
            max_jobs: flags.max_jobs,
            identity,
            is_awaited: match &guard {
                Some(guard) => Box::new(guard.is()),
                None => Box::new(|_| false),
            },
            control: Control::new(signals, tender, grace, upkeep, witness),
            tube: flags.use_tube,
        };
        worker::run(settings).await?;
        let is_alone = guard.is_some();
        if let Some(guard) = guard {
            guard.dismiss().await;
        }
        Ok(is_alone)
    })?;
    // Else its tender does.
    let tended = || ownership::tended(store_url.beside());
    if is_alone && tended().is_ok_and(|tenders| tenders.is_empty()) {
        connect::fold(&store_url);
    }
    Ok(())
}

/// With a command on the command line, every body goes to it.
fn take_every_body(config: &mut Config, argv: &[String]) {
    if let Some(program) = argv.first() {
        let name = Path::new(program)
            .file_name()
            .map_or_else(|| program.clone(), |name| name.to_string_lossy().into());
        let command = Command::new(argv.to_vec());
        Arc::make_mut(&mut config.commands).take_every_body(name, command);
    }
}

/// What a worker answers that was to get a configuration and got none.
const NOT_ARRIVED: &str = "what the tender has accepted did not come with the order: the worker may have no descriptor \
                           left, and goes by it after the next reload";

/// What reads the configuration again.
fn reader(config: &Config, source: Source, argv: &[String], global: &Global) -> Configure {
    let (broker, store) = (config.broker.clone(), config.store.clone());
    let (argv, mut global) = (argv.to_vec(), global.clone());
    global.found = global.config.is_none();
    global.config = config.written.file.clone();
    Box::new(move |reload| {
        let read = match (reload, source) {
            (Reload::Tender(Some(sealed)), Source::Tender | Source::File) => {
                let accepted = Written::unseal(sealed).map_err(|error| error.to_string())?;
                global.of(accepted)
            }
            (Reload::Tender(None), Source::Tender) => return Err(NOT_ARRIVED.to_owned()),
            (Reload::Signal, Source::Tender) => return Ok(None),
            (Reload::Signal | Reload::Tender(None), Source::File) => global.load(),
        };
        let mut config = read.map_err(|failure| failure.to_string())?;
        let named = config
            .store
            .canonical()
            .map_err(|error| error.to_string())?;
        if (&config.broker, &named) != (&broker, &store) {
            tracing::warn!("stayed with its broker and store; others take a restart");
        }
        config.broker = broker.clone();
        config.store = store.clone();
        if let Err(error) = folder::enter() {
            tracing::warn!(%error, "stayed in the folder that it was started in");
        }
        if let Err(error) = config.settle() {
            return Err(Failure::from(error).to_string());
        }
        keep_what_is_withheld(&config);
        take_every_body(&mut config, &argv);
        Ok(Some(Configured {
            environment: environment(&config),
            commands: config.commands,
        }))
    })
}

/// Where something is withheld from commands, they must not find it in the environment of the process that started
/// them either: none of the same user may look into ours from now on (prctl(2), "PR_SET_DUMPABLE").
pub fn keep_what_is_withheld(config: &Config) {
    if config.withholds()
        && let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "commands of this user can read the environment that is withheld from them");
    }
}

/// Says of so many commands that they run as root, without anybody having said so.
pub fn say_who_is_root(commands: usize) {
    if commands > 0 && rustix::process::geteuid().is_root() {
        tracing::warn!(
            commands,
            "commands run as root, since nothing names their user; write user = \"NAME\" into [defaults], or into the \
             table of a tube or a command, or user = \"root\" where that is meant"
        );
    }
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
/// not be able to pose as its worker. What a task puts goes where its worker looks.
pub fn environment(config: &Config) -> Environment {
    let file = config.written.file.clone();
    let told = [
        (CONFIG_VARIABLE, file.map(OsString::from)),
        (BROKER_VARIABLE, Some(config.broker.to_string().into())),
        (STORE_VARIABLE, Some(config.store.written())),
    ];
    let ours = [
        link::FD_VARIABLE,
        link::SLOT_VARIABLE,
        link::GUARD_VARIABLE,
        link::CONFIGURATION_VARIABLE,
        link::NAME_VARIABLE,
        limit::VARIABLE,
    ];
    let withheld = config.withheld.iter().map(String::as_str);
    let names = told.iter().map(|(name, _)| *name);
    let left_out: Vec<&str> = withheld
        .chain(ours)
        .chain(OWN_VARIABLES)
        .chain(names)
        .collect();
    let mut environment = Environment::without(&left_out);
    for (name, value) in told {
        if let Some(value) = value
            && !config.withheld.iter().any(|withheld| withheld == name)
        {
            environment = environment.with(name, value);
        }
    }
    environment
}
