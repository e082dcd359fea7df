//! `taskqueue tender`

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::configured::{block_on, broker};
use super::environment::{names, said_by};
use super::global::{GRACE_PERIOD_VARIABLE, Global};
use super::worker::{environment, identity, keep_what_is_withheld, say_who_is_root};
use super::{Failure, began, guard, log, number};
use crate::config::{Config, Mode, Protocol, Tube, duration, hooks};
use crate::connect;
use crate::control::{Refusal, place};
use crate::fd;
use crate::grace::TENDER_STUCK;
use crate::ledger::{self, Durability};
use crate::lifecycle::{MAX_AGE, MAX_OUTPUT, READY_TIMEOUT, Rules, Unready};
use crate::ownership;
use crate::pool::{self, BadLimits, Limits, SHRINK_AFTER};
use crate::process::environment::Environment;
use crate::process::{explain, folder, limit, program};
use crate::reconcile::{self, Scope};
use crate::scheduler::{Scheduler, Written};
use crate::signals::{self, Asked};
use crate::tender::{self, Configuration, PoolSettings, Read, Settings, WorkerCommand};
use crate::tube::TubeName;

mod foreign;
pub mod shared;

use foreign::{Foreign, Size};

/// A pool's limits where nothing else is said.
const MIN_WORKERS: u32 = 2;
const SPARE_WORKERS: u32 = 1;
const MAX_WORKERS: u32 = 5;

/// What signals may ask of a tender beside its end.
const HEEDED: [Asked; 4] = [Asked::Reload, Asked::Reopen, Asked::More, Asked::Fewer];

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue tender --use-tube invoices
  taskqueue tender --use-tube invoices --use-tube mail --min-workers 1 --max-workers 20
  taskqueue tender --use-tube mail --mode ondemand --max-workers 20
  taskqueue tender                        (every tube that the configuration names)

Keeps busy + spare workers, at least min and never more than max, for each tube.
Each worker runs one command at a time: max is the tube's concurrency.
TERM, INT or QUIT: workers take no more jobs, and running commands get the grace period.
A second one: all end at once.

