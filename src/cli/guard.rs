//! The guard: no subcommand, but this program by another name.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::ValueEnum;

use super::global::{Global, LogFormat, LogFrom};
use super::{Failure, log, variables};
use crate::address::StoreUrl;
use crate::config::Config;
use crate::connect;
use crate::guard::{self, Post};
use crate::process::program;

const LOG: &str = "TASKQUEUE_LOG";
const LOG_FORMAT: &str = "TASKQUEUE_LOG_FORMAT";
const LOG_FILE: &str = "TASKQUEUE_LOG_FILE";

/// What a tender or a worker needs for a guard that logs as it does.
pub fn post(config: &Config, global: &Global) -> Result<Post, Failure> {
    let mut environment: Vec<(&'static str, OsString)> =
        vec![(LOG_FORMAT, global.log_format.as_str().into())];
    environment.extend(global.log.iter().map(|filter| (LOG, filter.into())));
    if let Some(file) = &global.log_file {
        environment.push((LOG_FILE, file.into()));
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
    let Some(store) = env::var_os(guard::STORE_VARIABLE) else {
        return ExitCode::from(2);
    };
    let Ok(store) = StoreUrl::read(&store) else {
        return ExitCode::from(2);
    };
    let stood = guard::stand(connect::opener(&store), || {
        let text = |name| variables::set(name).and_then(|value| value.into_string().ok());
        let format = text(LOG_FORMAT);
        let format = format.and_then(|word| LogFormat::from_str(&word, true).ok());
        let global = Global {
            config: None,
            broker: None,
            store: None,
            log: text(LOG),
            log_from: LogFrom::Variable,
            log_format: format.unwrap_or(LogFormat::Text),
            log_file: variables::set(LOG_FILE).map(Into::into),
        };
        // It has its work to do also when it cannot tell of it.
        let _ = log::start(&global, true);
    });
    match stood {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
