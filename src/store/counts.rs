//! How many tasks stand where, for those who look at everything at once.

use std::collections::{BTreeMap, HashMap};

use super::{Db, Error, Failed};
use crate::lives::Holder;
use crate::task::id::WorkerId;

/// The tasks of one tube that are not done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// They will be run.
    pub waiting: u64,
    /// An attempt has begun, and its worker lives.
    pub running: u64,
    /// An attempt has begun, and its worker is dead.
    pub stalled: u64,
    /// They will not be run again by themselves.
    pub failed: u64,
}

/// In the words of the index that leaves out what is done, or it is not used.
pub(super) const AT_REST: &str = "SELECT tube, status = 'failed', count(*) FROM tasks
    WHERE status IN ('waiting', 'failed') AND status <> 'done' GROUP BY tube, status";
pub(super) const OWNED: &str = "SELECT tube, owner, count(*) FROM tasks
    WHERE status = 'running' AND status <> 'done' GROUP BY tube, owner";

impl Db {
    /// How many tasks of each tube stand where; tubes in which all is done are left out.
    pub fn counts(&self) -> Result<BTreeMap<String, Counts>, Error> {
        self.look(|look, locks| {
            let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
            let mut at_rest = look.prepare_cached(AT_REST)?;
            let mut rows = at_rest.query([])?;
            while let Some(row) = rows.next()? {
                let of = counts.entry(row.get(0)?).or_default();
                let count = row.get::<_, i64>(2)?.unsigned_abs();
                match row.get(1)? {
                    true => of.failed = count,
                    false => of.waiting = count,
                }
            }
            let mut lives: HashMap<WorkerId, bool> = HashMap::new();
            let mut owned = look.prepare_cached(OWNED)?;
            let mut rows = owned.query([])?;
            while let Some(row) = rows.next()? {
                let owner: WorkerId = row.get(1)?;
                let alive = match lives.get(&owner) {
                    Some(known) => *known,
                    None => {
                        let held = locks.is_held(Holder::Worker(owner));
                        let held = held.map_err(Failed::Locks)?;
                        lives.insert(owner, held);
                        held
                    }
                };
                let of = counts.entry(row.get(0)?).or_default();
                let count = row.get::<_, i64>(2)?.unsigned_abs();
                match alive {
                    true => of.running += count,
                    false => of.stalled += count,
                }
            }
            Ok(counts)
        })
    }
}
