//! One running command.

use std::fmt::Display;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};
use tokio::io::unix::{AsyncFd, AsyncFdRegisterError};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe;

use super::environment::Environment;
use super::spawn::{self, Process, Start, spawn};
use crate::task::state::Exit;

/// How long we go on reading after a command has exited: something that it left behind may hold its
/// stdout open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// As much of what it prints as is read at once.
const READ: usize = 8 * 1024;

/// As much as a pipe holds that nobody reads (pipe(7)).
const PIPE: usize = 64 * 1024;

/// The group of the command that runs now, 0 when none does: for [`kill_current`] alone.
static CURRENT: AtomicI32 = AtomicI32::new(0);

/// Kills the command that runs, from any thread: for a process whose loop is stuck and that is about to end.
pub fn kill_current() {
    if let Some(group) = Pid::from_raw(CURRENT.load(Ordering::Acquire)) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// What to start.
pub struct Spec<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// The environment that all have.
    pub environment: &'a Environment,
    /// What is added to it.
    pub added: &'a [(&'static str, &'a dyn Display)],
    /// What it reads; nothing when `None`.
    pub stdin: Option<Bytes>,
    /// A descriptor that it inherits.
    pub inherited: BorrowedFd<'a>,
    /// Whether to listen to what it prints from the beginning, and not only from [`Running::listen`] on.
    pub listen: bool,
}

/// What a command does.
#[derive(Debug)]
pub enum Event {
    /// It printed, on either stream.
    Output(Bytes),
    /// It ended. What it printed before may still come.
    Exited(Exit),
}

/// A command that has been started, in a process group of its own.
#[derive(Debug)]
pub struct Running {
    process: AsyncFd<OwnedFd>,
    group: Pid,
    printed: Printed,
    feeding: Option<Feeding>,
    exited: bool,
}

/// What a command prints comes through it.
#[derive(Debug)]
enum Printed {
    /// It is read when the command has ended, or is listened to before.
    Unheard(OwnedFd),
    Heard(AsyncFd<OwnedFd>),
    /// All who could print have closed it.
    Closed,
}

/// The rest of what the command has not read yet.
#[derive(Debug)]
struct Feeding {
    pipe: pipe::Sender,
    body: Bytes,
}

impl Running {
    /// Starts a command.
    ///
    /// # Errors
    /// When it could not be started, for whatever reason; then nothing of it runs.
    pub fn start(spec: Spec<'_>) -> io::Result<Running> {
        let (stdin, feeding) = match spec.stdin {
            None => (Stdin::Nothing(nothing()?), None),
            Some(body) => {
                let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
                let pipe = pipe::Sender::from_owned_fd(writer)?;
                (Stdin::Body(reader), Some(Feeding { pipe, body }))
            }
        };
        // Both streams have one pipe, so that what arrives is in the order in which it was printed.
        let (printed, printer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&printed, OFlags::NONBLOCK)?;
        let printed = match spec.listen {
            true => Printed::Heard(readable(printed)?),
            false => Printed::Unheard(printed),
        };
        let Process { pid, pidfd } = spawn(&Start {
            argv: spec.argv,
            environment: spec.environment,
            added: spec.added,
            stdin: stdin.as_fd(),
            printed: printer.as_fd(),
            inherited: spec.inherited,
        })?;
        let process = readable(pidfd);
        let process = process.map_err(|error| {
            let (pidfd, error) = error.into_parts();
            // Nobody would hear of its end.
            let _ = kill_process_group(pid, Signal::KILL);
            spawn::wait(&pidfd);
            error
        })?;
        CURRENT.store(pid.as_raw_nonzero().get(), Ordering::Release);
        Ok(Running {
            process,
            group: pid,
            printed,
            feeding,
            exited: false,
        })
    }

