//! What a tender goes by of `[pools.NAME]`.

use std::collections::BTreeMap;

use crate::cli::Failure;
use crate::config::Config;
use crate::pool::share::Part;
use crate::tender::{PoolSettings, SharedPool, Unfit, unfit};

/// The pools of several tubes, as far as these are tended: a pool's max holds among them.
///
/// # Errors
/// When their limits do not fit.
pub fn shared(config: &Config, pools: &[PoolSettings]) -> Result<Vec<SharedPool>, Unfit> {
    let shared = config.pools.iter().map(|pool| {
        let tended = pools.iter().filter_map(|of| {
            let weight = *pool.weights.get(&of.tube)?;
            let outside = config.tubes.get(&of.tube).and_then(|tube| tube.outside_max);
            let outside = outside.unwrap_or(0);
            Some((of.tube.clone(), Part { weight, outside }))
        });
        let tubes: BTreeMap<_, _> = tended.collect();
        SharedPool {
            name: pool.name.clone(),
            max: pool.max,
            tubes,
        }
    });
    let shared: Vec<SharedPool> = shared.filter(|pool| !pool.tubes.is_empty()).collect();
    match unfit(&shared, pools) {
        None => Ok(shared),
        Some(unfit) => Err(unfit),
    }
}

/// The key that is wrong in the file.
pub fn key(unfit: &Unfit) -> String {
    match &unfit.outside {
        Some(tube) => format!("tubes.\"{tube}\".outside_max"),
        None => format!("pools.\"{}\".max", unfit.pool),
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Failure {
        Failure::usage(unfit.to_string())
    }
}
