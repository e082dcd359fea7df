//! Output as it arrives, in pieces that end anywhere: as whole characters, or as whole lines.

use std::collections::VecDeque;

/// A longer line is several.
const LONGEST: usize = 64 * 1024;

/// Bytes of which a character may not be whole yet.
#[derive(Debug, Default)]
pub struct Characters {
    begun: Vec<u8>,
}

impl Characters {
    /// What there is by now, but for a character that is only begun.
    pub fn whole(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        self.begun = all.split_off(all.len() - begun(&all));
        all
    }

    /// What was begun, and is not to be ended.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }
}

/// How many of the last bytes are the beginning of a character in UTF-8.
fn begun(bytes: &[u8]) -> usize {
    for (count, byte) in (1..=3).zip(bytes.iter().rev()) {
        let whole = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if whole > count { count } else { 0 };
    }
    0
}

/// Bytes of which a line may not be whole yet.
#[derive(Debug, Default)]
pub struct Lines {
    attempt: i64,
    /// Where the line that is begun begins in the attempt's output.
    offset: u64,
    begun: Vec<u8>,
    whole: VecDeque<(u64, Vec<u8>)>,
}

impl Lines {
    /// Takes what an attempt has printed after so many bytes.
    pub fn push(&mut self, attempt: i64, offset: u64, bytes: &[u8]) {
        if self.begun.is_empty() {
            (self.attempt, self.offset) = (attempt, offset);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in piece.chunks(LONGEST) {
                if self.begun.len().saturating_add(piece.len()) > LONGEST {
                    self.is_whole();
                }
                self.begun.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.is_whole();
            }
        }
    }

    fn is_whole(&mut self) {
        let mut line = std::mem::take(&mut self.begun);
        let next = self.offset.saturating_add(line.len() as u64);
        let offset = std::mem::replace(&mut self.offset, next);
        line.pop_if(|byte| *byte == b'\n');
        self.whole.push_back((offset, line));
    }

    /// The next line that is whole, without its end, and where it begins.
    pub fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        self.whole.pop_front()
    }

    /// The line that was begun, and is not to be ended: of which attempt, where it begins, and what there is of it.
    pub fn rest(&mut self) -> Option<(i64, u64, Vec<u8>)> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then_some((self.attempt, self.offset, begun))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn characters_come_whole(text in "\\PC{0,40}", cuts in prop::collection::vec(0usize..6, 0..60)) {
            let mut characters = Characters::default();
            let (mut rest, mut said) = (text.as_bytes(), String::new());
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                said.push_str(std::str::from_utf8(&characters.whole(now)).unwrap());
                rest = later;
            }
            said.push_str(std::str::from_utf8(&characters.whole(rest)).unwrap());
            prop_assert_eq!(said, text);
            prop_assert!(characters.rest().is_empty());
        }

        #[test]
        fn lines_come_whole(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0usize..6, 0..60)) {
            let mut lines = Lines::default();
            let (mut rest, mut at) = (text.as_bytes(), 0);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                lines.push(1, at, now);
                at += now.len() as u64;
                rest = later;
            }
            let mut said = Vec::new();
            while let Some((offset, line)) = lines.next() {
                prop_assert_eq!(offset as usize, said.len());
                said.extend(line);
                said.push(b'\n');
            }
            if let Some((_, offset, line)) = lines.rest() {
                prop_assert_eq!(offset as usize, said.len());
                said.extend(line);
            }
            prop_assert_eq!(String::from_utf8(said).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_not_held_back() {
        let mut characters = Characters::default();
        assert_eq!(characters.whole(b"a\xff"), b"a\xff");
        assert_eq!(characters.whole(b"\x80\x80\x80\x80"), b"\x80\x80\x80\x80");
        assert_eq!(characters.whole(b"b\xe2\x82"), b"b");
        assert_eq!(characters.whole(b"x"), b"\xe2\x82x");
        assert_eq!(characters.whole(b"\xf0\x9f\xa6"), b"");
        assert_eq!(characters.rest(), b"\xf0\x9f\xa6");
    }

    #[test]
    fn a_line_that_does_not_end_is_several() {
        let mut lines = Lines::default();
        lines.push(1, 0, &vec![b'x'; 3 * LONGEST + 1]);
        let mut next = || lines.next().map(|(offset, line)| (offset, line.len()));
        let longest = LONGEST as u64;
        assert_eq!(next(), Some((0, LONGEST)));
        assert_eq!(next(), Some((longest, LONGEST)));
        assert_eq!(next(), Some((2 * longest, LONGEST)));
        assert_eq!(next(), None);
        let rest = lines.rest();
        assert_eq!(rest, Some((1, 3 * longest, b"x".to_vec())));
    }
}
