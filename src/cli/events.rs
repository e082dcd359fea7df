//! `taskqueue events`

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::configured::{self, block_on};
use super::environment::blame;
use super::out::{self, Out, out};
use super::print::Zone;
use super::{Failure, log, number};
use crate::api::{Event, Events, Following, Heard, What};
use crate::config::Config;
use crate::harmless::one_line;
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// So many are printed where nobody says how many.
const USUAL: u32 = 100;

/// How often it is looked whether anybody reads on.
const READS_ON: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue events
  taskqueue events --what failed,lost -n 20
  taskqueue events --follow --json
  taskqueue events --follow --since 4711
  taskqueue events --id 12

Each change of where a task stands is an event, recorded with it. Numbers grow, and none is ever given again: who
has read up to a number goes on after it with --since. A line on stderr (with --json a line with \"gap\") says so
where events are gone that would have come next. An attempt has started when its worker has it; of short ones a
worker has up to eight at once. [events] in taskqueue.toml(5) says how long they are kept.")]
pub struct Flags {
    /// Wait for more of them
    #[arg(short, long)]
    follow: bool,
    /// Those after this number
    #[arg(long, value_name = "NUMBER", value_parser = number::any)]
    since: Option<u64>,
    #[arg(
        short = 'n',
        long = "limit",
        value_name = "N",
        value_parser = number::any,
        conflicts_with = "since",
        help = "The newest so many [default: 100]",
        long_help = "The newest so many; 0: all that are kept, or with --follow none of them [default: 100]"
    )]
    limit: Option<u64>,
    /// Only these, such as done,failed
    ///
    /// put, started, retried, deferred, done, failed, cancelled, interrupted, lost, withdrawn, regenerated, deleted,
    /// cleaned_up, fired, worker_start, worker_finished, worker_killed, paused, resumed, passed_over; or as JobQueue
    /// calls them: task.fetched, task.executed, task.failed, worker.start, worker.finished
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = what)]
    what: Vec<What>,
    /// Only of this tube
    #[arg(long, value_name = "TUBE")]
    use_tube: Option<TubeName>,
    /// Only of this task
    #[arg(long, value_name = "ID", value_parser = number::any)]
    id: Option<u64>,
    /// Print times in UTC
    #[arg(long)]
    utc: bool,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

fn what(word: &str) -> Result<What, String> {
    What::from_word(word).ok_or_else(|| {
        let all: Vec<&str> = What::all().map(What::as_str).collect();
        format!("there are {}", all.join(", "))
    })
}

pub fn run(flags: &Flags, config: &Config) -> Result<(), Failure> {
    let queue = match (configured::existing_queue(config)?, flags.follow) {
        (Some(queue), _) => queue,
        // Whoever follows waits for the first.
        (None, true) => configured::queue(config)?,
        (None, false) => {
            let (store, next) = (
                &config.store,
                blame("name another with --store PATH or TASKQUEUE_STORE"),
            );
            log::note(format_args!("there is no store {store} yet; {next}"));
            return Ok(());
        }
    };
    if !config.events.is_on() {
        log::note(format_args!(
            "events are not recorded here: keep is 0 in [events]"
        ));
    }
    let mut printer = Printer {
        out: out(flags.json),
        json: flags.json,
        zone: Zone::of(flags.utc),
    };
    block_on(async {
        let mut events = queue.events(meant(flags));
        while let Some(heard) = next(&mut events, flags.follow).await? {
            printer.print(&heard)?;
        }
        Ok(())
    })
}

fn meant(flags: &Flags) -> Events {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut meant = Events::default();
    for what in &flags.what {
        meant = meant.what(*what);
    }
    if let Some(tube) = &flags.use_tube {
        meant = meant.tube(tube);
    }
    if let Some(id) = flags.id {
        meant = meant.task(TaskId(number(id)));
    }
    match (flags.since, flags.limit) {
        (Some(since), _) => meant.since(number(since)),
        (None, None) => meant.newest(USUAL),
        (None, Some(0)) if flags.follow => meant.newest(0),
        (None, Some(0)) => meant,
        (None, Some(limit)) => meant.newest(u32::try_from(limit).unwrap_or(u32::MAX)),
    }
}

/// What comes next; nothing where nobody reads on.
async fn next(events: &mut Following, follows: bool) -> Result<Option<Heard>, Failure> {
    if !follows {
        return Ok(events.kept().await?);
    }
    let mut next = pin!(events.next());
    loop {
        tokio::select! {
            heard = &mut next => return Ok(Some(heard?)),
            () = sleep(READS_ON) => {
                if out::is_abandoned() {
                    return Ok(None);
                }
            }
        }
    }
}

struct Printer {
    out: Out,
    json: bool,
    zone: Zone,
}

impl Printer {
    fn print(&mut self, heard: &Heard) -> Result<(), Failure> {
        match (heard, self.json) {
            (Heard::Event(event), true) => {
                serde_json::to_writer(&mut self.out, event).map_err(std::io::Error::from)?;
                writeln!(self.out)?;
            }
            (Heard::Event(event), false) => {
                let line = line(event, self.zone);
                writeln!(self.out, "{line}")?;
            }
            (Heard::Gap { since, until }, true) => {
                let gap = serde_json::json!({ "gap": { "since": since, "until": until } });
                writeln!(self.out, "{gap}")?;
            }
            (Heard::Gap { since, until }, false) if until < since => log::say(format_args!(
                "no event has had the number {since} yet, and the newest has {until}: the store was put back, or is \
                 another; goes on after {until}"
            )),
            (Heard::Gap { since, until }, false) => log::say(format_args!(
                "events after {since} up to {until} are not kept any more; goes on after {until}"
            )),
        }
        self.out.flush()?;
        Ok(())
    }
}

/// One line for people.
fn line(event: &Event, zone: Zone) -> String {
    let mut line = format!("{} {}", event.number, zone.say(Some(event.at)));
    let mut add = |text: &str| {
        line.push(' ');
        line.push_str(&one_line(text));
    };
    add(event.what.map_or("unknown", What::as_str));
    if let Some(task) = event.task {
        match event.attempt {
            Some(attempt) => add(&format!("task {task} attempt {attempt}")),
            None => add(&format!("task {task}")),
        }
    }
    let named = [
        ("tube", &event.tube),
        ("command", &event.command),
        ("worker", &event.worker),
        ("schedule", &event.schedule),
    ];
    for (name, value) in named {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            add(&format!("{name}={value}"));
        }
    }
    match (&event.outcome, event.exit_code, event.signal) {
        (Some(outcome), Some(code), _) => add(&format!("{outcome} {code}")),
        (Some(outcome), None, Some(signal)) => add(&format!("{outcome} by signal {signal}")),
        (Some(outcome), None, None) => add(outcome),
        (None, ..) => {}
    }
    if let Some(reason) = &event.reason {
        add(&format!(": {reason}"));
    }
    if let Some(detail) = &event.detail {
        add(&detail.to_string());
    }
    line.replace(" : ", ": ")
}
