//! Where events go: stderr, or a file that can be moved away and opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::Failure;
use super::global::{Global, LogFormat};

/// The file, if there is one: a process has one log.
static FILE: OnceLock<LogFile> = OnceLock::new();

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

/// Begins to write events: daemons tell what they do, the others only what went wrong.
pub fn start(global: &Global, daemon: bool) -> Result<(), Failure> {
    let default = if daemon { "info" } else { "warn" };
    let filter = global.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| Failure::usage(format!("'{filter}' is no filter for events: {e}")))?;
    let writer = match &global.log_file {
        None => BoxMakeWriter::new(io::stderr),
        Some(path) => {
            let failed = |error: io::Error| {
                let path = path.display();
                Failure::new(format!("cannot write the log file {path}: {error}"))
                    .next("name another with --log-file PATH or TASKQUEUE_LOG_FILE")
            };
            let path = absolute(path).map_err(failed)?;
            let file = Mutex::new(open(&path).map_err(failed)?);
            FILE.get_or_init(|| LogFile { path, file });
            BoxMakeWriter::new(|| Line)
        }
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false);
    match global.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => {
            // Set and not empty, as clap reads it for what it prints itself.
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let terminal = global.log_file.is_none() && io::stderr().is_terminal();
            log.with_ansi(terminal && !plain).init();
        }
    }
    Ok(())
}

/// Opens the file again by its name, if events go to one: somebody has moved it away.
///
/// # Errors
/// Why it cannot be opened; events go on to where they went.
pub fn reopen() -> Result<(), String> {
    let Some(LogFile { path, file }) = FILE.get() else {
        return Ok(());
    };
    match open(path) {
        Ok(opened) => {
            // Nobody leaves it in between.
            *file.lock().unwrap_or_else(PoisonError::into_inner) = opened;
            tracing::info!("log file opened again");
            Ok(())
        }
        Err(error) => Err(format!("cannot open {}: {error}", path.display())),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Writes an event, a whole line at a time, to the file as it is now.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match FILE.get() {
            Some(LogFile { file, .. }) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write(bytes)
            }
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
