//! `taskqueue ping`

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Failure;
use super::configured::{block_on, broker};
use super::out::out;
use super::reach::{odd, tenders};
use crate::broker::{self, Broker, NewJob, Reserve};
use crate::config::Config;
use crate::control::{Answer, Request};
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue ping
  taskqueue ping --json --broker beanstalk://queue.example.org

Puts a job into a tube of its own, reserves it and deletes it. Each tender of the store that is up then sends
a word to one of its workers and back.
Prints OK, or ERROR and why, and exits with 1 then.")]
pub struct Flags {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// How long the job may take to come round.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let outcome = block_on(async { Ok(round_trip(broker(config).as_mut()).await) })?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let outcome = outcome.and_then(|()| by_workers(config));
    let mut out = out(flags.json);
    match (&outcome, flags.json) {
        (Ok(workers), true) => writeln!(
            out,
            "{}",
            json!({ "ok": true, "milliseconds": took, "workers": workers })
        )?,
        (Ok(_), false) => writeln!(out, "OK")?,
        (Err(why), true) => writeln!(out, "{}", json!({ "ok": false, "error": why }))?,
        (Err(why), false) => writeln!(out, "ERROR: {why}")?,
    }
    Ok(match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// A round trip by a worker of each tender, if one is up.
fn by_workers(config: &Config) -> Result<Vec<Value>, String> {
    let asked = || {
        let mut workers = Vec::new();
        for tender in tenders(&config.store, &[])?
            .into_iter()
            .filter(|one| !one.leaving)
        {
            match tender.ask(&Request::Ping)? {
                (
                    _,
                    Answer::Pong {
                        worker,
                        milliseconds,
                    },
                ) => {
                    let pid = tender.pid;
                    workers.push(
                        json!({ "tender": pid, "worker": worker, "milliseconds": milliseconds }),
                    );
                }
                (_, other) => return Err(odd(&other)),
            }
        }
        Ok(workers)
    };
    asked().map_err(|failure: Failure| failure.to_string())
}

async fn round_trip(broker: &mut dyn Broker) -> Result<(), String> {
    put_and_reserve(broker).await.map_err(|error| match error {
        Odd::Broker(error) => Failure::from(error).in_one_line(),
        Odd::Lost => "a job was put and did not come round".into(),
    })
}

enum Odd {
    Broker(broker::Error),
    Lost,
}

impl From<broker::Error> for Odd {
    fn from(error: broker::Error) -> Odd {
        Odd::Broker(error)
    }
}

async fn put_and_reserve(broker: &mut dyn Broker) -> Result<(), Odd> {
    let name = format!("taskqueue-ping-{}", Uuid::now_v7());
    // Letters, digits and hyphens.
    let tube: TubeName = name.parse().map_err(|_| Odd::Lost)?;
    let body = Bytes::from(name);
    let job = NewJob {
        body: body.clone(),
        priority: 0,
        delay: Duration::ZERO,
        ttr: PATIENCE * 2,
    };
    let id = broker.put(&tube, &[job]).await.pop().ok_or(Odd::Lost)??;
    match broker.reserve(&[tube], PATIENCE).await? {
        Reserve::Job(job) if job.id == id && job.body == body => Ok(broker.delete(job).await?),
        Reserve::Job(_) | Reserve::TimedOut | Reserve::DeadlineSoon => {
            // So that it does not stay for ever.
            let _ = broker.remove(id).await;
            Err(Odd::Lost)
        }
    }
}
