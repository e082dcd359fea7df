//! Durations as people write them: `600` is seconds, `10m` is ten minutes.

use std::time::Duration;

use jiff::SpanRelativeTo;

/// Reads `600`, `1.5`, `10m`, `1h 30m` or `7d`. A day has 24 hours, a week 7 of them.
///
/// # Errors
/// What is wrong with it, and how one is written.
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
