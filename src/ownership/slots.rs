//! The workers of a tube, this tender's and those that an earlier one left.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::files::{file_name, folder};
use super::{Ownership, Right};
use crate::ofd;
use crate::tube::TubeName;

/// The workers' bytes.
const FIRST_SLOT: i64 = 1;
const LAST_SLOT: i64 = 1 << 32;
/// A worker's place in the file of its tube, taken as long as this, or any inherited copy of its
/// descriptor, is open.
#[derive(Debug)]
pub struct Slot {
    file: File,
}

impl AsFd for Slot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Ownership {
    /// How many workers that an earlier tender started for a tube still live. To be asked before the
    /// first [`Ownership::slot`], and then as long as it is more than 0: it never grows.
    ///
    /// # Errors
    /// When the system cannot tell; and when the tube is none of ours.
    pub fn left(&mut self, tube: &TubeName) -> io::Result<u32> {
        let Right { file, left, .. } = self.right(tube)?;
        let mut alive = BTreeSet::new();
        let asked = match left.take() {
            Some(known) => known,
            None => ofd::locked_bytes(file, FIRST_SLOT, LAST_SLOT)?
                .into_iter()
                .collect(),
        };
        for &slot in &asked {
            match ofd::is_locked(file, slot) {
                Ok(true) => drop(alive.insert(slot)),
                Ok(false) => {}
                Err(error) => {
                    *left = Some(asked);
                    return Err(error);
                }
            }
        }
        let count = u32::try_from(alive.len()).unwrap_or(u32::MAX);
        *left = Some(alive);
        Ok(count)
    }

    /// Takes the lowest free slot of a tube, for a worker that is about to be started with a copy of it.
    ///
    /// # Errors
    /// When its file cannot be opened or locked; and when the tube is none of ours.
    pub fn slot(&mut self, tube: &TubeName) -> io::Result<Slot> {
        let folder = folder(&self.store)?;
        let right = self.right(tube)?;
        let file = folder.open_or_make(Path::new(&file_name(tube)))?;
        for slot in FIRST_SLOT..=LAST_SLOT {
            match ofd::lock(&file, slot) {
                Ok(()) => {
                    // Whoever had it is gone.
                    if let Some(left) = &mut right.left {
                        left.remove(&slot);
                    }
                    return Ok(Slot { file });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("every slot is taken"))
    }

    fn right(&mut self, tube: &TubeName) -> io::Result<&mut Right> {
        let found = self.tubes.iter_mut().find(|right| right.tube == *tube);
        found.ok_or_else(|| io::Error::other("the tube is none of ours"))
    }
}
