//! A file that is written under another name and gets its own when it is whole and on the disk.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::beside::{self, Folder};
use crate::crash::{self, Point};
use crate::file_id::FileId;
use crate::ofd;
use crate::sqlite::Error;
use crate::sqlite::error::{copy_failed, file_failed};

/// Locked by whoever writes the file. SQLite locks others.
const WRITING: i64 = 0;

/// It goes with this, unless it has got its name.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    /// Open as long as the file is written, for its lock.
    file: File,
}

impl Part {
    /// Begins one for a file, for its owner alone. What somebody has left who was killed is begun anew.
    pub fn beside(file: &Path) -> Result<Part, Error> {
        Part::begin(beside::named(file, ".part"), private)
    }

    /// The same for a store in that folder: for its group too where the folder is its group's, and for the owner of the
    /// store that is there.
    pub fn of_store(store: &Path, folder: &Folder) -> Result<Part, Error> {
        let make = |path: &Path| {
            let (file, is_new) = folder.open_or_create(path)?;
            if is_new {
                folder.give(&file);
            }
            Ok(file)
        };
        Part::begin(beside::named(store, ".part"), make)
    }

    fn begin(path: PathBuf, make: impl Fn(&Path) -> io::Result<File>) -> Result<Part, Error> {
        let begun = || -> io::Result<File> {
            let file = make(&path)?;
            ofd::lock(&file, WRITING)?;
            if FileId::at(&path)? != FileId::of(&file.metadata()?) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            file.set_len(0)?;
            remove_journals(&path);
            Ok(file)
        };
        match begun() {
            Ok(file) => Ok(Part { path, file }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(copy_failed(&path, &"another process writes it just now"))
            }
            Err(error) => Err(file_failed(&path, &error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the disk keep what was written so far.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_whole(&self) -> io::Result<u64> {
        self.file.sync_all()?;
        crash::here(Point::CopyWritten);
        Ok(self.file.metadata()?.len())
    }

    /// Gives it its name. Its length.
    pub fn settle(self, file: &Path, replace: bool) -> io::Result<u64> {
        let length = self.is_whole()?;
        match replace {
            true => fs::rename(&self.path, file)?,
            false => rename_new(&self.path, file)?,
        }
        crash::here(Point::CopyNamed);
        sync_folder(file)?;
        Ok(length)
    }

    /// Puts it in the place of a file, which gets that other name. Somebody finds the one or the other at each moment.
    /// Its length.
    pub fn exchange(self, file: &Path, aside: &Path) -> io::Result<u64> {
        let length = self.is_whole()?;
        rename_new(&self.path, aside)?;
        crash::here(Point::CopyNamed);
        match renameat_with(CWD, aside, CWD, file, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // There are file systems that cannot do it at once.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::rename(aside, &self.path)?;
                rename_new(file, aside)?;
                fs::rename(&self.path, file)?;
            }
            Err(error) => return Err(error.into()),
        }
        crash::here(Point::StoreReplaced);
        sync_folder(file)?;
        Ok(length)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let is_ours =
            || Ok::<_, io::Error>(FileId::at(&self.path)? == FileId::of(&self.file.metadata()?));
        if is_ours().unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
        remove_journals(&self.path);
    }
}

fn remove_journals(part: &Path) {
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside::named(part, suffix));
    }
}

/// Where anybody may make files, what somebody else has put there is not written to.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let file = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
        opened => return opened,
    };
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 || found.uid() != geteuid().as_raw() {
        return Err(io::Error::other(
            "it is somebody else's, or no regular file; move it away",
        ));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Gives a file a name that no other has.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match to.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        Err(error) => Err(error.into()),
    }
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
