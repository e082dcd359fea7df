//! `[pools.NAME]`: tubes whose workers together are at most so many.

use std::collections::BTreeMap;

use super::error::{Error, Wrong};
use super::file::{File, Tube};
use crate::tube::TubeName;

/// A longer name is none.
const LONGEST_NAME: usize = 100;

/// What the file says of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPool {
    /// What people call it.
    pub name: String,
    /// The most workers that its tubes have together.
    pub max: u32,
    /// Its tubes, and the weight of each.
    pub weights: BTreeMap<TubeName, u32>,
}

/// Those of a file. Each tube that is named in one is configured by that, as by a table of its own without a key.
pub(super) fn pools(
    file: &File,
    tubes: &mut BTreeMap<TubeName, Tube>,
    wrong: &Wrong<'_>,
) -> Result<Vec<SharedPool>, Error> {
    let mut pools: Vec<SharedPool> = Vec::with_capacity(file.pools.len());
    for (name, given) in &file.pools {
        let at = |key: &str| format!("pools.\"{name}\"{key}");
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
            let reason =
                format!("a pool's name has 1 to {LONGEST_NAME} letters, digits, - _ . and :");
            return Err(wrong(at(""), reason));
        }
        if given.tubes.is_empty() {
            let reason =
                "no tube is named; write some with their weights, such as { high = 8, low = 1 }";
            return Err(wrong(at(".tubes"), reason.into()));
        }
        let mut weights = BTreeMap::new();
        for (tube, weight) in &given.tubes {
            let key = || at(&format!(".tubes.{tube:?}"));
            let tube: TubeName = tube
                .parse()
                .map_err(|e: crate::tube::BadTubeName| wrong(key(), e.to_string()))?;
            if let Some(other) = pools.iter().find(|pool| pool.weights.contains_key(&tube)) {
                let reason = format!(
                    "it stands in the pool {} already, and a tube has one pool; take it out of one of the two",
                    other.name
                );
                return Err(wrong(key(), reason));
            }
            tubes.entry(tube.clone()).or_default();
            weights.insert(tube, weight.0);
        }
        pools.push(SharedPool {
            name: name.clone(),
            max: given.max.0,
            weights,
        });
    }
    let alone = tubes.iter().find(|(tube, given)| {
        let has_pool = pools.iter().any(|pool| pool.weights.contains_key(tube));
        given.outside_max.is_some() && !has_pool
    });
    match alone {
        None => Ok(pools),
        Some((tube, _)) => Err(wrong(
            format!("tubes.\"{tube}\".outside_max"),
            "the tube stands in no pool that its workers could be outside of; name it in tubes of a [pools.NAME], or \
             leave outside_max out"
                .into(),
        )),
    }
}
