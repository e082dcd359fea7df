//! What the loop does when it is asked over the control socket.

use std::path::Path;

use tokio::sync::mpsc;

use super::Tender;
use crate::control::{Answer, Call, Request, Server};
use crate::lifecycle::{MARGIN, TERM_TO_KILL};
use crate::signals::Asked;
use crate::tenure::Tenure;
use crate::tube::TubeName;

/// Questions that wait for the loop; whoever asks more waits.
const QUEUE: usize = 8;

/// Listens, and says where with the right to the tubes. Without a folder, or when it cannot be done, nobody asks: to
/// tend is what matters.
pub(super) fn listen(
    runtime: Option<&Path>,
    store: &Path,
    first: Option<&TubeName>,
    tenure: &Tenure,
) -> mpsc::Receiver<Call> {
    let (calls, called) = mpsc::channel(QUEUE);
    if let (Some(folder), Some(first)) = (runtime, first) {
        match Server::open(folder, store, first) {
            Ok(server) => match tenure.announce(Some(server.socket())) {
                Ok(()) => {
                    tokio::spawn(server.run(calls));
                }
                Err(error) => tracing::warn!(reason = %error, "control could not be announced"),
            },
            Err(error) => tracing::warn!(reason = %error, "control was left out"),
        }
    }
    called
}

impl Tender {
    pub(super) fn called(&mut self, call: Call) {
        let Call { request, answer } = call;
        let said = match request {
            Request::Status => Answer::Status(self.status()),
            Request::Stop { now } => self.stop(now),
        };
        // Whoever asked may have gone.
        drop(answer.send(said));
    }

    fn stop(&mut self, now: bool) -> Answer {
        let (asked, grace) = match now {
            true => (Asked::Stop, Default::default()),
            false => (Asked::Drain, self.grace),
        };
        self.close(asked, self.now());
        let within = grace.saturating_add(TERM_TO_KILL).saturating_add(MARGIN);
        Answer::Stopping {
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
