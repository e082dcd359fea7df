//! A transaction. The library's own compiles its two statements anew each time, a tenth of what a short one costs.

use rusqlite::Connection;

/// Holds the write lock from its beginning, or none at all; it is rolled back if it is dropped.
pub struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    pub fn begin(connection: &'a Connection) -> rusqlite::Result<Transaction<'a>> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Transaction(connection))
    }

    /// One that only reads, and sees one moment of the file.
    pub fn begin_to_look(connection: &'a Connection) -> rusqlite::Result<Transaction<'a>> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Transaction(connection))
    }

    pub fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

/// Runs a part of a transaction that may fail by itself. What the part has written by then is undone, and the
/// transaction goes on.
pub fn part<R, E: From<rusqlite::Error>>(
    connection: &Connection,
    part: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    let say = |what| connection.prepare_cached(what)?.execute([]);
    say("SAVEPOINT part")?;
    match part() {
        Ok(done) => {
            say("RELEASE part")?;
            Ok(done)
        }
        Err(error) => {
            // They fail where SQLite has rolled back the whole transaction; then the error is none that it survives.
            let _ = say("ROLLBACK TO part").and_then(|_| say("RELEASE part"));
            Err(error)
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Over, if it was committed, or if SQLite rolled it back itself.
        if !self.0.is_autocommit() {
            // A connection that cannot roll back fails at its next statement, which says so.
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}