Only one tender at a time tends a tube of a store. Once it is told to end, the next tender can begin,
and counts the workers that still drain against its own max.")]
pub struct Flags {
    /// Tend workers for this tube [default: every configured tube]
    #[arg(long, value_name = "TUBE")]
    use_tube: Vec<TubeName>,
    #[arg(
        long,
        env = "TASKQUEUE_MODE",
        help = "How many there are [default: dynamic]",
        long_help = "How many workers there are: as many as are needed, between the least and the \
                     most (dynamic); always the most (static); none without a job, and up to the most (ondemand). \
                     The least and the spare are heeded only by dynamic [default: dynamic]"
    )]
    mode: Option<Mode>,
    #[arg(
        long,
        value_name = "N",
        value_parser = number::small,
        env = "TASKQUEUE_MIN_WORKERS",
        help = "Workers kept at the least [default: 2]",
        long_help = "Workers kept at the least [default: 2, or the most if that is less]"
    )]
    min_workers: Option<u32>,
    /// Idle workers kept beside the busy ones [default: 1]
    #[arg(long, value_name = "N", value_parser = number::small, env = "TASKQUEUE_SPARE_WORKERS")]
    spare_workers: Option<u32>,
    /// Workers at the most [default: 5]
    #[arg(long, value_name = "N", value_parser = number::small, env = "TASKQUEUE_MAX_WORKERS")]
    max_workers: Option<u32>,
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = duration::parse,
        env = "TASKQUEUE_SHRINK_AFTER",
        help = "Let workers go that were not needed for so long [default: 10]",
        long_help = "Let workers go that were not needed for so long: seconds, or with a unit [default: 10]"
    )]
    shrink_after: Option<Duration>,
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = duration::parse,
        env = "TASKQUEUE_MAX_WORKER_AGE",
        help = "Replace a worker that is older, once it is idle [default: 600]",
        long_help = "Replace a worker that is older, once it is idle: seconds, or with a unit; 0: never [default: 600]"
    )]
    max_worker_age: Option<Duration>,
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = number::bytes,
        env = "TASKQUEUE_MAX_WORKER_BUFFER",
        help = "Replace a worker that printed more [default: 6000000]",
        long_help = "Replace a worker that printed more, its commands included, once it is idle: bytes, or with a \
                     unit, such as 100M; 0: never [default: 6000000]"
    )]
    max_worker_buffer: Option<u64>,
    #[arg(
        long,
        value_name = "N",
        value_parser = number::any,
        env = "TASKQUEUE_MAX_WORKER_JOBS",
        help = "Replace a worker that has finished so many jobs [default: 0]",
        long_help = "Replace a worker that has finished so many jobs; 0: never [default: 0]"
    )]
    max_worker_jobs: Option<u64>,
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = number::bytes,
        env = "TASKQUEUE_MAX_WORKER_MEMORY",
        help = "Replace a worker that holds more memory after a job [default: 0]",
        long_help = "Replace a worker that itself, without its command, holds more memory after a job: bytes, or \
                     with a unit, such as 100M; 0: never [default: 0]"
    )]
    max_worker_memory: Option<u64>,
    #[arg(
        long,
        value_name = "N",
        env = "TASKQUEUE_LIMIT",
        value_parser = number::small_from_1,
        help = "End after so many workers in all",
        long_help = "End, as after TERM, when a worker is missing and so many were started in all, of whatever tube"
    )]
    limit: Option<u32>,
    /// Start this as a worker instead of taskqueue worker
    ///
    /// It is split at spaces, and no shell sees it
    #[arg(long, value_name = "COMMAND", env = "TASKQUEUE_WORKER_COMMAND")]
    worker_command: Option<String>,
    #[arg(
        long,
        value_enum,
        value_name = "PROTOCOL",
        env = "TASKQUEUE_WORKER_PROTOCOL",
        help = "How that reports [default: lines]",
        long_help = "How a --worker-command tells how it stands: with lines, by JSON over the descriptor that \
                     TASKQUEUE_TENDER_FD names; with tokens, by printing the PHP TaskQueue's [[CHILD::READY]] and \
                     [[CHILD::BUSY]]; with none, not at all, as any loop under a supervisor. With own it is taskqueue \
                     worker, started by another program [default: lines, and it is not killed if it never speaks]"
    )]
    worker_protocol: Option<Protocol>,
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = duration::parse,
        env = GRACE_PERIOD_VARIABLE,
        help = "How long commands may go on after TERM [default: 30]",
        long_help = "How long commands may go on after TERM, INT or QUIT: seconds, or with a unit [default: 30]"
    )]
    grace_period: Option<Duration>,
}

pub fn run(flags: Flags, mut config: Config, global: &Global) -> Result<(), Failure> {
    fd::keep_from_those_we_start();
    config.store = config.store.canonical()?;
    let read = read(&flags, &mut config, global)?;
    let first_line = began::tender(&config, &read.pools, read.grace);
    let unnamed = config.levels.unnamed(&read.scope.tubes);
    let store = config.store.clone();
    let (scope, scoped) = watch::channel(read.scope);
    let (schedules, scheduled) = watch::channel(read.schedules);
    let settings = Settings {
        pools: read.pools,
        shared: read.shared,
        store: config.store.beside().to_owned(),
        existing: existing(&config),
        grace: read.grace,
        broker: broker(&config),
        listener: broker(&config),
        limit: flags.limit,
        runtime: place::folders(config.store.beside()),
        guard: Some(guard::post(&config, global)?),
        upkeep: Some(upkeep(scoped.clone(), &config)),
        scheduler: Some(scheduler(scheduled, &config)),
        reconciler: Some(reconciler(scoped, &config)),
        reopen: log::reopen,
        began: Some(Box::new(move || {
            first_line();
            say_who_is_root(unnamed);
        })),
        configuration: Some(Configuration {
            read: reader(flags, config, global.clone()),
            scope,
            schedules,
            accepted: read.accepted,
        }),
    };
    limit::raise(None);
    let ended = block_on(async {
        // A tender that is stuck leaves nothing behind by ending: its workers notice.
        let asked = signals::listen(&HEEDED, TENDER_STUCK, || {})?;
        tender::run(settings, asked).await.map_err(Failure::from)
    });
    // Another one goes on with the store, and folds it when it ends.
    if ended.is_ok() && ownership::tended(store.beside()).is_ok_and(|others| others.is_empty()) {
        connect::fold(&store);
    }
    ended
}

