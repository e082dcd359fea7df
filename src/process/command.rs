//! One running command.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio_process_stream::{Item, ProcessChunkStream};

use crate::task::state::Exit;

/// How long we go on reading after a command has exited: something that it left behind may hold its
/// stdout open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The group of the command that runs now, 0 when none does: for [`kill_current`] alone.
static CURRENT: AtomicI32 = AtomicI32::new(0);

/// Kills the command that runs, from any thread: for a process whose loop is stuck and that is about to end.
pub fn kill_current() {
    if let Some(group) = Pid::from_raw(CURRENT.load(Ordering::Acquire)) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// What to start.
#[derive(Debug)]
pub struct Spec<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// What is added to the environment.
    pub environment: Vec<(&'static str, String)>,
    /// What is taken out of it.
    pub withheld: &'a [String],
    /// What it reads; nothing when `None`.
    pub stdin: Option<Bytes>,
    /// A descriptor that it inherits.
    pub inherited: BorrowedFd<'a>,
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
    stream: ProcessChunkStream,
    group: Pid,
    feeding: Option<Feeding>,
    exited: bool,
}

/// The rest of what the command has not read yet.
#[derive(Debug)]
struct Feeding {
    pipe: ChildStdin,
    body: Bytes,
}

impl Running {
    /// Starts a command.
    ///
    /// No hook runs in the child (`pre_exec`), so that the standard library can use `posix_spawn`.
    pub fn start(spec: Spec<'_>) -> io::Result<Running> {
        let (program, arguments) = spec
            .argv
            .split_first()
            .ok_or_else(|| io::Error::other("no program"))?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(match spec.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        });
        let printed = one_pipe(&mut command)?;
        for name in spec.withheld {
            command.env_remove(name);
        }
        // What says whose it is cannot be withheld.
        command.envs(spec.environment);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = spawn_with(tokio::process::Command::from(command), spec.inherited)?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the command has no process id"))?;
        CURRENT.store(group.as_raw_nonzero().get(), Ordering::Release);
        child.stdout = Some(printed);
        // Taken here: waiting for the child would close it.
        let pipe = child.stdin.take();
        Ok(Running {
            stream: child.into(),
            group,
            feeding: pipe
                .zip(spec.stdin)
                .map(|(pipe, body)| Feeding { pipe, body }),
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
            let _ = rustix::process::kill_process_group(self.group, signal);
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
        match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(Some(Item::Stdout(chunk) | Item::Stderr(chunk))) => {
                return Poll::Ready(Ok(Event::Output(chunk)));
            }
            Poll::Ready(Some(Item::Done(status))) => return Poll::Ready(self.exit(status)),
            Poll::Ready(None) => {
                return Poll::Ready(Err(io::Error::other("the command has exited before")));
            }
            Poll::Pending => {}
        }
        // The stream looks at the child only once both pipes are closed, and a grandchild may hold them.
        let Some(child) = self.stream.child_mut() else {
            return Poll::Pending;
        };
        let waited = std::pin::pin!(child.wait()).poll(cx);
        waited.map(|status| self.exit(status))
    }

    fn exit(&mut self, status: io::Result<ExitStatus>) -> io::Result<Event> {
        CURRENT.store(0, Ordering::Release);
        self.exited = true;
        self.feeding = None;
        status.map(|status| Event::Exited(exit_of(status)))
    }

    /// What it had still printed when it exited, piece by piece, without waiting for what it may have
    /// left behind.
    pub async fn last_words(mut self, mut each: impl FnMut(&[u8])) {
        let rest = async {
            while let Some(Item::Stdout(chunk) | Item::Stderr(chunk)) =
                poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await
            {
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
            match std::pin::pin!(writing).poll(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Gives both streams one pipe, so that what arrives is in the order in which it was printed.
fn one_pipe(command: &mut std::process::Command) -> io::Result<ChildStdout> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    ChildStdout::from_std(OwnedFd::from(reader).into())
}

/// Starts a child that inherits one more descriptor. No other thread of this process starts any, so none
/// can inherit it by accident in between.
fn spawn_with(
    mut command: tokio::process::Command,
    inherited: BorrowedFd<'_>,
) -> io::Result<Child> {
    let descriptor = inherited.as_fd();
    rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    let child = command.spawn();
    rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    child
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // wait(2) reports nothing else of a process that has ended.
        (None, None) => Exit::Code(255),
    }
}
