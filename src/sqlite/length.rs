//! Making the file as long as it is going to be, before the journal is copied. What the file does not need is cut when
//! that is done.

#![allow(
    unsafe_code,
    reason = "rusqlite has no call for this, and SQLite alone may open the file: whoever closes it drops the locks \
              that this process has on it"
)]

use std::ffi::{c_int, c_void};
use std::ptr::from_mut;

use rusqlite::Connection;
use rusqlite::ffi::{
    self, SQLITE_FCNTL_CHUNK_SIZE, SQLITE_FCNTL_SIZE_HINT, SQLITE_FULL, SQLITE_OK,
};

/// SQLite's own, which nobody changes.
const PAGE: c_int = 4096;

/// So many bytes the file has, once the journal is copied.
pub(super) fn length(connection: &Connection) -> rusqlite::Result<i64> {
    let pages: i64 = connection
        .prepare_cached("PRAGMA page_count")?
        .query_row([], |row| row.get(0))?;
    Ok(pages.saturating_mul(PAGE.into()))
}

/// Takes the room that the file needs once the journal is copied, as far as there is any. Whoever commits without it
/// leaves a journal that cannot be copied, and so never begins anew.
///
/// # Errors
/// When there is not enough.
pub(super) fn take_room(connection: &Connection) -> rusqlite::Result<()> {
    let mut bytes = length(connection)?;
    // SQLite heeds the hint where a file grows in steps. With none, it is as it was.
    let (mut step, mut none) = (PAGE, 0);
    control(
        connection,
        SQLITE_FCNTL_CHUNK_SIZE,
        from_mut(&mut step).cast(),
    );
    let taken = control(
        connection,
        SQLITE_FCNTL_SIZE_HINT,
        from_mut(&mut bytes).cast(),
    );
    control(
        connection,
        SQLITE_FCNTL_CHUNK_SIZE,
        from_mut(&mut none).cast(),
    );
    match taken {
        SQLITE_OK => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(SQLITE_FULL),
            None,
        )),
    }
}

/// What is read there is an `int` for the step and an `i64` for the hint (sqlite3.h, "Standard File Control Opcodes").
fn control(connection: &Connection, what: c_int, value: *mut c_void) -> c_int {
    // SAFETY: the connection is open, and the value lives until this is over.
    unsafe { ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), what, value) }
}
