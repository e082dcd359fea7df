//! One running command.

use std::fmt::Display;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Gid, OFlags, Timespec, Uid, fchown};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncWriteExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Sender;
use tokio::time::Instant;

use super::environment::Environment;
use super::folder;
use super::lack::{Lack, NotStarted};
use super::spawn::{Process, Start, spawn};
use super::wait::reap;
use crate::fd;
use crate::lives::sessions::Note;
use crate::task::conditions::{Conditions, Identity};
use crate::task::resources::Resources;
use crate::task::state::Exit;

mod rest;

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

/// Whether that is the command that runs now, for whose end somebody waits.
pub fn is_current(pid: Pid) -> bool {
    CURRENT.load(Ordering::Acquire) == pid.as_raw_nonzero().get()
}

/// What to start.
pub struct Spec<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// The environment that all have.
    pub environment: &'a Environment,
    /// What is added to it.
    pub added: &'a [(&'a str, &'a dyn Display)],
    /// What it reads; nothing when `None`.
    pub stdin: Option<Bytes>,
    /// A descriptor that it inherits.
    pub inherited: Option<BorrowedFd<'a>>,
    /// Where the number of its session is noted before it begins.
    pub note: Option<Note<'a>>,
    /// As whom, where and with what it runs.
    pub conditions: &'a Conditions,
    /// Whether it finds a descriptor to report through.
    pub reports: bool,
    /// Whether to listen to what it prints from the beginning, and not only from [`Running::listen`] on.
    pub listen: bool,
}

/// What a command does.
#[derive(Debug)]
pub enum Event {
    /// It printed, on either stream.
    Output(Bytes),
    /// It reported.
    Reported(Bytes),
    /// It ended. What it printed before may still come.
    Exited(Exit),
}

