//! `--watch` on a terminal: the whole screen, and the terminal as it was when that is left, however it is left.
//!
//! A look may take as long as a tender or a broker takes that does not answer, so a thread of its own looks. Keys,
//! signals and a new size of the terminal wait for nothing.

use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::panic;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::low_level::emulate_default_handler;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::frame::{Frame, Room, Row};
use super::overview::overview;
use super::seen::{Asked, EVERY, Seen, look};
use super::table::lines_of;
use crate::cli::Failure;
use crate::cli::configured::block_on;
use crate::cli::out::{Order, Out, screen};
use crate::crash;
use crate::fd;
use crate::thread::OneShot;

/// What happens.
#[derive(Debug)]
enum Event {
    Looked(Result<Box<Seen>, Failure>),
    Key(u8),
    /// To end by it.
    Told(i32),
    /// To stop for a while.
    Suspended,
    Resized,
}

/// Watches until it is left.
pub(super) fn watch(asked: Asked) -> Result<ExitCode, Failure> {
    block_on(watching(asked))
}

type Looking = Pin<Box<dyn Future<Output = Result<Box<Seen>, Failure>>>>;

async fn watching(asked: Asked) -> Result<ExitCode, Failure> {
    let mut heard = Heard::listen()?;
    // What cannot be looked at once is an error like any other.
    let mut seen = Ok(next_look(Instant::now(), asked.clone()).await?);
    let screen = Screen::enter()?;
    crash::begins("watch");
    let (mut before, mut shown) = (None, None);
    let mut looking: Looking = Box::pin(next_look(Instant::now() + EVERY, asked.clone()));
    let told = loop {
        let frame = frame_of(&seen, room());
        draw(&frame, before.as_ref())?;
        shown.replace(frame);
        let event = tokio::select! {
            event = heard.next() => event,
            looked = &mut looking => Event::Looked(looked),
        };
        match event {
            Event::Looked(looked) => {
                seen = looked.map_err(|failure| failure.to_string());
                before = shown.take();
                looking = Box::pin(next_look(Instant::now() + EVERY, asked.clone()));
            }
            Event::Key(b'q' | b'Q') => break None,
            Event::Key(_) | Event::Resized => {}
            Event::Told(signal) => break Some(signal),
            Event::Suspended => {
                leave();
                emulate_default_handler(SIGTSTP)?;
                enter()?;
            }
        }
    };
    drop(screen);
    if let Some(signal) = told {
        emulate_default_handler(signal)?;
    }
    Ok(seen.map_or(ExitCode::FAILURE, |seen| seen.exit_code()))
}

async fn next_look(at: Instant, asked: Asked) -> Result<Box<Seen>, Failure> {
    sleep_until(at).await;
    let thread = OneShot::start("status").map_err(|error| Failure::new(error.to_string()))?;
    let looked = thread.run(move || look(&asked).map(Box::new)).await;
    looked.map_err(|error| Failure::new(error.to_string()))?
}

fn room() -> Room {
    let (columns, rows) = screen().unwrap_or((80, 24));
    Room { columns, rows }
}

fn frame_of(seen: &Result<Box<Seen>, String>, room: Room) -> Frame {
    match seen {
        Ok(seen) => overview(seen, room),
        Err(reason) => {
            let lines = lines_of(reason, room.columns);
            let lines = lines.into_iter().take(room.rows).map(Row::plain);
            Frame(lines.collect())
        }
    }
}

fn draw(frame: &Frame, before: Option<&Frame>) -> io::Result<()> {
    use std::io::Write as _;
    let mut out = Out::drawn();
    out.order(Order::Top)?;
    for (at, parts) in frame.since(before).iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        // Before the line is written: behind one that is full, the cursor stands on its last letter.
        out.order(Order::RestIsEmpty)?;
        for part in parts {
            let text = part.text.trim_start();
            let gap = part.text.len() - text.len();
            write!(out, "{:gap$}", "")?;
            if part.is_new {
                out.order(Order::Reversed)?;
                write!(out, "{text}")?;
                out.order(Order::Usual)?;
            } else {
                write!(out, "{text}")?;
            }
        }
    }
    out.show()
}

/// How the terminal was, as long as it is not.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal is ours until this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Screen> {
        let watcher = thread::current().id();
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // What is told of it is not to go with the other screen.
            if thread::current().id() == watcher {
                leave();
            }
            told(panic);
        }));
        enter()?;
        Ok(Screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Takes the screen, and has keys come one by one and unseen. Those for signals are signals all the same.
fn enter() -> io::Result<()> {
    let stdin = io::stdin();
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if stdin.is_terminal() {
        let usual = tcgetattr(&stdin)?;
        let mut ours = usual.clone();
        ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        // Nobody waits in a read.
        ours.special_codes[SpecialCodeIndex::VMIN] = 0;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &ours)?;
        *before = Some(usual);
    }
    let mut out = Out::drawn();
    out.order(Order::OtherScreen)?;
    out.show()
}

/// Gives it back. A terminal that is gone wants nothing back.
fn leave() {
    let mut out = Out::drawn();
    let shown = out.order(Order::OwnScreen).and_then(|()| out.show());
    drop(shown);
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(usual) = before.take() {
        // Keys that nobody has read are not for the shell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &usual);
    }
}

/// Keys and signals.
struct Heard {
    /// None where nobody can press any.
    keys: Option<AsyncFd<OwnedFd>>,
    ends: [(i32, Signal); 4],
    suspends: Signal,
    resizes: Signal,
}

impl Heard {
    fn listen() -> io::Result<Heard> {
        let stdin = io::stdin();
        let keys = match stdin.is_terminal() {
            true => Some(fd::watched(rustix::io::dup(&stdin)?)?),
            false => None,
        };
        let of = |number: i32| signal(SignalKind::from_raw(number));
        let end = |number: i32| Ok::<_, io::Error>((number, of(number)?));
        Ok(Heard {
            keys,
            ends: [end(SIGINT)?, end(SIGTERM)?, end(SIGHUP)?, end(SIGQUIT)?],
            suspends: of(SIGTSTP)?,
            resizes: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Event {
        let [int, term, hup, quit] = &mut self.ends;
        let number = |of: &(i32, Signal)| of.0;
        let numbers = [number(int), number(term), number(hup), number(quit)];
        let [on_int, on_term, on_hup, on_quit] = numbers.map(Event::Told);
        tokio::select! {
            _ = int.1.recv() => on_int,
            _ = term.1.recv() => on_term,
            _ = hup.1.recv() => on_hup,
            _ = quit.1.recv() => on_quit,
            _ = self.suspends.recv() => Event::Suspended,
            _ = self.resizes.recv() => Event::Resized,
            key = key(self.keys.as_ref()) => match key {
                Some(key) => Event::Key(key),
                // The terminal has hung up.
                None => Event::Told(SIGHUP),
            },
        }
    }
}

/// The next key; `None` if there will be none.
async fn key(keys: Option<&AsyncFd<OwnedFd>>) -> Option<u8> {
    let Some(keys) = keys else {
        return std::future::pending().await;
    };
    loop {
        let mut ready = keys.readable().await.ok()?;
        let mut key = [0];
        match rustix::io::read(keys.get_ref(), &mut key) {
            Ok(1..) => return key.first().copied(),
            // Nothing is there yet; a terminal without anybody says so with an error.
            Ok(0) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => ready.clear_ready(),
            Err(_) => return None,
        }
    }
}
