//! Whose a file is, and whether that is somebody whom this process believes.
//!
//! Whoever runs this program with more rights than others, root above all, opens files in folders of theirs. They may
//! have put something else at the name: a link to a file of root's, a FIFO that nobody ever writes to, a file that says
//! what they want it to. So what is opened is looked at before anything is done with it. Root and whoever runs this
//! process are believed, and members of a group as far as a folder is that group's.

use std::fmt;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};

use rustix::fs::{Access, FileType, Stat, access, lstat, stat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

use crate::file_id::FileId;

/// What is known of a file or a folder without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which it is.
    pub id: FileId,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its length, in bytes.
    pub length: u64,
    kind: FileType,
    mode: u32,
    links: u64,
}

impl From<Stat> for Found {
    fn from(stat: Stat) -> Found {
        Found {
            id: FileId::from(&stat),
            user: stat.st_uid,
            group: stat.st_gid,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode,
            #[allow(
                clippy::useless_conversion,
                reason = "it has fewer bits on other machines"
            )]
            links: stat.st_nlink.into(),
        }
    }
}

impl Found {
    /// Whether it is a regular file.
    pub fn is_regular(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// Whether it is a symbolic link itself.
    pub fn is_link(&self) -> bool {
        self.kind == FileType::Symlink
    }

    /// Whether everybody may write to it.
    pub fn is_everybodys(&self) -> bool {
        self.mode & 0o002 != 0
    }

    /// Whether it is a folder such as `/tmp`: everybody may put files there, and nobody may take away those of others.
    pub fn is_sticky(&self) -> bool {
        self.mode & 0o1000 != 0
    }

    /// Whether its group may write to it.
    pub fn is_its_groups(&self) -> bool {
        self.mode & 0o020 != 0
    }

    /// Whether it hands its group on to what is made in it (setgid), and that group may write to it.
    pub fn is_shared(&self) -> bool {
        self.mode & 0o2020 == 0o2020
    }

    /// Whether it is root's, or whose this process is.
    pub fn is_ours(&self) -> bool {
        is_ours(self.user)
    }

    /// That it has no other name.
    ///
    /// # Errors
    /// How many it has.
    pub fn has_one_name(&self) -> Result<(), Distrust> {
        match self.links {
            0 | 1 => Ok(()),
            links => Err(Distrust::Linked {
                links,
                user: self.user,
            }),
        }
    }

    /// Whether a stranger may have put it there so that something else is opened, or that somebody waits.
    pub fn is_trap(&self) -> Option<Distrust> {
        let leads_elsewhere = self.is_link() || self.kind == FileType::Fifo;
        (leads_elsewhere && !self.is_ours()).then_some(Distrust::Trap {
            kind: kind(self.kind),
            user: self.user,
        })
    }

    /// That it is a regular file that has no other name and that not everybody may write to.
    ///
    /// # Errors
    /// What else it is.
    pub fn is_plain(&self) -> Result<(), Distrust> {
        if !self.is_regular() {
            return Err(Distrust::NoFile {
                kind: kind(self.kind),
                user: self.user,
            });
        }
        self.has_one_name()?;
        match self.is_everybodys() {
            true => Err(Distrust::Everybodys),
            false => Ok(()),
        }
    }
}

/// Root, or whose this process is.
pub fn is_ours(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Whether this process is of that group.
pub fn is_our_group(group: u32) -> bool {
    let of_more = || getgroups().is_ok_and(|all| all.iter().any(|one| one.as_raw() == group));
    getegid().as_raw() == group || of_more()
}

/// Why something is not opened, or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Something else stands where a file should.
    #[error(
        "it is {kind} of {}, and only a regular file is opened here; remove it once you know what it is for",
        name(*.user)
    )]
    NoFile {
        /// What it is.
        kind: &'static str,
        /// Its owner.
        user: u32,
    },
    /// A stranger made it, and it leads elsewhere, or nowhere.
    #[error("it is {kind} of {}, who is neither root nor you; remove it, or name another", name(*.user))]
    Trap {
        /// What it is.
        kind: &'static str,
        /// Its owner.
        user: u32,
    },
    /// Something else stands where a folder should.
    #[error("it is no folder; see who put it there, and remove it")]
    NoFolder,
    /// By another name it may be something else.
    #[error(
        "it has {links} names (hard links) and belongs to {}: by another name it may be something else; leave it one \
         name only",
        name(*.user)
    )]
    Linked {
        /// Its owner.
        user: u32,
        /// How many names it has.
        links: u64,
    },
    /// Everybody may write to it.
    #[error("everybody may write to it; take that away with chmod o-w")]
    Everybodys,
    /// A stranger made it.
    #[error("it belongs to {}, and the store to {}; remove it, or give it to the store's owner with chown",
        name(*.user), name(*.owner))]
    Strangers {
        /// Its owner.
        user: u32,
        /// The store's owner.
        owner: u32,
    },
    /// A stranger made it in a folder that is open to everybody.
    #[error("it belongs to {}, in {}, where everybody may put files; name a store in a folder of its own",
        name(*.user), folder.display())]
    Planted {
        /// Its owner.
        user: u32,
        /// The folder.
        folder: PathBuf,
    },
    /// Everybody may put something else at any name in the folder.
    #[error("everybody may write to its folder {0} and put something else there; take that away with: chmod o-w {0}",
        folder.display())]
    OpenFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// It is not the file itself that is distrusted, but one that goes with it.
    #[error("{} beside it cannot be trusted: {why}", file.display())]
    Beside {
        /// That file.
        file: PathBuf,
        /// Why.
        why: Box<Distrust>,
    },
}

