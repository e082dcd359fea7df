//! Descriptors that are taken from their numbers, or watched by the runtime: what of that takes the compiler's word.

#![allow(
    unsafe_code,
    reason = "a number says nothing of who owns its descriptor, and a watched one must stay open"
)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Takes a descriptor that this process was started with, by its number. From then on it is closed on exec.
///
/// # Errors
/// When there is none of that number, or when it was opened by this process: whatever Rust opens is closed on exec, and
/// so is what was taken before.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a borrowed number is only looked at; that it is open is what is asked.
    let flags = fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(io::Error::other("it was not inherited"));
    }
    // SAFETY: the descriptor is open, as was just asked, and none that has an owner here: those are closed on exec.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// Writes all of that into a pipe that this process was started with, by its number, however that is set.
///
/// # Errors
/// When there is no pipe of that number, or nobody reads from it any more.
pub fn write_to_pipe(number: RawFd, mut bytes: &[u8]) -> io::Result<()> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: a borrowed number is looked at and written to, and neither closed nor kept. If nothing has the number,
    // the system says so.
    let pipe = unsafe { BorrowedFd::borrow_raw(number) };
    let kind = FileType::from_raw_mode(fstat(pipe)?.st_mode);
    if kind != FileType::Fifo {
        return Err(io::Error::other("it is no pipe"));
    }
    while !bytes.is_empty() {
        match rustix::io::write(pipe, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody has set it so, for all who have it.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&pipe, PollFlags::OUT)], None)?),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Has all descriptors that this process was started with closed on exec, but for the first three (close_range(2)):
/// what whoever starts us has forgotten to close is no business of those that we start. A kernel older than Linux 5.11
/// does nothing. What is to be taken of them, is to be taken before.
pub fn keep_from_those_we_start() {
    const FIRST: libc::c_uint = 3;
    let (last, flags) = (libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: a flag of descriptors is set that whatever Rust opens has anyway; none is closed here.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, last, flags) };
}

/// Has the runtime watch whether there is something to read.
pub fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the same descriptor, for as long as it is, which is as long as the result.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn only_what_was_inherited_is_taken_and_only_once() {
        let file = File::open("/dev/null").unwrap();
        let number = file.as_raw_fd();
        assert!(take_inherited(number).is_err(), "it is ours");
        // As it would be in a process that is started with it.
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        std::mem::forget(file);
        let taken = take_inherited(number).unwrap();
        assert!(take_inherited(number).is_err(), "twice");
        drop(taken);
    }
}
