//! Sizes as people write them: `6000000` is bytes, `100M` is a hundred times 1024 times 1024 of them.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

/// What a unit is worth, by its letter. Each may be followed by `B` or `iB`, which change nothing.
const UNITS: [(char, u64); 4] = [
    ('K', 1 << 10),
    ('M', 1 << 20),
    ('G', 1 << 30),
    ('T', 1 << 40),
];

/// Reads `6000000`, `100M`, `64 KiB` or `2gb`.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "'{text}' is no size: write bytes, such as 6000000, or a unit too: 512K, 100M or 2G"
        )
    };
    let digits = text
        .len()
        .saturating_sub(text.trim_start_matches(|c: char| c.is_ascii_digit()).len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let worth = worth(&unit.trim_start().to_ascii_uppercase()).ok_or_else(wrong)?;
    number.checked_mul(worth).ok_or_else(|| {
        format!(
            "'{text}' is more than the {} bytes that can be counted",
            u64::MAX
        )
    })
}

fn worth(unit: &str) -> Option<u64> {
    if matches!(unit, "" | "B") {
        return Some(1);
    }
    let mut letters = unit.chars();
    let first = letters.next()?;
    let rest = letters.as_str();
    let found = UNITS.iter().find(|(letter, _)| *letter == first);
    found
        .filter(|_| matches!(rest, "" | "B" | "IB"))
        .map(|(_, worth)| *worth)
}

/// A size in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl<'de> de::Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes, or a size such as \"100M\"")
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Bytes, E> {
                let read = u64::try_from(bytes).map(Bytes);
                read.map_err(|_| {
                    E::custom(format!(
                        "{bytes} is negative, and no size; write 6000000, or \"100M\""
                    ))
                })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                parse(text).map(Bytes).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let table = [
            ("0", 0),
            ("6000000", 6_000_000),
            ("100M", 104_857_600),
            ("64 KiB", 65_536),
            ("2gb", 2_147_483_648),
            ("10B", 10),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "M", "-1", "1.5M", "100X", "100MM", "99999999999G", "ü"] {
            assert!(parse(bad).is_err(), "{bad} was read");
        }
    }
}
