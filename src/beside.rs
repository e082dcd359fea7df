//! What stands beside a store: files and folders that are named after the store, as private as the store, and its
//! owner's, whoever makes them. In a folder that is a group's, they are the group's too. Whoever needs one
//! asks here for it.
//!
//! Root too looks at the stores of others, and the folder of such a store is theirs: they may put whatever they like at
//! these names. So a file is opened in a folder that is held open, and is refused unless it is a regular file with no
//! other name, of the store's owner, of root or of our own, before a byte of it is read or changed.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, Dir, DirEntry, Gid, Mode, OFlags, Uid, access, fchmod, fchown, fstat,
    mkdirat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::file_id::FileId;
use crate::task::id::WorkerId;
use crate::trust::{self, Distrust, Found};

/// The file of locks, which says who lives.
pub fn locks(store: &Path) -> PathBuf {
    named(store, "-locks")
}

/// In which sessions its workers' commands run.
pub fn sessions(store: &Path) -> PathBuf {
    named(store, "-sessions")
}

/// The file of which commands inherit a descriptor, which says that their attempts live.
pub fn commands(store: &Path) -> PathBuf {
    named(store, "-commands")
}

/// The bell of the embedded queue.
pub fn bell(store: &Path) -> PathBuf {
    named(store, "-bell")
}

/// The batch journal of a worker.
pub fn batch_journal(store: &Path, worker: WorkerId) -> PathBuf {
    named(store, &format!("-batch-{worker}"))
}

/// What the command of a worker has printed so far.
pub fn spool(store: &Path, worker: WorkerId) -> PathBuf {
    named(store, &format!("-printed-{worker}"))
}

/// The folder with a file for each tube that is tended.
pub fn tubes(store: &Path) -> PathBuf {
    named(store, "-tubes")
}

/// The folder in which its tenders listen, where there is no better one.
pub fn control(store: &Path) -> PathBuf {
    named(store, "-run")
}

/// What is beside a store, with this after the name of the store.
pub fn named(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens such a file of the store's folder, or makes it where there is none, as the store owner's.
///
/// # Errors
/// When something else stands there, or somebody else's file.
pub fn open(path: &Path, store: &Path) -> io::Result<File> {
    Folder::of(store)?.open_or_make(path)
}

/// Opens such a file of the store's folder to read it.
///
/// # Errors
/// As [`open`], and when it is not there.
pub fn read(path: &Path, store: &Path) -> io::Result<File> {
    Folder::of(store)?.read(path).map(|opened| opened.file)
}

/// A folder in which a store is, or one beside it, held open: what is opened in it is in no other folder, whatever
/// becomes of its name. Files are given by their paths, of which only the name is heeded.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
    found: Found,
    /// The store's name in its folder; nothing in a folder beside it.
    store: Option<OsString>,
    /// The store's file, if it is there.
    file: Option<Found>,
}

/// A file that was opened, and is one that may be.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Which it is.
    pub id: FileId,
}

/// How such files are opened: no link is followed, and nobody is waited for.
const AS_A_FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

