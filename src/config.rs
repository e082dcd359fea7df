//! One validated [`Config`] out of flags, environment and file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, iter};

use crate::address::{BadBrokerUrl, BadStoreUrl, BrokerUrl, StoreUrl};
use crate::clock::now;
use crate::process::folder;
use crate::schedule::spec::Spec;
use crate::task::command::{Command, Commands, Options};
use crate::task::hooks::Keeping;
use crate::task::refused::Keep;
use crate::task::retention::Retention;
use crate::tube::TubeName;

mod argv;
mod attempts;
mod conditions;
pub mod duration;
mod error;
mod every;
mod file;
mod given;
pub mod hooks;
mod limits;
mod lines;
mod listed;
mod most;
pub mod near;
mod pools;
mod producer;
pub mod schedules;
pub mod size;
mod source;
mod types;
mod whole;
mod words;
mod written;

pub use conditions::Levels;
pub use error::Error;
pub use file::{Mode, Protocol, Tube};
pub use lines::line_of;
pub use pools::SharedPool;
pub use producer::EXAMPLE_COMMAND;
pub use written::Written;

use argv::may_be_started;
use error::Wrong;
use file::File;
use given::Given;

/// How long commands may go on once their worker was told to stop, unless configured.
pub const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// What flags and environment say; each wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// That file was found before, where nobody named one, and is believed no more than then.
    pub found: bool,
    /// The broker.
    pub broker: Option<BrokerUrl>,
    /// The store.
    pub store: Option<StoreUrl>,
}

/// Everything that is configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read, if there was one, and what stood in it.
    pub written: Written,
    /// Where jobs wait.
    pub broker: BrokerUrl,
    /// Where tasks are recorded.
    pub store: StoreUrl,
    /// Somebody has named that: else it is the usual place.
    pub is_store_named: bool,
    /// How long commands may go on once their worker was told to stop.
    pub grace_period: Duration,
    /// Environment variables that commands do not get.
    pub withheld: Vec<String>,
    /// How long tasks stay recorded once they have ended.
    pub retention: Retention,
    /// How long events are kept.
    pub events: Keeping,
    /// The tubes that the file names, by tables of their own or in a pool.
    pub tubes: BTreeMap<TubeName, Tube>,
    /// Tubes whose workers together are at most so many.
    pub pools: Vec<SharedPool>,
    /// What may run. As whom, it knows once that is looked up: see [`Config::settle`].
    pub commands: Arc<Commands>,
    /// As whom, where and with what commands run.
    pub levels: Levels,
    /// What makes tasks at given times, by the names.
    pub schedules: Vec<(String, Spec)>,
}

/// What a configuration file says of commands, hooks and limits, for a program that uses the library:
/// [`Queue::configured`](crate::Queue::configured).
///
/// # Errors
/// When the file cannot be read, or is wrong.
pub fn commands(file: &Path) -> Result<Arc<Commands>, Error> {
    let config = Config::load(&Overrides {
        config: Some(file.to_owned()),
        ..Overrides::default()
    })?;
    Ok(config.commands)
}

impl Config {
    /// Whether anything of our environment is kept from commands.
    pub fn withholds(&self) -> bool {
        !self.withheld.is_empty() || self.levels.withhold()
    }

    /// Reads the file that is named, or else the first that exists of `./taskqueue.toml` and
    /// `/etc/taskqueue/taskqueue.toml`; what `overrides` says wins.
    pub fn load(overrides: &Overrides) -> Result<Config, Error> {
        Config::of(read(overrides)?, overrides)
    }

