//! Words to the tenders of a store, which they pass on. Nobody depends on them: they only make something happen soon.

use std::path::Path;
use std::time::Duration;

use crate::control::{Answer, Client, Request};
use crate::ownership;

/// How long a tender may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many tenders are told, at most: those of a machine.
const MOST: usize = 64;

/// Tells it to each tender of the store, those that end among them. How many workers it was passed on to. It waits,
/// with limits.
pub(super) fn tell(store: &Path, request: &Request) -> u64 {
    let mut sockets: Vec<_> = match ownership::tended(store) {
        Ok(tended) => tended.into_iter().filter_map(|one| one.socket).collect(),
        Err(error) => {
            tracing::debug!(%error, "could not find the tenders");
            return 0;
        }
    };
    sockets.sort();
    sockets.dedup();
    let told = sockets.into_iter().take(MOST).map(|socket| {
        let asked = Client::connect(&socket, PATIENCE).and_then(|mut tender| tender.ask(request));
        match asked {
            Ok(Answer::PassedOn { workers }) => workers,
            // One of an earlier version, or one that is about to go.
            Ok(other) => {
                tracing::debug!(?other, "a tender did not pass a word on");
                0
            }
            Err(error) => {
                tracing::debug!(%error, "could not tell a tender");
                0
            }
        }
    });
    told.sum()
}
