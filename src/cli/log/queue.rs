//! Lines that wait to be written, and the thread that writes them.
//!
//! The thread is there while there is something to write, and for some seconds more: a worker that waits for jobs
//! needs none, and a service may have a limit for threads. Where no thread is to be had, lines are written by whoever
//! leaves them, as far as that takes no waiting.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;

use super::limit::{Kind, LeftOut, Limits};
use super::sink::{Patience, Sink};
use crate::{service, signals};

/// What may wait. From then on lines are dropped until half of them are written, so that what is lost is lost in one
/// piece.
const MAX_LINES: usize = 4096;
const MAX_BYTES: usize = 1 << 20;

/// How long the thread waits for another line.
const LINGER: Duration = Duration::from_secs(5);

/// A write that has taken so long may take for ever.
const SLEEPS: Duration = Duration::from_secs(1);

/// All that it calls lies in a few frames.
const STACK: usize = 256 << 10;

/// A queue of lines for one [`Sink`].
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something is to be done. For the thread.
    work: Condvar,
    /// Something was done. For those who wait for room or for the end.
    progress: Condvar,
    /// Locked for as long as a write takes.
    sink: Mutex<Sink>,
    /// How many events of each kind there were of late. Locked before the state, if both are.
    limits: Mutex<Limits<Identifier>>,
    /// Whether events are JSON.
    json: AtomicBool,
}

#[derive(Debug)]
struct State {
    entries: VecDeque<Entry>,
    lines: usize,
    bytes: usize,
    /// There was no room, and there is not much yet.
    is_dropping: bool,
    /// The file is to be opened again.
    reopen: bool,
    /// The sink has lost lines, and could not say so yet.
    in_debt: bool,
    /// How many wait for progress.
    waiting: usize,
    writer: Writer,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// In the place of so many lines.
    Dropped(u64),
}

