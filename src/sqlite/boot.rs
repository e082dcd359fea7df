//! The clock that times count from begins anew with each boot.
//!
//! Which boot it is the system tells by an id. Where it tells none, all boots have the same; and a machine that is put
//! back to an earlier moment (a snapshot) has the id of then. So the times themselves are looked at: nothing was put
//! later than now. And where there is no id, whoever comes first, while nobody else is at the store, takes it for
//! another boot: then nothing is held, and what is to wait is worked out by both clocks; the earlier one is heeded.

use rusqlite::Connection;

use super::{Database, Error, Failed};
use crate::clock::{Moment, boot_id};
use crate::lives::locks::LockFile;

/// When the newest of those was put that are delayed, by the clock that counts from boot.
const BEGUN: &str = "SELECT ready_at - delay FROM jobs WHERE state = 'delayed' ORDER BY ready_at - delay DESC LIMIT 1";

/// The same of pauses, of which there are few.
const PAUSED: &str = "SELECT max(until_at - length) FROM pauses";

/// The same of reservations, as many as there are workers.
const RESERVED: &str = "SELECT max(due_at - ttr * 1000) FROM jobs WHERE state = 'reserved'";

/// After a boot, before any job is put or reserved: what was held is held no more, and what was to wait waits for what
/// is left, by the machine's clock, but not longer than was asked for.
pub fn begin_boot(database: &mut Database) -> Result<(), Error> {
    begin(database, &boot_id(), Moment::now())
}

fn begin(database: &mut Database, this: &str, now: Moment) -> Result<(), Error> {
    let begins = |look: &Connection, locks: &LockFile| begins(look, locks, this, now);
    if database.look(begins)? == Begins::Nothing {
        return Ok(());
    }
    database.change(|change, locks| {
        match begins(change, locks)? {
            Begins::Nothing => {}
            Begins::Clock => wait_no_longer(change, now)?,
            Begins::Boot => {
                wait_no_longer(change, now)?;
                change.execute(
                    "UPDATE jobs SET state = 'ready', session = NULL, due_at = NULL WHERE state = 'reserved'",
                    [],
                )?;
                change.execute("DELETE FROM watches", [])?;
                change.execute("UPDATE queue SET boot = ?1", [this])?;
            }
        }
        Ok(())
    })
}

/// What has begun since the times were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    Nothing,
    /// The clock alone: whoever is here is still here.
    Clock,
    Boot,
}

fn begins(look: &Connection, locks: &LockFile, this: &str, now: Moment) -> Result<Begins, Failed> {
    let boot: String = look.query_row("SELECT boot FROM queue", [], |row| row.get(0))?;
    if boot != this || (this.is_empty() && !locks.is_anybody_here().map_err(Failed::Locks)?) {
        return Ok(Begins::Boot);
    }
    for sql in [BEGUN, PAUSED, RESERVED] {
        let mut newest = look.prepare_cached(sql)?;
        let mut rows = newest.query([])?;
        let put: Option<i64> = match rows.next()? {
            Some(row) => row.get(0)?,
            None => None,
        };
        if put.is_some_and(|put| put > now.boot) {
            return Ok(Begins::Clock);
        }
    }
    Ok(Begins::Nothing)
}

