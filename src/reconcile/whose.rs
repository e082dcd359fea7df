//! Whose jobs a broker has, and may be asked for.

use std::collections::HashMap;

use crate::ledger::cleanup::Unsure;
use crate::ledger::{self, Ledger};

/// Those of which this broker knows whether their jobs are there: it had them, or has had later ones of their tube, and
/// so was started in the place of the one that had them. Another would say of all that they are gone.
pub(super) fn of_this_broker(
    db: &Ledger,
    unsure: Vec<Unsure>,
    instance: &str,
) -> Result<Vec<Unsure>, ledger::Error> {
    let mut been: HashMap<String, bool> = HashMap::new();
    let mut ours = Vec::with_capacity(unsure.len());
    for task in unsure {
        let known = match been.get(&task.tube) {
            Some(known) => *known,
            None => {
                let known = db.has_been_at(&task.tube, instance)?;
                been.insert(task.tube.clone(), known);
                known
            }
        };
        if known || task.instance == instance {
            ours.push(task);
        }
    }
    Ok(ours)
}
