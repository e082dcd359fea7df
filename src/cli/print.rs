//! How tasks look to people.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::ledger::Millis;

/// Whose time people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// The machine's own.
    System,
    /// As in the log.
    Utc,
}

impl Zone {
    /// As the flag `--utc` says.
    pub fn of(utc: bool) -> Zone {
        match utc {
            true => Zone::Utc,
            false => Zone::System,
        }
    }

    /// For people: to the second, and with the name of the zone.
    pub fn say(self, at: Option<Millis>) -> String {
        let time = at.and_then(|at| Timestamp::from_millisecond(at).ok());
        match time {
            Some(time) => time
                .to_zoned(self.zone())
                .strftime("%Y-%m-%d %H:%M:%S %Z")
                .to_string(),
            None => "-".into(),
        }
    }

    /// A time as people write it; of this zone, unless it names another.
    pub fn read(self, text: &str) -> Option<Millis> {
        let text = text.trim();
        if let Ok(time) = text.parse::<Timestamp>() {
            return Some(time.as_millisecond());
        }
        let time: DateTime = text.parse().ok()?;
        let time = time.to_zoned(self.zone()).ok()?;
        Some(time.timestamp().as_millisecond())
    }

    fn zone(self) -> TimeZone {
        match self {
            Zone::System => TimeZone::system(),
            Zone::Utc => TimeZone::UTC,
        }
    }
}

/// An instant as RFC 3339 has it, with its offset.
pub fn instant(text: &str) -> Result<Millis, String> {
    let time = text.trim().parse::<Timestamp>();
    time.map(Timestamp::as_millisecond).map_err(|_| {
        format!("'{text}' is no time: write one with its offset, such as 2026-12-24T18:00:00+01:00")
    })
}

/// What time it is, for how old something is.
pub fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// So many seconds, for people: as two units where that says enough.
pub fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).map_or(0, |span| span.as_secs());
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_name_their_zone_and_are_read() {
        assert_eq!(Zone::Utc.say(Some(0)), "1970-01-01 00:00:00 UTC");
        for (text, millis) in [
            ("1970-01-02", Some(86_400_000)),
            ("1970-01-01T00:01", Some(60_000)),
            ("1970-01-01 00:01:00", Some(60_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("yesterday", None),
        ] {
            assert_eq!(Zone::Utc.read(text), millis, "{text}");
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let table = [
            (-1.0, "0s"),
            (0.9, "0s"),
            (59.0, "59s"),
            (3599.0, "59m 59s"),
            (3600.0, "1h 0m"),
            (90_000.0, "1d 1h"),
        ];
        for (seconds, said) in table {
            assert_eq!(span(seconds), said);
        }
    }
}
