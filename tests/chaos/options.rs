//! What the run is to be.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::plan::Kind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Broker {
    Beanstalkd,
    Embedded,
}

impl Broker {
    pub fn name(self) -> &'static str {
        match self {
            Broker::Beanstalkd => "beanstalkd",
            Broker::Embedded => "embedded",
        }
    }
}

/// Breaks everything that can break, for a while, and then looks whether a task was lost or run twice at once
#[derive(Debug, Parser)]
#[command(name = "chaos", bin_name = "cargo test --release --test chaos --")]
pub struct Options {
    /// How long things go wrong
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(6..))]
    pub seconds: u64,
    /// What goes wrong when follows from it [default: a random one, which is printed]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where jobs wait
    #[arg(long, default_value = "beanstalkd")]
    pub broker: Broker,
    /// A kind of fault that is left out
    #[arg(long, value_name = "FAULT", value_delimiter = ',', value_parser = kind)]
    pub skip: Vec<Kind>,
    /// The folder for all files, empty; it is kept [default: a temporary one, kept if something is wrong]
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::name).join(", ");
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| format!("there are {}", known()))
}

impl Options {
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The kinds of faults of this run.
    pub fn kinds(&self) -> Vec<Kind> {
        let possible = |kind: &Kind| self.broker == Broker::Beanstalkd || !kind.needs_server();
        let wanted = |kind: &Kind| !self.skip.contains(kind);
        Kind::ALL
            .into_iter()
            .filter(possible)
            .filter(wanted)
            .collect()
    }

    /// The command that does the same again.
    pub fn again(&self, seed: u64) -> String {
        let skip = |kind: &Kind| format!(" --skip {}", kind.name());
        format!(
            "cargo test --release --test chaos -- --seconds {} --seed {seed} --broker {}{}",
            self.seconds,
            self.broker.name(),
            self.skip.iter().map(skip).collect::<String>()
        )
    }
}
