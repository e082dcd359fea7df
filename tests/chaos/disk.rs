//! A small disk for the store, that can be full.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// It only costs what is on it.
const SIZE: u64 = 2 << 30;

/// A tmpfs that nobody sees but this process and those that it starts, and that is gone with the last of them.
pub struct Disk {
    path: PathBuf,
}

/// Gives this process mounts of its own, in a user namespace if it may not mount otherwise. Only while it has
/// one thread.
pub fn set_apart() -> io::Result<()> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let mut flags = UnshareFlags::NEWNS;
    if uid != 0 {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: no descriptor table is unshared.
    unsafe { unshare_unsafe(flags)? };
    if uid != 0 {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    // What is mounted here is nobody else's business.
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    Ok(())
}

impl Disk {
    /// Mounts it on a folder.
    pub fn mount(path: &Path) -> io::Result<Disk> {
        let size = CString::new(format!("size={SIZE}"))?;
        mount(
            "tmpfs",
            path,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            size.as_c_str(),
        )?;
        Ok(Disk { path: path.into() })
    }

    /// Leaves so many bytes free, or less. An error says that it grew just then.
    pub fn fill(&self, but: u64) -> io::Result<()> {
        let now = statvfs(&self.path)?;
        let used = now.f_blocks.saturating_sub(now.f_bfree) * now.f_frsize;
        self.resize(used + but)
    }

    /// Gives it its size back.
    pub fn empty(&self) -> io::Result<()> {
        self.resize(SIZE)
    }

    fn resize(&self, size: u64) -> io::Result<()> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let size = CString::new(format!("size={size}"))?;
        Ok(mount_remount(&self.path, flags, size.as_c_str())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps it for as long.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
