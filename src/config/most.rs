//! Numbers and durations, or the word that there is no limit.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

use super::duration::parse;
use crate::task::retry::Attempts;

/// `max_attempts = …`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Often(pub Attempts);

impl<'de> de::Deserialize<'de> for Often {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Often, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Often;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or \"endless\"")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Often, E> {
                let number = u32::try_from(number);
                number.map(|most| Often(Attempts::Most(most))).map_err(|_| {
                    E::custom(format!(
                        "it is no number of attempts; write 1 to {}, or \"endless\"",
                        u32::MAX
                    ))
                })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Often, E> {
                text.parse().map(Often).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Words)
    }
}

/// `timeout = …`; `None`: any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MostTime(pub Option<Duration>);

impl<'de> de::Deserialize<'de> for MostTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MostTime, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = MostTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, a duration such as \"10m\", or \"unlimited\"")
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<MostTime, E> {
                let seconds = u64::try_from(seconds);
                seconds
                    .map(|s| MostTime(Some(Duration::from_secs(s))))
                    .map_err(|_| {
                        E::custom("it is negative, and no duration; write 600, or \"10m\"")
                    })
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<MostTime, E> {
                let time = parse(&seconds.to_string());
                time.map(|t| MostTime(Some(t))).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<MostTime, E> {
                match text {
                    "unlimited" => Ok(MostTime(None)),
                    _ => parse(text).map(|t| MostTime(Some(t))).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_any(Words)
    }
}
