//! Whether the limits of tubes fit into the pool that they share.

/// The most places that a shared pool may have.
pub const MOST_PLACES: u32 = 10_000;

/// The greatest weight.
pub const MOST_WEIGHT: u32 = 1000;

/// The limits of one tube of a shared pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Never fewer workers than this.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// So many do not count in the pool.
    pub outside: u32,
}

/// Why they do not fit. A tube is named by its place among the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// More are to be outside than the tube may have.
    Outside {
        /// Which.
        member: usize,
        /// So many are to be outside.
        outside: u32,
        /// So many may there be.
        max: u32,
    },
    /// The tubes always have more than the pool may have.
    Mins {
        /// So many count of those that the tubes have at the least.
        mins: u64,
    },
    /// The others always have all places, and this one has none of its own.
    NoPlace {
        /// Which.
        member: usize,
    },
}

/// Whether each tube can have what is always its own, and at some time a place.
///
/// # Errors
/// The first of what does not fit.
pub fn fits(places: u32, members: &[Member]) -> Result<(), Misfit> {
    for (member, one) in members.iter().enumerate() {
        let Member { max, outside, .. } = *one;
        if outside > max {
            return Err(Misfit::Outside {
                member,
                outside,
                max,
            });
        }
    }
    let counted = |one: &Member| u64::from(one.min.saturating_sub(one.outside));
    let mins: u64 = members.iter().map(counted).sum();
    if mins > u64::from(places) {
        return Err(Misfit::Mins { mins });
    }
    let mut members = members.iter();
    match members.position(|one| one.min.max(one.outside) == 0) {
        Some(member) if mins == u64::from(places) => Err(Misfit::NoPlace { member }),
        Some(_) | None => Ok(()),
    }
}
