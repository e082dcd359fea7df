//! Hearing the bell that whoever puts a job rings: a watch of its file by inotify.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use crate::fd;
use crate::sqlite::bell::Bell;

/// How often somebody looks who cannot hear: Linux gives each user a limited number of inotify instances.
const DEAF: Duration = Duration::from_millis(40);

/// Hears the bell, or knows that it cannot.
#[derive(Debug)]
pub(super) struct BellWatch {
    bell: Bell,
    inotify: Option<AsyncFd<OwnedFd>>,
    /// That it cannot hear was reported.
    told: bool,
}

impl BellWatch {
    /// One that hears nothing before [`BellWatch::listen`].
    pub(super) fn new(bell: Bell) -> Self {
        Self {
            bell,
            inotify: None,
            told: false,
        }
    }

    /// From when this returns, no ring is missed: look after this, and only then wait. To be called once more before
    /// each wait, for the file may be another by now.
    pub(super) fn listen(&mut self) {
        if let Err(error) = self.try_listen() {
            self.inotify = None;
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(%error, "could not listen for jobs; looks for them 25 times a second");
            }
        }
    }

    fn try_listen(&mut self) -> std::io::Result<()> {
        let inotify = match self.inotify.take() {
            Some(inotify) => inotify,
            None => {
                let opened = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
                fd::watched(opened)?
            }
        };
        let inotify = self.inotify.insert(inotify);
        // Makes it where it is not.
        self.bell.open()?;
        // The last three of them tell of a file that is taken away.
        let what = WatchFlags::DONT_FOLLOW
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&*inotify, self.bell.path(), what)?;
        Ok(())
    }

    /// Waits for a ring, but no longer than till then. A ring since [`BellWatch::listen`] ends the wait at once. True
    /// if the bell may have rung. May be cancelled.
    pub(super) async fn wait(&mut self, until: Instant) -> bool {
        let Some(inotify) = &self.inotify else {
            sleep_until(until.min(Instant::now() + DEAF)).await;
            self.listen();
            return true;
        };
        let heard = tokio::select! {
            ready = inotify.readable() => match ready {
                Ok(mut ready) => {
                    swallow(inotify.get_ref());
                    ready.clear_ready();
                    true
                }
                Err(_) => false,
            },
            () = sleep_until(until) => return false,
        };
        if !heard {
            self.inotify = None;
        }
        self.listen();
        true
    }
}

/// What was heard does not matter: whoever hears looks at everything.
fn swallow(inotify: &OwnedFd) {
    let mut events = [0_u8; 4096];
    loop {
        match io::read(inotify, &mut events) {
            Ok(0) => return,
            Ok(_) | Err(io::Errno::INTR) => {}
            // Nothing more, or an error that the next wait meets again.
            Err(_) => return,
        }
    }
}
