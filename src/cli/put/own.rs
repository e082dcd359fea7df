//! What a task says of its own attempts, as flags.

use std::time::Duration;

use clap::Args;

use crate::cli::Failure;
use crate::config::duration;
use crate::task::own::{BadOwn, Own};
use crate::task::retry::{Attempts, Waits};

#[derive(Debug, Args)]
pub struct OwnFlags {
    /// Try it so often, or until it is done: N or endless
    ///
    /// Instead of as often as its command's configuration says, as far as that lets it: task_max_attempts
    #[arg(long, value_name = "N")]
    max_attempts: Option<Attempts>,
    /// Wait so long before it is tried again: 5m,10m,20m
    ///
    /// One wait after the other; the last is repeated. Without --max-attempts it is tried as often as uses each once
    #[arg(long, value_name = "WAIT,…", value_delimiter = ',', value_parser = duration::parse)]
    retry: Vec<Duration>,
    /// Let an attempt take so long at the most
    ///
    /// Seconds, or with a unit, such as 10m; as far as its command's configuration lets it: task_timeout
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse)]
    task_timeout: Option<Duration>,
    /// Have its command find that in its environment
    ///
    /// Where its configuration names the variable: task_environment
    #[arg(long = "env", value_name = "NAME=VALUE")]
    variables: Vec<String>,
}

impl OwnFlags {
    /// What they say together.
    pub fn own(&self) -> Result<Own, Failure> {
        let wrong =
            |flag: &'static str| move |bad: BadOwn| Failure::usage(format!("--{flag}: {bad}"));
        let mut own = Own {
            max_attempts: self.max_attempts,
            timeout: self.task_timeout,
            ..Own::default()
        };
        if !self.retry.is_empty() {
            let waits = Waits::new(&self.retry).map_err(BadOwn::Waits);
            own.waits = Some(waits.map_err(wrong("retry"))?);
        }
        for variable in &self.variables {
            let Some((name, value)) = variable.split_once('=') else {
                let why = format!("--env {variable}: a variable is NAME=VALUE");
                return Err(Failure::usage(why));
            };
            own.add_variable(name, value.to_owned())
                .map_err(wrong("env"))?;
        }
        let own = own
            .checked()
            .map_err(|bad| Failure::usage(bad.to_string()))?;
        Ok(own.unwrap_or_default())
    }
}
