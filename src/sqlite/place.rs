//! What stands at a store's path, and opening it: who may read it, and SQLite's settings before a byte is believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::process::geteuid;

use super::Error;
use super::error::said;
use super::pair::is_strange;
use super::patience::wait_for_lock;
use crate::beside::{self, Folder};
use crate::errno;
use crate::file_id::FileId;
use crate::trust::{Distrust, Found, hindrance, is_distrust, resolved};

/// A store's file that is there and may be opened, as it was looked at.
pub(super) struct Place {
    /// Without symbolic links: all that is beside the store is named after this.
    pub path: PathBuf,
    /// Held open.
    pub folder: Arc<Folder>,
    /// The file.
    pub found: Found,
}

/// What stands at that path; `None` if nothing does.
pub(super) fn standing(path: &Path) -> io::Result<Option<Place>> {
    let path = resolved(path)?;
    match Folder::of(&path) {
        Ok(folder) => Ok(folder.store().copied().map(|found| Place {
            path,
            folder: Arc::new(folder),
            found,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the file and its folder where they are not, for their owner only; the file for the group too whose folder it
/// is.
pub(super) fn create_private(path: &Path) -> io::Result<Place> {
    if let Some(file) = standing(path)? {
        return Ok(file);
    }
    let path = resolved(path)?;
    beside::make_around(&path)?;
    Folder::of(&path)?.open_or_create(&path)?;
    standing(&path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

pub(super) fn open_error(path: &Path, error: &io::Error) -> Error {
    let is_kept_out = error.kind() == io::ErrorKind::PermissionDenied && !is_distrust(error);
    let hindrance = is_kept_out.then(|| hindrance(path)).flatten();
    Error::Open {
        path: path.into(),
        reason: hindrance.unwrap_or_else(|| errno::said(error)),
    }
}

impl Place {
    /// Opens it. SQLite follows no link to any of its files, but it opens whatever else stands there, and gives to the
    /// store's owner what root opens: so that is looked at before.
    pub(super) fn connect(&self, access: OpenFlags) -> Result<Connection, Error> {
        let Place { path, .. } = self;
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let journal = self
            .look_at_journals()
            .map_err(|error| open_error(path, &error))?;
        let log = beside::named(path, "-wal");
        if journal && is_strange(path, || Ok(self.folder.read(&log)?.file)) {
            return Err(Error::StrangeJournal { path: path.clone() });
        }
        // SQLite gives names such as `:memory:` a meaning of their own. In a folder they have none.
        let mut connection = Connection::open_with_flags(Path::new(".").join(path), flags)
            .map_err(|e| Error::Open {
                path: path.clone(),
                reason: said(path, &e),
            })?;
        connection
            .busy_handler(Some(wait_for_lock))
            .and_then(|()| keep_journal(&connection, true))
            // Its schema may be a stranger's work, and have views and triggers that call what is not harmless.
            .and_then(|()| {
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
            })
            .map(drop)
            .and_then(|()| connection.query_row("PRAGMA schema_version", [], |_| Ok(())))
            .map_err(|e| Error::sqlite(path, e))?;
        // From that first look on nobody can put another file in its place who asks who is there. Before it somebody
        // may have: then the journal is that other file's, and is left alone.
        if FileId::at(path).ok() != Some(self.found.id) {
            return Err(Error::Moved { path: path.clone() });
        }
        // What turns out not to be ours is left as it is, its journal too.
        keep_journal(&connection, journal).map_err(|e| Error::sqlite(path, e))?;
        set_foreign_keys(path, &connection, true)?;
        Ok(connection)
    }

    /// Whether there is a write-ahead log with something in it.
    pub(super) fn look_at_journals(&self) -> io::Result<bool> {
        let mut is_in_use = false;
        for suffix in ["-wal", "-shm", "-journal"] {
            let file = beside::named(&self.path, suffix);
            if let Some(found) = self.look_at(&file)? {
                is_in_use |= suffix == "-wal" && found.length > 0;
            }
        }
        Ok(is_in_use)
    }

    /// One that root has just made is root's for a moment, before SQLite gives it away.
    fn look_at(&self, file: &Path) -> io::Result<Option<Found>> {
        let mut patience = 20;
        loop {
            let Some(found) = self.folder.look(file)? else {
                return Ok(None);
            };
            let is_being_made = found.user == 0 && self.found.user != 0 && geteuid().is_root();
            match self.folder.trust(&found) {
                Ok(()) if !is_being_made => return Ok(Some(found)),
                Ok(()) if patience > 0 => {
                    patience -= 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(()) => {
                    let (user, owner) = (found.user, self.found.user);
                    return Err(Distrust::Strangers { user, owner }.of(file).into());
                }
                Err(why) => return Err(why.of(file).into()),
            }
        }
    }
}

pub(super) fn set_foreign_keys(
    path: &Path,
    connection: &Connection,
    on: bool,
) -> Result<(), Error> {
    connection
        .pragma_update(None, "foreign_keys", on)
        .map_err(|e| Error::sqlite(path, e))
}

/// Whether closing the last connection leaves the journal where it is.
pub(super) fn keep_journal(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}
