//! Descriptors that come with lines (`SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::slice;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::net::UnixStream;

/// Reads what is there, without waiting, and the last of the descriptors that came with it. They are closed on exec.
/// One for which this process has no room does not come.
pub fn receive(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut handed = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut handed, flags)?;
    let descriptors = handed.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.last(),
        _ => None,
    });
    Ok((received.bytes, descriptors.last()))
}

/// Writes a line without waiting, and a descriptor with it, of which the reader gets one of its own.
///
/// # Errors
/// When there is nobody to read, or no room.
pub fn send_with(
    stream: &UnixStream,
    line: &[u8],
    handed: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    // Past the runtime: it lets nothing be written before it has once seen the socket ready.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut handing = SendAncillaryBuffer::new(&mut space);
    if let Some(handed) = &handed {
        // There is room for the one.
        handing.push(SendAncillaryMessage::ScmRights(slice::from_ref(handed)));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = sendmsg(stream, &[IoSlice::new(line)], &mut handing, flags)?;
    // Of a line this short, a socket takes all or nothing.
    match sent == line.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}
