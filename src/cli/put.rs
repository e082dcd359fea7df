//! `taskqueue put`

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Failure, log, number};
use crate::api::Put;
use crate::broker;
use crate::clock;
use crate::config::{Config, duration};
use crate::task::Millis;
use crate::task::after::{IfParentFails, Links, Parent, Terms};
use crate::task::id::TaskId;
use crate::task::payload::{self, Argument, Call};
use crate::task::tag::{self, Tag};
use crate::tube::TubeName;
use crate::zone::Zone;

mod batch;
mod doubt;
mod existing;
mod foreign;
mod graph;
mod lines;
mod order;
mod own;
mod unique;
mod unserved;
mod wait;

pub use batch::put_all;
pub use existing::say_existing;
pub use foreign::refusal;
pub use order::Order;
pub use own::OwnFlags;
pub use unique::UniqueFlags;
pub use unserved::UNSERVED;

use batch::{out_of_bounds, put_batch, strictly};
use order::MAX_BODY;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue put --use-tube invoices invoice:send 12 --option format=pdf --option copy
  taskqueue put --use-tube mail --stdin < message.eml
  taskqueue put --use-tube invoices --batch tasks.jsonl
  taskqueue put --use-tube t --wait --timeout 10 add 2 3

Prints the task's id once it is recorded. If the broker cannot be reached, the task is recorded
all the same and is put when the broker is back: a warning, and exit 0.
In a tube whose configured worker_command is another program nothing is recorded: --stdin puts the
bytes themselves and prints the word job and its number; anything else is refused.
With --wait it stands where the command stood: sum=$(taskqueue put --wait --use-tube t add 2 3)
An argument that begins with a hyphen goes after --, unless it is a number.
What workers would refuse by the configuration that is here is recorded all the same, with a warning, and
so is what nobody works on now; with --strict nothing is recorded then, and it exits with 2.")]
pub struct Flags {
    /// The tube its job is put into
    #[arg(long, value_name = "TUBE")]
    use_tube: TubeName,
    /// The command's name, as it is configured
    #[arg(required_unless_present_any = ["stdin", "batch"])]
    command: Option<String>,
    /// Its arguments, one element of the argv each
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// An option: K=V becomes --K=V, K alone becomes --K
    #[arg(long = "option", value_name = "K[=V]", conflicts_with_all = ["stdin", "batch"])]
    options: Vec<String>,
    /// Take any bytes from standard input, for the tube's own command
    #[arg(long, conflicts_with_all = ["command", "batch"])]
    stdin: bool,
    /// Take native bodies from a file, a JSON object a line
    ///
    /// From - they are taken from standard input. taskqueue-payload(7) says what may stand in one
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    batch: Option<PathBuf>,
    /// Call it so, to find it again: urgent, or customer=4711
    ///
    /// Up to 20 of up to 100 bytes. Of a batch each task is called so, beside what its line says
    #[arg(long = "tag", value_name = "K[=V]")]
    tags: Vec<Tag>,
    #[command(flatten)]
    unique: UniqueFlags,
    #[command(flatten)]
    own: OwnFlags,
    /// Run it once these tasks are done: ID[,ID…]
    ///
    /// Its command finds their numbers in TASKQUEUE_PARENTS, and taskqueue show --result tells what they came to. A
    /// task that will be tried again has not ended. Of a batch each line waits for them that does not say for which
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = parent)]
    after: Vec<TaskId>,
    /// Run it once any of these tasks is done
    #[arg(long, requires = "after")]
    after_any: bool,
    /// What is done if one of them fails: cancel, run or hold
    ///
    /// The same if one is cancelled or deleted. cancel: it is cancelled, and waits again if that task is regenerated.
    /// run: it runs once all of them have ended. hold: it waits until that task has ended well after all, or until
    /// taskqueue run-now. With --after-any that is asked when none of them is done
    #[arg(
        long,
        value_name = "WHAT",
        requires = "after",
        default_value_t,
        hide_default_value = true
    )]
    if_parent_fails: IfParentFails,
    /// Its job's priority; 0 is the most urgent
    #[arg(long, value_name = "N", value_parser = number::small, default_value_t = broker::DEFAULT_PRIORITY)]
    priority: u32,
    /// Run it this much later
    ///
    /// Seconds, or with a unit, such as 10m or 2d
    #[arg(long, value_name = "SECONDS", value_parser = delay, default_value = "0", conflicts_with = "at")]
    delay: Duration,
    /// Run it then
    ///
    /// 2026-12-24T18:00:00+01:00, or by this machine's clock '2026-12-24 18:00' or 'tomorrow 9:00', perhaps with a zone
    /// after it: 'tomorrow 9:00 Europe/Berlin'. What is past is now. Of a batch a line's own time counts
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Millis>,
    /// How long a reservation lasts without a touch
    ///
    /// Seconds, or with a unit: beanstalkd's TTR, a visibility timeout. Workers touch their jobs: it does not bound how
    /// long the command may run
    #[arg(long, value_name = "SECONDS", value_parser = ttr, default_value = "60")]
    ttr: Duration,
    /// Refuse what workers would refuse, and record nothing then
    ///
    /// By the configuration that is here: a command that it does not name, an argument or an option that it does not
    /// allow; and a tube that no tender has and of which no worker lives. Of a batch all lines are read before one is
    /// recorded
    #[arg(long)]
    strict: bool,
    /// Wait for its end, print what it printed, exit as its command did
    ///
    /// Its id is not printed. A signal's code is 128 and its number, as shells have it
    #[arg(long, conflicts_with_all = ["batch", "json"])]
    wait: bool,
    /// Wait for so long at most
    ///
    /// Then the task goes on, and the exit code is 124
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse, requires = "wait")]
    timeout: Option<Duration>,
    /// Print a JSON object a task
    #[arg(long)]
    json: bool,
}

