//! The configuration file as it is written: `taskqueue.toml(5)`. Keys that are not here are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::duration::Span;
use super::every::Every;
use super::given::{Limits, Name, Variables};
use super::listed;
use super::most::{MostTime, Often};
use super::size::Bytes;
use super::whole::Whole;
use crate::pool;
use crate::pool::share::{MOST_PLACES, MOST_WEIGHT};
use crate::schedule::spec::{From, Missed, Overlap};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub broker: Option<String>,
    pub store: Option<String>,
    pub grace_period: Option<Span>,
    #[serde(default)]
    pub withhold_environment: Vec<String>,
    #[serde(default)]
    pub retention: Retention,
    #[serde(default)]
    pub events: Events,
    #[serde(default)]
    pub hooks: Hooks,
    #[serde(default)]
    pub defaults: Defaults,
    #[serde(default)]
    pub tubes: BTreeMap<String, Tube>,
    #[serde(default)]
    pub commands: BTreeMap<String, Command>,
    #[serde(default)]
    pub types: BTreeMap<String, Type>,
    #[serde(default)]
    pub schedules: BTreeMap<String, Schedule>,
    #[serde(default)]
    pub limits: BTreeMap<String, Limit>,
    #[serde(default)]
    pub pools: BTreeMap<String, SharedPool>,
}

/// `[pools.NAME]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedPool {
    /// Workers at the most, of all its tubes together.
    pub max: Whole<MOST_PLACES>,
    /// Its tubes, and the weight of each.
    pub tubes: BTreeMap<String, Whole<MOST_WEIGHT>>,
}

/// `[limits.NAME]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// So many attempts run at a time.
    pub concurrency: Option<i64>,
    /// So many begin in a time.
    pub rate: Option<String>,
    /// What those have in common that count together.
    pub by: Option<String>,
    /// Whose tasks it is of concern to, by names and patterns.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Likewise, whatever their commands.
    #[serde(default)]
    pub tubes: Vec<String>,
}

/// `[schedules.NAME]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// An expression of cron.
    pub cron: Option<String>,
    /// By the clock of which zone.
    pub zone: Option<String>,
    /// An interval.
    pub every: Option<Every>,
    /// From where that is counted.
    pub from: Option<From>,
    /// A time, or the first.
    pub at: Option<toml::Value>,
    /// What is done with times that were missed.
    pub missed: Option<Missed>,
    /// How many are made up for.
    pub limit: Option<u32>,
    /// How old they may be.
    pub window: Option<Span>,
    /// What is done with times that come while a task runs.
    pub overlap: Option<Overlap>,
    /// By how much it may be late.
    pub jitter: Option<Span>,
    /// Where its jobs wait.
    pub tube: Option<String>,
    /// What is run.
    pub command: Option<String>,
    /// With these arguments.
    #[serde(default)]
    pub arguments: Vec<toml::Value>,
    /// And options. Where each stands tells their order.
    #[serde(default)]
    pub options: BTreeMap<String, Spanned<toml::Value>>,
    /// Or what the tube's own command gets.
    pub body: Option<String>,
    /// The jobs' priority.
    pub priority: Option<u32>,
    /// Their TTR.
    pub ttr: Option<Span>,
    /// What its tasks are called.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How often they are tried.
    pub max_attempts: Option<Often>,
    /// After what waits.
    pub retry: Option<Vec<Span>>,
    /// How long an attempt may take.
    pub timeout: Option<Span>,
    /// What is in its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// That none is made while another task has its key.
    pub unique: Option<toml::Value>,
}

/// `[events]`
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// None that is older is kept; 0: none is.
    pub keep: Option<Span>,
    /// Nor more than so many.
    pub most: Option<u64>,
}

/// What is run for which events, by their keys.
pub type HookTable = BTreeMap<String, Vec<String>>;

