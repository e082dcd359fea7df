//! Batches in which lines name each other: they are recorded as a whole, or not at all.

use crate::cli::Failure;

/// All of them are recorded in one transaction: so many at the most.
pub const GRAPH: usize = 100_000;

/// What there is to say of one with more than so many lines, or bytes.
pub fn too_large(bytes: u64) -> Failure {
    Failure::new(format!(
        "a batch in which lines name each other has at most {GRAPH} lines and {bytes} bytes, for it is recorded as \
         a whole; nothing of these lines was recorded"
    ))
    .next("put it in parts: what was recorded before is waited for by its number, \"after\":[12]")
}

/// Some of its lines are none.
pub fn cut_graph() -> Failure {
    Failure::new(
        "some lines of a batch in which lines name each other are wrong, and it is recorded as a whole; nothing of it \
         was recorded",
    )
    .next("mend these lines, and put all of it again")
}
