//! Many tasks: recorded in chunks, and put, one chunk after the other.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::doubt::Doubt;
use super::existing::say_existing;
use super::foreign::refusal;
use super::graph::{GRAPH, cut_graph, too_large};
use super::lines::TaskLines;
use super::order::{MAX_BODY, Order, open};
use super::unserved::{self, unserved};

use crate::api::{Put, Queue, Receipt, json};
use crate::broker;
use crate::cli::configured::{self, block_on};
use crate::cli::out::out;
use crate::cli::{Failure, log};
use crate::config::Config;
use crate::errno;
use crate::task::payload;
use crate::tube::TubeName;

/// Tasks recorded in one transaction and put in one go: so many, or of so many bytes. They are held in memory
/// together, and nobody else writes meanwhile.
const CHUNK: usize = 1000;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Puts tasks that are known to be well-formed.
pub fn put_all(
    config: &Config,
    order: &Order,
    puts: impl IntoIterator<Item = Put>,
) -> Result<ExitCode, Failure> {
    put_chunks(config, order, puts.into_iter().map(Ok))
}

pub(super) fn put_batch(config: &Config, order: &Order, path: &Path) -> Result<ExitCode, Failure> {
    put_chunks(config, order, TaskLines::of(path)?)
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
pub(super) fn strictly(
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
                let put = put.own(&order.own);
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
        // Some name each other, by references, and something among them is wrong.
        let (mut is_graph, mut is_wrong) = (false, false);
        for put in puts {
            none = false;
            match put {
                Ok(put) => {
                    let put = order.apply(put, config);
                    if let Some(out) = out_of_bounds(&put, config, &order.tube) {
                        is_wrong = true;
                        putter.complain(&out);
                    } else {
                        bytes = bytes.saturating_add(put.size());
                        is_graph |= put.is_of_a_batch();
                        chunk.push(put);
                    }
                }
                Err(failure) => {
                    is_wrong = true;
                    putter.complain(&failure);
                }
            }
            if is_graph && (chunk.len() > GRAPH || bytes as u64 > MAX_BODY) {
                return Err(too_large(MAX_BODY));
            }
            if !is_graph && (chunk.len() >= CHUNK || bytes >= CHUNK_BYTES) {
                is_wrong = false;
                putter.put(std::mem::take(&mut chunk)).await?;
                bytes = 0;
            }
        }
        if none {
            log::warn(format_args!(
                "no task was put, since none is in what was read: a batch has a JSON object a line"
            ));
        }
        if is_graph && is_wrong {
            return Err(cut_graph());
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

/// What a task says of its own attempts beyond what the configuration lets it, as far as that is known here.
pub(super) fn out_of_bounds(put: &Put, config: &Config, tube: &TubeName) -> Option<String> {
    if !put.has_own() {
        return None;
    }
    match put.refusal(&config.commands, tube) {
        Some(refusal @ payload::Refusal::OutOfBounds { .. }) => {
            Some(format!("{refusal}; it is not recorded"))
        }
        Some(_) | None => None,
    }
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
