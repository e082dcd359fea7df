//! Durations in the configuration file, and in flags.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

pub use crate::duration::parse;

/// As many milliseconds as fit.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> de::Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, or a duration such as \"10m\"")
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
                u64::try_from(seconds)
                    .map(|s| Span(Duration::from_secs(s)))
                    .map_err(|_| {
                        E::custom(format!(
                            "{seconds} is negative, and no duration; write 600, or \"10m\""
                        ))
                    })
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
                parse(&seconds.to_string()).map(Span).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse(text).map(Span).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Words)
    }
}
