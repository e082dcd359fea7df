//! How tasks look to people.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

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
            Zone::System => LOCAL.get_or_init(local).clone(),
            Zone::Utc => TimeZone::UTC,
        }
    }
}

/// The machine's own time zone, once it was asked for.
static LOCAL: OnceLock<TimeZone> = OnceLock::new();

/// Where a name of a time zone is a file of the same name.
const ZONES: &str = "/usr/share/zoneinfo";

/// Reads the one file that says so. The library looks through all files of all time zones first, which takes as long as
/// all the rest of a command that shows a task.
fn local() -> TimeZone {
    let file = match env::var("TZ") {
        Err(env::VarError::NotPresent) => Some(PathBuf::from("/etc/localtime")),
        Ok(name) if is_plain(&name) => Some(Path::new(ZONES).join(name)),
        Ok(_) | Err(env::VarError::NotUnicode(_)) => None,
    };
    let bytes = file.and_then(|file| fs::read(file).ok());
    let zone = bytes.and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// Whether it is a name such as `Europe/Berlin`, and none of the other things that may stand in `TZ`.
fn is_plain(name: &str) -> bool {
    let is_part = |part: &str| {
        let mut chars = part.chars();
        chars
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    name.split('/').all(is_part)
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
    fn names_of_time_zones_are_told_from_whatever_else_says_one() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "Etc/GMT+5",
            "America/Argentina/Ushuaia",
        ] {
            assert!(is_plain(name), "{name}");
        }
        for other in [
            "",
            ":Europe/Berlin",
            "/etc/localtime",
            "../x",
            "a//b",
            "<+03>-3",
            "EST5EDT,M3.2.0",
        ] {
            assert!(!is_plain(other), "{other}");
        }
        // However it is found, it is the same.
        for millis in [0, 1_700_000_000_000, 1_790_000_000_000] {
            let time = Timestamp::from_millisecond(millis).unwrap();
            let (ours, theirs) = (time.to_zoned(local()), time.to_zoned(TimeZone::system()));
            assert_eq!(ours.datetime(), theirs.datetime());
            assert_eq!(
                ours.strftime("%Z").to_string(),
                theirs.strftime("%Z").to_string()
            );
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