/// The store, for those who open it when they need it, and who tell of what they do.
fn existing(config: &Config) -> ledger::Open {
    let (open, telling) = (
        connect::opener(&config.store),
        Arc::clone(config.commands.telling()),
    );
    Arc::new(move || Ok(open()?.map(|ledger| ledger.telling(&telling))))
}

/// What the tender is to do by the flags and the configuration.
fn read(flags: &Flags, config: &mut Config, global: &Global) -> Result<Read, Failure> {
    config.settle()?;
    keep_what_is_withheld(config);
    let config = &*config;
    let tubes: Vec<TubeName> = match flags.use_tube.as_slice() {
        [] => config.tubes.keys().cloned().collect(),
        named => named.to_vec(),
    };
    let tubes = with_hooks(tubes, config);
    let grace = flags.grace_period.unwrap_or(config.grace_period);
    let has_program = |tube: &TubeName| {
        let file = config.tubes.get(tube);
        file.is_some_and(|file| file.worker_command.is_some())
    };
    if flags.worker_protocol.is_some()
        && flags.worker_command.is_none()
        && !tubes.is_empty()
        && !tubes.iter().any(has_program)
    {
        return Err(Failure::usage(format!(
            "{} is given, and no program that could speak it",
            said_by(PROTOCOL.0, PROTOCOL.1)
        ))
        .next(format!(
            "name the program with --worker-command, or leave {} out",
            said_by(PROTOCOL.0, PROTOCOL.1)
        )));
    }
    let pools = tubes
        .iter()
        .map(|tube| pool(tube.clone(), flags, config, global, grace))
        .collect::<Result<Vec<_>, _>>()?;
    let shared = shared::shared(config, &pools)?;
    let ours = |tube: &TubeName| {
        let file = config.tubes.get(tube).cloned().unwrap_or_default();
        let foreign = match is_added(tube, flags, config) {
            true => None,
            false => foreign(flags, &file),
        };
        foreign.is_none_or(|foreign| !foreign.reads_no_pointers())
    };
    Ok(Read {
        pools,
        shared,
        grace,
        scope: Scope {
            commands: Arc::clone(&config.commands),
            environment: Arc::new(environment(config)),
            tubes: tubes.into_iter().filter(ours).collect(),
            retention: config.retention,
            events: config.events,
        },
        schedules: Written {
            source: config
                .written
                .file
                .as_ref()
                .map(|file| file.display().to_string()),
            schedules: config.schedules.clone(),
            telling: Arc::clone(config.commands.telling()),
        },
        kept: Vec::new(),
        accepted: config.written.seal()?,
    })
}

/// Whether a tube is that of hooks, which nobody has named to the tender: what flags say is not of that.
fn is_added(tube: &TubeName, flags: &Flags, config: &Config) -> bool {
    let hooks = config.commands.telling().hooks.tube.as_ref();
    hooks == Some(tube) && !flags.use_tube.contains(tube)
}

/// These tubes, if there are any, and that of hooks, unless somebody else tends that: whoever has tasks end has hooks
/// run.
fn with_hooks(mut tubes: Vec<TubeName>, config: &Config) -> Vec<TubeName> {
    if tubes.is_empty() {
        return tubes;
    }
    let hooks = config.commands.telling().hooks.tube.as_ref();
    let is_tended = |tube: &TubeName| {
        let tended = ownership::tended(config.store.beside()).unwrap_or_default();
        let mut others = tended
            .into_iter()
            .filter(|of| !of.leaving && !of.is_by_us());
        others.any(|of| of.tube == *tube)
    };
    if let Some(hooks) = hooks.filter(|hooks| !tubes.contains(hooks) && !is_tended(hooks)) {
        tubes.push(hooks.clone());
    }
    tubes
}

