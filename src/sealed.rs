//! Bytes that one process hands to another: a file without a name, which nobody can change any more.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Makes such a file. Its descriptor is closed on exec.
///
/// # Errors
/// When there is no memory or no descriptor left.
pub fn seal(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(bytes)?;
    fcntl_add_seals(
        &file,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// Reads all of such a file, from its beginning: whoever inherits a descriptor shares its position.
///
/// # Errors
/// When the file cannot be read, or holds more than `most` bytes.
pub fn read(sealed: OwnedFd, most: u64) -> io::Result<Vec<u8>> {
    let file = File::from(sealed);
    if file.metadata()?.len() > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    let mut bytes = Vec::new();
    FromStart { file, at: 0 }
        .take(most)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_whole_by_each_and_changed_by_nobody() {
        let bytes = b"x".repeat(100_000);
        let sealed = seal("test", &bytes).unwrap();
        for _ in 0..2 {
            let copy = sealed.try_clone().unwrap();
            assert_eq!(read(copy, 100_000).unwrap(), bytes);
        }
        let copy = sealed.try_clone().unwrap();
        assert!(read(copy, 99_999).is_err());
        let file = File::from(sealed);
        assert!(file.write_at(b"y", 0).is_err());
        assert!(file.set_len(0).is_err());
    }
}
