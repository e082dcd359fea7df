use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::task::id::TaskId;
use crate::task::output::Capture;

/// Bytes whose writer is ahead of what readers see: before each read some more of the writes arrive, each of them in
/// two parts.
#[derive(Debug, Clone, Default)]
struct Late(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
struct Stage {
    bytes: Vec<u8>,
    writes: VecDeque<(u64, Vec<u8>)>,
    /// How many writes arrive before the next reads.
    pace: VecDeque<usize>,
}

impl Stage {
    fn arrive(&mut self, writes: usize) {
        for (at, bytes) in self.writes.drain(..writes.min(self.writes.len())) {
            let (at, end) = (at as usize, at as usize + bytes.len());
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            self.bytes[at..end].copy_from_slice(&bytes);
        }
    }
}

impl Medium for Late {
    fn read_at(&self, room: &mut [u8], at: u64) -> Result<usize, Trouble> {
        let mut stage = self.0.lock().unwrap();
        let writes = stage.pace.pop_front().unwrap_or(0);
        stage.arrive(writes);
        let there = stage.bytes.get(at as usize..).unwrap_or_default();
        // A system may read less than it was asked for.
        let read = room.len().min(there.len()).min(100_000);
        room[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), Trouble> {
        let mut stage = self.0.lock().unwrap();
        // Numbers are written whole.
        let first = if bytes.len() > 64 {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let (first, second) = bytes.split_at(first);
        stage.writes.push_back((at, first.into()));
        stage
            .writes
            .push_back((at + first.len() as u64, second.into()));
        Ok(())
    }
}

fn attempt(number: i64) -> AttemptId {
    let task = TaskId(7);
    AttemptId { task, number }
}

/// What an attempt prints, from one byte on: words of 8 bytes, no two of them alike.
fn printed(number: i64, from: u64, count: usize) -> Vec<u8> {
    let (first, before) = (from / 8, (from % 8) as usize);
    let words = first..first + (before + count).div_ceil(8) as u64;
    let mut bytes = Vec::with_capacity(count + 16);
    for word in words {
        let word = (word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 + 2 * number as u64);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.drain(..before);
    bytes.truncate(count);
    bytes
}

/// An attempt's way through its spool: what was printed before that was begun, and pieces of what comes later.
fn spool(medium: &Late, number: i64, before: &[usize], pieces: &[usize]) -> u64 {
    let mut at = 0;
    let mut next = |size: usize| {
        let piece = printed(number, at, size);
        at += size as u64;
        piece
    };
    let mut capture = Capture::default();
    for size in before {
        capture.push(&next(*size));
    }
    let medium = Box::new(medium.clone());
    let mut writer = Writer::begin(medium, attempt(number), &capture.so_far()).unwrap();
    for size in pieces {
        writer.push(&next(*size)).unwrap();
        // A command that pauses now and then.
        if size % 3 == 0 {
            writer.flush().unwrap();
        }
    }
    writer.end().unwrap();
    at
}

fn sizes(most: usize) -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![4 => 0usize..300, 2 => 8192usize..=8192, 2 => 60_000usize..70_000, 1 => 0usize..1_500_000];
    prop::collection::vec(size, 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever is printed, in whatever pieces, and whenever a reader looks: it reads right bytes, in their order, and
    /// knows how many it has missed. It never takes those of another attempt for those that it asked for.
    #[test]
    fn readers_read_what_was_printed_and_know_what_they_miss(
        before in sizes(3),
        pieces in sizes(20),
        next in sizes(6),
        pace in prop::collection::vec(0usize..12, 0..60),
        most in prop_oneof![1usize..300, 8192usize..300_000],
    ) {
        let medium = Late::default();
        let size = spool(&medium, 1, &before, &pieces);
        spool(&medium, 2, &[], &next);
        medium.0.lock().unwrap().pace = pace.into();
        let reader = Reader::of(Box::new(medium.clone()), attempt(1));
        let mut at = 0;
        while !medium.0.lock().unwrap().pace.is_empty() {
            match reader.look(at, most) {
                Looked::Gone => {}
                Looked::Has { missed, bytes, written, .. } => {
                    at += missed;
                    prop_assert_eq!(&bytes, &printed(1, at, bytes.len()));
                    at += bytes.len() as u64;
                    prop_assert!(at <= written && written <= size, "{at} {written} {size}");
                    prop_assert!(bytes.len() <= most);
                }
            }
        }
    }

    /// The same of a command that goes round the ring, and of readers that are overtaken while they read: a piece is
    /// long enough to come round to where a reader is, and arrives between any two steps of the reader.
    #[test]
    fn who_is_overtaken_while_reading_takes_no_newer_bytes_for_older_ones(
        pieces in prop::collection::vec(50_000usize..150_000, 20..40),
        pace in prop::collection::vec(prop_oneof![3 => 0usize..3, 2 => 0usize..24], 40..120),
        most in 1usize..200_000,
    ) {
        let medium = Late::default();
        let mut writer = Writer::begin(Box::new(medium.clone()), attempt(1), &Captured::default()).unwrap();
        let mut size = 0;
        for piece in pieces {
            writer.push(&printed(1, size, piece)).unwrap();
            writer.flush().unwrap();
            size += piece as u64;
        }
        // The ring has gone round once when the reader comes.
        {
            let mut stage = medium.0.lock().unwrap();
            let some = stage.writes.len() / 2;
            stage.arrive(some);
            stage.pace = pace.into();
        }
        let reader = Reader::of(Box::new(medium.clone()), attempt(1));
        let mut at = HEAD;
        while !medium.0.lock().unwrap().pace.is_empty() {
            if let Looked::Has { missed, bytes, .. } = reader.look(at, most) {
                at += missed;
                prop_assert!(bytes == printed(1, at, bytes.len()), "other bytes at {at}");
                // Slowly, so that the writer overtakes.
                at += bytes.len().min(1_000) as u64;
                prop_assert!(at <= size);
            }
        }
    }

    /// Whoever keeps up misses nothing that was printed since the spool was begun.
    #[test]
    fn who_keeps_up_misses_nothing(before in sizes(3), pieces in prop::collection::vec(0usize..200_000, 0..20)) {
        let medium = Late::default();
        let mut capture = Capture::default();
        let mut at = 0;
        for size in before {
            capture.push(&printed(1, at, size));
            at += size as u64;
        }
        let so_far = capture.so_far();
        let all = |medium: &Late| medium.0.lock().unwrap().arrive(usize::MAX);
        let mut writer = Writer::begin(Box::new(medium.clone()), attempt(1), &so_far).unwrap();
        let reader = Reader::of(Box::new(medium.clone()), attempt(1));
        let (mut from, mut all_missed, mut is_first) = (0, 0, true);
        for size in std::iter::once(0).chain(pieces) {
            if !is_first {
                writer.push(&printed(1, at, size)).unwrap();
                writer.flush().unwrap();
                prop_assert!(writer.is_flushed());
                at += size as u64;
            }
            is_first = false;
            all(&medium);
            while from < at {
                let Looked::Has { missed, bytes, written, is_over } = reader.look(from, 70_000) else {
                    panic!("gone");
                };
                prop_assert_eq!((written, is_over), (at, false));
                all_missed += missed;
                from += missed;
                prop_assert_eq!(&bytes, &printed(1, from, bytes.len()));
                from += bytes.len() as u64;
            }
        }
        prop_assert_eq!(all_missed, so_far.dropped);
        writer.end().unwrap();
        all(&medium);
        let over = Looked::Has { missed: 0, bytes: vec![], written: at, is_over: true };
        prop_assert_eq!(reader.look(at, 100), over);
    }

    /// What whoever finds a worker dead reads is what the worker would have recorded.
    #[test]
    fn what_is_found_after_a_death_is_what_would_have_been_recorded(before in sizes(3), pieces in sizes(10)) {
        let medium = Late::default();
        let size = spool(&medium, 1, &before, &pieces);
        medium.0.lock().unwrap().arrive(usize::MAX);
        let mut capture = Capture::default();
        let mut at = 0;
        for piece in before.iter().chain(&pieces) {
            capture.push(&printed(1, at, *piece));
            at += *piece as u64;
        }
        let found = Reader::of(Box::new(medium.clone()), attempt(1)).captured();
        prop_assert_eq!(found.size(), size);
        prop_assert_eq!(found, capture.finish());
        let other = Reader::of(Box::new(medium), attempt(2)).captured();
        prop_assert_eq!(other, Captured::default());
    }
}

#[test]
fn a_spool_is_of_one_attempt_and_of_one_worker() {
    let spools = memory::Memory::new();
    let (mine, others) = (WorkerId(1), WorkerId(2));
    assert_eq!(captured(&spools, mine, attempt(1)), Captured::default());
    let head = |text: &[u8]| Captured {
        head: text.to_vec(),
        ..Captured::default()
    };
    let begin = |number, text| {
        let medium = spools.make(mine).unwrap();
        Writer::begin(medium, attempt(number), &head(text)).unwrap()
    };
    let mut writer = begin(1, b"first");
    writer.push(b" and more").unwrap();
    writer.flush().unwrap();
    assert_eq!(captured(&spools, mine, attempt(1)), head(b"first and more"));
    assert_eq!(captured(&spools, others, attempt(1)), Captured::default());
    let reader = Reader::of(spools.open(mine).unwrap(), attempt(1));
    begin(2, b"second");
    assert_eq!(reader.look(0, 100), Looked::Gone);
    assert_eq!(captured(&spools, mine, attempt(1)), Captured::default());
    assert_eq!(captured(&spools, mine, attempt(2)), head(b"second"));
    spools.remove(mine);
    assert_eq!(captured(&spools, mine, attempt(2)), Captured::default());
}
