//! `taskqueue pause` and `taskqueue resume`

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::configured::{self, block_on, broker};
use super::out::out;
use super::{Failure, log};
use crate::broker;
use crate::config::{Config, duration};
use crate::task::event::What;
use crate::tube::TubeName;

/// For all that anybody means by for ever, and little enough for every broker.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue pause invoices
  taskqueue pause invoices --for 10m

Nobody gets a job of the tube meanwhile. What runs goes on, and more can be put. It is the broker that keeps
the tube paused: a restart of beanstalkd ends it, and so does a tube that is empty and that nobody waits on.")]
pub struct PauseFlags {
    /// The tube
    #[arg(value_name = "TUBE")]
    tube: TubeName,
    #[arg(
        long = "for",
        value_name = "SECONDS",
        value_parser = duration::parse,
        help = "How long [default: until resume]",
        long_help = "How long: seconds, or with a unit [default: until taskqueue resume]"
    )]
    time: Option<Duration>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue resume invoices

Whoever waits for a job of the tube has one within a second, if there is one.")]
pub struct ResumeFlags {
    /// The tube
    #[arg(value_name = "TUBE")]
    tube: TubeName,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn pause(flags: &PauseFlags, config: &Config) -> Result<(), Failure> {
    let PauseFlags { tube, time, json } = flags;
    if time.is_some_and(|time| time.is_zero()) {
        return Err(Failure::usage("a pause of no time at all is none")
            .next(format!("to end one: taskqueue resume {tube}")));
    }
    set(tube, time.unwrap_or(FOR_EVER), config)?;
    let seconds = time.map(|time| time.as_secs_f64());
    tell(
        What::Paused,
        &json!({ "tube": tube, "seconds": seconds }),
        config,
    );
    let mut out = out(*json);
    match (json, time) {
        (true, _) => {
            let seconds = time.map(|time| time.as_secs_f64());
            let object = json!({ "tube": tube, "paused": true, "seconds": seconds });
            writeln!(out, "{object}")?;
        }
        (false, Some(time)) => writeln!(out, "{tube} is paused for {time:?}")?,
        (false, None) => writeln!(out, "{tube} is paused until: taskqueue resume {tube}")?,
    }
    Ok(())
}

pub fn resume(flags: &ResumeFlags, config: &Config) -> Result<(), Failure> {
    let ResumeFlags { tube, json } = flags;
    set(tube, Duration::ZERO, config)?;
    tell(What::Resumed, &json!({ "tube": tube }), config);
    let mut out = out(*json);
    match json {
        true => writeln!(out, "{}", json!({ "tube": tube, "paused": false }))?,
        false => writeln!(out, "{tube} is not paused")?,
    }
    Ok(())
}

/// Records it where there is a store. The broker has heard of it by then, whatever becomes of the record.
fn tell(what: What, detail: &Value, config: &Config) {
    let told = configured::existing_queue(config)
        .map_err(Failure::from)
        .and_then(|queue| {
            block_on(async {
                match queue {
                    Some(queue) => Ok(queue.note_event(what, detail).await?),
                    None => Ok(()),
                }
            })
        });
    if let Err(error) = told {
        log::note(format_args!("it is not among the events: {error}"));
    }
}

fn set(tube: &TubeName, time: Duration, config: &Config) -> Result<(), Failure> {
    block_on(async {
        match broker(config).pause(tube, time).await {
            Ok(()) => Ok(()),
            Err(broker::Error::NotFound) => Err(Failure::new(format!(
                "the broker {} has no tube {tube}: nothing is in it, and nobody waits on it",
                config.broker
            ))
            .next("name another broker with --broker URL, or pause it once something is there")),
            Err(error) => Err(error.into()),
        }
    })
}
