//! What is to become of all that a put records, and where.

use std::time::Duration;

use crate::api::{Put, Queue};
use crate::broker::NewJob;
use crate::cli::{Failure, configured, log};
use crate::clock;
use crate::config::Config;
use crate::task::Millis;
use crate::task::after::Links;
use crate::task::own::Own;
use crate::task::tag::Tag;
use crate::task::unique::Unique;
use crate::tube::TubeName;

/// The largest body, and the longest line of a batch, in bytes.
pub(super) const MAX_BODY: u64 = 64 * 1024 * 1024;

/// How and where tasks are put.
#[derive(Debug)]
pub struct Order {
    pub tube: TubeName,
    pub priority: u32,
    pub delay: Duration,
    /// Or at that time.
    pub at: Option<Millis>,
    pub ttr: Duration,
    /// What each of them is called, beside what it says itself.
    pub tags: Vec<Tag>,
    /// That none is put while another has its key, unless it says that itself.
    pub unique: Option<Unique>,
    /// What each says of its own attempts, where it says nothing of that itself.
    pub own: Own,
    /// What each of them waits for, unless it says that itself.
    pub after: Links,
    /// What would be refused is not recorded.
    pub strict: bool,
    pub json: bool,
}

impl Order {
    pub(super) fn apply(&self, put: Put, config: &Config) -> Put {
        let put = put
            .own(&self.own)
            .discreet_as(&config.commands)
            .priority(self.priority)
            .ttr(self.ttr);
        // What a line of a batch says itself counts.
        let put = match (put.is_timed(), self.at) {
            (true, _) => put,
            (false, Some(at)) => put.at(at),
            (false, None) => put.delay(self.delay),
        };
        let put = match (put.is_unique(), &self.unique) {
            (true, _) | (false, None) => put,
            (false, Some(unique)) => put.unique(unique.clone()),
        };
        let put = match put.is_after() || self.after.parents.is_empty() {
            true => put,
            false => put.waits_for(&self.after),
        };
        self.tags.iter().cloned().fold(put, Put::tag)
    }

    /// A job for those who know nothing of tasks.
    pub(super) fn job(&self, body: Vec<u8>) -> NewJob {
        NewJob {
            body: body.into(),
            priority: self.priority,
            delay: self.at.map_or(self.delay, |at| {
                let left = at.saturating_sub(clock::now());
                Duration::from_millis(u64::try_from(left).unwrap_or(0))
            }),
            ttr: self.ttr,
        }
    }
}

/// Opens the store, or makes it where somebody named it: a producer whose environment is another than its workers'
/// would else have a store of its own, which nobody tends.
pub(super) fn open(config: &Config) -> Result<Queue, Failure> {
    let store = &config.store;
    let is_there = store.beside().exists();
    if !is_there && !config.is_store_named {
        return Err(Failure::new(format!(
            "there is no store {store}, and nobody named it, so put makes none there; nothing was recorded"
        ))
        .next(
            "name the store with --store PATH, TASKQUEUE_STORE or store in a configuration, or start a tender, which \
             makes it",
        ));
    }
    let queue = configured::queue(config)?;
    if !is_there {
        log::note(format_args!("taskqueue: made a new store, {store}"));
    }
    Ok(queue)
}
