//! Durations as people write them: `600` is seconds, `10m` is ten minutes.

use std::fmt;
use std::time::Duration;

use jiff::SpanRelativeTo;
use serde::de::{self, Deserializer, Visitor};

/// Reads `600`, `1.5`, `10m`, `1h 30m` or `7d`. A day has 24 hours, a week 7 of them.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "'{text}' is no duration: write seconds, such as 600, or a unit too, such as 10m, 1h 30m or 7d"
        )
    };
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    // A month or a year has no length of its own.
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours());
    Duration::try_from(signed.map_err(|_| wrong())?).map_err(|_| wrong())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let table = [
            ("600", 600_000),
            ("0", 0),
            ("1.5", 1_500),
            ("10m", 600_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
            (" 5 s ", 5_000),
            ("7d", 604_800_000),
            ("1w 1d", 691_200_000),
        ];
        for (text, millis) in table {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "ten",
            "-5",
            "-5m",
            "1mo",
            "1y",
            "inf",
            "NaN",
            "1e300",
            "10 lightyears",
        ] {
            assert!(parse(bad).is_err(), "{bad} was read");
        }
    }
}
