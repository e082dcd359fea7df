//! What is said of a task that was there before.

use crate::api::{Existing, Receipt};
use crate::cli::log;

/// Says why a task that has the key is not what was put, where it was to be.
pub fn say_existing(receipt: &Receipt) {
    match receipt.existing {
        Some(Existing::NotReplaced(why)) => log::warn(format_args!("{why}")),
        Some(Existing::Kept | Existing::Replaced) | None => {}
    }
}
