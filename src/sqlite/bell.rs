//! The doorbell of the embedded queue: a small file beside the database, written to after every commit after which
//! somebody who waits may have something to do. Whoever waits has the kernel tell them of it (inotify(7)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Database;
use crate::beside::{self, Folder};
use crate::crash::{self, Point};

/// The bell beside a store.
#[derive(Debug, Clone)]
pub struct Bell {
    path: PathBuf,
    store: PathBuf,
    /// The store's folder, if it is known already.
    folder: Option<Arc<Folder>>,
}

impl Bell {
    /// The bell of the store at this path. Nothing is opened yet.
    pub fn beside(store: &Path) -> Bell {
        Bell {
            path: beside::bell(store),
            store: store.into(),
            folder: None,
        }
    }

    /// The bell of an open store.
    pub fn of(database: &Database) -> Bell {
        Bell {
            folder: Some(Arc::clone(database.folder())),
            ..Bell::beside(database.path())
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it, making it where it is not. It is opened anew each time: somebody may have removed it.
    pub fn open(&self) -> io::Result<File> {
        match &self.folder {
            Some(folder) => folder.open_or_make(&self.path),
            None => beside::open(&self.path, &self.store),
        }
    }

    /// Rings. What was committed stands whether anybody hears it or not, and those who wait look now and then all
    /// the same: a bell that cannot be rung makes a job late, and is no failure of what was done.
    pub fn ring(&self) {
        crash::here(Point::BellNotRung);
        if let Err(error) = self.open().and_then(|file| file.write_all_at(b"!", 0)) {
            tracing::warn!(bell = %self.path.display(), %error, "could not ring for those who wait");
        }
    }
}