/// `[hooks]`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Hooks {
    /// Where they wait.
    pub tube: Option<String>,
    /// How long each may run.
    pub timeout: Option<Span>,
    /// How often each is tried.
    pub max_attempts: Option<u32>,
    /// Those of tasks with a tag.
    #[serde(default)]
    pub tags: BTreeMap<String, HookTable>,
    /// Those of all tasks.
    #[serde(flatten)]
    pub all: HookTable,
}

/// `[retention]`
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long tasks stay that are done.
    pub done: Option<Span>,
    /// Those that have failed.
    pub failed: Option<Span>,
    /// Those that were called off.
    pub cancelled: Option<Span>,
}

/// `[tubes.NAME]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tube {
    /// Which of the sizes are heeded.
    pub mode: Option<Mode>,
    /// Workers kept at the least.
    pub min_workers: Option<u32>,
    /// Idle workers kept beside the busy ones.
    pub spare_workers: Option<u32>,
    /// Workers at the most.
    pub max_workers: Option<u32>,
    /// Workers that do not count in the pool that the tube shares with others.
    pub outside_max: Option<u32>,
    /// How long a pool must have been too big before it shrinks.
    pub shrink_after: Option<Span>,
    /// A worker older than this is replaced when it is idle.
    pub max_worker_age: Option<Span>,
    /// A worker that printed more bytes than this, with its commands, is replaced when it is idle.
    pub max_worker_buffer: Option<Bytes>,
    /// A worker that finished so many jobs is replaced.
    pub max_worker_jobs: Option<u64>,
    /// A worker that holds so many bytes in memory after a job is replaced.
    pub max_worker_memory: Option<Bytes>,
    /// What is started as a worker, instead of ourselves.
    pub worker_command: Option<Vec<String>>,
    /// How that tells how it stands.
    pub worker_protocol: Option<Protocol>,
    /// The command that gets raw bodies.
    pub command: Option<String>,
    /// The commands that its tasks may ask for, by names and patterns; all, where this is not said.
    pub commands: Option<Vec<String>>,
    /// All bodies are raw, whatever they say.
    #[serde(default)]
    pub raw_only: bool,
    /// Attempts of a task that may be lost, where its command says nothing of it.
    pub max_lost: Option<u32>,
    /// Refused tasks of others that are kept.
    pub max_refused: Option<u64>,
    /// The bytes of their bodies that are kept.
    pub max_refused_bytes: Option<Bytes>,
    /// What is run when something has happened to its tasks.
    #[serde(default)]
    pub hooks: HookTable,
    /// As whom its tasks run, unless their commands say it.
    pub user: Option<Name>,
    /// In which group.
    pub group: Option<Name>,
    /// Where.
    pub directory: Option<PathBuf>,
    /// What becomes of the environment.
    pub environment: Option<Variables>,
    /// What is not named of the environment is left out.
    pub clear_environment: Option<bool>,
    /// In octal digits.
    pub umask: Option<String>,
    /// From -20 to 19.
    pub nice: Option<i32>,
    /// From -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
    /// As much as they may use.
    pub limits: Option<Limits>,
    /// They can gain no rights.
    pub no_new_privileges: Option<bool>,
    /// The time between TERM and KILL.
    pub kill_after: Option<Span>,
}

/// `mode = "…"`: php-fpm's words. What each means stands in the help of `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(
    missing_docs,
    reason = "words that have a text of their own are listed one a line in the short help"
)]
pub enum Mode {
    Dynamic,
    Static,
    Ondemand,
}

impl std::convert::From<Mode> for pool::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Dynamic => Self::Dynamic,
            Mode::Static => Self::Static,
            Mode::Ondemand => Self::Ondemand,
        }
    }
}

/// `worker_protocol = "…"`. What each means stands in the help of `--worker-protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(
    missing_docs,
    reason = "words that have a text of their own are listed one a line in the short help"
)]
pub enum Protocol {
    Lines,
    Tokens,
    None,
    Own,
}