    /// Its process group, which has its own process id.
    pub fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Sends a signal to the whole group. Only until it has exited: afterwards the number may be another's.
    pub fn signal(&self, signal: Signal) {
        if !self.exited {
            // The group may be gone in this instant; its exit tells.
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// The next thing that it does. May be cancelled. Not to be called after its exit.
    pub async fn next(&mut self) -> io::Result<Event> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if let Some(feeding) = &mut self.feeding
            && feeding.poll(cx).is_ready()
        {
            self.feeding = None;
        }
        if let Poll::Ready(Some(chunk)) = self.poll_printed(cx) {
            return Poll::Ready(Ok(Event::Output(chunk)));
        }
        // Not when nobody can print any more: something that it has started may hold the pipe for ever.
        let exit = ready!(self.poll_exit(cx));
        CURRENT.store(0, Ordering::Release);
        self.exited = true;
        self.feeding = None;
        Poll::Ready(exit.map(Event::Exited))
    }

    /// Listens to what it prints, if nobody does. Until then it can print as much as a pipe holds before it has to wait.
    ///
    /// # Errors
    /// When the system does not let us; it may be tried again.
    pub fn listen(&mut self) -> io::Result<()> {
        let mut listened = Ok(());
        self.printed = match mem::replace(&mut self.printed, Printed::Closed) {
            Printed::Unheard(printed) => match readable(printed) {
                Ok(printed) => Printed::Heard(printed),
                Err(error) => {
                    let (printed, error) = error.into_parts();
                    listened = Err(error);
                    Printed::Unheard(printed)
                }
            },
            other => other,
        };
        listened
    }

    /// What has been printed, as far as it is listened to; `None` when nobody can print any more.
    fn poll_printed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let printed = match &self.printed {
                Printed::Heard(printed) => printed,
                Printed::Unheard(_) => return Poll::Pending,
                Printed::Closed => return Poll::Ready(None),
            };
            let mut readiness = match ready!(printed.poll_read_ready(cx)) {
                Ok(readiness) => readiness,
                Err(_) => break,
            };
            match readiness.try_io(|printed| read(printed.get_ref())) {
                Ok(Ok(Some(chunk))) => return Poll::Ready(Some(chunk)),
                Ok(Ok(None) | Err(_)) => break,
                Err(_would_block) => {}
            }
        }
        self.printed = Printed::Closed;
        Poll::Ready(None)
    }

    fn poll_exit(&self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        loop {
            let mut readiness = ready!(self.process.poll_read_ready(cx))?;
            let ended = WaitId::PidFd(self.process.get_ref().as_fd());
            match waitid(ended, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(status)) => return Poll::Ready(Ok(exit_of(&status))),
                Ok(None) => readiness.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// What it had still printed when it exited, piece by piece, without waiting for what it may have
    /// left behind.
    pub async fn last_words(mut self, mut each: impl FnMut(&[u8])) {
        // As much as there was room for, and its end. If that is not the end, something holds the pipe open.
        for _ in 0..=PIPE / READ {
            let Printed::Unheard(printed) = &self.printed else {
                break;
            };
            match read(printed) {
                Ok(Some(chunk)) => each(&chunk),
                Ok(None) => return,
                Err(_) => break,
            }
        }
        if self.listen().is_err() {
            return;
        }
        let rest = async {
            while let Some(chunk) = poll_fn(|cx| self.poll_printed(cx)).await {
                each(&chunk);
            }
        };
        // Late output is nobody's fault, and is left out.
        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    }
}

impl Feeding {
    /// Ready when there is nothing more to write, or nobody who reads it: a command need not read.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.body.is_empty() {
                return Poll::Ready(());
            }
            let writing = self.pipe.write_buf(&mut self.body);
            match pin!(writing).poll(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// What a command reads.
#[derive(Debug)]
enum Stdin {
    Nothing(BorrowedFd<'static>),
    Body(OwnedFd),
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stdin::Nothing(nothing) => *nothing,
            Stdin::Body(reader) => reader.as_fd(),
        }
    }
}

/// What commands without a body read, opened once.
fn nothing() -> io::Result<BorrowedFd<'static>> {
    static NOTHING: OnceLock<File> = OnceLock::new();
    if let Some(nothing) = NOTHING.get() {
        return Ok(nothing.as_fd());
    }
    let opened = File::open("/dev/null")?;
    Ok(NOTHING.get_or_init(|| opened).as_fd())
}

/// Has the runtime watch a descriptor.
fn readable(descriptor: OwnedFd) -> Result<AsyncFd<OwnedFd>, AsyncFdRegisterError<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open for as long as it is, which is as long as the result.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
}

/// A piece of what is in a pipe; `None` at its end.
fn read(pipe: &OwnedFd) -> io::Result<Option<Bytes>> {
    let mut room = [MaybeUninit::uninit(); READ];
    let (piece, _) = rustix::io::read(pipe, &mut room)?;
    Ok((!piece.is_empty()).then(|| Bytes::copy_from_slice(piece)))
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // waitid(2) reports nothing else of a process that has ended.
        (None, None) => Exit::Code(255),
    }
}
