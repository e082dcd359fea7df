//! Where the store is.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{self, Path, PathBuf};
use std::str::FromStr;

use crate::trust::resolved;

/// Where tasks are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `PATH` or `sqlite:PATH`: a file.
    Sqlite(PathBuf),
}

/// The text is no store's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadStoreUrl {
    /// A kind of store that there is to be, and is not yet.
    #[error("'{text}': this taskqueue has no PostgreSQL yet; name a file: PATH or sqlite:PATH")]
    NotBuilt {
        /// The text.
        text: String,
    },
    /// No kind of store that anybody knows of.
    #[error("'{text}' is no store: name a file: PATH or sqlite:PATH")]
    Unknown {
        /// The text.
        text: String,
    },
    /// A file without a name.
    #[error("a store without a name: name a file: PATH or sqlite:PATH")]
    Empty,
}

impl StoreUrl {
    /// Reads what was written.
    pub fn read(text: &OsStr) -> Result<StoreUrl, BadStoreUrl> {
        let file = match text.to_str() {
            // No scheme has such bytes.
            None => PathBuf::from(text),
            Some(known) => match known.split_once(':') {
                Some(("sqlite", path)) => path.into(),
                Some((scheme, rest)) if rest.starts_with("//") && is_scheme(scheme) => {
                    let text = known.to_owned();
                    return Err(match scheme {
                        "postgres" | "postgresql" => BadStoreUrl::NotBuilt { text },
                        _ => BadStoreUrl::Unknown { text },
                    });
                }
                Some(_) | None => known.into(),
            },
        };
        match file.as_os_str().is_empty() {
            true => Err(BadStoreUrl::Empty),
            false => Ok(StoreUrl::Sqlite(file)),
        }
    }

    /// What the files beside it are named after: those that say who lives, who tends, and what dead workers have noted.
    pub fn beside(&self) -> &Path {
        let StoreUrl::Sqlite(file) = self;
        file
    }

    /// As it is written, so that it is read back.
    pub fn written(&self) -> OsString {
        let StoreUrl::Sqlite(file) = self;
        let written = file.clone().into_os_string();
        match StoreUrl::read(&written).as_ref() == Ok(self) {
            true => written,
            false => {
                let mut url = OsString::from("sqlite:");
                url.push(written);
                url
            }
        }
    }

    /// The same store by its one name, after which all is named that is beside it: absolute, without symbolic links.
    ///
    /// # Errors
    /// When this process has no folder; and when the name is a link of a stranger's in a folder such as `/tmp`.
    pub fn canonical(&self) -> io::Result<StoreUrl> {
        let StoreUrl::Sqlite(file) = self;
        resolved(file).map(StoreUrl::Sqlite)
    }

    /// The store that is meant from a folder.
    #[must_use]
    pub fn seen_from(self, folder: &Path) -> StoreUrl {
        let StoreUrl::Sqlite(file) = self;
        StoreUrl::Sqlite(folder.join(file))
    }
}

/// The name of a file in its folder of now, also when a symbolic link on the way to that is switched.
///
/// # Errors
/// When this process has no folder.
pub fn canonical(file: &Path) -> io::Result<PathBuf> {
    let file = path::absolute(file)?;
    // A folder that is not there yet is made by that name.
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    Ok(match (folder, file.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        (Some(_) | None, Some(_) | None) => file,
    })
}

fn is_scheme(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    !text.is_empty() && text.chars().all(letters)
}

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(text: &str) -> Result<StoreUrl, BadStoreUrl> {
        StoreUrl::read(text.as_ref())
    }
}

/// A file, whatever its name looks like.
impl From<&Path> for StoreUrl {
    fn from(file: &Path) -> StoreUrl {
        StoreUrl::Sqlite(file.into())
    }
}

/// The same.
impl From<PathBuf> for StoreUrl {
    fn from(file: PathBuf) -> StoreUrl {
        StoreUrl::Sqlite(file)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreUrl::Sqlite(file) = self;
        file.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn stores_are_read_and_written() {
        let table: [(&[u8], &[u8]); 9] = [
            (b"t.db", b"t.db"),
            (b"/var/lib/t.db", b"/var/lib/t.db"),
            (b"sqlite:t.db", b"t.db"),
            (b"sqlite:/t.db", b"/t.db"),
            (b"sqlite:sqlite:t.db", b"sqlite:t.db"),
            (b"sqlite:postgres://a/b", b"postgres://a/b"),
            (b":memory:", b":memory:"),
            (b"file:x.db?mode=ro", b"file:x.db?mode=ro"),
            (b"\xff.db", b"\xff.db"),
        ];
        for (text, file) in table {
            let read = StoreUrl::read(OsStr::from_bytes(text)).unwrap();
            assert_eq!(read.beside().as_os_str().as_bytes(), file);
            assert_eq!(StoreUrl::read(&read.written()), Ok(read));
        }
    }

    #[test]
    fn what_is_no_store_is_refused_by_name() {
        let refused = |text: &str| StoreUrl::read(OsStr::new(text)).unwrap_err();
        for text in ["postgres://a/b", "postgresql://a"] {
            let text = text.to_owned();
            assert_eq!(refused(&text), BadStoreUrl::NotBuilt { text });
        }
        for text in ["mysql://a/b", "redis://", "sqlite3://t.db"] {
            let text = text.to_owned();
            assert_eq!(refused(&text), BadStoreUrl::Unknown { text });
        }
        for text in ["", "sqlite:"] {
            assert_eq!(refused(text), BadStoreUrl::Empty);
        }
    }
}