/// A task by its number.
fn parent(text: &str) -> Result<TaskId, String> {
    match text.trim().parse() {
        Ok(id @ 1..) => Ok(TaskId(id)),
        Ok(_) | Err(_) => Err("a task is meant by its number, such as 12".into()),
    }
}

/// As beanstalkd has it.
pub fn ttr(text: &str) -> Result<Duration, String> {
    let ttr = duration::parse(text)?;
    if ttr.is_zero() || u32::try_from(ttr.as_secs()).is_err() {
        return Err("a TTR has 1 to 4294967295 seconds".into());
    }
    Ok(ttr)
}

/// A time as people write it.
pub fn time(text: &str) -> Result<Millis, String> {
    Zone::system().read(text, clock::now())
}

/// As long as a broker can keep it: beanstalkd has 32 bits for it.
pub fn delay(text: &str) -> Result<Duration, String> {
    let delay = duration::parse(text)?;
    if delay > Duration::from_secs(u32::MAX.into()) {
        return Err("a delay has at most 4294967295 seconds".into());
    }
    Ok(delay)
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let order = Order {
        tube: flags.use_tube,
        priority: flags.priority,
        delay: flags.delay,
        at: flags.at,
        ttr: flags.ttr,
        tags: tag::of_a_task(flags.tags).map_err(|why| Failure::usage(format!("--tag: {why}")))?,
        unique: flags.unique.unique(),
        own: flags.own.own()?,
        after: Links {
            reference: None,
            parents: flags.after.into_iter().map(Parent::Id).collect(),
            terms: Terms {
                any: flags.after_any,
                if_parent_fails: flags.if_parent_fails,
            },
        },
        strict: flags.strict,
        json: flags.json,
    };
    let has_key = order.unique.as_ref().is_some_and(|one| one.key.is_some());
    if has_key && flags.batch.is_some() {
        return Err(Failure::usage(
            "--unique=KEY: all tasks of a batch cannot have one key, for only one of them would be put",
        )
        .next(
            "leave the key out, so that each has one that is made of what it asks for, or write it into the lines: \
             \"unique\":\"KEY\"",
        ));
    }
    if let Some(path) = &flags.batch {
        return put_batch(config, &order, path);
    }
    let put = match flags.command {
        Some(command) => call(&command, flags.arguments, &flags.options)?.into(),
        None => {
            let body = read_body(&mut io::stdin().lock())?;
            if body.is_empty() {
                empty_body(order.strict)?;
            }
            if config.foreign_worker(&order.tube).is_some() {
                let job = order.job(body);
                if flags.wait
                    || order.unique.is_some()
                    || !order.own.is_empty()
                    || !order.after.parents.is_empty()
                {
                    let failure = foreign::refusal(config, &order.tube);
                    return failure.map_or(Ok(ExitCode::FAILURE), Err);
                }
                return foreign::put(config, &order.tube, job, order.json)
                    .map(|()| ExitCode::SUCCESS);
            }
            Put::raw(body)
        }
    };
    if flags.wait {
        if let Some(refusal) = refusal(config, &order.tube) {
            return Err(refusal);
        }
        let put = match order.strict {
            false => Some(put),
            true => strictly(config, &order, std::iter::once(Ok(put)))?.pop(),
        };
        let Some(put) = put.map(|put| order.apply(put, config)) else {
            return Ok(ExitCode::FAILURE);
        };
        if let Some(out) = out_of_bounds(&put, config, &order.tube) {
            return Err(Failure::new(out));
        }
        return wait::run(config, &order.tube, put, order.strict, flags.timeout);
    }
    put_all(config, &order, [put])
}

fn call(command: &str, arguments: Vec<String>, options: &[String]) -> Result<Call, Failure> {
    let wrong = |e: payload::Refusal| Failure::usage(e.to_string());
    Ok(Call {
        command: command.parse().map_err(wrong)?,
        arguments: arguments.into_iter().map(Argument::of_text).collect(),
        options: Call::parse_options(options).map_err(wrong)?,
    })
}

/// What a closed standard input, or /dev/null, comes to.
fn empty_body(strict: bool) -> Result<(), Failure> {
    const EMPTY: &str =
        "the body on standard input is empty: it is closed, or nothing was written into it";
    match strict {
        true => Err(Failure::usage(format!("{EMPTY}; nothing was recorded"))
            .next("pipe the body in, or leave out --strict if an empty one is meant")),
        false => {
            log::warn(format_args!("{EMPTY}"));
            Ok(())
        }
    }
}

fn read_body(input: &mut impl Read) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    input.take(MAX_BODY + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MAX_BODY {
        return Err(Failure::new(format!(
            "the body on standard input has more than {MAX_BODY} bytes; nothing was put"
        ))
        .next("put it into a file, and the file's name into a task"));
    }
    Ok(body)
}
