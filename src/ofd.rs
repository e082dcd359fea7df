//! Locks that belong to an open file: taking, asking and releasing them byte by byte.
//!
//! They are open-file-description locks (`fcntl(2)`, "Open file description locks"): a lock belongs
//! to a descriptor and every copy of it that a fork or an exec handed on, and the kernel drops it when
//! the last copy is closed. Whoever holds one lives, and no pid that is used again, no reboot and no
//! other container's pid namespace can make it seem otherwise.
//!
//! A byte need not exist in the file to be locked.

#![allow(
    unsafe_code,
    reason = "no safe wrapper among our dependencies takes open-file-description locks on a range"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Locks a byte for as long as the descriptor, or a copy of it, is open. Fails with `WouldBlock` when it is
/// locked through another.
pub fn lock(file: &File, byte: i64) -> io::Result<()> {
    set(file, byte, libc::F_WRLCK)
}

/// Locks so many bytes in the same way.
pub fn lock_range(file: &File, first: i64, bytes: i64) -> io::Result<()> {
    set_range(file, range(first, bytes, libc::F_WRLCK))
}

/// The same for several at once, through descriptors that need not be open for writing.
pub fn lock_shared(file: &File, byte: i64) -> io::Result<()> {
    set(file, byte, libc::F_RDLCK)
}

/// Lets a byte go, whichever copy of the descriptor locked it.
pub fn unlock(file: &File, byte: i64) -> io::Result<()> {
    set(file, byte, libc::F_UNLCK)
}

/// Whether a byte is locked through another descriptor than this.
pub fn is_locked(file: &File, byte: i64) -> io::Result<bool> {
    first_conflict(file, byte, 1).map(|found| found.is_some())
}

/// Whether any byte of a range, its end excluded, is locked through another descriptor than this.
pub fn is_any_locked(file: &File, first: i64, end: i64) -> io::Result<bool> {
    let length = end.saturating_sub(first);
    Ok(length > 0 && first_conflict(file, first, length)?.is_some())
}

/// The bytes of a range that are locked through other descriptors than this, in order.
pub fn locked_bytes(file: &File, first: i64, last: i64) -> io::Result<Vec<i64>> {
    let mut found = Vec::new();
    let mut from = first;
    while from <= last {
        // The kernel names any of the locks that are in the way, not the first. So what is before it is
        // asked for again, and then what is behind it.
        let Some(byte) = lowest(file, from, last)? else {
            break;
        };
        found.push(byte);
        from = byte.saturating_add(1);
    }
    Ok(found)
}

fn lowest(file: &File, from: i64, last: i64) -> io::Result<Option<i64>> {
    let mut lowest = None;
    let mut end = last;
    while from <= end {
        match first_conflict(file, from, end.saturating_sub(from).saturating_add(1))? {
            None => break,
            Some(byte) => {
                lowest = Some(byte.max(from));
                end = byte.saturating_sub(1);
            }
        }
    }
    Ok(lowest)
}

fn range(start: i64, length: i64, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0, // must be 0 for F_OFD_* commands
    }
}

fn set(file: &File, byte: i64, kind: libc::c_int) -> io::Result<()> {
    set_range(file, range(byte, 1, kind))
}

fn set_range(file: &File, lock: libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call, and the kernel only reads `lock`. No safe wrapper
    // among our dependencies takes open-file-description locks on a range.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Where one of the locks begins that are in the way of this range.
fn first_conflict(file: &File, start: i64, length: i64) -> io::Result<Option<i64>> {
    let mut lock = range(start, length, libc::F_WRLCK);
    // SAFETY: the descriptor is open for the whole call, and `lock` is ours for the kernel to write to.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((lock.l_type != libc::F_UNLCK as libc::c_short).then_some(lock.l_start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_locked_byte_of_a_range_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(dir.path().join("locks")).unwrap()
        };
        // Taken in this order, for the kernel names them in the order in which it keeps them.
        let held: Vec<File> = [7, 3, 4, 0, 100, 9]
            .into_iter()
            .map(|byte| {
                let file = open();
                lock(&file, byte).unwrap();
                file
            })
            .collect();
        let asking = open();
        lock(&asking, 5).unwrap();
        assert_eq!(locked_bytes(&asking, 1, 99).unwrap(), [3, 4, 7, 9]);
        assert_eq!(locked_bytes(&asking, 0, 0).unwrap(), [0]);
        assert_eq!(locked_bytes(&open(), 5, 6).unwrap(), [5]);
        drop(held);
        assert_eq!(locked_bytes(&asking, 0, i64::MAX - 1).unwrap(), [5; 0]);
    }

    #[test]
    fn two_bytes_of_one_descriptor_are_two() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks");
        let (holding, asking) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        for byte in [1, 2, 3] {
            lock(&holding, byte).unwrap();
        }
        // The kernel joins neighbours into one lock.
        unlock(&holding, 3).unwrap();
        assert!(is_locked(&asking, 2).unwrap());
        assert!(!is_locked(&asking, 3).unwrap());
        assert_eq!(locked_bytes(&asking, 1, 9).unwrap(), [1, 2]);
    }
}
