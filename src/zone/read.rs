//! Times as people write them.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{Timestamp, ToSpan, Zoned};

use super::Zone;
use crate::task::Millis;

/// What can be read, for those whose time cannot.
const SUCH: &str = "write 2026-12-24T18:00:00+01:00, or by this machine's clock '2026-12-24 18:00', 'tomorrow 9:00', \
                    'monday 9:00' or '9:00', perhaps with a zone after it, such as Europe/Berlin";

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

impl Zone {
    /// A time as people write it: with its offset, or by this zone's clock, or by that of a zone that is named after
    /// it. A day or a time of the day alone is the next one after `now`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn read(&self, text: &str, now: Millis) -> Result<Millis, String> {
        let text = text.trim();
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(time.as_millisecond());
        }
        let wrong = || format!("'{text}' is no time: {SUCH}");
        if text.contains('[') {
            let time = text.parse::<Zoned>().map_err(|_| wrong())?;
            return Ok(time.timestamp().as_millisecond());
        }
        if let Some(at) = self.local(text, now) {
            return at.ok_or_else(wrong);
        }
        if let Some((time, zone)) = text.rsplit_once(char::is_whitespace)
            && looks_like_a_zone(zone)
        {
            let zone = Zone::named(zone)?;
            return zone.local(time.trim_end(), now).flatten().ok_or_else(wrong);
        }
        Err(wrong())
    }

    /// A time of this zone's clock; the inner one is `None` where no instant has it.
    fn local(&self, text: &str, now: Millis) -> Option<Option<Millis>> {
        if text.eq_ignore_ascii_case("now") {
            return Some(Some(now));
        }
        if text.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(shown) = text.parse::<DateTime>()
        {
            return Some(self.instant(shown));
        }
        let today = self.shown(now)?.date();
        if let Some(time) = time_of_day(text) {
            let at = self.instant(today.to_datetime(time)).filter(|at| *at > now);
            return Some(at.or_else(|| self.instant(today.tomorrow().ok()?.to_datetime(time))));
        }
        let (day, time) = match text.split_once(char::is_whitespace) {
            None => (text, Time::midnight()),
            Some((day, time)) => (day, time_of_day(time.trim_start())?),
        };
        Some(self.instant(day_of(day, today)?.to_datetime(time)))
    }
}

fn day_of(word: &str, today: Date) -> Option<Date> {
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "today" => Some(today),
        "tomorrow" => today.tomorrow().ok(),
        _ => {
            let long_enough = word.len() >= 3;
            let mut days = WEEKDAYS
                .iter()
                .filter(|(name, _)| long_enough && name.starts_with(&word));
            let (_, weekday) = days.next()?;
            today.checked_add(1.day()).ok()?;
            today.nth_weekday(1, *weekday).ok()
        }
    }
}

/// `9:00`, `09:00:30`.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut number = || -> Option<Option<i8>> {
        let Some(part) = parts.next() else {
            return Some(None);
        };
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|_| is_number).map(Some)
    };
    let (hour, minute, second) = (number()??, number()??, number()?.unwrap_or(0));
    match parts.next() {
        None => Time::new(hour, minute, second, 0).ok(),
        Some(_) => None,
    }
}

fn looks_like_a_zone(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        // A Friday.
        let now = at("2026-11-27T12:00:00+01:00");
        let table = [
            ("2026-12-24T18:00:00+01:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24T17:00:00Z", "2026-12-24T17:00:00Z"),
            ("2026-12-24 18:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24T18:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24", "2026-12-23T23:00:00Z"),
            ("2026-07-01 18:00", "2026-07-01T16:00:00Z"),
            ("2026-12-24T18:00[America/New_York]", "2026-12-24T23:00:00Z"),
            ("2026-12-24 18:00 America/New_York", "2026-12-24T23:00:00Z"),
            ("2026-12-24 18:00 UTC", "2026-12-24T18:00:00Z"),
            ("2026-03-29 02:30", "2026-03-29T01:00:00Z"),
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("tomorrow 9:00", "2026-11-28T08:00:00Z"),
            ("Tomorrow  09:00:30", "2026-11-28T08:00:30Z"),
            ("tomorrow", "2026-11-27T23:00:00Z"),
            ("today 9:00", "2026-11-27T08:00:00Z"),
            ("tomorrow 9:00 Asia/Tokyo", "2026-11-28T00:00:00Z"),
            ("9:00", "2026-11-28T08:00:00Z"),
            ("13:00", "2026-11-27T12:00:00Z"),
            ("monday 9:00", "2026-11-30T08:00:00Z"),
            ("fri 9:00", "2026-12-04T08:00:00Z"),
            ("now", "2026-11-27T11:00:00Z"),
        ];
        for (text, found) in table {
            assert_eq!(berlin.read(text, now), Ok(at(found)), "{text}");
        }
        for bad in [
            "",
            "soon",
            "25:00",
            "9",
            "9:5:1:1",
            "tomorrow 9",
            "tomorrow 9:00 Mars/Olympus",
            "2026-02-30 9:00",
            "2026-13-01",
            "+5",
            "mo 9:00",
            "2026-12-24T18:00[Mars/Olympus]",
            "yesterday",
            "99999-01-01",
        ] {
            let why = berlin.read(bad, now).expect_err(bad);
            assert!(
                why.contains("is no time") || why.contains("no time zone"),
                "{why}"
            );
        }
    }
}
