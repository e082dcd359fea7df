//! TERM and INT, taken by a thread of their own.
//!
//! The first asks for a drain, the second for an end at once. They are heard whatever the runtime is
//! doing; and if the process still lives some time after the second, the thread ends it.

use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Reserve nothing more, let commands finish for the grace period, go.
    Drain,
    /// Go at once.
    Stop,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Stop => "stop",
        })
    }
}

/// Takes TERM and INT from now on and until the process ends.
///
/// When the process still lives `patience` after the second signal, `hard` is called from the thread,
/// to clean up what must not be left behind, and then the process exits with code 1, whatever its
/// other threads are doing. `patience` must be longer than the process may need to go at once: a
/// worker ends its command within [`TERM_TO_KILL`], a tender kills its workers [`MARGIN`] after that.
///
/// # Errors
/// When the handlers or the thread cannot be set up.
///
/// [`TERM_TO_KILL`]: crate::lifecycle::TERM_TO_KILL
/// [`MARGIN`]: crate::lifecycle::MARGIN
pub fn listen(patience: Duration, hard: fn()) -> io::Result<mpsc::UnboundedReceiver<Asked>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (asked, receiver) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut heard = signals.forever();
            heard.next();
            // That nobody listens any more means that the process is ending already.
            let _ = asked.send(Asked::Drain);
            heard.next();
            let _ = asked.send(Asked::Stop);
            thread::sleep(patience);
            hard();
            // Without the exit handlers: whatever holds the process up may hold them up too.
            signal_hook::low_level::exit(1);
        })?;
    Ok(receiver)
}
