//! Columns as they are written and read: numbers that are unsigned here, and text, whatever is in it.

use rusqlite::Row;

/// beanstalkd counts up from 1, so that half of the numbers is enough for ever.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column of text. What is no text, and must have been put there by hand, is shown as far as it is: one row's
/// nonsense keeps no other from being read.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// The same of a column that is never NULL.
pub(super) fn some_text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(text(row, column)?.unwrap_or_default())
}