impl Folder {
    /// That of the store at this path, which has no symbolic links in it.
    ///
    /// # Errors
    /// When it is not there, or when the store, as far as it is there, may not be used.
    pub fn of(store: &Path) -> io::Result<Folder> {
        let path = match store.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let descriptor = openat(
            CWD,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut folder = Folder {
            found: fstat(&descriptor)?.into(),
            descriptor,
            path: path.to_owned(),
            store: store.file_name().map(Into::into),
            file: None,
        };
        folder.file = folder.look(store)?;
        trust::store(folder.file.as_ref(), &folder.found, path)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's file, as it was when the folder was opened; `None` if there was none.
    pub fn store(&self) -> Option<&Found> {
        self.file.as_ref()
    }

    /// What stands at a name, itself and not what it leads to; `None` if nothing does.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn look(&self, path: &Path) -> io::Result<Option<Found>> {
        match statat(&self.descriptor, name(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file that is there, to read and write it.
    ///
    /// # Errors
    /// When something else stands there, or somebody else's file.
    pub fn open(&self, path: &Path) -> io::Result<Opened> {
        self.open_as(path, OFlags::RDWR)
    }

    /// The same to read it.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn read(&self, path: &Path) -> io::Result<Opened> {
        self.open_as(path, OFlags::RDONLY)
    }

    fn open_as(&self, path: &Path, access: OFlags) -> io::Result<Opened> {
        match openat(
            &self.descriptor,
            name(path),
            access | AS_A_FILE,
            Mode::empty(),
        ) {
            Ok(descriptor) => {
                let found = Found::from(fstat(&descriptor)?);
                self.trust(&found)?;
                let (file, id) = (File::from(descriptor), found.id);
                Ok(Opened { file, id })
            }
            // It is a link, a socket or a folder.
            Err(error @ (Errno::LOOP | Errno::NXIO | Errno::ISDIR)) => {
                if let Some(found) = self.look(path)? {
                    found.is_plain()?;
                }
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file, or makes it where there is none; whether it is new, and to be given to the store's owner when it
    /// says what it is to say.
    ///
    /// # Errors
    /// As [`Folder::open`], and when it cannot be made.
    pub fn open_or_create(&self, path: &Path) -> io::Result<(File, bool)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | AS_A_FILE;
        match openat(&self.descriptor, name(path), flags, Mode::from(0o600)) {
            Ok(descriptor) => {
                let file = File::from(descriptor);
                if self.found.is_shared() {
                    file.set_permissions(Permissions::from_mode(0o660))?;
                }
                Ok((file, true))
            }
            Err(Errno::EXIST) => Ok((self.open(path)?.file, false)),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, given away at once.
    ///
    /// # Errors
    /// As [`Folder::open_or_create`].
    pub fn open_or_make(&self, path: &Path) -> io::Result<File> {
        let (file, is_new) = self.open_or_create(path)?;
        if is_new {
            self.give(&file);
        }
        Ok(file)
    }

    /// Gives a new one to the store's owner: where root looks at somebody's store. Others own what they make, and may
    /// not give it away. To be called only with what we have just made ourselves.
    pub fn give(&self, file: impl AsFd) {
        if let Some(store) = &self.file {
            let (user, group) = (Uid::from_raw(store.user), Gid::from_raw(store.group));
            let _ = fchown(file, Some(user), Some(group));
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is not there, or is somebody else's.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        Ok(unlinkat(&self.descriptor, name(path), AtFlags::empty())?)
    }

    /// Opens a folder in this one.
    ///
    /// # Errors
    /// When it is not there; when something else is, or somebody else's folder.
    pub fn folder(&self, path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = match openat(&self.descriptor, name(path), flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(Distrust::NoFolder.into()),
            opened => opened?,
        };
        let found = Found::from(fstat(&descriptor)?);
        if found.is_everybodys() {
            return Err(Distrust::Everybodys.into());
        }
        self.owner_is_trusted(&found)?;
        Ok(Folder {
            descriptor,
            path: self.path.join(name(path)),
            found,
            store: None,
            file: self.file,
        })
    }

    /// The same, made where there is none.
    ///
    /// # Errors
    /// As [`Folder::folder`], and when it cannot be made.
    pub fn make_folder(&self, path: &Path) -> io::Result<Folder> {
        match mkdirat(&self.descriptor, name(path), Mode::from(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return self.folder(path),
            Err(error) => return Err(error.into()),
        }
        let made = self.folder(path)?;
        // Whoever owns the folder around it may have put another of ours there since.
        if made.found.user != geteuid().as_raw() || !made.names()?.is_empty() {
            return Ok(made);
        }
        if self.found.is_shared() {
            fchmod(&made.descriptor, Mode::from(0o2770))?;
        }
        self.give(&made.descriptor);
        // As it is now.
        self.folder(path)
    }

    /// The names of what is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = Dir::read_from(&self.descriptor)?;
        let name = |entry: rustix::io::Result<DirEntry>| {
            entry.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        };
        let names = entries.map(name).filter(|name| {
            let is_folder = |name: &OsString| name == "." || name == "..";
            !name.as_ref().is_ok_and(is_folder)
        });
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Whether a file may be used: a regular one, by no other name, of somebody whom we believe.
    ///
    /// # Errors
    /// When it may not.
    pub fn trust(&self, found: &Found) -> Result<(), Distrust> {
        found.is_plain()?;
        self.owner_is_trusted(found)
    }

    /// The store's owner, root and ourselves are believed, and whoever writes in a folder that is a group's.
    fn owner_is_trusted(&self, found: &Found) -> Result<(), Distrust> {
        let owner =
            |file: Option<&Found>| file.map_or_else(|| geteuid().as_raw(), |file| file.user);
        let is_of_the_group = || self.found.is_its_groups() && found.group == self.found.group;
        if found.user == owner(self.file.as_ref()) || found.is_ours() || is_of_the_group() {
            return Ok(());
        }
        // It may have been given to somebody else with all that is beside it, since this folder was opened.
        let now = match &self.store {
            Some(store) => self.look(Path::new(store)).unwrap_or(None),
            None => self.file,
        };
        let owner = owner(now.as_ref());
        match found.user == owner {
            true => Ok(()),
            false => {
                let user = found.user;
                Err(Distrust::Strangers { user, owner })
            }
        }
    }
}

/// What a path is called in its folder.
fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

/// Makes the folder that a store is to be in, where there is none, for its owner alone.
///
/// # Errors
/// When it cannot be made.
pub fn make_around(store: &Path) -> io::Result<()> {
    match store.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether such a file or folder is there to be written to, or could be made. Makes nothing.
///
/// # Errors
/// What the system says of it, or of the first folder around it that is there.
pub fn could_be_written(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("."));
    let way = match there.is_dir() {
        true => Access::WRITE_OK | Access::EXEC_OK,
        false => Access::WRITE_OK,
    };
    Ok(access(there, way)?)
}
