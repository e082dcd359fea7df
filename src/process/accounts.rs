//! Users and groups of the machine, as its C library knows them: by whatever nsswitch.conf(5) says, not only by files.

#![allow(
    unsafe_code,
    reason = "only the C library knows all users, and it takes room for its answers"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The room that an answer gets at first, and at most, in bytes.
const ROOM: usize = 4 * 1024;
const MOST_ROOM: usize = 4 * 1024 * 1024;

/// As many groups as the kernel lets a process have (setgroups(2)).
const MOST_GROUPS: usize = 65_536;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The number.
    pub user: u32,
    /// The number of the user's own group.
    pub group: u32,
    /// The home directory.
    pub home: String,
    /// The shell.
    pub shell: String,
}

/// The user of that name; `None`: there is none.
///
/// # Errors
/// When the machine cannot say.
pub fn user(name: &str) -> io::Result<Option<Account>> {
    let name = CString::new(name)?;
    look_up_user(|entry, room, size, found| {
        // SAFETY: all of it lives as long as the call, and the room has that size.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, room, size, found) }
    })
}

/// The user of that number; `None`: there is none.
///
/// # Errors
/// When the machine cannot say.
pub fn user_of(number: u32) -> io::Result<Option<Account>> {
    look_up_user(|entry, room, size, found| {
        // SAFETY: as above.
        unsafe { libc::getpwuid_r(number, entry, room, size, found) }
    })
}

/// The number of the group of that name; `None`: there is none.
///
/// # Errors
/// When the machine cannot say.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let found = look_up(|entry, room, size, found| {
        // SAFETY: as above.
        unsafe { libc::getgrnam_r(name.as_ptr(), entry, room, size, found) }
    })?;
    Ok(found.map(|(entry, _): (libc::group, _)| entry.gr_gid))
}

/// The groups of the user of that name, with this one among them (initgroups(3)).
///
/// # Errors
/// When there are more than a process can have.
pub fn groups(user: &str, group: u32) -> io::Result<Vec<u32>> {
    let user = CString::new(user)?;
    let mut groups: Vec<u32> = vec![0; 64];
    loop {
        let mut count = c_int::try_from(groups.len()).unwrap_or(c_int::MAX);
        // SAFETY: there is room for as many as it is told.
        let found = unsafe {
            libc::getgrouplist(user.as_ptr(), group, groups.as_mut_ptr(), &raw mut count)
        };
        let count = usize::try_from(count).unwrap_or(0);
        if found >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if groups.len() >= MOST_GROUPS {
            return Err(io::Error::other("more groups than a process can have"));
        }
        groups.resize(count.max(groups.len().saturating_mul(2)), 0);
    }
}

fn look_up_user(
    ask: impl FnMut(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> c_int,
) -> io::Result<Option<Account>> {
    let Some((entry, _room)) = look_up(ask)? else {
        return Ok(None);
    };
    let text = |text: *const c_char| match text.is_null() {
        true => String::new(),
        // SAFETY: it points into the room, which is still there, and ends with a null.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into(),
    };
    Ok(Some(Account {
        name: text(entry.pw_name),
        user: entry.pw_uid,
        group: entry.pw_gid,
        home: text(entry.pw_dir),
        shell: text(entry.pw_shell),
    }))
}

/// An entry, and the room that it points into. Asked again with more room as long as there was too little.
fn look_up<T: Copy>(
    mut ask: impl FnMut(*mut T, *mut c_char, usize, *mut *mut T) -> c_int,
) -> io::Result<Option<(T, Vec<c_char>)>> {
    let mut room: Vec<c_char> = vec![0; ROOM];
    loop {
        let (mut entry, mut found) = (MaybeUninit::uninit(), ptr::null_mut());
        let said = ask(
            entry.as_mut_ptr(),
            room.as_mut_ptr(),
            room.len(),
            &raw mut found,
        );
        match said {
            libc::ERANGE if room.len() < MOST_ROOM => room.resize(room.len() * 4, 0),
            libc::EINTR => {}
            // Of what it does not know, the library may say so in one of these words (getpwnam(3)).
            0 | libc::ENOENT | libc::ESRCH if found.is_null() => return Ok(None),
            // SAFETY: it was found, and so written.
            0 => return Ok(Some((unsafe { entry.assume_init() }, room))),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_by_number() {
        let root = user("root").unwrap().unwrap();
        assert_eq!((root.user, root.group), (0, 0));
        assert!(root.home.starts_with('/'), "{root:?}");
        assert_eq!(user_of(0).unwrap(), Some(root));
        assert_eq!(group("root").unwrap(), Some(0));
        assert!(groups("root", 4711).unwrap().contains(&4711));
    }

    #[test]
    fn nobody_is_made_up() {
        assert_eq!(user("no such user").unwrap(), None);
        assert_eq!(user_of(u32::MAX - 7).unwrap(), None);
        assert_eq!(group("no such group").unwrap(), None);
        assert!(user("a\0b").is_err());
    }
}