    /// Goes by what was read before; what `overrides` says wins.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn of(written: Written, overrides: &Overrides) -> Result<Config, Error> {
        let at = written.file.clone().unwrap_or_default();
        let file: File = toml::from_str(&written.text).map_err(|e| Error::Syntax {
            path: at.clone(),
            line: e
                .span()
                .and_then(|span| lines::line_at(&written.text, span.start)),
            reason: words::said(e.message(), e.span(), &written.text),
        })?;
        let wrong = |key: String, reason: String| Error::Value {
            path: at.clone(),
            key,
            reason,
        };
        let mut commands = all_commands(&file, &wrong)?;
        let mut tubes = tubes(&file, &mut commands, &wrong)?;
        let pools = pools::pools(&file, &mut tubes, &wrong)?;
        types::types(&file, &mut commands, &wrong)?;
        limits::limits(&file, &mut commands, &wrong)?;
        let levels = levels(&file, &at, &wrong)?;
        let schedules = schedules::schedules(&file, &commands, now(), &wrong)?;
        let retention = retention(file.retention, &wrong)?;
        let events = hooks::keeping(file.events);
        let (telling, of_hooks) = hooks::telling(&file, &wrong)?;
        commands.set_telling(telling, of_hooks);
        let broker = match (&overrides.broker, &file.broker) {
            (Some(broker), _) => broker.clone(),
            (None, Some(text)) => text
                .parse()
                .map_err(|e: BadBrokerUrl| wrong("broker".into(), e.to_string()))?,
            (None, None) => BrokerUrl::default(),
        };
        let store = match (&overrides.store, &file.store) {
            (Some(store), _) => store.clone(),
            // What a file says is meant from where the file is.
            (None, Some(store)) => {
                written_at(&at, store).map_err(|e| wrong("store".into(), e.to_string()))?
            }
            (None, None) => default_store()?,
        };
        let store = canonical(&store)?;
        let is_store_named = overrides.store.is_some() || file.store.is_some();
        Ok(Config {
            written: Written {
                file: written.file.map(|file| folder::named(&file)),
                text: written.text,
            },
            broker,
            store,
            is_store_named,
            grace_period: file.grace_period.map_or(GRACE_PERIOD, |span| span.0),
            withheld: file.withhold_environment,
            retention,
            events,
            tubes,
            pools,
            commands: Arc::new(commands),
            levels,
            schedules,
        })
    }

    /// Has the users and groups looked up that commands run as, which takes whoever is to start some.
    ///
    /// # Errors
    /// The first of what is wrong.
    pub fn settle(&mut self) -> Result<(), Error> {
        match self.unsettled().into_iter().next() {
            None => Ok(()),
            Some((key, reason)) => Err(Error::Value {
                path: self.written.file.clone().unwrap_or_default(),
                key,
                reason,
            }),
        }
    }

    /// The same; all that is wrong, by keys.
    pub fn unsettled(&mut self) -> Vec<(String, String)> {
        self.levels.settle(Arc::make_mut(&mut self.commands))
    }

    /// Where the store is, whatever else is wrong with the file: whoever wants to end a tender must not be kept
    /// from it by a key that is misspelt.
    ///
    /// # Errors
    /// When that cannot be made out.
    pub fn store(overrides: &Overrides) -> Result<StoreUrl, Error> {
        if let Some(store) = &overrides.store {
            return canonical(store);
        }
        // Read once: of a pipe there is nothing more.
        let written = read(overrides)?;
        let error = match Config::of(written.clone(), overrides) {
            Ok(config) => return Ok(config.store),
            Err(error) => error,
        };
        let (Error::Syntax { path, .. } | Error::Value { path, .. }) = &error else {
            return Err(error);
        };
        let table = written.text.parse::<toml::Table>().ok();
        match table.as_ref().map(|table| table.get("store")) {
            Some(None) => canonical(&default_store()?),
            Some(Some(toml::Value::String(store))) => match written_at(path, store) {
                Ok(store) => canonical(&store),
                Err(_) => Err(error),
            },
            Some(Some(_)) | None => Err(error),
        }
    }

    /// What is started as this tube's workers, if that is another program, which knows nothing of our tasks.
    pub fn foreign_worker(&self, tube: &TubeName) -> Option<&[String]> {
        let tube = self.tubes.get(tube)?;
        let is_own = tube.worker_protocol == Some(Protocol::Own);
        tube.worker_command.as_deref().filter(|_| !is_own)
    }
}

