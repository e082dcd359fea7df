//! The turn of whoever deletes what is too old: one tender of several at a time.

use std::fs::File;
use std::io;
use std::path::Path;

use super::files::{Error, RIGHT, folder, of_folder};
use crate::ofd;

/// Of no tube, for a tube's ends in `.tube`.
const NAME: &str = "cleaning";

/// The turn, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Takes it, unless another has it. Somebody tends a tube of the store, so that there is the tubes' folder.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub fn take(store: &Path) -> Result<Option<Turn>, Error> {
        let take = || {
            let folder = folder(store)?;
            let file = folder.open_or_make(&folder.path().join(NAME))?;
            match ofd::lock(&file, RIGHT) {
                Ok(()) => Ok(Some(Turn { _file: file })),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            }
        };
        take().map_err(|error| of_folder(store, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::{Ownership, tended};

    #[test]
    fn one_at_a_time_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let _tender = Ownership::take(&store, &["mail".parse().unwrap()]).unwrap();
        let first = Turn::take(&store).unwrap();
        assert!(first.is_some() && Turn::take(&store).unwrap().is_none());
        assert_eq!(tended(&store).unwrap().len(), 1, "it is no tube");
        drop(first);
        assert!(Turn::take(&store).unwrap().is_some());
    }
}
