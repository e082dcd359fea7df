//! Times in bodies: RFC 3339, always with an offset, since a body does not say by whose clock it is written.

use crate::task::Millis;

/// `2026-12-24T18:00:00+01:00`, `2026-12-24T17:00:00.5Z`.
pub(super) fn read(text: &str) -> Option<Millis> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (time, offset) = split_offset(rest)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time
        .split_once('.')
        .map_or((time, ""), |(time, part)| (time, part));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_date = (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
    // A leap second is the second after it.
    let is_time = hour < 24 && minute < 60 && second <= 60;
    if !is_date || !is_time {
        return None;
    }
    let seconds = ((since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - offset) * 1000 + millis(fraction, rest.contains('.'))?)
}

/// What stands before the offset, and that in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (time, offset) = (text.get(..at)?, text.get(at..)?);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some((time, sign * (hours * 60 + minutes) * 60))
}

/// Digits of these lengths, with this between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Of a second's fraction.
fn millis(digits: &str, is_there: bool) -> Option<i64> {
    if !is_there {
        return Some(0);
    }
    let is_number =
        !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
    let first: String = digits.chars().chain("000".chars()).take(3).collect();
    first.parse().ok().filter(|_| is_number)
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days, by the proleptic Gregorian calendar, in years that begin with March.
fn since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offsets() {
        let table = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-12-24T18:00:00+01:00", 1_798_131_600_000),
            ("2026-12-24t17:00:00.5z", 1_798_131_600_500),
            ("2026-12-24 17:00:00.123456789-00:00", 1_798_131_600_123),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ];
        for (text, at) in table {
            assert_eq!(read(text), Some(at), "{text}");
        }
        for bad in [
            "",
            "tomorrow",
            "2026-12-24",
            "2026-12-24T18:00:00",
            "2026-12-24T18:00Z",
            "2026-13-24T18:00:00Z",
            "2026-02-29T18:00:00Z",
            "2026-12-24T24:00:00Z",
            "2026-12-24T18:00:00.Z",
            "2026-12-24T18:00:00+1:00",
            "2026-12-24T18:00:00+0100",
            "26-12-24T18:00:00Z",
            "2026-12-24T18:00:00 Z",
            "+026-12-24T18:00:00Z",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
