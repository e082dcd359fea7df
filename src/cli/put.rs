//! `taskqueue put`

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::io::Errno;

use super::configured::{self, block_on};
use super::out::out;
use super::{Failure, log, number};
use crate::api::{Put, Queue, Receipt, json};
use crate::broker::{self, NewJob};
use crate::clock;
use crate::config::{Config, duration};
use crate::errno;
use crate::task::Millis;
use crate::task::payload::{self, Argument, Body, Call, Native};
use crate::task::tag::{self, Tag};
use crate::task::unique::{IfExists, Key, Scope, Unique};
use crate::tube::TubeName;
use crate::zone::Zone;

mod doubt;
mod existing;
mod foreign;
mod unserved;
mod wait;

pub use foreign::refusal;
pub use unserved::UNSERVED;

use doubt::Doubt;
use existing::say_existing;
use unserved::unserved;

/// The largest body, and the longest line of a batch, in bytes.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// Tasks recorded in one transaction and put in one go: so many, or of so many bytes. They are held in memory
/// together, and nobody else writes meanwhile.
const CHUNK: usize = 1000;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

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
    /// Put no other while a task has this key: 1 to 200 bytes
    ///
    /// Without a key it is made of the command, the arguments and the options, in whatever order these are. The id of
    /// the task that has the key is printed then. Of a batch each line is put so, without a key and unless it says
    /// something else itself
    #[arg(long, value_name = "KEY", require_equals = true)]
    unique: Option<Option<Key>>,
    /// For how long the task has its key: waiting, unfinished, or so long
    ///
    /// waiting: until it begins to run. unfinished: until it has ended, as it is without this. A duration, such as 10m:
    /// from when it is put on, wherever it stands by then
    #[arg(long = "while", value_name = "WHILE", requires = "unique")]
    scope: Option<Scope>,
    /// What is done if a task has the key: keep, replace or refuse
    ///
    /// keep: that task stays as it is. replace: if it waits, it is given these arguments, options, tags, priority and
    /// time; one that runs stays as it is. refuse: exit with 1
    #[arg(long, value_name = "WHAT", requires = "unique")]
    if_exists: Option<IfExists>,
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

/// How and where tasks are put.
#[derive(Debug)]
pub struct Order {
    pub tube: TubeName,
    pub priority: u32,
    pub delay: Duration,
    /// Or at that time.
    pub at: Option<Millis>,
    pub ttr: Duration,
    /// What each of them is called, beside what it says itself.
    pub tags: Vec<Tag>,
    /// That none is put while another has its key, unless it says that itself.
    pub unique: Option<Unique>,
    /// What would be refused is not recorded.
    pub strict: bool,
    pub json: bool,
}

impl Order {
    fn apply(&self, put: Put, config: &Config) -> Put {
        let put = put
            .discreet_as(&config.commands)
            .priority(self.priority)
            .ttr(self.ttr);
        // What a line of a batch says itself counts.
        let put = match (put.is_timed(), self.at) {
            (true, _) => put,
            (false, Some(at)) => put.at(at),
            (false, None) => put.delay(self.delay),
        };
        let put = match (put.is_unique(), &self.unique) {
            (true, _) | (false, None) => put,
            (false, Some(unique)) => put.unique(unique.clone()),
        };
        self.tags.iter().cloned().fold(put, Put::tag)
    }

    /// A job for those who know nothing of tasks.
    fn job(&self, body: Vec<u8>) -> NewJob {
        NewJob {
            body: body.into(),
            priority: self.priority,
            delay: self.at.map_or(self.delay, |at| {
                let left = at.saturating_sub(clock::now());
                Duration::from_millis(u64::try_from(left).unwrap_or(0))
            }),
            ttr: self.ttr,
        }
    }
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let order = Order {
        tube: flags.use_tube,
        priority: flags.priority,
        delay: flags.delay,
        at: flags.at,
        ttr: flags.ttr,
        tags: tag::of_a_task(flags.tags).map_err(|why| Failure::usage(format!("--tag: {why}")))?,
        unique: flags.unique.map(|key| Unique {
            key,
            scope: flags.scope.unwrap_or_default(),
            if_exists: flags.if_exists.unwrap_or_default(),
        }),
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
                if flags.wait || order.unique.is_some() {
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

/// Opens the store, or makes it where somebody named it: a producer whose environment is another than its workers'
/// would else have a store of its own, which nobody tends.
fn open(config: &Config) -> Result<Queue, Failure> {
    let store = &config.store;
    let is_there = store.beside().exists();
    if !is_there && !config.is_store_named {
        return Err(Failure::new(format!(
            "there is no store {store}, and nobody named it, so put makes none there; nothing was recorded"
        ))
        .next(
            "name the store with --store PATH, TASKQUEUE_STORE or store in a configuration, or start a tender, which \
             makes it",
        ));
    }
    let queue = configured::queue(config)?;
    if !is_there {
        log::note(format_args!("taskqueue: made a new store, {store}"));
    }
    Ok(queue)
}

/// Puts tasks that are known to be well-formed.
pub fn put_all(
    config: &Config,
    order: &Order,
    puts: impl IntoIterator<Item = Put>,
) -> Result<ExitCode, Failure> {
    put_chunks(config, order, puts.into_iter().map(Ok))
}

fn put_batch(config: &Config, order: &Order, path: &Path) -> Result<ExitCode, Failure> {
    let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(open_batch(path)?))
    };
    let lines = TaskLines {
        input: Some(input),
        number: 0,
        is_told: false,
    };
    put_chunks(config, order, lines)
}

/// A folder can be opened too, and then not be read.
fn open_batch(path: &Path) -> Result<File, Failure> {
    let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::Error::from_raw_os_error(Errno::ISDIR.raw_os_error())),
        false => Ok(file),
    });
    opened.map_err(|error| {
        let (path, why) = (path.display(), errno::said(&error));
        Failure::new(format!(
            "cannot read the batch {path}: {why}; nothing was put"
        ))
        .next("name a file with a JSON object a line, or - for standard input")
    })
}

