//! What this program tells people besides its results: events, and lines on stderr such as warnings. Telling never
//! stops work.
//!
//! ```text
//!   tracing's events ──▶ a line ──┬─▶ queue ──▶ thread ──▶ the log file           a thread and a queue for each of
//!   `say`: one for people ────────┴─▶ queue ──▶ thread ──▶ stderr                 the two, started by the first line
//! ```
//!
//! Whoever has something to tell leaves a line in a queue ([`queue`]) and goes on. A thread writes the lines
//! ([`sink`]): only that thread waits for a reader who sleeps, and only that thread learns of a disk that is full or of
//! a pipe that is closed. What cannot be written is counted, and the count is said in the place of the lost lines. An
//! orderly end waits a moment for the lines that are left ([`End`]); `kill -9` takes them along.
//!
//! `tracing-appender` does as much on a good day. But it panics where no thread is to be had, it bounds lines and not
//! bytes, it forgets what a write failed to take, and it prints, and so may panic, at an end that its reader sleeps
//! through.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::Failure;
use super::global::{Global, LogFormat};
use crate::address::canonical;
use crate::errno;
use crate::harmless;

mod bounded;
mod filter;
mod limit;
mod queue;
mod shape;
mod sink;
#[cfg(test)]
mod tests;

use bounded::Bounded;
pub use filter::Filter;
use queue::Queue;
use sink::Sink;

static STDERR: Queue = Queue::new();

static FILE: Queue = Queue::new();

/// Where events go; nowhere before [`start`].
static EVENTS: OnceLock<&Queue> = OnceLock::new();

/// How long a line for people waits for room where their reader is slow. Without it `put --batch` would lose
/// complaints to a pager.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an end waits for the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The same, with the log file by the name that it has for a guard and for workers too, and with a filter where `-v` or
/// `-q` asks for another than the usual one.
pub fn named(mut global: Global, daemon: bool) -> Result<Global, Failure> {
    if let Some(level) = global.level(daemon) {
        global.log = Some(level.parse().map_err(Failure::usage)?);
    }
    if let Some(file) = &mut global.log_file {
        *file = canonical(file).map_err(|error| unwritable(file, &error))?;
    }
    Ok(global)
}

/// Begins to write events: daemons tell what they do, the others only what went wrong.
pub fn start(global: &Global, daemon: bool) -> Result<(), Failure> {
    QUIET.store(global.quiet > 0, Ordering::Relaxed);
    let default = || if daemon { "info" } else { "warn" }.parse();
    let filter = global.log.clone().map_or_else(default, Ok);
    let filter = filter.and_then(|filter| filter.events());
    let filter = filter.map_err(Failure::usage)?;
    let json = match global.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let queue: &'static Queue = match &global.log_file {
        None => {
            STDERR.write_to(Sink::stderr(json));
            &STDERR
        }
        Some(path) => {
            let opened = Sink::file(path.clone(), json);
            FILE.write_to(opened.map_err(|error| unwritable(path, &error))?);
            &FILE
        }
    };
    EVENTS.get_or_init(|| queue);
    // Who looks that closely wants to see everything.
    let is_limited = filter
        .max_level_hint()
        .is_none_or(|level| level < LevelFilter::DEBUG);
    let bounded = is_limited.then_some(Bounded { queue });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines { queue, json })
        // It would print them, and panic where it cannot.
        .log_internal_errors(false)
        .with_target(false);
    let begun = match json {
        true => {
            let log = log.json().flatten_event(true).finish();
            log.with(bounded).try_init()
        }
        false => {
            let log = log
                .fmt_fields(shape::fields())
                .with_ansi(global.log_file.is_none() && has_colours())
                .finish();
            log.with(bounded).try_init()
        }
    };
    begun.map_err(|error| Failure::new(format!("cannot begin to log: {error}")))?;
    panic::set_hook(Box::new(panicked));
    Ok(())
}

/// Says which worker this process is: each line has its name from now on.
pub fn is_worker(name: &str) {
    shape::is_worker(name);
}

fn unwritable(file: &Path, error: &io::Error) -> Failure {
    let file = file.display();
    Failure::new(format!(
        "cannot write the log file {file}: {}",
        errno::said(error)
    ))
    .next("name another with --log-file PATH or TASKQUEUE_LOG_FILE")
}

/// Whether only errors are asked for.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether people asked for errors only: nothing need be looked up to warn them of.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Warns people of something on stderr, unless they asked for errors only.
pub fn warn(line: fmt::Arguments<'_>) {
    note(format_args!("taskqueue: warning: {line}"));
}

/// Tells people what is no error, unless they asked for errors only.
pub fn note(line: fmt::Arguments<'_>) {
    if !is_quiet() {
        say(line);
    }
}

/// Tells people something on stderr, whatever they asked for: what went wrong. Their terminal obeys nothing of it.
pub fn say(line: fmt::Arguments<'_>) {
    let line = format!("{line}\n");
    STDERR.push(harmless::lines(&line).into_owned().into_bytes(), PATIENCE);
}

/// Whether people see what is said.
pub fn is_seen() -> bool {
    io::stderr().is_terminal()
}

/// Opens the log file again by its name, if events go to one: somebody has moved it away. Where the name cannot be
/// opened, events go on to where they went.
pub fn reopen() {
    if let Some(events) = EVENTS.get() {
        events.reopen();
    }
}

/// Waits, when it is dropped, until what was told is written: for a moment, and not for a reader who has slept for
/// longer.
#[derive(Debug)]
pub struct End;

impl Drop for End {
    fn drop(&mut self) {
        if let Some(until) = Instant::now().checked_add(LAST_WORDS) {
            FILE.end(until);
            STDERR.end(until);
        }
    }
}

fn has_colours() -> bool {
    // Set and not empty, as clap reads it for what it prints itself.
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stderr().is_terminal() && !plain && !dumb
}

/// Says it as an event. What is there by default writes to stderr itself, and waits for its reader.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or_default();
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let reason = panic.payload_as_str().unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(thread, place, reason, %backtrace, "panicked");
        }
        _ => tracing::error!(thread, place, reason, "panicked"),
    }
}

/// Where events become lines.
struct Lines {
    queue: &'static Queue,
    json: bool,
}

/// An event, which `tracing` writes as a whole.
struct Line {
    queue: &'static Queue,
    json: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        let Lines { queue, json } = *self;
        Line { queue, json }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = match self.json {
            true => shape::json(bytes),
            false => bytes.to_vec(),
        };
        self.queue.push(line, Duration::ZERO);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
