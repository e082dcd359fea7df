//! `taskqueue why`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::absent::say_absent;
use super::configured::{self, block_on};
use super::out::out;
use super::reach::tending;
use super::show::key;
use crate::api::{Pool, SharedPool, Workers};
use crate::config::Config;
use crate::control::{self, Request};
use crate::harmless::one_line;
use crate::ledger::read::Key;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue why 5
  taskqueue why 5 --json | jq -r .why

One sentence on what the task waits for, or why it runs no more, and what to do where there is
something to do. It is asked of the store, of the broker and of the tube's tender. A job that
somebody deletes at the broker comes back as long as its task waits: the store says what there is
to do, and taskqueue delete is how to take it back.")]
pub struct Flags {
    /// The task's id, or its uuid
    #[arg(value_name = "ID", value_parser = key)]
    id: Key,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let queue = configured::existing_queue(config)?;
    let is_there = queue.is_some();
    let answer = match queue {
        Some(queue) => block_on(async {
            let workers = |tube: &str| workers(config, tube);
            Ok(queue.why(flags.id, &config.commands, workers).await?)
        })?,
        None => None,
    };
    let mut out = out(flags.json);
    let Some(answer) = answer else {
        writeln!(out, "{}", if flags.json { "null" } else { "gone" })?;
        say_absent(&flags.id, is_there, &config.store);
        return Ok(ExitCode::FAILURE);
    };
    match flags.json {
        true => {
            let object = json!({
                "next": answer.next,
                "sentence": answer.sentence,
                "why": answer.why.as_str(),
            });
            writeln!(out, "{object}")?;
        }
        false => writeln!(out, "{}", one_line(&answer.to_string()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the tube's tender says of its workers.
fn workers(config: &Config, tube: &str) -> Workers {
    let Ok(tube) = tube.parse::<TubeName>() else {
        return Workers::Unknown;
    };
    let Ok(found) = tending(&config.store, std::slice::from_ref(&tube)) else {
        return Workers::Untended;
    };
    for tender in &found {
        let Ok((_, control::Answer::Status(status))) = tender.ask(&Request::Status) else {
            continue;
        };
        let mut pools = status.pools.into_iter();
        if let Some(pool) = pools.find(|pool| pool.tube == tube.as_str()) {
            return Workers::Tended(Pool {
                idle: pool.census.idle,
                busy: pool.census.busy,
                starting: pool.census.starting,
                max: pool.max,
                troubled: pool.census.troubled,
                withheld: pool.lack.or(pool.back_off),
                is_leaving: pool.state != "tended",
                shared: pool.shared_pool.map(|shared| SharedPool {
                    name: shared.name,
                    workers: shared.workers,
                    max: shared.max,
                }),
            });
        }
    }
    Workers::Unknown
}
