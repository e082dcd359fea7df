//! Columns of text, whatever is in them.

use rusqlite::Row;

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
