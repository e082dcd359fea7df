//! How many descriptors this process may have.
//!
//! The soft limit is often 1024, for the sake of programs that keep descriptors in tables of that size (select(2)). We
//! do not, so we may have as many as the hard limit lets us. What we start gets the limit that we were started with.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many are of use.
const MOST: u64 = 65_536;

/// The limit as it was, if it was raised.
static BEFORE: OnceLock<Option<Rlimit>> = OnceLock::new();

/// Raises the limit, as far as that is of use. `before`: the soft limit that commands are to have, if it was raised
/// for us by who started us. To be called before anything is started; only the first call counts.
pub fn raise(before: Option<u64>) {
    BEFORE.get_or_init(|| {
        let found = getrlimit(Resource::Nofile);
        let commands = Rlimit {
            current: before.or(found.current),
            ..found
        };
        let wanted = found.maximum.map_or(MOST, |hard| hard.min(MOST));
        if found.current.is_some_and(|soft| soft < wanted) {
            let raised = Rlimit {
                current: Some(wanted),
                ..found
            };
            // It stays as it is then.
            let _ = setrlimit(Resource::Nofile, raised);
        }
        (getrlimit(Resource::Nofile).current != commands.current).then_some(commands)
    });
}

/// The limit that what we start is to have, where that is not ours.
pub fn before() -> Option<Rlimit> {
    BEFORE.get().cloned().flatten()
}

/// How many we may have; `None`: as many as we like.
pub fn soft() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
