//! A small disk of a test's own, that can be full or read-only.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A tmpfs that only the thread that made it sees, and what that starts.
pub struct Disk {
    folder: PathBuf,
}

const OPTIONS: &CStr = c"size=16m";

impl Disk {
    /// Mounts one on a new folder below this one; `None`, and a line that says so, where this user may not.
    pub fn mount(below: &Path) -> Option<Disk> {
        let folder = below.join("disk");
        fs::create_dir(&folder).unwrap();
        match mount_on(&folder) {
            Ok(()) => Some(Disk { folder }),
            Err(error) => {
                println!("skipped: this user may mount nothing: {error}");
                None
            }
        }
    }

    /// A file on it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Takes all that is left of it.
    pub fn fill(&self) {
        let mut filler = File::create(self.path("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives that back.
    pub fn free(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }

    /// Nothing can be written any more. Only while nobody has a file open to write.
    pub fn make_read_only(&self) {
        self.remount(MountFlags::RDONLY);
    }

    /// It can again.
    pub fn make_writable(&self) {
        self.remount(MountFlags::empty());
    }

    fn remount(&self, more: MountFlags) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | more;
        mount_remount(&self.folder, flags, OPTIONS).unwrap();
    }
}

fn mount_on(folder: &Path) -> io::Result<()> {
    // SAFETY: only the mounts are unshared, of this thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", folder, "tmpfs", flags, OPTIONS)?)
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps it for as long.
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}