impl Distrust {
    /// Of a file that goes with the one that is to be opened.
    #[must_use]
    pub fn of(self, file: &Path) -> Distrust {
        let (file, why) = (file.to_owned(), Box::new(self));
        Distrust::Beside { file, why }
    }
}

impl From<Distrust> for io::Error {
    fn from(why: Distrust) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, why)
    }
}

/// Whether that is why something was not opened.
pub fn is_distrust(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Distrust>())
}

/// As many links are followed one after the other; the system follows as many.
const LINKS: u32 = 40;

/// The one name of a file, whichever name it was given: absolute, without symbolic links. A file that is not there yet,
/// or whose folder is not, is where it would be made.
///
/// # Errors
/// When this process has no folder; and when the name is a link of a stranger's in a folder such as `/tmp`.
pub fn resolved(file: &Path) -> io::Result<PathBuf> {
    let mut file = path::absolute(file)?;
    for _ in 0..LINKS {
        // A folder that is not there yet is made by that name.
        let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
        if let (Some(folder), Some(name)) = (folder, file.file_name()) {
            file = folder.join(name);
        }
        match (fs::read_link(&file), file.parent()) {
            (Ok(target), Some(folder)) => {
                is_link_of_ours(&file, folder)?;
                file = folder.join(target);
            }
            // Whatever it is, it is no link.
            (Ok(_) | Err(_), Some(_) | None) => break,
        }
    }
    Ok(file)
}

/// The system refuses such links too, unless it is set otherwise, but only to those who follow them.
fn is_link_of_ours(link: &Path, folder: &Path) -> io::Result<()> {
    let (link, around) = (Found::from(lstat(link)?), Found::from(stat(folder)?));
    match around.is_everybodys() && !link.is_ours() {
        true => Err(Distrust::Planted {
            user: link.user,
            folder: folder.to_owned(),
        }
        .into()),
        false => Ok(()),
    }
}

/// What somebody is called, for people: by the name that the machine's own list has, and the number.
pub fn name(user: u32) -> String {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse() == Ok(user)).then_some(name)
    };
    match list.lines().find_map(of) {
        Some(name) => format!("{name} (user {user})"),
        None => format!("user {user}"),
    }
}

/// What keeps us from writing to a file, or from making it, as far as can be seen: whose it is, and as whom we look.
pub fn hindrance(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|path| path.exists())?;
    let there = match there.as_os_str().is_empty() {
        true => Path::new("."),
        false => there,
    };
    let shown = there.display();
    if there != path && !there.is_dir() {
        return Some(format!("{shown} is no folder"));
    }
    let way = match there.is_dir() {
        true => Access::WRITE_OK | Access::EXEC_OK,
        false => Access::WRITE_OK,
    };
    match access(there, way) {
        Err(Errno::ROFS) => Some(format!(
            "{shown} is on a disk that is mounted for reading only"
        )),
        Err(Errno::ACCESS) => {
            let found = Found::from(stat(there).ok()?);
            Some(format!(
                "{shown} belongs to {}, and may not be written to by {}",
                name(found.user),
                name(geteuid().as_raw())
            ))
        }
        Err(_) | Ok(()) => None,
    }
}

fn kind(of: FileType) -> &'static str {
    match of {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

/// What kind of file it is, for people.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kind(self.kind))
    }
}

/// Whether a store may be used, as far as its file and its folder tell. Whose it is, whoever named it knows: its owner
/// is asked for only where everybody may put one.
///
/// # Errors
/// When it may not.
pub fn store(file: Option<&Found>, folder: &Found, path: &Path) -> Result<(), Distrust> {
    let folder_path = || path.to_owned();
    if folder.is_everybodys() && !folder.is_sticky() {
        return Err(Distrust::OpenFolder {
            folder: folder_path(),
        });
    }
    let Some(file) = file else {
        return Ok(());
    };
    file.is_plain()?;
    match folder.is_everybodys() && !file.is_ours() {
        true => Err(Distrust::Planted {
            user: file.user,
            folder: folder_path(),
        }),
        false => Ok(()),
    }
}