/// A batch of tasks, read line by line, and what is wrong with lines that are no task.
struct TaskLines {
    /// Until it ends, or cannot be read any more.
    input: Option<Box<dyn BufRead>>,
    number: u64,
    /// It was said what a line looks like.
    is_told: bool,
}

impl Iterator for TaskLines {
    type Item = Result<Put, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number = self.number.saturating_add(1);
            match read_line(self.input.as_mut()?) {
                Ok(Line::End) => return None,
                Ok(Line::TooLong) => {
                    return Some(Err(self.wrong(format!("it has more than {MAX_BODY} bytes"))));
                }
                Ok(Line::Whole(line)) if line.trim_ascii().is_empty() => {}
                Ok(Line::Whole(line)) => return Some(self.task(line.trim_ascii_end())),
                Err(error) => {
                    self.input = None;
                    return Some(Err(self.wrong(format!(
                        "it cannot be read, nor any after it: {}",
                        errno::said(&error)
                    ))));
                }
            }
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

fn read_line(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let read = input.take(MAX_BODY).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(Line::End);
    }
    if read as u64 >= MAX_BODY && !line.ends_with(b"\n") {
        // What follows is the rest of this line, and no line of its own.
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole(line))
}

/// What a line of a batch looks like.
const SUCH_A_LINE: &str =
    r#"write a task as {"taskqueue":1,"command":"NAME"}; see taskqueue-payload(7)"#;

impl TaskLines {
    fn wrong(&self, why: String) -> Failure {
        Failure::new(format!("line {}: {why}", self.number))
    }

    fn task(&mut self, line: &[u8]) -> Result<Put, Failure> {
        let is_told = self.is_told;
        let wrong = |why| self.wrong(why);
        match payload::read(line) {
            Body::Native(Native {
                uuid,
                call,
                tags,
                at,
                unique,
            }) => {
                let put = tags.into_iter().fold(Put::from(call), Put::tag);
                let put = at.into_iter().fold(put, Put::at);
                let put = unique.into_iter().fold(put, Put::unique);
                Ok(match uuid {
                    Some(uuid) => put.uuid(uuid),
                    None => put,
                })
            }
            Body::Pointer(_) => Err(wrong("a pointer is not for producers".into())),
            Body::Refused(refusal) => Err(wrong(refusal.to_string())),
            Body::Other(why) => {
                let wrong = wrong(why.to_string());
                self.is_told = true;
                Err(match is_told {
                    false => wrong.next(SUCH_A_LINE),
                    true => wrong,
                })
            }
        }
    }
}

fn put_chunks(
    config: &Config,
    order: &Order,
    puts: impl Iterator<Item = Result<Put, Failure>>,
) -> Result<ExitCode, Failure> {
    if let Some(refusal) = refusal(config, &order.tube) {
        return Err(refusal);
    }
    if order.strict {
        let puts = strictly(config, order, puts)?;
        return put_known(config, order, puts.into_iter().map(Ok));
    }
    put_known(config, order, puts)
}

/// All of them, if workers would refuse none by this configuration.
fn strictly(
    config: &Config,
    order: &Order,
    puts: impl Iterator<Item = Result<Put, Failure>>,
) -> Result<Vec<Put>, Failure> {
    let mut doubt = Doubt::new(config, &order.tube);
    if !doubt.speaks() {
        return Err(Failure::usage(
            "--strict: the configuration names no command, so nobody can say here what would be refused; nothing was \
             recorded",
        )
        .next("name the workers' configuration with --config FILE or TASKQUEUE_CONFIG, or leave out --strict"));
    }
    let (mut all, mut bytes, mut wrong) = (Vec::new(), 0usize, 0u64);
    for put in puts {
        match put {
            Ok(put) => {
                bytes = bytes.saturating_add(put.size());
                if bytes as u64 > MAX_BODY {
                    return Err(Failure::usage(format!(
                        "with --strict a batch has at most {MAX_BODY} bytes, and this has more; nothing was recorded"
                    ))
                    .next("split it, or leave out --strict"));
                }
                for why in doubt.refusals(std::slice::from_ref(&put)) {
                    wrong = wrong.saturating_add(1);
                    log::say(format_args!("taskqueue: {why}"));
                }
                all.push(put);
            }
            Err(failure) => {
                wrong = wrong.saturating_add(1);
                log::say(format_args!("taskqueue: {failure}"));
            }
        }
    }
    match wrong {
        0 if all.is_empty() => Ok(all),
        0 => served(config, &order.tube).map(|()| all),
        _ => Err(Failure::usage(
            "nothing was recorded, since --strict was given and workers would refuse that",
        )
        .next("put it otherwise, or mend the configuration; see: taskqueue check")),
    }
}

