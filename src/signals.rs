//! Signals, taken by a thread of their own.
//!
//! Of TERM, INT and QUIT the first asks for a drain, the second for an end at once. They are heard whatever the
//! runtime is doing; and if the process still lives some time after the second, the thread ends it.

#![allow(
    unsafe_code,
    reason = "what becomes of a signal by default is said by a system call without a safe wrapper"
)]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

use crate::service;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Reserve nothing more, let commands finish for the grace period, go.
    Drain,
    /// Go at once.
    Stop,
    /// HUP: read the configuration again.
    Reload,
    /// USR1: open the log file again.
    Reopen,
    /// TTIN: one worker more.
    More,
    /// TTOU: one worker fewer.
    Fewer,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Reopen => "reopen",
            Self::More => "have one worker more",
            Self::Fewer => "have one worker fewer",
        })
    }
}

/// How many may wait to be taken in. The last two places are kept for the end.
const QUEUE: usize = 16;

/// Those that ask for an end.
const ENDS: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];

/// Those that ask for nothing, and are often sent to others of our kind.
const NOTHING: [i32; 1] = [SIGUSR2];

/// Set by the handler itself, before the thread of signals hears of it.
static END_HAS_COME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether a signal that asks for an end has come, although nobody may have taken it from the queue yet. What a thread
/// does after its process was told to go, it does after this is true.
pub fn end_has_come() -> bool {
    let come = END_HAS_COME.get();
    come.is_some_and(|come| come.load(Ordering::Acquire))
}

/// Has those signals that ask for an end wait, for this thread and those that it starts: they do nothing, and whoever
/// looks sees that they came ([`are_ends_pending`]).
pub fn let_ends_wait() {
    // SAFETY: an empty set of signals is all zeros here, and is only read once it is filled.
    unsafe {
        let mut ends = std::mem::zeroed();
        libc::sigemptyset(&raw mut ends);
        for end in ENDS {
            libc::sigaddset(&raw mut ends, end);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const ends, std::ptr::null_mut());
    }
}

/// Whether a signal that asks for an end waits for a process, by its `/proc/PID/status` (proc(5)).
pub fn are_ends_pending(status: &str) -> bool {
    let pending = status.lines().filter_map(|line| {
        let mask = line
            .strip_prefix("ShdPnd:")
            .or_else(|| line.strip_prefix("SigPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    let pending = pending.fold(0, |all, one| all | one);
    ENDS.iter().any(|end| pending & (1 << (end - 1)) != 0)
}

/// Has the kernel keep for us how our children ended, and bring us signals. Whoever started us may have had the first
/// thrown away, by ignoring CHLD, and the others wait, by blocking them: both outlive an exec (wait(2),
/// sigprocmask(2)).
/// To be called before anything is started.
pub fn begin_as_usual() {
    // SAFETY: back to what the system does; no handler of ours is there yet. An empty set is only read.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Leaves the signals of this process to its other threads. To a thread that writes where it may not, the kernel sends
/// one of its own: it then has the error alone (TTOU, XFSZ).
pub fn leave_to_others() {
    let mut signals = MaybeUninit::uninit();
    // SAFETY: the set is filled before it is used, and only this thread's mask is changed. Nothing comes of a failure,
    // which there is none without a wrong argument.
    unsafe {
        libc::sigfillset(signals.as_mut_ptr());
        // These are this thread's own, and blocked they would be the end of it without a word.
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(signals.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), ptr::null_mut());
    }
}

/// Takes TERM, INT and QUIT from now on and until the process ends, and those of the others that are `heeded`: what is
/// not, does what it does to any process. USR2 is passed over.
///
/// When the process still lives `patience` after the second signal to end, `hard` is called from the thread,
/// to clean up what must not be left behind, and then the process exits with code 1, whatever its
/// other threads are doing. `patience` must be longer than the process may need to go at once: a
/// worker ends its command within [`TERM_TO_KILL`], a tender kills its workers [`MARGIN`] after that, and goes
/// without those that do not end.
///
/// # Errors
/// When the handlers or the thread cannot be set up.
///
/// [`TERM_TO_KILL`]: crate::grace::TERM_TO_KILL
/// [`MARGIN`]: crate::grace::MARGIN
pub fn listen(
    heeded: &[Asked],
    patience: Duration,
    hard: fn(),
) -> io::Result<mpsc::Receiver<Asked>> {
    let numbers = heeded.iter().flat_map(|asked| numbers(*asked));
    let come = END_HAS_COME.get_or_init(Arc::default);
    for end in ENDS {
        signal_hook::flag::register(end, Arc::clone(come))?;
    }
    let mut signals = Signals::new(ENDS.iter().chain(&NOTHING).chain(numbers))?;
    let (asked, receiver) = mpsc::channel(QUEUE);
    let mut told = false;
    let hear = move || {
        for signal in signals.forever() {
            if NOTHING.contains(&signal) {
                continue;
            }
            match meaning(signal, told) {
                // That nobody listens any more means that the process is ending already.
                end @ (Asked::Drain | Asked::Stop) => drop(asked.try_send(end)),
                // Whoever sends hundreds to a process that is stuck can spare some.
                other => {
                    if asked.capacity() > 2 {
                        let _ = asked.try_send(other);
                    }
                }
            }
            if ENDS.contains(&signal) && std::mem::replace(&mut told, true) {
                break;
            }
        }
        sleep(patience);
        hard();
        // Without the exit handlers: whatever holds the process up may hold them up too.
        signal_hook::low_level::exit(1);
    };
    service::on_thread("signals", None, hear).map_err(|error| {
        let what = format!("cannot start the thread that hears signals: {error}");
        io::Error::new(error.kind(), what)
    })?;
    Ok(receiver)
}

/// The signals that ask for it.
fn numbers(asked: Asked) -> &'static [i32] {
    match asked {
        Asked::Drain | Asked::Stop => &ENDS,
        Asked::Reload => &[SIGHUP],
        Asked::Reopen => &[SIGUSR1],
        Asked::More => &[SIGTTIN],
        Asked::Fewer => &[SIGTTOU],
    }
}

/// What a signal asks for, `told` if one has asked for an end before.
fn meaning(signal: i32, told: bool) -> Asked {
    match signal {
        SIGHUP => Asked::Reload,
        SIGUSR1 => Asked::Reopen,
        SIGTTIN => Asked::More,
        SIGTTOU => Asked::Fewer,
        _ if told => Asked::Stop,
        _ => Asked::Drain,
    }
}
