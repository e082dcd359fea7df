//! How tubes that share a pool divide its places: what each has, wants and has used in, how many workers each may
//! have and whose go out. No clock, no processes, no names.
//!
//! A shared pool (`[pools.NAME]`) is several tubes whose workers together are at most so many. Each of these tubes
//! keeps its own limits and its own decision ([`decide`](super::decide)); the share only bounds that decision.
//!
//! - Every process counts, until it is gone. The first [`Part::outside`] of a tube do not.
//! - The `min` of each tube is its own: nobody else grows into that.
//! - What is needed (busy workers and ready jobs) goes before what is only spare. If all of it fits, each tube has it.
//! - If it does not fit, the time of the places is divided by weight, as stride scheduling does: a tube's **account**
//!   is the worker time that it has used, divided by its weight, and the next place goes to the tube whose account
//!   would be the least with that place. So no tube starves that has work.
//! - Nobody is charged while nobody waits, and a tube without work is set forward to the least of those with work: it
//!   saves nothing up.
//! - A place is freed by a worker that has been idle for a moment and that its tube does not need. If there is none,
//!   a busy worker goes after its job, once a tube that waits has fallen behind by more than a [`QUANTUM`].

use std::time::Duration;

use super::decision::Reason;
use super::seen::UNCOUNTED;
use table::Table;

mod account;
mod claim;
mod fit;
mod table;
#[cfg(test)]
mod tests;

pub use account::Account;
pub use claim::{Claim, Part, QUANTUM, RESTING};
pub use fit::{MOST_PLACES, MOST_WEIGHT, Member, Misfit, fits};

/// So long, workers that were told to go after their jobs are expected to do that, and no others are told in their
/// place.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks while a tube lacks a place that is its by right.
const SOON: Duration = Duration::from_millis(100);

/// What one tube may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// So many processes at the most.
    pub most: u32,
    /// So many of its workers go: idle ones first, then busy ones after their jobs.
    pub yields: u32,
    /// The processes that count in the pool.
    pub counted: u32,
    /// The most that there may be of those.
    pub places: u32,
    /// More than that would be left if nobody yielded: the pool's `max` was lowered.
    pub is_above: bool,
}

impl Share {
    /// Why it may start none, where it is the pool that keeps it from that.
    pub(super) fn reason_without_room(&self) -> Reason {
        let (counted, places) = (self.counted, self.places);
        match counted {
            UNCOUNTED => Reason::Uncounted,
            counted if counted >= places => Reason::PoolFull { counted, places },
            _ => Reason::OthersTurn,
        }
    }

    pub(super) fn reason_above(&self) -> Reason {
        Reason::PoolAbove {
            counted: self.counted,
            places: self.places,
        }
    }
}

/// What all of them may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// In the order of the claims.
    pub of: Vec<Share>,
    /// Whose turn it is of those that wait for a place.
    pub turn: Option<usize>,
    /// When to ask again if nothing happens before.
    pub again: Option<Duration>,
}

/// Divides the places. To be asked after everything that changes a claim, and at [`Shares::again`]. The claims stand
/// in the same order each time, or the account is a new one.
pub fn share(places: u32, claims: &[Claim], account: &Account, now: Duration) -> (Shares, Account) {
    let mut account = account.charged(claims, now);
    let table = Table {
        places,
        claims,
        used: &account.used,
    };
    let (needed, wanted) = table.entitled();
    let granted = table.granted(&needed, &wanted);
    let (short, waits) = table.short(&needed, &granted);
    let excess = table.live_counted().saturating_sub(u64::from(places));
    let turn = table.turn(&short, &granted);
    let mut yields = vec![0; claims.len()];
    if excess > 0 {
        table.give_back(excess, &wanted, &mut yields);
    } else {
        let missing: u64 = short.iter().copied().map(u64::from).sum();
        let missing = table.rest(missing, &mut yields);
        let missing = missing.saturating_sub(match account.told {
            Some(told) if now < told.saturating_add(PATIENCE) => table.finishing(),
            Some(_) | None => 0,
        });
        if table.finish(missing, &needed, &short, &mut yields) {
            account.told = Some(now);
        }
    }
    let again = match (turn, waits) {
        (Some(_), _) => Some(SOON),
        (None, true) => Some(QUANTUM / 2),
        (None, false) => None,
    };
    let counted = u32::try_from(table.counted()).unwrap_or(u32::MAX);
    let of = claims.iter().zip(&granted).zip(&yields);
    let of = of.map(|((claim, granted), yields)| Share {
        most: claim.census.total().saturating_add(*granted),
        yields: *yields,
        counted,
        places,
        is_above: excess > 0,
    });
    let shares = Shares {
        of: of.collect(),
        turn,
        again: again.map(|wait| now.saturating_add(wait)),
    };
    account.note(claims, waits);
    (shares, account)
}
