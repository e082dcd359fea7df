//! How tasks look to people.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::ledger::Millis;

/// For people: the machine's own time, to the second.
pub fn local(at: Option<Millis>) -> String {
    let time = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    match time {
        Some(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        None => "-".into(),
    }
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
