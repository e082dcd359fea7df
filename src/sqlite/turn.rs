//! The turn of whoever changes the file as a whole: one at a time.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Error;
use super::patience::BUSY_WAIT;
use crate::beside;
use crate::errno;
use crate::lives;
use crate::lives::locks::{Lock, take_turn};

/// Waits for it, for as long as for a lock.
pub(super) fn wait_for_turn(path: &Path) -> Result<Lock, Error> {
    let since = Instant::now();
    loop {
        match take_turn(path) {
            Ok(turn) => return Ok(turn),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && since.elapsed() < BUSY_WAIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return Err(Error::Locked {
                    path: path.into(),
                    waited: BUSY_WAIT,
                });
            }
            Err(source) => {
                return Err(no_turn(path, &source));
            }
        }
    }
}

/// That it cannot be had.
pub(super) fn no_turn(path: &Path, error: &io::Error) -> Error {
    let file = beside::locks(path);
    Error::Lives(lives::Error::Trouble {
        what: format!(
            "the file of locks {} failed: {}",
            file.display(),
            errno::said(error)
        ),
    })
}