/// # Errors
/// When nobody works on the tube.
fn served(config: &Config, tube: &TubeName) -> Result<(), Failure> {
    let queue = configured::existing_queue(config)?;
    block_on(async {
        match unserved(config, queue.as_ref(), tube).await {
            None => Ok(()),
            Some(unserved) => Err(unserved.also("nothing was recorded, since --strict was given")),
        }
    })
}

fn put_known(
    config: &Config,
    order: &Order,
    puts: impl Iterator<Item = Result<Put, Failure>>,
) -> Result<ExitCode, Failure> {
    let mut putter = Putter {
        queue: open(config)?.on_this_thread(),
        order,
        doubt: Doubt::new(config, &order.tube),
        warned: false,
        recorded: false,
        all_well: true,
        printing: Ok(()),
    };
    block_on(async {
        let mut chunk = Vec::with_capacity(CHUNK.min(64));
        let mut none = true;
        let mut bytes = 0usize;
        for put in puts {
            none = false;
            match put {
                Ok(put) => {
                    bytes = bytes.saturating_add(put.size());
                    chunk.push(order.apply(put, config));
                }
                Err(failure) => putter.complain(&failure),
            }
            if chunk.len() >= CHUNK || bytes >= CHUNK_BYTES {
                putter.put(std::mem::take(&mut chunk)).await?;
                bytes = 0;
            }
        }
        if none {
            log::warn(format_args!(
                "no task was put, since none is in what was read: a batch has a JSON object a line"
            ));
        }
        putter.put(chunk).await?;
        putter.doubt.end();
        if putter.recorded && !order.strict {
            unserved::warn(config, &putter.queue, &order.tube).await;
        }
        Ok(if putter.all_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

struct Putter<'a> {
    queue: Queue,
    order: &'a Order,
    doubt: Doubt<'a>,
    /// The broker was reported as being in trouble.
    warned: bool,
    /// Something was.
    recorded: bool,
    all_well: bool,
    /// Why numbers are not printed any more.
    printing: io::Result<()>,
}

impl Putter<'_> {
    fn complain(&mut self, why: &impl fmt::Display) {
        self.all_well = false;
        log::say(format_args!("taskqueue: {why}"));
    }

    /// Records tasks, then puts their jobs, then tells their ids. Whoever reads an id may rely on the task.
    async fn put(&mut self, puts: Vec<Put>) -> Result<(), Failure> {
        let doubts = self.doubt.of(&puts);
        let answers = self.queue.put_all(&self.order.tube, puts).await?;
        let trouble = |answer: &Result<Receipt, _>| answer.as_ref().ok()?.trouble.clone();
        if let Some(error) = answers.iter().find_map(trouble) {
            self.warn(&error);
        }
        let mut recorded = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Ok(receipt) => recorded.push(receipt),
                Err(error) => self.complain(&error),
            }
        }
        self.recorded |= !recorded.is_empty();
        self.print(&recorded);
        recorded.iter().for_each(say_existing);
        for doubt in doubts {
            log::warn(format_args!("{doubt}"));
        }
        Ok(())
    }

    /// What is recorded is recorded, and the rest is yet to be, whoever takes the numbers.
    fn print(&mut self, recorded: &[Receipt]) {
        if self.printing.is_ok() {
            self.printing = print(recorded, self.order.json);
        }
        let (Err(error), [first, rest @ ..]) = (&self.printing, recorded) else {
            return;
        };
        let why = errno::said(error);
        // Nobody reads on: `put --batch - | head -1` is no failure.
        self.all_well &= error.kind() == io::ErrorKind::BrokenPipe;
        match rest.last() {
            None => log::say(format_args!(
                "taskqueue: task {} is recorded; its number could not be printed: {why}",
                first.id
            )),
            Some(last) => log::say(format_args!(
                "taskqueue: {} tasks are recorded, from {} to {}; not all of their numbers could be printed: {why}",
                recorded.len(),
                first.id,
                last.id
            )),
        }
    }

    /// Once: what holds for one task holds for those after it.
    fn warn(&mut self, error: &broker::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            log::warn(format_args!(
                "{error}\n  the task is recorded, and its job will be put when the broker is back"
            ));
        }
    }
}

fn print(recorded: &[Receipt], as_json: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(out(as_json));
    for receipt in recorded {
        if as_json {
            serde_json::to_writer(&mut out, &json::Put::of(receipt))?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", receipt.id)?;
        }
    }
    out.flush()
}
