//! What a recorded output has beyond what was read of it while it was printed.

use crate::task::output::Captured;

/// What follows the first `from` bytes of an output: how many bytes are missing before each of these pieces.
pub fn rest(from: u64, output: Captured) -> Vec<(u64, Vec<u8>)> {
    let Captured {
        head,
        tail,
        dropped,
    } = output;
    let second = (head.len() as u64).saturating_add(dropped);
    let mut from = from;
    let mut rest = Vec::new();
    for (begin, mut bytes) in [(0, head), (second, tail)] {
        let known = usize::try_from(from.saturating_sub(begin)).unwrap_or(usize::MAX);
        bytes.drain(..known.min(bytes.len()));
        if !bytes.is_empty() {
            let missed = begin.saturating_sub(from);
            from = from
                .saturating_add(missed)
                .saturating_add(bytes.len() as u64);
            rest.push((missed, bytes));
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::output::{Capture, KEPT};

    proptest! {
        #[test]
        fn nothing_is_repeated_and_nothing_that_was_kept_is_lost(
            size in prop_oneof![0usize..100, 0usize..4 * KEPT],
            part in 0usize..=100,
        ) {
            let all: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let from = size * part / 100;
            let mut capture = Capture::default();
            capture.push(&all);
            let captured = capture.finish();
            let (first, last) = (captured.head.len(), size - captured.tail.len());
            let mut at = from;
            for (missed, bytes) in rest(from as u64, captured) {
                let missed = missed as usize;
                prop_assert!((at..at + missed).all(|at| (first..last).contains(&at)), "it was kept");
                at += missed;
                prop_assert_eq!(&bytes, &all[at..at + bytes.len()]);
                at += bytes.len();
            }
            prop_assert_eq!(at, size);
        }
    }
}
