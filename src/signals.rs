//! TERM and INT, taken by a thread of their own.
//!
//! The first asks for a drain, the second for an end at once. They are heard whatever the runtime is
//! doing; and if it does nothing about the second within [`PATIENCE`], the thread ends the process
//! itself through the hook that the caller gave.

use std::io;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// How long the process has to end after the second signal, beyond which it is stuck: longer than
/// a tender gives its workers, for it kills those before it ends.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Reserve nothing more, let commands finish for the grace period, go.
    Drain,
    /// Go at once.
    Stop,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Stop => "stop",
        })
    }
}

/// Takes TERM and INT from now on and until the process ends.
///
/// `hard` is called from the thread when the second signal was followed by nothing for [`PATIENCE`];
/// it should end the process, and after it returns the process is aborted.
///
/// # Errors
/// When the handlers or the thread cannot be set up.
pub fn listen(hard: fn()) -> io::Result<mpsc::UnboundedReceiver<Asked>> {
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
            thread::sleep(PATIENCE);
            hard();
            std::process::abort();
        })?;
    Ok(receiver)
}
