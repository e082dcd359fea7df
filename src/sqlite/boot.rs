//! The clock that times count from begins anew with each boot.

use rusqlite::Connection;

use super::{Database, Error, Failed};
use crate::clock::{Moment, boot_id};

/// After a boot, before any job is put or reserved: what was held is held no more, and what was to wait waits for what
/// is left, by the machine's clock, but not longer than was asked for.
pub fn begin_boot(database: &mut Database) -> Result<(), Error> {
    let this = boot_id();
    let of_this_boot = |look: &Connection| -> Result<bool, Failed> {
        let boot: String = look.query_row("SELECT boot FROM queue", [], |row| row.get(0))?;
        Ok(boot == this)
    };
    if database.look(|look, _| of_this_boot(look))? {
        return Ok(());
    }
    database.change(|change, _| {
        if of_this_boot(change)? {
            return Ok(());
        }
        let now = Moment::now();
        change.execute(
            "UPDATE jobs SET ready_at = ?1 + max(0, min(delay, ready_wall - ?2)) WHERE state = 'delayed'",
            [now.boot, now.wall],
        )?;
        change.execute(
            "UPDATE pauses SET until_at = ?1 + max(0, min(length, until_wall - ?2))",
            [now.boot, now.wall],
        )?;
        change.execute(
            "UPDATE jobs SET state = 'ready', session = NULL, due_at = NULL WHERE state = 'reserved'",
            [],
        )?;
        change.execute("DELETE FROM watches", [])?;
        change.execute("UPDATE queue SET boot = ?1", [&this])?;
        Ok(())
    })
}