/// What stands in the file that is named, or else in the first that exists, whatever is wrong with it.
///
/// # Errors
/// When it cannot be read, and when it is not to be believed.
pub fn read(overrides: &Overrides) -> Result<Written, Error> {
    source::read(overrides.config.as_deref(), overrides.found)
}

/// A store as a file says it: meant from where that file is.
fn written_at(file: &Path, store: &str) -> Result<StoreUrl, BadStoreUrl> {
    let folder = file.parent().unwrap_or(Path::new(""));
    Ok(StoreUrl::read(store.as_ref())?.seen_from(folder))
}

/// By its one name, which everything that is beside it is named after.
fn canonical(store: &StoreUrl) -> Result<StoreUrl, Error> {
    store.canonical().map_err(|source| Error::Store {
        store: store.clone(),
        source,
    })
}

fn default_store() -> Result<StoreUrl, Error> {
    // A unit's own folder; of several, the first.
    let given = env::var_os("STATE_DIRECTORY").unwrap_or_default();
    let given = env::split_paths(&given).next();
    if let Some(state) = given.filter(|folder| folder.is_absolute()) {
        return Ok(state.join("taskqueue.db").into());
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/taskqueue/taskqueue.db").into());
    }
    let absolute = |name: &str| {
        env::var_os(name)
            .filter(|value: &OsString| Path::new(value).is_absolute())
            .map(PathBuf::from)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| {
            // Users of services have / for a home, which is none.
            let home = absolute("HOME").filter(|home| home.parent().is_some());
            home.map(|home| home.join(".local/state"))
        })
        .ok_or(Error::NoStore)?;
    Ok(state.join("taskqueue/taskqueue.db").into())
}

/// How long what has ended stays. Nothing goes at once, for nobody could look at it.
fn retention(given: file::Retention, wrong: &Wrong<'_>) -> Result<Retention, Error> {
    let file::Retention {
        done,
        failed,
        cancelled,
    } = given;
    for (key, span) in [("done", done), ("failed", failed), ("cancelled", cancelled)] {
        if span.is_some_and(|span| span.0.is_zero()) {
            let reason = "must be more than 0; leave it out, and such tasks stay";
            return Err(wrong(format!("retention.{key}"), reason.into()));
        }
    }
    Ok(Retention {
        done: done.map(|span| span.0),
        failed: failed.map(|span| span.0),
        cancelled: cancelled.map(|span| span.0),
    })
}

/// As whom, where and with what commands run, as far as that is judged without asking the machine.
fn levels(file: &File, at: &Path, wrong: &Wrong<'_>) -> Result<Levels, Error> {
    let check = |begin: &str, given: Given| {
        let checked = given.check();
        checked.map_err(|(key, why)| wrong(format!("{begin}.{key}"), why))?;
        Ok(given)
    };
    let mut levels = Levels {
        folder: folder::named(at.parent().unwrap_or(Path::new(""))),
        defaults: check("defaults", given::given!(file.defaults))?,
        ..Levels::default()
    };
    for (name, table) in &file.tubes {
        let given = check(&format!("tubes.\"{name}\""), given::given!(table))?;
        // Its name was judged before.
        levels
            .tubes
            .extend(name.parse().ok().map(|tube| (tube, given)));
    }
    for (pattern, table) in &file.commands {
        let given = check(&format!("commands.\"{pattern}\""), given::given!(table))?;
        levels.commands.insert(pattern.clone(), given);
    }
    Ok(levels)
}