/// What reads it all again. What takes a restart stays as it was first.
fn reader(
    flags: Flags,
    first: Config,
    mut global: Global,
) -> Box<dyn FnMut() -> Result<Read, Refusal> + Send> {
    let mut known: Vec<TubeName> = first.tubes.keys().cloned().collect();
    let mut text = first.written.text.clone();
    // That file and no other, by its name: what stands there may be another file by now.
    global.found = global.config.is_none();
    global.config = first.written.file.clone();
    Box::new(move || {
        let mut config = global.load().map_err(refusal)?;
        if let Some(file) = &config.written.file
            && config.written.is_empty_file()
            && !text.trim().is_empty()
        {
            let file = file.display();
            return Err(Refusal::wrong(format!("the configuration {file} is empty")));
        }
        let store = config.store.canonical();
        config.store = store.map_err(|error| error.to_string())?;
        let mut kept = Vec::new();
        if config.broker != first.broker {
            kept.push(format!("the broker {} takes a restart", config.broker));
            config.broker = first.broker.clone();
        }
        if config.store != first.store {
            let store = &config.store;
            kept.push(format!("the store {store} takes a restart"));
            config.store = first.store.clone();
        }
        let tubes: Vec<TubeName> = config.tubes.keys().cloned().collect();
        if !flags.use_tube.is_empty() && tubes != known {
            kept.push("the tubes stay those that --use-tube named".to_owned());
        }
        let read = read(&flags, &mut config, &global).map_err(refusal)?;
        // Where workers are started.
        folder::enter().map_err(|error| error.to_string())?;
        for pool in &read.pools {
            startable(pool)?;
        }
        known = tubes;
        text.clone_from(&config.written.text);
        Ok(Read { kept, ..read })
    })
}

fn refusal(failure: Failure) -> Refusal {
    Refusal {
        reason: failure.to_string(),
        is_wrong: failure.is_usage(),
    }
}

/// Whether workers could be started by what was read. Of our own program there always is one.
pub fn startable(pool: &PoolSettings) -> Result<(), String> {
    let command = &pool.command;
    match command.protocol {
        tender::Protocol::Own => Ok(()),
        tender::Protocol::Lines | tender::Protocol::Tokens | tender::Protocol::None => {
            let (tube, program) = (&pool.tube, command.program.to_string_lossy());
            let found =
                explain::can_be_started(&program, &Environment::without(&[] as &[&str]), None);
            found.map_err(|reason| {
                format!(
                    "the worker command {program} of the tube {tube} cannot be started: {reason}"
                )
            })
        }
    }
}

/// What puts the tubes right, with a session and a connection of its own.
fn reconciler(scope: watch::Receiver<Scope>, config: &Config) -> reconcile::Reconciler {
    let (broker_url, store) = (config.broker.clone(), config.store.clone());
    let beside = config.store.beside().to_owned();
    reconcile::Reconciler {
        broker: broker(config),
        open: Arc::new(move || connect::recording(&broker_url, &store, Durability::ProcessDeath)),
        identity: identity("tender", "", None),
        tended: Arc::new(move || {
            let tended = ownership::tended(&beside).map_err(|error| error.to_string())?;
            // What this one tends it knows. What is just being left nobody will tend.
            let others = tended
                .into_iter()
                .filter(|of| !of.leaving && !of.is_by_us());
            Ok(others.map(|of| of.tube).collect())
        }),
        scope,
    }
}

/// What makes the tasks of schedules, likewise. What it has recorded is acknowledged to nobody, and a power cut that
/// takes it takes as well that the time was decided.
fn scheduler(written: watch::Receiver<Written>, config: &Config) -> Scheduler {
    let (broker_url, store) = (config.broker.clone(), config.store.clone());
    Scheduler {
        broker: broker(config),
        open: Arc::new(move || connect::recording(&broker_url, &store, Durability::ProcessDeath)),
        written,
    }
}

/// What keeps the store in order, likewise.
fn upkeep(scope: watch::Receiver<Scope>, config: &Config) -> reconcile::Upkeep {
    let (broker_url, store) = (config.broker.clone(), config.store.clone());
    let beside = config.store.beside().to_owned();
    reconcile::Upkeep {
        broker: broker(config),
        open: Arc::new(move || connect::recording(&broker_url, &store, Durability::ProcessDeath)),
        turn: Arc::new(move || {
            let turn = ownership::Turn::take(&beside).map_err(|error| error.to_string())?;
            Ok(turn.map(|turn| Box::new(turn) as Box<dyn Send>))
        }),
        scope,
    }
}

