//! The flags that every subcommand takes.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use super::Failure;
pub(super) use super::environment::{
    BROKER_VARIABLE, CONFIG_VARIABLE, LOG_FILE_VARIABLE, STORE_VARIABLE,
};
use super::log::Filter;
use crate::address::{BrokerUrl, StoreUrl};
use crate::config::{Config, Overrides, Written};

/// The variable of `--log`.
pub(super) const LOG_VARIABLE: &str = "TASKQUEUE_LOG";
/// The variable of `--log-format`.
pub(super) const LOG_FORMAT_VARIABLE: &str = "TASKQUEUE_LOG_FORMAT";
/// The variable of `--grace-period`, which a tender and a worker have.
pub(super) const GRACE_PERIOD_VARIABLE: &str = "TASKQUEUE_GRACE_PERIOD";

/// What every subcommand takes, before or after its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Read this configuration
    ///
    /// Where none is named: ./taskqueue.toml, or else /etc/taskqueue/taskqueue.toml, or else none
    #[arg(long, global = true, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub(super) config: Option<PathBuf>,
    /// Nobody named it.
    #[arg(skip)]
    pub(super) found: bool,
    /// Where jobs wait, such as beanstalk://127.0.0.1:11300
    ///
    /// Or embedded: in the store itself, without a server
    #[arg(long, global = true, value_name = "URL", env = BROKER_VARIABLE)]
    pub(super) broker: Option<BrokerUrl>,
    /// The database in which tasks are recorded
    ///
    /// A file, also as sqlite:PATH
    #[arg(long, global = true, value_name = "PATH", env = STORE_VARIABLE, value_parser = store_url())]
    pub(super) store: Option<StoreUrl>,
    /// Which events go to stderr: error, warn, info or debug
    ///
    /// Or off, or trace, or a filter, such as taskqueue::worker=debug,info; any other word is refused. Where it is
    /// not given, a tender and a worker tell what they do (info), the others only what goes wrong (warn)
    #[arg(long, global = true, value_name = "FILTER", env = LOG_VARIABLE)]
    pub(super) log: Option<Filter>,
    /// Tell more events, twice for still more
    ///
    /// One level more than is usual, or two. Wins over --log
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Tell errors only, twice for nothing
    ///
    /// People are warned of nothing, either. Wins over --log
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) quiet: u8,
    /// How events are written
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = LOG_FORMAT_VARIABLE,
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,
    /// Append events to this file instead of stderr
    ///
    /// It is made where there is none, for its owner alone to read. A tender and a worker open it again after USR1
    #[arg(long, global = true, value_name = "PATH", env = LOG_FILE_VARIABLE)]
    pub(super) log_file: Option<PathBuf>,
}

impl Global {
    /// What wins over the file.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            found: self.found,
            broker: self.broker.clone(),
            store: self.store.clone(),
        }
    }

    /// The level that `-v` and `-q` ask for, if they do.
    pub(super) fn level(&self, daemon: bool) -> Option<&'static str> {
        Some(match (self.verbose, self.quiet, daemon) {
            (0, 0, _) => return None,
            (_, 1, _) => "error",
            (0, _, _) => "off",
            (1, _, false) => "info",
            (1, _, true) | (2, _, false) => "debug",
            (_, _, _) => "trace",
        })
    }

    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.overrides()).map_err(Failure::from)
    }

    /// Goes by what was read before.
    pub(super) fn of(&self, written: Written) -> Result<Config, Failure> {
        Config::of(written, &self.overrides()).map_err(Failure::from)
    }

    /// Where the store is, even if the configuration is wrong.
    pub(super) fn store(&self) -> Result<StoreUrl, Failure> {
        Config::store(&self.overrides()).map_err(Failure::from)
    }
}

/// A path need not be text.
fn store_url() -> impl TypedValueParser<Value = StoreUrl> {
    OsStringValueParser::new().try_map(|text| StoreUrl::read(&text))
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    /// As the flag takes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}
