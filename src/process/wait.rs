//! A child's end, and what it took of the machine: the kernel tells both at once.

#![expect(
    unsafe_code,
    reason = "wait4(2) is not in rustix, and its waitid(2) does not tell what a child took"
)]

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::process::Pid;

use crate::task::resources::Resources;
use crate::task::state::Exit;

/// Reaps a child if it has ended. Nobody else may reap it.
///
/// # Errors
/// When it is no child of ours (wait(2)).
pub(super) fn reap(pid: Pid) -> io::Result<Option<(Exit, Resources)>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: both are ours, of the types that the kernel writes.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    match reaped {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => {
            // SAFETY: of numbers alone, for which zeros are as good as any.
            let usage = unsafe { usage.assume_init() };
            Ok(Some((exit_of(status), resources(&usage))))
        }
    }
}

fn exit_of(status: i32) -> Exit {
    match libc::WIFSIGNALED(status) {
        true => Exit::Signal(libc::WTERMSIG(status)),
        // Without WUNTRACED and WCONTINUED nothing else is told.
        false => Exit::Code(libc::WEXITSTATUS(status)),
    }
}

fn resources(usage: &libc::rusage) -> Resources {
    let long = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let micros = u64::try_from(time.tv_usec).unwrap_or(0);
        Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros))
    };
    Resources {
        user: long(usage.ru_utime),
        system: long(usage.ru_stime),
        // In units of 1024 bytes (getrusage(2)).
        peak_memory: u64::try_from(usage.ru_maxrss)
            .unwrap_or(0)
            .saturating_mul(1024),
    }
}
