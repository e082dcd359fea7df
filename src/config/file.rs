//! The configuration file as it is written: `taskqueue.toml(5)`. Keys that are not here are refused.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Deserialize;
use toml::Spanned;

use super::duration::Span;
use crate::pool;

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
    pub tubes: BTreeMap<String, Tube>,
    #[serde(default)]
    pub commands: BTreeMap<String, Command>,
    #[serde(default)]
    pub types: BTreeMap<String, Type>,
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
    /// How long a pool must have been too big before it shrinks.
    pub shrink_after: Option<Span>,
    /// A worker older than this is replaced when it is idle.
    pub max_worker_age: Option<Span>,
    /// A worker that printed more bytes than this, with its commands, is replaced when it is idle.
    pub max_worker_buffer: Option<u64>,
    /// A worker that finished so many jobs is replaced.
    pub max_worker_jobs: Option<u64>,
    /// A worker that holds so many bytes in memory after a job is replaced.
    pub max_worker_memory: Option<u64>,
    /// What is started as a worker, instead of ourselves.
    pub worker_command: Option<Vec<String>>,
    /// How that tells how it stands.
    pub worker_protocol: Option<Protocol>,
    /// The command that gets raw bodies.
    pub command: Option<String>,
    /// Attempts of a task that may be lost, where its command says nothing of it.
    pub max_lost: Option<u32>,
    /// Refused tasks of others that are kept.
    pub max_refused: Option<u64>,
    /// The bytes of their bodies that are kept.
    pub max_refused_bytes: Option<u64>,
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

impl From<Mode> for pool::Mode {
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
    pub run: Vec<String>,
    pub cleanup: Option<Vec<String>>,
    pub timeout: Option<Span>,
    pub max_attempts: Option<u32>,
    pub max_lost: Option<u32>,
    pub backoff: Option<Backoff>,
    pub stdin: Option<Stdin>,
    #[serde(default)]
    pub dash_arguments: bool,
    pub on_failure: Option<OnFailure>,
}

/// `backoff = { … }`: a [`GrowingWait`](crate::task::retry::GrowingWait), as far as it is given.
#[derive(Debug, Deserialize)]
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
    /// An option, and the field of the body that is its value. Where each stands tells their order.
    #[serde(default)]
    pub options: BTreeMap<String, Spanned<String>>,
}
