//! The flags that every subcommand takes.

use std::fmt;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};

use super::Failure;
use crate::address::{BrokerUrl, StoreUrl};
use crate::config::{Config, Overrides, Written};

/// The variable of `--config`.
pub(super) const CONFIG_VARIABLE: &str = "TASKQUEUE_CONFIG";
/// The variable of `--broker`.
pub(super) const BROKER_VARIABLE: &str = "TASKQUEUE_BROKER";

/// What every subcommand takes, before or after its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Read this configuration
    ///
    /// Where none is named: ./taskqueue.toml, or else /etc/taskqueue/taskqueue.toml, or else none
    #[arg(long, global = true, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub(super) config: Option<PathBuf>,
    /// Where jobs wait, such as beanstalk://127.0.0.1:11300
    ///
    /// Or embedded: in the store itself, without a server
    #[arg(long, global = true, value_name = "URL", env = BROKER_VARIABLE)]
    pub(super) broker: Option<BrokerUrl>,
    /// The database in which tasks are recorded
    ///
    /// A file, also as sqlite:PATH
    #[arg(long, global = true, value_name = "PATH", env = "TASKQUEUE_STORE", value_parser = store_url())]
    pub(super) store: Option<StoreUrl>,
    /// Which events go to stderr: error, warn, info or debug
    ///
    /// Or off, or trace, or a filter, such as taskqueue::worker=debug,info; any other word is refused. Where it is
    /// not given, a tender and a worker tell what they do (info), the others only what goes wrong (warn)
    #[arg(long, global = true, value_name = "FILTER", env = "TASKQUEUE_LOG")]
    pub(super) log: Option<String>,
    #[arg(skip)]
    pub(super) log_from: LogFrom,
    /// How events are written
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "TASKQUEUE_LOG_FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,
    /// Append events to this file instead of stderr
    ///
    /// It is made where there is none, for its owner alone to read. A tender and a worker open it again after USR1
    #[arg(long, global = true, value_name = "PATH", env = "TASKQUEUE_LOG_FILE")]
    pub(super) log_file: Option<PathBuf>,
}

impl Global {
    /// Takes note of what the flags alone do not tell: a variable that is set and empty is as good as none.
    pub(super) fn heed(&mut self, matches: &ArgMatches) {
        if matches.value_source("log") == Some(ValueSource::EnvVariable) {
            self.log_from = LogFrom::Variable;
            self.log = self.log.take().filter(|filter| !filter.is_empty());
        }
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            broker: self.broker.clone(),
            store: self.store.clone(),
        }
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

/// Who said which events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum LogFrom {
    #[default]
    Flag,
    Variable,
}

impl fmt::Display for LogFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFrom::Flag => "--log",
            LogFrom::Variable => "TASKQUEUE_LOG",
        })
    }
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
