//! `taskqueue put`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::Failure;
use super::connect::{block_on, broker, store};
use crate::broker::{self, Broker, NewJob};
use crate::config::{Config, duration};
use crate::store::put::{Added, NewTask};
use crate::store::{Db, Durability, Millis, now};
use crate::task::command::Content;
use crate::task::payload::{self, Body, Call, Native, Pointer};
use crate::tube::TubeName;

/// A job's TTR unless another is asked for. Workers touch their jobs, so that a command may run longer.
pub const DEFAULT_TTR: Duration = Duration::from_secs(60);

/// The largest body, and the longest line of a batch, in bytes.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// Tasks recorded in one transaction and put in one go.
const CHUNK: usize = 1000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  taskqueue put --use-tube invoices invoice:send 12 --option format=pdf --option copy
  taskqueue put --use-tube mail --stdin < message.eml
  taskqueue put --use-tube invoices --batch tasks.jsonl

Prints the task's id once it is recorded. If the broker cannot be reached, the task is recorded all the same and is
put when the broker is back: a warning, and exit 0.
An argument that begins with a hyphen goes after --.")]
pub struct Flags {
    /// The tube its job is put into
    #[arg(long, value_name = "TUBE")]
    use_tube: TubeName,
    /// The command's name, as it is configured
    #[arg(required_unless_present_any = ["stdin", "batch"])]
    command: Option<String>,
    /// Its arguments, one element of the argv each
    #[arg(value_name = "ARGUMENT")]
    arguments: Vec<String>,
    /// An option: K=V becomes --K=V, K alone becomes --K
    #[arg(long = "option", value_name = "K[=V]", conflicts_with_all = ["stdin", "batch"])]
    options: Vec<String>,
    /// Take any bytes from standard input, for the tube's own command
    #[arg(long, conflicts_with_all = ["command", "batch"])]
    stdin: bool,
    /// Take native bodies from a file, or from - for standard input: a JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    batch: Option<PathBuf>,
    /// 0 is the most urgent
    #[arg(long, value_name = "N", default_value_t = broker::DEFAULT_PRIORITY)]
    priority: u32,
    /// Run it this much later: seconds, or with a unit
    #[arg(long, value_name = "SECONDS", value_parser = delay, default_value = "0")]
    delay: Duration,
    /// How long a reservation lasts without a touch
    #[arg(long, value_name = "SECONDS", value_parser = ttr, default_value = "60")]
    ttr: Duration,
    /// Print a JSON object a task
    #[arg(long)]
    json: bool,
}

fn ttr(text: &str) -> Result<Duration, String> {
    let ttr = duration::parse(text)?;
    if ttr.is_zero() || u32::try_from(ttr.as_secs()).is_err() {
        return Err("a TTR has 1 to 4294967295 seconds".into());
    }
    Ok(ttr)
}

/// As long as a broker can keep it: beanstalkd has 32 bits for it.
fn delay(text: &str) -> Result<Duration, String> {
    let delay = duration::parse(text)?;
    if delay > Duration::from_secs(u32::MAX.into()) {
        return Err("a delay has at most 4294967295 seconds".into());
    }
    Ok(delay)
}

/// How and where tasks are put.
#[derive(Debug)]
pub struct Order {
    pub tube: TubeName,
    pub priority: u32,
    pub delay: Duration,
    pub ttr: Duration,
    pub json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let order = Order {
        tube: flags.use_tube,
        priority: flags.priority,
        delay: flags.delay,
        ttr: flags.ttr,
        json: flags.json,
    };
    if let Some(path) = &flags.batch {
        return put_batch(config, &order, path);
    }
    let content = match flags.command {
        Some(command) => Content::Call(call(&command, flags.arguments, &flags.options)?),
        None => Content::Raw(read_body(&mut io::stdin().lock())?),
    };
    put_all(config, &order, [content])
}

fn call(command: &str, arguments: Vec<String>, options: &[String]) -> Result<Call, Failure> {
    let wrong = |e: payload::Refusal| Failure::usage(e.to_string());
    Ok(Call {
        command: command.parse().map_err(wrong)?,
        arguments,
        options: Call::parse_options(options).map_err(wrong)?,
    })
}

fn read_body(input: &mut impl Read) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    input.take(MAX_BODY + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MAX_BODY {
        return Err(Failure::new(format!(
            "the body on standard input has more than {MAX_BODY} bytes; nothing was put"
        ))
        .next("put it into a file, and the file's name into a task"));
    }
    Ok(body.into())
}

/// Puts tasks that are known to be well-formed.
pub fn put_all(
    config: &Config,
    order: &Order,
    contents: impl IntoIterator<Item = Content>,
) -> Result<ExitCode, Failure> {
    let tasks = contents
        .into_iter()
        .map(|content| Ok((Uuid::now_v7(), content)));
    put_chunks(config, order, tasks)
}

fn put_batch(config: &Config, order: &Order, path: &Path) -> Result<ExitCode, Failure> {
    let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display())))?;
        Box::new(BufReader::new(file))
    };
    put_chunks(config, order, Lines { input, number: 0 })
}

/// The tasks of a batch, and what is wrong with lines that are none.
struct Lines {
    input: Box<dyn BufRead>,
    number: u64,
}

