//! `taskqueue add-example-task` and `taskqueue example-task-worker`

use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::out::as_it_is;
use super::put::{Order, put_all};
use super::{Failure, number};
use crate::api::{DEFAULT_TTR, Put};
use crate::config::{Config, EXAMPLE_COMMAND};
use crate::task::after::Links;
use crate::task::own::Own;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue add-example-task --total-tasks 10 --use-tube test
  taskqueue worker --use-tube test --max-jobs 10

Beside other commands of a configuration the example runs only where that names it; these lines are enough:
  [commands.\"taskqueue:example-task-worker\"]")]
pub struct AddFlags {
    /// How many
    #[arg(long, value_name = "N", value_parser = number::small, default_value_t = 1)]
    total_tasks: u32,
    /// The tube they are put into
    #[arg(long, value_name = "TUBE", default_value = "default")]
    use_tube: TubeName,
    /// Print a JSON object a task
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue example-task-worker 1 --message 'hello world'

Workers run it for the tasks that add-example-task queues.")]
pub struct WorkFlags {
    /// Seconds to wait before the message
    #[arg(value_name = "WAIT")]
    wait: u64,
    /// The message
    #[arg(long, value_name = "TEXT")]
    message: String,
}

pub fn add(flags: AddFlags, config: &Config) -> Result<ExitCode, Failure> {
    let order = Order {
        unique: None,
        after: Links::default(),
        tube: flags.use_tube,
        priority: crate::broker::DEFAULT_PRIORITY,
        delay: Duration::ZERO,
        at: None,
        ttr: DEFAULT_TTR,
        tags: Vec::new(),
        own: Own::default(),
        strict: false,
        json: flags.json,
    };
    let task = |_| {
        Put::command(EXAMPLE_COMMAND)
            .argument("1")
            .option("message", "hello world")
    };
    put_all(config, &order, (0..flags.total_tasks).map(task))
}

/// What it prints is what it has printed since its first version.
pub fn work(flags: WorkFlags) -> Result<(), Failure> {
    let mut out = as_it_is();
    writeln!(out, "I HAVE A MESSAGE FOR YOU!")?;
    for _ in 0..flags.wait {
        thread::sleep(Duration::from_secs(1));
        write!(out, ".")?;
        out.flush()?;
    }
    if flags.wait > 0 {
        writeln!(out)?;
    }
    writeln!(out, "{}", flags.message)?;
    Ok(())
}
