//! Bytes that one process hands to another: a file without a name, which nobody can change any more.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// Makes such a file. Its descriptor is closed on exec.
///
/// # Errors
/// When there is no memory or no descriptor left.
pub fn seal(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // A host may refuse whatever could be executed (vm.memfd_noexec); kernels before 6.3 do not know the flag.
    let made = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(name, flags),
        made => made,
    };
    let mut file = File::from(made?);
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
    let length = file.metadata()?.len();
    let too_long = || io::Error::other(format!("it has more than {most} bytes"));
    if length > most {
        return Err(too_long());
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| too_long())?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Where the kernel can be told so, which some hosts ask for.
    #[test]
    fn it_cannot_be_executed() {
        let is_known = memfd_create("test", MemfdFlags::NOEXEC_SEAL).is_ok();
        let file = File::from(seal("test", b"x").unwrap());
        let mode = file.metadata().unwrap().permissions().mode();
        assert!(!is_known || mode & 0o111 == 0, "{mode:o}");
    }

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
