//! The guard: no subcommand, but this program by another name.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::ValueEnum;

use super::environment::not_empty;
use super::global::{
    Global, LOG_FILE_VARIABLE, LOG_FORMAT_VARIABLE, LOG_VARIABLE, LogFormat, STORE_VARIABLE,
};
use super::{Failure, log};
use crate::address::StoreUrl;
use crate::config::Config;
use crate::connect;
use crate::guard::{self, Post};
use crate::process::program;

/// What a tender or a worker needs for a guard that logs as it does.
pub fn post(config: &Config, global: &Global) -> Result<Post, Failure> {
    let mut environment: Vec<(&'static str, OsString)> =
        vec![(LOG_FORMAT_VARIABLE, global.log_format.as_str().into())];
    let filter = global.log.iter();
    environment.extend(filter.map(|filter| (LOG_VARIABLE, filter.as_str().into())));
    if let Some(file) = &global.log_file {
        environment.push((LOG_FILE_VARIABLE, file.into()));
    }
    Ok(Post {
        program: program::name().to_owned(),
        store: config.store.written(),
        environment,
    })
}

/// Whether this process is to be a guard. Asked before anything else: it is to hold as little as it can.
pub fn is_asked_for() -> bool {
    env::args_os()
        .next()
        .is_some_and(|name| name == guard::NAME)
}

/// A guard's whole life.
pub fn main() -> ExitCode {
    let _end = log::End;
    let Some(store) = env::var_os(STORE_VARIABLE) else {
        return ExitCode::from(2);
    };
    let Ok(store) = StoreUrl::read(&store) else {
        return ExitCode::from(2);
    };
    let stood = guard::stand(connect::opener(&store), || {
        let text = |name| not_empty(name).and_then(|value| value.into_string().ok());
        let format = text(LOG_FORMAT_VARIABLE);
        let format = format.and_then(|word| LogFormat::from_str(&word, true).ok());
        let global = Global {
            config: None,
            found: false,
            broker: None,
            store: None,
            verbose: 0,
            quiet: 0,
            log: text(LOG_VARIABLE).and_then(|filter| filter.parse().ok()),
            log_format: format.unwrap_or(LogFormat::Text),
            log_file: not_empty(LOG_FILE_VARIABLE).map(Into::into),
        };
        // It has its work to do also when it cannot tell of it.
        let _ = log::start(&global, true);
    });
    match stood {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
