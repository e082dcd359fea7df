//! A configuration as it is written, and its way from a tender that has accepted it to the tender's workers.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::sealed;

/// The most bytes that a configuration may have.
pub const MOST: u64 = 1024 * 1024;

/// As much as a file's name may have beside that.
const NAME: u64 = 64 * 1024;

/// A file's name and its text, as they were when they were read: right or wrong, nobody has judged them yet. Both are
/// empty where there is no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The file; by its absolute name in a [`Config`](super::Config).
    pub file: Option<PathBuf>,
    /// All that stood in the file.
    pub text: String,
}

impl Written {
    /// Whether there is a file, and nothing in it.
    pub fn is_empty_file(&self) -> bool {
        self.file.is_some() && self.text.trim().is_empty()
    }

    /// Makes a file without a name of it, which holds the name, a NUL and the text.
    ///
    /// # Errors
    /// When there is no memory or no descriptor left.
    pub fn seal(&self) -> io::Result<OwnedFd> {
        let name = self.file.as_ref().map(|file| file.as_os_str().as_bytes());
        let mut bytes = name.unwrap_or_default().to_vec();
        bytes.push(0);
        bytes.extend(self.text.bytes());
        sealed::seal("taskqueue-configuration", &bytes)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When it cannot be read, or is of another make.
    pub fn unseal(sealed: OwnedFd) -> io::Result<Written> {
        let bytes = sealed::read(sealed, MOST.saturating_add(NAME))?;
        let odd = || io::Error::other("it is no configuration");
        let end = bytes.iter().position(|byte| *byte == 0).ok_or_else(odd)?;
        let (name, text) = bytes.split_at_checked(end).ok_or_else(odd)?;
        let text = text.get(1..).unwrap_or_default().to_vec();
        Ok(Written {
            file: (!name.is_empty()).then(|| OsString::from_vec(name.to_vec()).into()),
            text: String::from_utf8(text).map_err(|_| odd())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_out_as_it_went_in() {
        let with = |file: Option<&str>, text: &str| Written {
            file: file.map(Into::into),
            text: text.into(),
        };
        for written in [
            with(None, ""),
            with(Some("/etc/t.toml"), ""),
            with(Some("/a b/é.toml"), "store = 't.db' # \0 ü\n"),
        ] {
            let sealed = written.seal().unwrap();
            assert_eq!(Written::unseal(sealed).unwrap(), written);
        }
        let nothing = sealed::seal("test", b"").unwrap();
        assert!(Written::unseal(nothing).is_err());
    }
}
