//! The first line of a log: by which configuration a tender works, or a worker that has none, with which store and
//! broker, and within which limits.

use std::fmt::Write;
use std::time::Duration;

use crate::config::Config;
use crate::pool::Limits;
use crate::tender::PoolSettings;
use crate::tube::TubeName;

/// A line that names more pools is read by nobody.
const MOST: usize = 50;

/// A tender's, to be said once its tubes are its own: one that may not begin says nothing else.
pub fn tender(
    config: &Config,
    pools: &[PoolSettings],
    grace: Duration,
) -> impl FnOnce() + Send + 'static {
    let Places {
        config,
        store,
        broker,
    } = Places::of(config);
    let (version, grace_s) = (env!("CARGO_PKG_VERSION"), grace.as_secs_f64());
    let pools = limits(pools.iter().map(|pool| (&pool.tube, &pool.limits)));
    move || {
        tracing::info!(
            version,
            config,
            store,
            broker,
            pools,
            grace_s,
            "tender began"
        );
    }
}

/// A worker's that has no tender.
pub fn worker(config: &Config, tube: &TubeName, worker: &str) {
    let Places {
        config,
        store,
        broker,
    } = Places::of(config);
    tracing::info!(worker, %tube, config, store, broker, "started");
}

/// Where things are, as people name them.
struct Places {
    config: String,
    store: String,
    broker: String,
}

impl Places {
    fn of(config: &Config) -> Places {
        let file = config.written.file.as_ref();
        Places {
            config: file.map_or_else(|| "none".into(), |file| file.display().to_string()),
            store: config.store.to_string(),
            broker: config.broker.to_string(),
        }
    }
}

/// Each pool with its limits: `invoices: 2 to 5, 1 spare; mail: 4`.
fn limits<'a>(pools: impl ExactSizeIterator<Item = (&'a TubeName, &'a Limits)>) -> String {
    let more = pools.len().saturating_sub(MOST);
    let mut said = String::new();
    for (tube, limits) in pools.take(MOST) {
        let between = if said.is_empty() { "" } else { "; " };
        let (min, spare, max) = (limits.min(), limits.spare(), limits.max());
        let _ = match min == max {
            true => write!(said, "{between}{tube}: {max}"),
            false => write!(said, "{between}{tube}: {min} to {max}, {spare} spare"),
        };
    }
    if more > 0 {
        let _ = write!(said, "; {more} more");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Mode;

    #[test]
    fn pools_are_told_with_their_limits() {
        let [a, b] = ["a", "b"].map(|tube| tube.parse::<TubeName>().unwrap());
        let dynamic = Mode::Dynamic.limits(2, 1, 5).unwrap();
        let fixed = Mode::Static.limits(0, 0, 4).unwrap();
        let said = limits([(&a, &dynamic), (&b, &fixed)].into_iter());
        assert_eq!(said, "a: 2 to 5, 1 spare; b: 4");
        let many = vec![(&a, &fixed); MOST + 7];
        assert!(limits(many.into_iter()).ends_with("a: 4; 7 more"));
    }
}
