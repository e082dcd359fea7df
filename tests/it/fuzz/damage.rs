//! Making something nearly right out of what is right: most parsers stumble there, and not over noise.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change.
#[derive(Debug, Clone)]
pub enum Damage {
    /// This byte, over whatever is there.
    Overwrite(Index, u8),
    /// Bytes more.
    Insert(Index, Vec<u8>),
    /// So many bytes less.
    Remove(Index, usize),
    /// So many bytes once more, somewhere else.
    Repeat(Index, usize, Index),
    /// Nothing after it.
    Cut(Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let spot = |index: &Index, bytes: &Vec<u8>| index.index(bytes.len() + 1);
        match self {
            Damage::Overwrite(at, byte) => {
                let at = spot(at, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Damage::Insert(at, more) => {
                let at = spot(at, bytes);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = spot(at, bytes);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Damage::Repeat(from, count, to) => {
                let from = spot(from, bytes);
                let end = (from + count).min(bytes.len());
                let piece = bytes[from..end].to_vec();
                let to = spot(to, bytes);
                bytes.splice(to..to, piece);
            }
            Damage::Cut(at) => bytes.truncate(spot(at, bytes)),
        }
    }
}

/// A few changes, or none; what is inserted is often one of these words.
pub fn damages(words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<Index>;
    let insert = prop_oneof![
        4 => select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..5),
    ];
    let damage = prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Overwrite(at, byte)),
        4 => (at(), insert).prop_map(|(at, more)| Damage::Insert(at, more)),
        3 => (at(), 1_usize..20).prop_map(|(at, count)| Damage::Remove(at, count)),
        2 => (at(), 1_usize..40, at()).prop_map(|(from, count, to)| Damage::Repeat(from, count, to)),
        1 => at().prop_map(Damage::Cut),
    ];
    prop::collection::vec(damage, 0..4)
}

/// The same bytes, changed.
pub fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        damage.apply(&mut bytes);
    }
    bytes
}