/// A piece of what a command writes.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// It printed that, on either stream.
    Printed(&'a [u8]),
    /// It reported that.
    Reported(&'a [u8]),
}

/// A command that has been started, in a session of its own.
#[derive(Debug)]
pub struct Running {
    /// Readable when it has ended.
    process: Source,
    group: Pid,
    /// What it prints; `None` when all who could print have closed it.
    printed: Option<Source>,
    /// What it reports; `None` once it has exited, or if it was to find no descriptor for that.
    reports: Option<Reports>,
    /// Whose turn it is to be read first, so that neither keeps the other waiting, nor what is reported keeps the exit.
    reports_first: bool,
    feeding: Option<Feeding>,
    exit: Option<Exit>,
    took: Option<Resources>,
}

/// A descriptor that tells of a command. The runtime watches one only when it has to: that costs as much as many a
/// wait.
#[derive(Debug)]
enum Source {
    Unwatched(OwnedFd),
    Watched(AsyncFd<OwnedFd>),
}

/// The pipe through which a command reports, and nothing else of any other attempt.
///
/// We hold the end that is written to as well, so that the pipe has no end of file before the command has exited:
/// nobody is woken for that, as one would be for each command that exits without having reported anything.
#[derive(Debug)]
struct Reports {
    reader: Source,
    _writer: OwnedFd,
}

/// The rest of what the command has not read yet.
#[derive(Debug)]
struct Feeding {
    pipe: Sender,
    body: Bytes,
}

impl Running {
    /// Starts a command. Where the system does not let us listen to it from the beginning, it is not listened to
    /// ([`Running::is_listened_to`]): it has begun.
    ///
    /// # Errors
    /// When it could not be started, for whatever reason; then nothing of it runs.
    pub fn start(spec: Spec<'_>) -> Result<Running, NotStarted> {
        folder::stand().map_err(|error| NotStarted {
            lack: Lack::Folder,
            error,
        })?;
        let (stdin, feeding) = Stdin::of(spec.stdin).map_err(NotStarted::setup)?;
        let (printed, printer) = pipe().map_err(NotStarted::setup)?;
        let reports = spec.reports.then(pipe).transpose();
        let reports = reports.map_err(NotStarted::setup)?;
        let reporter = reports.as_ref().map(|(_, writer)| writer);
        if let Some(identity) = &spec.conditions.identity {
            give(identity, &stdin, [Some(&printer), reporter]);
        }
        let Process { pid, pidfd } = spawn(&Start {
            argv: spec.argv,
            environment: spec.environment,
            added: spec.added,
            stdin: stdin.as_fd(),
            printed: printer.as_fd(),
            inherited: spec.inherited,
            reports: reporter.map(OwnedFd::as_fd),
            note: spec.note,
            conditions: spec.conditions,
        })?;
        let mut running = Running {
            process: Source::Unwatched(pidfd),
            group: pid,
            printed: Some(Source::Unwatched(printed)),
            reports: reports.map(|(reader, writer)| Reports {
                reader: Source::Unwatched(reader),
                _writer: writer,
            }),
            reports_first: false,
            feeding,
            exit: None,
            took: None,
        };
        if spec.listen {
            // Tried again later.
            let _ = running.listen();
        }
        CURRENT.store(pid.as_raw_nonzero().get(), Ordering::Release);
        Ok(running)
    }

    /// Whether it is listened to.
    pub fn is_listened_to(&self) -> bool {
        let is_watched = |source: &Source| match source {
            Source::Watched(_) => true,
            Source::Unwatched(_) => false,
        };
        let reports = self.reports.as_ref().map(|reports| &reports.reader);
        is_watched(&self.process)
            && self.printed.as_ref().is_none_or(is_watched)
            && reports.is_none_or(is_watched)
    }

    /// Its session and its process group, which have its own process id.
    pub fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Sends a signal to the whole group. Only until it has exited: afterwards the number may be another's.
    ///
    /// # Errors
    /// When no process of the group is ours to signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        match kill_process_group(self.group, signal) {
            Err(Errno::PERM) => Err(Errno::PERM.into()),
            // The group may be gone in this instant; its exit tells.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Leaves it to itself.
    pub fn abandon(self) {
        CURRENT.store(0, Ordering::Release);
    }

    /// Waits for the command's end, and lets nothing else go on meanwhile: for what takes less than to have the runtime
    /// wait. What the command writes by then is handed over piece by piece, so that it does not wait for room in its
    /// pipes. `None` when the command goes on, or a signal came. Does not wait for a command that has not got all that
    /// it is to read.
    ///
    /// # Errors
    /// As [`Running::next`].
    pub fn ends_within(
        &mut self,
        time: Duration,
        mut each: impl FnMut(Piece<'_>),
    ) -> io::Result<Option<Exit>> {
        if self.feeding.is_some() {
            return Ok(None);
        }
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let time = Timespec::try_from(left).map_err(io::Error::other)?;
            let process = self.process.descriptor();
            // Where there is nothing to be read, the process stands twice.
            let printed = self.printed.as_ref().map_or(process, Source::descriptor);
            let reports = self.reports.as_ref();
            let reports = reports.map_or(process, |reports| reports.reader.descriptor());
            let mut all = [process, printed, reports].map(|one| PollFd::new(one, PollFlags::IN));
            match poll(&mut all, Some(&time)) {
                Ok(0) | Err(Errno::INTR) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let [has_ended, has_printed, has_reported] = all.map(|one| !one.revents().is_empty());
            if has_ended {
                return self.try_wait();
            }
            if has_printed {
                self.read_printed(&mut each);
            }
            if has_reported {
                self.read_reported(&mut each);
            }
            // Who writes as fast as we read would keep us here.
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// A piece of what has been printed, or its end.
    fn read_printed(&mut self, each: &mut impl FnMut(Piece<'_>)) {
        let Some(printed) = &self.printed else {
            return;
        };
        match read(printed.descriptor()) {
            Ok(Some(chunk)) => each(Piece::Printed(&chunk)),
            Ok(None) => self.printed = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // As at its end: nobody can print to it.
            Err(_) => self.printed = None,
        }
    }

    /// A piece of what has been reported.
    fn read_reported(&mut self, each: &mut impl FnMut(Piece<'_>)) {
        let reports = self.reports.as_ref();
        let piece = reports.map(|reports| read(reports.reader.descriptor()));
        // There is no end while we hold both ends.
        if let Some(Ok(Some(chunk))) = piece {
            each(Piece::Reported(&chunk));
        }
    }

    /// The next thing that it does, as far as it is listened to. May be cancelled. Not to be called after its exit.
    ///
    /// # Errors
    /// When it is not ours to wait for (wait(2)).
    pub async fn next(&mut self) -> io::Result<Event> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if let Some(feeding) = &mut self.feeding
            && feeding.poll(cx).is_ready()
        {
            self.feeding = None;
        }
        self.reports_first = !self.reports_first;
        if self.reports_first
            && let Poll::Ready(Some(chunk)) = self.poll_reports(cx)
        {
            return Poll::Ready(Ok(Event::Reported(chunk)));
        }
        if let Poll::Ready(Some(chunk)) = self.poll_printed(cx) {
            return Poll::Ready(Ok(Event::Output(chunk)));
        }
        // Not when nobody can print any more: something that it has started may hold the pipe for ever.
        if let Poll::Ready(exit) = self.poll_exit(cx) {
            return Poll::Ready(exit.map(Event::Exited));
        }
        match self.poll_reports(cx) {
            Poll::Ready(Some(chunk)) => Poll::Ready(Ok(Event::Reported(chunk))),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Listens to it, if nobody does. Until then it can print as much as a pipe holds before it has to wait, and nobody
    /// hears of its end.
    ///
    /// # Errors
    /// When the system does not let us; it may be tried again.
    pub fn listen(&mut self) -> io::Result<()> {
        self.process.watch()?;
        if let Some(printed) = &mut self.printed {
            printed.watch()?;
        }
        match &mut self.reports {
            Some(reports) => reports.reader.watch(),
            None => Ok(()),
        }
    }

    /// What has been printed, as far as it is listened to; `None` when nobody can print any more.
    fn poll_printed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(printed) = &self.printed else {
            return Poll::Ready(None);
        };
        let chunk = ready!(printed.poll(cx));
        if chunk.is_none() {
            self.printed = None;
        }
        Poll::Ready(chunk)
    }

    /// What has been reported, as far as it is listened to; `None` when nobody is to report any more.
    fn poll_reports(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &self.reports {
            Some(reports) => reports.reader.poll(cx),
            None => Poll::Ready(None),
        }
    }

    fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        loop {
            let Source::Watched(process) = &self.process else {
                return Poll::Pending;
            };
            let mut readiness = ready!(process.poll_read_ready(cx))?;
            readiness.clear_ready();
            if let Some(exit) = self.try_wait()? {
                return Poll::Ready(Ok(exit));
            }
        }
    }

    /// Its end, if it has come.
    ///
    /// # Errors
    /// As [`Running::next`].
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_some() {
            // Its number may be another's by now.
            return Ok(self.exit);
        }
        if let Some((exit, took)) = reap(self.group)? {
            CURRENT.store(0, Ordering::Release);
            (self.exit, self.took) = (Some(exit), Some(took));
            self.feeding = None;
        }
        Ok(self.exit)
    }

    /// What it took of the machine, once it has ended.
    pub fn took(&self) -> Option<Resources> {
        self.took
    }

    /// The signal that has stopped it, if it is stopped now and goes on only after CONT. The kernel tells of no stop
    /// that is over, and goes on telling of one that lasts, as long as nobody takes it away (waitid(2), "WNOWAIT").
    pub fn stopped_by(&self) -> Option<i32> {
        if self.exit.is_some() {
            return None;
        }
        let process = WaitId::PidFd(self.process.descriptor().as_fd());
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // What is wrong shows at its end.
        let status = waitid(process, look).ok().flatten()?;
        status.stopping_signal()
    }
}

impl Source {
    fn descriptor(&self) -> &OwnedFd {
        match self {
            Source::Unwatched(descriptor) => descriptor,
            Source::Watched(watched) => watched.get_ref(),
        }
    }

    /// A piece of what comes from it, as far as it is watched; `None` at its end.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Source::Watched(watched) = self else {
            return Poll::Pending;
        };
        loop {
            let mut readiness = match ready!(watched.poll_read_ready(cx)) {
                Ok(readiness) => readiness,
                Err(_) => return Poll::Ready(None),
            };
            match readiness.try_io(|watched| read(watched.get_ref())) {
                Ok(Ok(Some(chunk))) => return Poll::Ready(Some(chunk)),
                Ok(Ok(None) | Err(_)) => return Poll::Ready(None),
                Err(_would_block) => {}
            }
        }
    }

    /// Has the runtime watch a copy of the descriptor, so that nothing is lost where it cannot.
    fn watch(&mut self) -> io::Result<()> {
        if let Source::Unwatched(descriptor) = self {
            let watched = descriptor.try_clone()?;
            *self = Source::Watched(fd::watched(watched)?);
        }
        Ok(())
    }
}

impl Feeding {
    /// Writes as much as there is room for, and says what is left.
    fn begin(pipe: OwnedFd, mut body: Bytes) -> io::Result<Option<Feeding>> {
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        // What it could not write it tries again.
        let written = rustix::io::write(&pipe, &body).unwrap_or_default();
        body.advance(written);
        if body.is_empty() {
            return Ok(None);
        }
        let pipe = Sender::from_owned_fd(pipe)?;
        Ok(Some(Feeding { pipe, body }))
    }

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

impl Stdin {
    /// That, and what is left to be fed to it.
    fn of(body: Option<Bytes>) -> io::Result<(Stdin, Option<Feeding>)> {
        let Some(body) = body else {
            return Ok((Stdin::Nothing(nothing()?), None));
        };
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((Stdin::Body(reader), Feeding::begin(writer, body)?))
    }
}

/// Has a command's pipes belong to its user, who may then open them by their names: `/dev/stdout` is one. Where we have
/// no right to that, the command does without.
fn give(identity: &Identity, stdin: &Stdin, written: [Option<&OwnedFd>; 2]) {
    let (user, group) = (Uid::from_raw(identity.user), Gid::from_raw(identity.group));
    let read = match stdin {
        // That is everybody's.
        Stdin::Nothing(_) => None,
        Stdin::Body(reader) => Some(reader),
    };
    for pipe in written.into_iter().chain([read]).flatten() {
        let _ = fchown(pipe, Some(user), Some(group));
    }
}

/// A pipe that we read from, without waiting for anything. Both streams of a command have one, so that what arrives is
/// in the order in which it was printed.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    Ok((reader, writer))
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

/// A piece of what is in a pipe; `None` at its end.
fn read(pipe: &OwnedFd) -> io::Result<Option<Bytes>> {
    let mut room = [MaybeUninit::uninit(); READ];
    let (piece, _) = rustix::io::read(pipe, &mut room)?;
    Ok((!piece.is_empty()).then(|| Bytes::copy_from_slice(piece)))
}