/// `[commands."NAME"]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Where it is missing, the example's is known, and nobody else's.
    #[serde(default)]
    pub run: Vec<String>,
    pub cleanup: Option<Vec<String>>,
    pub before: Option<Vec<String>>,
    pub after: Option<Vec<String>>,
    pub timeout: Option<MostTime>,
    pub max_attempts: Option<Often>,
    pub max_lost: Option<u32>,
    pub max_snoozes: Option<u32>,
    pub backoff: Option<Backoff>,
    pub retry: Option<Vec<Span>>,
    pub retry_jitter: Option<f64>,
    pub retry_on: Option<Vec<String>>,
    pub task_max_attempts: Option<Often>,
    pub task_timeout: Option<MostTime>,
    pub task_environment: Option<Vec<String>>,
    pub stdin: Option<Stdin>,
    #[serde(default)]
    pub dash_arguments: bool,
    pub options: Option<listed::Given>,
    pub on_failure: Option<OnFailure>,
    #[serde(default)]
    pub hooks: HookTable,
    pub user: Option<Name>,
    pub group: Option<Name>,
    pub directory: Option<PathBuf>,
    pub environment: Option<Variables>,
    pub clear_environment: Option<bool>,
    pub umask: Option<String>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    pub limits: Option<Limits>,
    pub no_new_privileges: Option<bool>,
    pub kill_after: Option<Span>,
}

/// `[defaults]`: what holds where no narrower table says otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    pub timeout: Option<MostTime>,
    pub max_attempts: Option<Often>,
    pub max_lost: Option<u32>,
    pub max_snoozes: Option<u32>,
    pub backoff: Option<Backoff>,
    pub retry: Option<Vec<Span>>,
    pub retry_jitter: Option<f64>,
    pub retry_on: Option<Vec<String>>,
    pub task_max_attempts: Option<Often>,
    pub task_timeout: Option<MostTime>,
    pub task_environment: Option<Vec<String>>,
    pub on_failure: Option<OnFailure>,
    pub user: Option<Name>,
    pub group: Option<Name>,
    pub directory: Option<PathBuf>,
    pub environment: Option<Variables>,
    pub clear_environment: Option<bool>,
    pub umask: Option<String>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    pub limits: Option<Limits>,
    pub no_new_privileges: Option<bool>,
    pub kill_after: Option<Span>,
}

/// `backoff = { … }`: a [`GrowingWait`](crate::task::retry::GrowingWait), as far as it is given.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    pub first: Option<Span>,
    pub factor: Option<u32>,
    pub max: Option<Span>,
}

/// `stdin = "…"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    Body,
}

/// `on_failure = "…"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    Delete,
    Bury,
}

/// `[types."NAME"]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    pub command: String,
    /// Fields of the body, in the order of the arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// An option, and where its value is from. Where each stands tells their order.
    #[serde(default)]
    pub options: BTreeMap<String, Spanned<TypeOption>>,
}

/// `NAME = "FIELD"`, `NAME = { field = "FIELD", default = … }`, or `NAME = { value = … }`
#[derive(Debug, Clone, PartialEq)]
pub struct TypeOption {
    /// The field of the body that is its value.
    pub field: Option<String>,
    /// Its value where the body has no such field.
    pub default: Option<toml::Value>,
    /// Its value, whatever the body says.
    pub value: Option<toml::Value>,
}

impl<'de> Deserialize<'de> for TypeOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        /// What may stand in its table.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            field: Option<String>,
            default: Option<toml::Value>,
            value: Option<toml::Value>,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = TypeOption;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a string, which names a field, or a table with field, default or value",
                )
            }

            fn visit_str<E: serde::de::Error>(self, field: &str) -> Result<TypeOption, E> {
                Ok(TypeOption {
                    field: Some(field.into()),
                    default: None,
                    value: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TypeOption, A::Error> {
                let Table {
                    field,
                    default,
                    value,
                } = Table::deserialize(MapAccessDeserializer::new(table))?;
                Ok(TypeOption {
                    field,
                    default,
                    value,
                })
            }
        }

        deserializer.deserialize_any(Either)
    }
}