fn all_commands(file: &File, wrong: &Wrong<'_>) -> Result<Commands, Error> {
    let mut commands = Commands::default();
    let defaults = attempts::attempts!(file.defaults);
    let checked = defaults.check();
    checked.map_err(|(key, why)| wrong(format!("defaults.{key}"), why))?;
    commands.set_defaults(attempts::settled(&[&defaults]), defaults.max_lost);
    if producer::has_example(file) {
        let example = producer::example();
        let example = example.map_err(|e| wrong(EXAMPLE_COMMAND.into(), e.to_string()))?;
        commands.add(
            EXAMPLE_COMMAND,
            example.tried(&attempts::settled(&[&defaults])),
        );
    }
    for (pattern, given) in &file.commands {
        let at = |key: &str| format!("commands.\"{pattern}\"{key}");
        if !producer::is_pattern(pattern) {
            return Err(wrong(
                at(""),
                "a command's name has letters, digits, - _ and :, and may end in *".into(),
            ));
        }
        let known = match pattern.as_str() {
            EXAMPLE_COMMAND => commands.find(pattern).map(Arc::clone),
            _ => None,
        };
        let run = match &known {
            Some(example) if given.run.is_empty() => &example.run,
            Some(_) | None => &given.run,
        };
        let cleanup = given.cleanup.as_ref().map(|cleanup| (".cleanup", cleanup));
        let before = given.before.as_ref().map(|before| (".before", before));
        let after = given.after.as_ref().map(|after| (".after", after));
        let others = cleanup.into_iter().chain(before).chain(after);
        for (key, argv) in iter::once((".run", run)).chain(others) {
            may_be_started(argv).map_err(|why| wrong(at(key), why.into()))?;
        }
        let own = attempts::attempts!(given);
        let checked = own.check();
        checked.map_err(|(key, why)| wrong(at(&format!(".{key}")), why))?;
        let mut tried = attempts::settled(&[&own, &defaults]);
        tried.retry.max_lost = given.max_lost;
        let checked = attempts::check(&tried);
        checked.map_err(|(key, why)| wrong(at(&format!(".{key}")), why))?;
        let options = producer::options(given);
        let options = options.map_err(|e| wrong(at(".options"), e.to_string()))?;
        let options = match &known {
            Some(example) if given.options.is_none() => example.options.clone(),
            Some(_) | None => options,
        };
        let run = run.clone();
        commands.add(pattern, command(given, run, options).tried(&tried));
    }
    Ok(commands)
}

fn command(given: &file::Command, run: Vec<String>, options: Options) -> Command {
    Command {
        cleanup: given.cleanup.clone(),
        before: given.before.clone(),
        after: given.after.clone(),
        body_on_stdin: given.stdin == Some(file::Stdin::Body),
        dash_arguments: given.dash_arguments,
        options,
        ..Command::new(run)
    }
}

fn tubes(
    file: &File,
    commands: &mut Commands,
    wrong: &Wrong<'_>,
) -> Result<BTreeMap<TubeName, Tube>, Error> {
    let mut tubes = BTreeMap::new();
    for (name, given) in &file.tubes {
        let at = |key: &str| format!("tubes.\"{name}\"{key}");
        let tube: TubeName = name
            .parse()
            .map_err(|e: crate::tube::BadTubeName| wrong(at(""), e.to_string()))?;
        if let Some(command) = &given.command
            && !commands.take_raw(tube.clone(), command)
        {
            return Err(wrong(
                at(".command"),
                format!(
                    "there is no [commands.\"{command}\"]; add that table, or name one that is there"
                ),
            ));
        }
        producer::limit(&tube, given, commands, wrong)?;
        if given.worker_command.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong(
                at(".worker_command"),
                "no program is named; write one, such as [\"/usr/bin/loop\"]".into(),
            ));
        }
        if let Some(max_lost) = given.max_lost {
            if max_lost == 0 {
                return Err(wrong(
                    at(".max_lost"),
                    "must be at least 1; leave it out for the default".into(),
                ));
            }
            commands.set_max_lost(tube.clone(), max_lost);
        }
        let usual = Keep::default();
        let keep = Keep {
            tasks: given.max_refused.unwrap_or(usual.tasks),
            bytes: given.max_refused_bytes.map_or(usual.bytes, |size| size.0),
        };
        commands.set_keep_refused(tube.clone(), keep);
        tubes.insert(tube, given.clone());
    }
    Ok(tubes)
}

#[cfg(test)]
mod tests;