impl Iterator for Lines {
    type Item = Result<(Uuid, Content), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.input)
                .take(MAX_BODY)
                .read_until(b'\n', &mut line);
            self.number = self.number.saturating_add(1);
            match read {
                Ok(0) => return None,
                // What follows is the rest of this line, and no line of its own.
                Ok(_) if line.len() as u64 >= MAX_BODY && !line.ends_with(b"\n") => {
                    return Some(
                        self.input
                            .skip_until(b'\n')
                            .map_err(Failure::from)
                            .and_then(|_| {
                                Err(self.wrong(format!("it has more than {MAX_BODY} bytes")))
                            }),
                    );
                }
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Some(self.task(&line)),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

impl Lines {
    fn wrong(&self, why: String) -> Failure {
        Failure::new(format!("line {}: {why}", self.number))
    }

    fn task(&self, line: &[u8]) -> Result<(Uuid, Content), Failure> {
        let wrong = |why| self.wrong(why);
        match payload::read(line) {
            Body::Native(Native { uuid, call }) => {
                Ok((uuid.unwrap_or_else(Uuid::now_v7), Content::Call(call)))
            }
            Body::Pointer(_) => Err(wrong("a pointer is not for producers".into())),
            Body::Refused(refusal) => Err(wrong(refusal.to_string())),
            Body::Other(why) => Err(wrong(why.to_string())),
        }
    }
}

fn put_chunks(
    config: &Config,
    order: &Order,
    tasks: impl Iterator<Item = Result<(Uuid, Content), Failure>>,
) -> Result<ExitCode, Failure> {
    let mut putter = Putter {
        db: store(config, Durability::PowerCut)?,
        broker: broker(config),
        order,
        instance: None,
        warned: false,
        all_well: true,
    };
    block_on(async {
        let mut chunk = Vec::with_capacity(CHUNK.min(64));
        for task in tasks {
            match task {
                Ok(task) => chunk.push(task),
                Err(failure) => putter.complain(&failure)?,
            }
            if chunk.len() >= CHUNK {
                putter.put(std::mem::take(&mut chunk)).await?;
            }
        }
        putter.put(chunk).await?;
        Ok(if putter.all_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

struct Putter<'a> {
    db: Db,
    broker: Box<dyn Broker>,
    order: &'a Order,
    /// The broker instance, once it was asked.
    instance: Option<String>,
    /// The broker was reported as being in trouble.
    warned: bool,
    all_well: bool,
}

impl Putter<'_> {
    fn complain(&mut self, failure: &Failure) -> io::Result<()> {
        self.all_well = false;
        writeln!(io::stderr(), "taskqueue: {failure}")
    }

    /// Records tasks, then puts their jobs, then tells their ids. Whoever reads an id may rely on the task.
    async fn put(&mut self, tasks: Vec<(Uuid, Content)>) -> Result<(), Failure> {
        if tasks.is_empty() {
            return Ok(());
        }
        let now = now();
        let delay = Millis::try_from(self.order.delay.as_millis()).unwrap_or(Millis::MAX);
        let tasks: Vec<NewTask> = tasks
            .into_iter()
            .map(|(uuid, content)| NewTask {
                uuid,
                tube: self.order.tube.clone(),
                content,
                priority: self.order.priority,
                ttr: self.ttr_seconds(),
                due: now.saturating_add(delay),
            })
            .collect();
        let added = self.db.add(&tasks, now)?;
        let new: Vec<(i64, Uuid)> = tasks
            .iter()
            .zip(&added)
            .filter_map(|(task, added)| match added {
                Added::New { id } => Some((*id, task.uuid)),
                Added::Known { .. } | Added::UuidTaken => None,
            })
            .collect();
        self.announce(&new).await?;
        self.tell(&tasks, &added)
    }

    /// Whole seconds, a part of one counted as one.
    fn ttr_seconds(&self) -> u32 {
        let ttr = self.order.ttr;
        let seconds = ttr.as_secs() + u64::from(ttr.subsec_nanos() > 0);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    async fn announce(&mut self, new: &[(i64, Uuid)]) -> Result<(), Failure> {
        if self.db.keeps_jobs() {
            return Ok(());
        }
        let store = self.db.id();
        let jobs: Vec<NewJob> = new
            .iter()
            .map(|&(_, uuid)| NewJob {
                body: Pointer { uuid, store }.to_body().into(),
                priority: self.order.priority,
                delay: self.order.delay,
                ttr: self.order.ttr,
            })
            .collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let answers = match self.instance().await {
            Ok(()) => self.broker.put(&self.order.tube, &jobs).await,
            Err(error) => vec![Err(error)],
        };
        // A task's first put is its put number 1.
        let mut put = Vec::with_capacity(new.len());
        for ((task, _), answer) in new.iter().zip(answers) {
            match answer {
                Ok(job) => put.push((*task, 1, job)),
                Err(error) => self.warn(&error)?,
            }
        }
        self.db.note_jobs(self.instance.as_deref(), &put)?;
        Ok(())
    }

    async fn instance(&mut self) -> Result<(), broker::Error> {
        if self.instance.is_none() {
            self.instance = Some(self.broker.instance().await?.id);
        }
        Ok(())
    }

    /// Once: what holds for one task holds for those after it.
    fn warn(&mut self, error: &broker::Error) -> io::Result<()> {
        if std::mem::replace(&mut self.warned, true) {
            return Ok(());
        }
        writeln!(
            io::stderr(),
            "taskqueue: warning: {error}\n  the task is recorded, and its job will be put when the broker is back"
        )
    }

    fn tell(&mut self, tasks: &[NewTask], added: &[Added]) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        for (task, added) in tasks.iter().zip(added) {
            match added {
                Added::New { id } | Added::Known { id } if self.order.json => {
                    writeln!(
                        out,
                        "{}",
                        json!({ "id": id, "uuid": task.uuid.to_string() })
                    )?;
                }
                Added::New { id } | Added::Known { id } => writeln!(out, "{id}")?,
                Added::UuidTaken => {
                    let refusal = payload::Refusal::UuidTaken { uuid: task.uuid };
                    self.all_well = false;
                    writeln!(io::stderr(), "taskqueue: {refusal}")?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}