/// No wait ends later by the new clock than the old one had it, nor than the machine's clock has it, nor is longer than
/// it was to be.
fn wait_no_longer(change: &Connection, now: Moment) -> Result<(), Failed> {
    change.execute(
        "UPDATE jobs SET ready_at = ?1 + max(0, min(delay, ready_wall - ?2, ready_at - ?1)) WHERE state = 'delayed'",
        [now.boot, now.wall],
    )?;
    change.execute(
        "UPDATE pauses SET until_at = ?1 + max(0, min(length, until_wall - ?2, until_at - ?1))",
        [now.boot, now.wall],
    )?;
    change.execute(
        "UPDATE jobs SET due_at = ?1 + min(ttr * 1000, due_at - ?1) WHERE state = 'reserved'",
        [now.boot],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::Holder;
    use crate::sqlite::{Durability, jobs};

    const SECOND: i64 = 1000;
    const DAY: i64 = 86_400 * SECOND;

    /// A job was put that is to wait, by a clock that had counted so long, at noon. Which boot that was and is now; how
    /// far the clock had counted; how long the job is to wait; how far the clock counts when the job is looked at; how
    /// much later that is by the machine's clock; and how long the job then waits.
    const TABLE: &[(&str, &str, i64, i64, i64, i64, i64)] = &[
        // The same boot: the machine's clock may say what it likes.
        (
            "a",
            "a",
            100 * SECOND,
            5 * SECOND,
            102 * SECOND,
            2 * SECOND,
            3 * SECOND,
        ),
        (
            "a",
            "a",
            100 * SECOND,
            5 * SECOND,
            102 * SECOND,
            -DAY,
            3 * SECOND,
        ),
        (
            "a",
            "a",
            100 * SECOND,
            5 * SECOND,
            102 * SECOND,
            DAY,
            3 * SECOND,
        ),
        (
            "a",
            "a",
            100 * SECOND,
            5 * SECOND,
            200 * SECOND,
            100 * SECOND,
            0,
        ),
        // The next boot.
        ("a", "b", 30 * DAY, 5 * SECOND, 20 * SECOND, 60 * SECOND, 0),
        ("a", "b", 30 * DAY, DAY, 20 * SECOND, DAY / 2, DAY / 2),
        // Its clock was set wrong, or has lost its battery.
        (
            "a",
            "b",
            30 * DAY,
            5 * SECOND,
            20 * SECOND,
            -30 * DAY,
            5 * SECOND,
        ),
        (
            "a",
            "b",
            10 * SECOND,
            DAY,
            DAY / 2,
            -30 * DAY,
            DAY / 2 + 10 * SECOND,
        ),
        // A machine that was put back to an earlier moment of the same boot.
        ("a", "a", 30 * DAY, 5 * SECOND, DAY, 60 * SECOND, 0),
        ("a", "a", 30 * DAY, DAY, DAY, -29 * DAY, DAY),
        // No boot has an id, and the next has begun.
        ("", "", 30 * DAY, 5 * SECOND, 20 * SECOND, 60 * SECOND, 0),
        (
            "",
            "",
            30 * DAY,
            5 * SECOND,
            20 * SECOND,
            -60 * SECOND,
            5 * SECOND,
        ),
        ("", "", 10 * SECOND, DAY, 20 * SECOND, DAY / 2, DAY / 2),
        // The same boot without an id.
        (
            "",
            "",
            100 * SECOND,
            5 * SECOND,
            102 * SECOND,
            -DAY,
            3 * SECOND,
        ),
        (
            "",
            "",
            100 * SECOND,
            5 * SECOND,
            102 * SECOND,
            2 * SECOND,
            3 * SECOND,
        ),
    ];

    const NOON: i64 = 1_800_000_000_000;

    fn one(database: &Database, sql: &str) -> i64 {
        let look = |look: &Connection, _: &LockFile| Ok(look.query_row(sql, [], |row| row.get(0))?);
        database.look(look).unwrap()
    }

    #[test]
    fn no_delay_lasts_longer_than_it_was_to() {
        for row in TABLE {
            let (before, this, boot, delay, counts, later, left) = *row;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.db");
            let mut database = Database::open(&path, Durability::ProcessDeath).unwrap();
            let then = Moment { boot, wall: NOON };
            let pause = format!(
                "UPDATE queue SET boot = '{before}';
                 INSERT INTO pauses VALUES ('t', {delay}, {}, {})",
                boot + delay,
                NOON + delay
            );
            let put = jobs::Row {
                tube: "t",
                priority: 0,
                delay,
                ttr: 60,
                body: b"",
            };
            let job = |change: &Connection, _: &LockFile| {
                change.execute_batch(&pause)?;
                jobs::insert(change, &put, then)
            };
            database.change(job).unwrap();
            // And one that is put by whoever came first.
            let now = Moment {
                boot: counts,
                wall: NOON + later,
            };
            for _ in 0..2 {
                begin(&mut database, this, now).unwrap();
                let ready = one(&database, "SELECT ready_at FROM jobs") - counts;
                assert_eq!(ready.max(0), left, "{row:?}");
                let until = one(&database, "SELECT until_at FROM pauses") - counts;
                assert_eq!(until.max(0), left, "{row:?}");
            }
        }
    }

    /// Whoever has a job goes on with it, where another finds that there is no id, or that the clock has gone back.
    #[test]
    fn who_is_there_keeps_what_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let mut database = Database::open(&path, Durability::ProcessDeath).unwrap();
        let held = "INSERT INTO jobs (tube, state, priority, ttr, created, session, due_at)
            VALUES ('t', 'reserved', 0, 60, 0, 1, 100000)";
        let hold = |change: &Connection, _: &LockFile| Ok(change.execute_batch(held)?);
        database.change(hold).unwrap();
        let is_held = "SELECT count(*) FROM jobs WHERE state = 'reserved'";
        let at = |boot| Moment { boot, wall: NOON };
        let lock = database.locks().take(Holder::Session(1)).unwrap();
        for (this, boot) in [("", 50_000), ("", 10_000)] {
            begin(&mut database, this, at(boot)).unwrap();
            assert_eq!(one(&database, is_held), 1);
            assert!(one(&database, "SELECT due_at FROM jobs") <= boot + 60_000);
        }
        drop(lock);
        begin(&mut database, "", at(10_000)).unwrap();
        assert_eq!(one(&database, is_held), 0);
    }

    #[test]
    fn the_newest_delay_is_looked_up_by_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let database = Database::open(&path, Durability::ProcessDeath).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {BEGUN}");
        let plan: String = database
            .connection()
            .query_row(&explain, [], |row| row.get(3))
            .unwrap();
        assert!(plan.contains("INDEX jobs_begun"), "{plan}");
    }
}
