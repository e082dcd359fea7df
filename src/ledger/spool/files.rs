//! Spools as files beside the store.
//!
//! A file is never flushed, and names the boot it was written in: it outlives its worker, but not the machine. Its
//! worker opens the file for each attempt that spools, and writes over what was there before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::{Medium, Spools, Trouble};
use crate::beside::{self, Folder};
use crate::ledger::whose::{self, LENGTH};
use crate::task::id::WorkerId;

/// The files of a store's workers.
#[derive(Debug, Clone)]
pub struct Files {
    /// The store's folder, in which it was found.
    folder: Arc<Folder>,
    /// Where the store is.
    store: PathBuf,
    /// The store's id, which is to be in each.
    id: Uuid,
}

impl Files {
    /// Those of the store at this path, with this id. Nothing is opened yet.
    pub fn within(folder: Arc<Folder>, store: &Path, id: Uuid) -> Files {
        Files {
            folder,
            store: store.into(),
            id,
        }
    }

    fn path(&self, worker: WorkerId) -> PathBuf {
        beside::spool(&self.store, worker)
    }

    fn make_file(&self, worker: WorkerId) -> io::Result<File> {
        let whose = whose::file(self.id, worker).ok_or(io::ErrorKind::Unsupported)?;
        let (file, is_new) = self.folder.open_or_create(&self.path(worker))?;
        if !says(&file, &whose) {
            file.set_len(0)?;
            file.write_all_at(whose.as_bytes(), 0)?;
        }
        if is_new {
            self.folder.give(&file);
        }
        Ok(file)
    }

    fn open_file(&self, worker: WorkerId) -> Option<File> {
        let file = self.folder.read(&self.path(worker)).ok()?.file;
        says(&file, &whose::file(self.id, worker)?).then_some(file)
    }
}

/// Whether a file is whose it should be.
fn says(file: &File, whose: &str) -> bool {
    let mut said = [0; LENGTH];
    file.read_exact_at(&mut said, 0).is_ok() && said == whose.as_bytes()
}

impl Spools for Files {
    fn make(&self, worker: WorkerId) -> Result<Box<dyn Medium>, Trouble> {
        match self.make_file(worker) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Trouble {
                what: format!("{}: {error}", self.path(worker).display()),
            }),
        }
    }

    fn open(&self, worker: WorkerId) -> Option<Box<dyn Medium>> {
        Some(Box::new(self.open_file(worker)?))
    }

    fn remove(&self, worker: WorkerId) {
        // Most have none.
        let _ = self.folder.remove(&self.path(worker));
    }
}

impl Medium for File {
    fn read_at(&self, room: &mut [u8], at: u64) -> Result<usize, Trouble> {
        loop {
            match FileExt::read_at(self, room, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(trouble),
            }
        }
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), Trouble> {
        self.write_all_at(bytes, at).map_err(trouble)
    }
}

fn trouble(error: io::Error) -> Trouble {
    Trouble {
        what: error.to_string(),
    }
}