/// Who writes.
#[derive(Debug, Clone, Copy)]
enum Writer {
    Nobody,
    /// The thread, which waits for something to write.
    Idle,
    /// The thread, or somebody who has got none: since when the current write goes on.
    Busy {
        since: Instant,
    },
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue {
            state: Mutex::new(State {
                entries: VecDeque::new(),
                lines: 0,
                bytes: 0,
                is_dropping: false,
                reopen: false,
                in_debt: false,
                waiting: 0,
                writer: Writer::Nobody,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            sink: Mutex::new(Sink::stderr(false)),
            limits: Mutex::new(Limits::new()),
            json: AtomicBool::new(false),
        }
    }

    /// Says where lines go. Before there are any.
    pub(super) fn write_to(&self, sink: Sink) {
        self.json.store(sink.is_json(), Ordering::Relaxed);
        *lock(&self.sink) = sink;
    }

    /// Leaves a line. Waits at most so long for room, and not at all while lines are dropped anyway.
    pub(super) fn push(&'static self, line: Vec<u8>, patience: Duration) {
        let mut state = lock(&self.state);
        if !patience.is_zero() && !state.has_room(&line) {
            let until = Instant::now().checked_add(patience);
            state = self.wait(state, until, |state| {
                !state.is_dropping && !state.has_room(&line)
            });
        }
        state.add(line);
        self.wake(state);
    }

    /// Whether an event of a kind is written. Where there are more of that kind than anybody reads, it is counted.
    pub(super) fn admits(&'static self, kind: &Kind, like: impl FnOnce() -> String) -> bool {
        let now = Instant::now();
        let mut limits = lock(&self.limits);
        let over = limits.over(now);
        let is_admitted = limits.admit(&kind.place, (kind.bound, kind.level), now, like);
        drop(limits);
        self.say_left_out(&over);
        is_admitted
    }

    fn say_left_out(&'static self, over: &[LeftOut]) {
        let json = self.json.load(Ordering::Relaxed);
        for left_out in over {
            self.push(left_out.note(json), Duration::ZERO);
        }
    }

    /// Has the file opened again before another line is written.
    pub(super) fn reopen(&'static self) {
        let mut state = lock(&self.state);
        state.reopen = true;
        self.wake(state);
    }

    /// Waits until everything is written, but no longer than that, and no longer for a write that has taken long
    /// already.
    pub(super) fn end(&'static self, until: Instant) {
        let left_out = lock(&self.limits).end(Instant::now());
        self.say_left_out(&left_out);
        let mut state = lock(&self.state);
        if state.in_debt {
            state.entries.push_back(Entry::Dropped(0));
        }
        if state.has_work() {
            self.wake(state);
            state = lock(&self.state);
        }
        while state.is_unfinished() && Instant::now() < until {
            let until = match state.writer {
                Writer::Busy { since } => since
                    .checked_add(SLEEPS)
                    .map_or(until, |end| end.min(until)),
                Writer::Idle | Writer::Nobody => until,
            };
            if Instant::now() >= until {
                return;
            }
            let mut is_first = true;
            // Looked at again after each line: the write that goes on then is another one.
            state = self.wait(state, Some(until), |_| mem::take(&mut is_first));
        }
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        until: Option<Instant>,
        mut is_to_wait: impl FnMut(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        while is_to_wait(&state) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                break;
            };
            state.waiting = state.waiting.saturating_add(1);
            let woken = self.progress.wait_timeout(state, left);
            (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
            state.waiting = state.waiting.saturating_sub(1);
        }
        state
    }

    /// Sees to it that somebody writes.
    fn wake(&'static self, mut state: MutexGuard<'_, State>) {
        match state.writer {
            Writer::Busy { .. } => {}
            Writer::Idle => self.work.notify_one(),
            Writer::Nobody => {
                state.writer = Writer::Busy {
                    since: Instant::now(),
                };
                drop(state);
                if service::on_thread("log", Some(STACK), || self.serve()).is_err() {
                    let mut state = self.write(Patience::Work);
                    state.writer = Writer::Nobody;
                }
            }
        }
    }

    /// The thread's whole life.
    fn serve(&'static self) {
        signals::leave_to_others();
        loop {
            let mut state = self.write(Patience::Thread);
            state.writer = Writer::Idle;
            let waited = self
                .work
                .wait_timeout_while(state, LINGER, |state| !state.has_work());
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.has_work() {
                continue;
            }
            drop(state);
            // Nobody else may have a line to leave for hours.
            let mut limits = lock(&self.limits);
            let (over, owes) = (limits.over(Instant::now()), limits.owes());
            drop(limits);
            self.say_left_out(&over);
            state = lock(&self.state);
            if !state.has_work() && !owes {
                state.writer = Writer::Nobody;
                return;
            }
        }
    }

    /// Writes all there is. The state that it gives back has nothing to do.
    fn write(&self, patience: Patience) -> MutexGuard<'_, State> {
        let mut sink = lock(&self.sink);
        let mut state = lock(&self.state);
        loop {
            state.in_debt = sink.is_in_debt();
            if state.waiting > 0 {
                self.progress.notify_all();
            }
            if !state.has_work() {
                return state;
            }
            state.writer = Writer::Busy {
                since: Instant::now(),
            };
            let reopen = mem::take(&mut state.reopen);
            let entry = state.next();
            drop(state);
            if reopen {
                sink.reopen();
            }
            match entry {
                Some(Entry::Line(line)) => sink.line(&line, patience),
                Some(Entry::Dropped(lines)) => sink.dropped(lines, patience),
                None => {}
            }
            state = lock(&self.state);
        }
    }
}

impl State {
    fn has_room(&self, line: &[u8]) -> bool {
        self.lines < MAX_LINES && self.bytes.saturating_add(line.len()) <= MAX_BYTES
    }

    fn has_work(&self) -> bool {
        self.reopen || !self.entries.is_empty()
    }

    fn is_unfinished(&self) -> bool {
        self.has_work() || matches!(self.writer, Writer::Busy { .. })
    }

    fn add(&mut self, line: Vec<u8>) {
        if !self.is_dropping && self.has_room(&line) {
            self.lines = self.lines.saturating_add(1);
            self.bytes = self.bytes.saturating_add(line.len());
            self.entries.push_back(Entry::Line(line));
            return;
        }
        self.is_dropping = true;
        match self.entries.back_mut() {
            Some(Entry::Dropped(lines)) => *lines = lines.saturating_add(1),
            Some(Entry::Line(_)) | None => self.entries.push_back(Entry::Dropped(1)),
        }
    }

    fn next(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        if let Entry::Line(line) = &entry {
            self.lines = self.lines.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(line.len());
        }
        if self.lines <= MAX_LINES / 2 && self.bytes <= MAX_BYTES / 2 {
            self.is_dropping = false;
        }
        Some(entry)
    }
}

/// Whoever panicked with it left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
