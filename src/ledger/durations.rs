//! How many things took how long, in little room: durations are counted by steps, each about a fifth longer than the
//! one before.
//!
//! A duration that is read out again is that of the upper end of its step: at most a quarter too long, and never too
//! short.

use std::collections::BTreeMap;

use crate::task::Millis;

/// Steps in which a duration doubles.
const STEPS: u32 = 4;

/// Durations, and how many there are of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durations {
    /// All of them together, in milliseconds.
    total: u64,
    steps: BTreeMap<u8, u64>,
}

impl Durations {
    /// Those that were kept so; `None` if that is not how any are kept.
    pub fn kept(total: u64, steps: &[u8]) -> Option<Durations> {
        let mut rest = steps;
        let mut read = BTreeMap::new();
        while !rest.is_empty() {
            let step = u8::try_from(number(&mut rest)?).ok()?;
            read.insert(step, number(&mut rest)?);
        }
        Some(Durations { total, steps: read })
    }

    /// The steps as they are kept.
    pub fn keep(&self) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.steps.len() * 4);
        for (step, count) in &self.steps {
            keep(&mut kept, u64::from(*step));
            keep(&mut kept, *count);
        }
        kept
    }

    /// All of them together, in milliseconds.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.steps.values().fold(0, |a, b| a.saturating_add(*b))
    }

    /// Counts one. What a clock that was set back makes of a duration is none.
    pub fn add(&mut self, milliseconds: Millis) {
        let milliseconds = u64::try_from(milliseconds).unwrap_or(0);
        self.total = self.total.saturating_add(milliseconds);
        let count = self.steps.entry(step(milliseconds)).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts others too.
    pub fn add_all(&mut self, others: &Durations) {
        self.total = self.total.saturating_add(others.total);
        for (step, more) in &others.steps {
            let count = self.steps.entry(*step).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// So many of a hundred took no longer than this, in milliseconds; `None` of none.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = self.count().saturating_mul(percent).div_ceil(100).max(1);
        let mut seen: u64 = 0;
        self.steps.iter().find_map(|(step, count)| {
            seen = seen.saturating_add(*count);
            (seen >= wanted).then(|| longest(*step))
        })
    }
}

/// The step of a duration: those below 4 ms have one each.
fn step(milliseconds: u64) -> u8 {
    let Some(exponent) = milliseconds.checked_ilog2().filter(|at| *at >= 2) else {
        return u8::try_from(milliseconds).unwrap_or(0);
    };
    let within = (milliseconds >> (exponent - 2)) & 3;
    let step = u64::from((exponent - 1) * STEPS) + within;
    u8::try_from(step).unwrap_or(u8::MAX)
}

/// The longest duration of a step.
fn longest(step: u8) -> u64 {
    let step = u32::from(step);
    let (octave, within) = (step / STEPS, u64::from(step % STEPS));
    match octave {
        0 => within,
        octave => {
            let shift = octave - 1;
            let next = (within + STEPS as u64 + 1)
                .checked_shl(shift)
                .filter(|next| next >> shift == within + STEPS as u64 + 1);
            next.map_or(u64::MAX, |next| next - 1)
        }
    }
}

fn keep(kept: &mut Vec<u8>, mut number: u64) {
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return kept.push(byte);
        }
        kept.push(byte | 0x80);
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|set| set >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_within_a_quarter_of_its_step() {
        for milliseconds in (0..100_000).chain((0..62).map(|n| 3 << n)) {
            let step = step(milliseconds);
            let longest = longest(step);
            assert!(longest >= milliseconds, "{milliseconds}: {longest}");
            assert!(
                longest - milliseconds <= milliseconds / 4,
                "{milliseconds}: {longest}"
            );
        }
        assert!((0..100_000).map(step).is_sorted());
        assert_eq!(longest(step(u64::MAX)), u64::MAX);
        assert_eq!(longest(u8::MAX), u64::MAX);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let mut some = Durations::default();
        assert_eq!(some.percentile(50), None);
        for milliseconds in [-5, 0, 3, 3, 700, 90_000, Millis::MAX] {
            some.add(milliseconds);
        }
        let read = Durations::kept(some.total(), &some.keep()).unwrap();
        assert_eq!(read, some);
        assert_eq!(read.count(), 7);
        assert_eq!(read.percentile(50), Some(3));
        let mut twice = read.clone();
        twice.add_all(&some);
        assert_eq!((twice.count(), twice.percentile(50)), (14, Some(3)));
        for nonsense in [&[0x80][..], &[1], &[0xff; 11], &[0x80, 0x04, 1]] {
            assert_eq!(Durations::kept(0, nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_share_of_them_took_no_longer() {
        let mut some = Durations::default();
        (1..=100).for_each(|n| some.add(n * 10));
        assert_eq!(some.percentile(50), Some(511));
        assert_eq!(some.percentile(95), Some(1023));
        assert_eq!(some.percentile(1), Some(11));
    }
}
