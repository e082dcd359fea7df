//! Words to the tenders of a store, which they pass on. Nobody depends on them: they only make something happen soon.

use std::path::Path;
use std::time::Duration;

use crate::control::{Answer, Client, Request};
use crate::ownership;

/// How long a tender may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many tenders are told, at most: those of a machine.
const MOST: usize = 64;

/// Tells some to each tender of the store, those that end among them. How many workers heard a word. It waits, with
/// limits: a tender that does not answer is told no more of them.
pub(super) fn tell(store: &Path, requests: &[Request]) -> u64 {
    let mut sockets: Vec<_> = match ownership::tended(store) {
        Ok(tended) => tended.into_iter().filter_map(|one| one.socket).collect(),
        Err(error) => {
            tracing::debug!(%error, "could not find the tenders");
            return 0;
        }
    };
    sockets.sort();
    sockets.dedup();
    let told = sockets.into_iter().take(MOST);
    told.map(|socket| tell_one(&socket, requests)).sum()
}

fn tell_one(socket: &Path, requests: &[Request]) -> u64 {
    let mut told = 0u64;
    for request in requests {
        let asked = Client::connect(socket, PATIENCE).and_then(|mut tender| tender.ask(request));
        match asked {
            Ok(Answer::PassedOn { workers }) => told = told.saturating_add(workers),
            // One of an earlier version, or one that is about to go.
            Ok(other) => {
                tracing::debug!(?other, "a tender did not pass a word on");
                return told;
            }
            Err(error) => {
                tracing::debug!(%error, "could not tell a tender");
                return told;
            }
        }
    }
    told
}