/// Flags over the file over defaults.
pub fn pool(
    tube: TubeName,
    flags: &Flags,
    config: &Config,
    global: &Global,
    grace: Duration,
) -> Result<PoolSettings, Failure> {
    let is_of_hooks = is_added(&tube, flags, config);
    let file = match (config.tubes.get(&tube), is_of_hooks) {
        (Some(file), _) => file.clone(),
        (None, true) => hooks::on_demand(),
        (None, false) => Tube::default(),
    };
    let foreign = match is_of_hooks {
        true => Foreign::of(None, None, &file),
        false => foreign(flags, &file),
    };
    if foreign.is_none() && file.worker_protocol.is_some() {
        return Err(Failure::usage(format!(
            "the tube {tube} has a worker_protocol and no worker_command that could speak it"
        ))
        .next("name the program with worker_command, or leave worker_protocol out"));
    }
    let command = foreign.as_ref().map(Foreign::command).transpose()?;
    if foreign.as_ref().is_some_and(Foreign::is_unsaid) {
        let reason = "nobody says how it reports: \"lines\" is tried, but if it says nothing, say \
                      worker_protocol = \"none\"";
        tracing::warn!(%tube, reason, "worker_command without a worker_protocol");
    }
    let size = match is_of_hooks {
        true => size_in_file(&file),
        false => size(flags, &file),
    };
    let reads_no_tasks = foreign.as_ref().is_some_and(Foreign::reads_no_pointers);
    if reads_no_tasks && config.levels.are_in(&tube) {
        return Err(Failure::usage(format!(
            "as whom, where and with what commands run is said for the tube {tube}, whose worker_command runs what it \
             likes; have that program started so, by setpriv or a script"
        )));
    }
    let limits = match &foreign {
        Some(foreign) if foreign.says_nothing() => {
            foreign::check(&tube, size)?;
            pool::Mode::Static.limits(0, 0, size.max)
        }
        Some(_) | None => {
            warn_of_what_is_not_heeded(&tube, size);
            limits(size)
        }
    };
    let limits = limits.map_err(|bad| contradiction(&tube, size, bad))?;
    let shrink_after = flags.shrink_after.or(file.shrink_after.map(|span| span.0));
    Ok(PoolSettings {
        limits: limits.with_shrink_after(shrink_after.unwrap_or(SHRINK_AFTER)),
        rules: Rules {
            kill_after: config.levels.kill_after(&tube).unwrap_or_default(),
            ..rules(flags, &file, foreign.as_ref())
        },
        command: match command {
            Some(command) => command,
            None => own_command(&tube, config, global, grace)?,
        },
        tube,
    })
}

fn foreign(flags: &Flags, file: &Tube) -> Option<Foreign> {
    Foreign::of(flags.worker_command.as_deref(), flags.worker_protocol, file)
}

/// What is said of a pool's size.
fn size(flags: &Flags, file: &Tube) -> Size {
    let in_file = size_in_file(file);
    Size {
        mode: flags.mode.or(in_file.mode),
        min: flags.min_workers.or(in_file.min),
        spare: flags.spare_workers.or(in_file.spare),
        max: flags.max_workers.unwrap_or(in_file.max),
        max_is_unsaid: flags.max_workers.is_none() && in_file.max_is_unsaid,
        jobs: flags.max_worker_jobs.or(in_file.jobs),
    }
}

/// The same as far as the file says it.
fn size_in_file(file: &Tube) -> Size {
    Size {
        mode: file.mode,
        min: file.min_workers,
        spare: file.spare_workers,
        max: file.max_workers.unwrap_or(MAX_WORKERS),
        max_is_unsaid: file.max_workers.is_none(),
        jobs: file.max_worker_jobs,
    }
}

fn limits(size: Size) -> Result<Limits, BadLimits> {
    let max = size.max;
    let min = size.min.unwrap_or(MIN_WORKERS.min(max.max(1)));
    let spare = size.spare.unwrap_or(SPARE_WORKERS);
    let mode = size.mode.map_or_else(Default::default, pool::Mode::from);
    mode.limits(min, spare, max)
}

