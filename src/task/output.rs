//! What a command printed: the beginning and the end of it, and how much there was in between.

/// How many bytes are kept of the beginning, and as many of the end.
pub const KEPT: usize = 64 * 1024;

/// The output of one attempt, both streams in the order in which they arrived. Never holds more than
/// twice [`KEPT`].
#[derive(Debug, Default)]
pub struct Capture {
    head: Vec<u8>,
    /// A ring once it is full: its oldest byte is at `oldest`.
    tail: Vec<u8>,
    oldest: usize,
    dropped: u64,
}

/// What was kept, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes that are not in `head`.
    pub tail: Vec<u8>,
    /// How many bytes there were between the two.
    pub dropped: u64,
}

impl Captured {
    /// Puts something behind it.
    pub fn append(&mut self, bytes: &[u8]) {
        let of_head = KEPT.saturating_sub(self.head.len());
        let is_whole = self.tail.is_empty() && self.dropped == 0;
        let (head, rest) = bytes.split_at(if is_whole {
            of_head.min(bytes.len())
        } else {
            0
        });
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        let too_many = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..too_many);
        self.dropped = self.dropped.saturating_add(too_many as u64);
    }

    /// How many bytes were printed.
    pub fn size(&self) -> u64 {
        (self.head.len() as u64)
            .saturating_add(self.tail.len() as u64)
            .saturating_add(self.dropped)
    }

    /// As text for people: what is not UTF-8 is replaced, what was dropped is counted.
    pub fn to_text(&self) -> String {
        if self.dropped == 0 {
            let whole = [self.head.as_slice(), self.tail.as_slice()].concat();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        format!(
            "{}\n[… {} bytes left out …]\n{}",
            String::from_utf8_lossy(&self.head),
            self.dropped,
            String::from_utf8_lossy(&self.tail)
        )
    }
}

impl Capture {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len());
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.push_tail(rest);
    }

    fn push_tail(&mut self, bytes: &[u8]) {
        // Of a piece longer than the ring, only the end can stay.
        let (gone, stays) = bytes.split_at(bytes.len().saturating_sub(KEPT));
        self.dropped = self.dropped.saturating_add(gone.len() as u64);
        let room = KEPT.saturating_sub(self.tail.len());
        let (fills, mut turns) = stays.split_at(room.min(stays.len()));
        self.tail.extend_from_slice(fills);
        self.dropped = self.dropped.saturating_add(turns.len() as u64);
        while let Some(slot) = self
            .tail
            .get_mut(self.oldest..)
            .filter(|_| !turns.is_empty())
        {
            let n = slot.len().min(turns.len());
            let (now, later) = turns.split_at(n);
            if let Some(slot) = slot.get_mut(..n) {
                slot.copy_from_slice(now);
            }
            self.oldest = (self.oldest + n) % KEPT;
            turns = later;
        }
    }

    /// Whether nothing was taken yet.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// What is kept by now.
    pub fn so_far(&self) -> Captured {
        let (newer, older) = self.tail.split_at(self.oldest.min(self.tail.len()));
        Captured {
            head: self.head.clone(),
            tail: [older, newer].concat(),
            dropped: self.dropped,
        }
    }

    /// What was kept.
    pub fn finish(mut self) -> Captured {
        self.tail.rotate_left(self.oldest);
        Captured {
            head: self.head,
            tail: self.tail,
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn captured(pieces: &[Vec<u8>]) -> Captured {
        let mut capture = Capture::default();
        for piece in pieces {
            capture.push(piece);
        }
        capture.finish()
    }

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn short_output_is_whole() {
        let kept = captured(&[b"a".to_vec(), b"".to_vec(), b"bc\xff".to_vec()]);
        assert_eq!(kept.head, b"abc\xff");
        assert_eq!((kept.tail.len(), kept.dropped), (0, 0));
        assert_eq!(kept.to_text(), "abc\u{fffd}");
    }

    #[test]
    fn what_is_put_behind_is_as_if_it_had_been_printed() {
        for first in [0, 3, KEPT - 1, KEPT, KEPT + 5, 3 * KEPT] {
            for more in [0, 1, 7, KEPT + 3] {
                let all = bytes(first + more);
                let mut kept = captured(&[all[..first].to_vec()]);
                kept.append(&all[first..]);
                assert_eq!(kept, captured(&[all]), "{first} and {more}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_ends_are_kept_and_the_rest_counted(
            sizes in prop::collection::vec(prop_oneof![0usize..300, 60_000usize..70_000, 0usize..300_000], 0..8)
        ) {
            let all = bytes(sizes.iter().sum());
            let mut at = 0;
            let pieces: Vec<Vec<u8>> = sizes.iter().map(|n| { at += n; all[at - n..at].to_vec() }).collect();
            let kept = captured(&pieces);
            let mut capture = Capture::default();
            pieces.iter().for_each(|piece| capture.push(piece));
            prop_assert_eq!(&capture.so_far(), &kept);
            prop_assert_eq!(kept.size(), all.len() as u64);
            prop_assert_eq!(&kept.head, &all[..all.len().min(KEPT)]);
            let rest = &all[kept.head.len()..];
            prop_assert_eq!(&kept.tail, &rest[rest.len().saturating_sub(KEPT)..]);
        }
    }
}