/// A default that nobody wrote is not to blame.
fn contradiction(tube: &TubeName, size: Size, bad: BadLimits) -> Failure {
    let why = match bad {
        BadLimits::MinAboveMax { min, max } if size.max_is_unsaid => format!(
            "min workers is {min}, and max workers, which nothing sets, is {max} by default; \
             set max workers too, to {min} or more"
        ),
        BadLimits::MinAboveMax { .. } | BadLimits::MaxZero { .. } => bad.to_string(),
    };
    let wrong = Failure::usage(format!("the limits of the tube {tube}: {why}"));
    let sizes = [
        ("min-workers", "TASKQUEUE_MIN_WORKERS"),
        ("max-workers", "TASKQUEUE_MAX_WORKERS"),
        ("spare-workers", "TASKQUEUE_SPARE_WORKERS"),
    ];
    let set = sizes
        .into_iter()
        .filter(|(flag, variable)| names(flag, variable));
    let set: Vec<&str> = set.map(|(_, variable)| variable).collect();
    match set.as_slice() {
        [] => wrong,
        _ => wrong.next(format!("the environment says so by {}", set.join(" and "))),
    }
}

/// The flag and the variable by which a foreign worker's protocol is said.
const PROTOCOL: (&str, &str) = ("worker-protocol", "TASKQUEUE_WORKER_PROTOCOL");

/// Says of which sizes nothing comes, where somebody has set them.
fn warn_of_what_is_not_heeded(tube: &TubeName, size: Size) {
    let mode = match size.mode {
        Some(Mode::Static) => "static",
        Some(Mode::Ondemand) => "ondemand",
        Some(Mode::Dynamic) | None => return,
    };
    for (set, name) in [(size.min, "min_workers"), (size.spare, "spare_workers")] {
        if let Some(value) = set {
            let reason = format!(
                "{name} is {value}, and only mode = \"dynamic\" heeds that: leave it out, or change the mode"
            );
            tracing::warn!(%tube, mode, reason, "size is not heeded");
        }
    }
}

/// When a worker is replaced.
fn rules(flags: &Flags, file: &Tube, foreign: Option<&Foreign>) -> Rules {
    let (max_age, max_output) = match foreign {
        Some(foreign) if foreign.says_nothing() => foreign::NEVER,
        Some(_) | None => (MAX_AGE, MAX_OUTPUT),
    };
    let age = file.max_worker_age.map(|span| span.0);
    Rules {
        max_age: flags.max_worker_age.or(age).unwrap_or(max_age),
        max_output: flags
            .max_worker_buffer
            .or(file.max_worker_buffer.map(|size| size.0))
            .unwrap_or(max_output),
        max_jobs: flags.max_worker_jobs.or(file.max_worker_jobs).unwrap_or(0),
        max_memory: flags
            .max_worker_memory
            .or(file.max_worker_memory.map(|size| size.0))
            .unwrap_or(0),
        unready: foreign.map_or(Unready::Killed(READY_TIMEOUT), Foreign::unready),
        ..Rules::default()
    }
}

/// Ourselves as a worker, with what was worked out here once: `taskqueue worker …`.
fn own_command(
    tube: &TubeName,
    config: &Config,
    global: &Global,
    grace: Duration,
) -> Result<WorkerCommand, Failure> {
    let mut arguments: Vec<OsString> = ["worker", "--use-tube", tube.as_str()]
        .map(OsString::from)
        .to_vec();
    let mut add = |name: &str, value: OsString| arguments.extend([name.into(), value]);
    add("--broker", config.broker.to_string().into());
    add("--store", config.store.written());
    if let Some(file) = &config.written.file {
        add("--config", file.clone().into());
    }
    add("--grace-period", grace.as_secs_f64().to_string().into());
    if let Some(filter) = &global.log {
        add("--log", filter.as_str().into());
    }
    add("--log-format", global.log_format.as_str().into());
    if let Some(path) = &global.log_file {
        add("--log-file", path.into());
    }
    Ok(WorkerCommand {
        program: program::name().into(),
        arguments,
        protocol: tender::Protocol::Own,
    })
}
