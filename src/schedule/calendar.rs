//! When the times of an expression come, in a zone whose clock is set forward and back.
//!
//! The rule is that of Debian's cron:
//!
//! ```text
//!                      the clock skips the time       the time comes twice
//! a fixed time         once, right after the gap      once, the first time
//! with * in the hour   not then: elapsed time counts  both times: elapsed time counts
//! ```
//!
//! A zone is its offsets: instants, in seconds since 1970, from each of which on another offset holds. Between two of
//! them the clock on the wall goes as time does, so that a search goes from one such stretch to the next.

use super::cron::Cron;

/// A zone's clock.
pub trait Offsets {
    /// By how many seconds the clock is ahead of UTC at an instant.
    fn offset(&self, at: i64) -> i64;

    /// The next instant after that one from which on another offset may hold.
    fn change_after(&self, at: i64) -> Option<i64>;
}

/// UTC.
#[derive(Debug, Clone, Copy)]
pub struct Utc;

impl Offsets for Utc {
    fn offset(&self, _at: i64) -> i64 {
        0
    }

    fn change_after(&self, _at: i64) -> Option<i64> {
        None
    }
}

const DAY: i64 = 86_400;

/// Who looks for what comes then finds it or never: a certain weekday is a 29 February once in 40 years at least.
const HORIZON: i64 = 100 * 366 * DAY;

/// No clock was ever set by more at once.
const LARGEST_CHANGE: i64 = 2 * DAY;

impl Cron {
    /// The instants at which it comes, after one, in their order.
    pub fn after<'a>(&'a self, after: i64, zone: &'a dyn Offsets) -> Times<'a> {
        let from = after.saturating_sub(LARGEST_CHANGE);
        Times {
            cron: self,
            zone,
            after,
            until: after.saturating_add(HORIZON),
            stretch: Stretch::from(zone, from),
            shown: from.saturating_add(zone.offset(from)),
        }
    }
}

/// A stretch of time in which the clock is not set.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    begin: i64,
    /// The first instant that is none of it.
    end: i64,
    offset: i64,
}

impl Stretch {
    fn from(zone: &dyn Offsets, begin: i64) -> Stretch {
        Stretch {
            begin,
            end: zone.change_after(begin).unwrap_or(i64::MAX / 2),
            offset: zone.offset(begin),
        }
    }
}

/// Instants, one after the other.
pub struct Times<'a> {
    cron: &'a Cron,
    zone: &'a dyn Offsets,
    /// The last that was found, or where the search began.
    after: i64,
    until: i64,
    stretch: Stretch,
    /// What the clock on the wall has shown before this stretch at the latest: a fixed time is new from there on.
    shown: i64,
}

impl Iterator for Times<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        while self.stretch.begin < self.until {
            if let Some(found) = self.in_stretch() {
                self.after = found;
                self.until = found.saturating_add(HORIZON);
                return Some(found);
            }
            let Stretch { end, offset, .. } = self.stretch;
            self.shown = self.shown.max(end.saturating_add(offset));
            self.stretch = Stretch::from(self.zone, end);
        }
        None
    }
}

impl Times<'_> {
    /// The next one in the stretch, if there is one.
    fn in_stretch(&self) -> Option<i64> {
        let Stretch { begin, end, offset } = self.stretch;
        if end <= self.after {
            return None;
        }
        let begins = begin + offset;
        let fixed = !self.cron.follows_time;
        let was_skipped = || self.cron.first_in(self.shown, begins).is_some();
        if fixed && begin > self.after && was_skipped() {
            return Some(begin);
        }
        let from = begins.max(self.after.saturating_add(1).saturating_add(offset));
        let from = if fixed { from.max(self.shown) } else { from };
        let until = end.min(self.until).saturating_add(offset);
        self.cron.first_in(from, until).map(|local| local - offset)
    }
}

impl Cron {
    /// The first time of those that the clock on the wall shows from one on, before another.
    fn first_in(&self, from: i64, until: i64) -> Option<i64> {
        let first = from.saturating_add(59).div_euclid(60);
        let (mut day, mut minute) = (first.div_euclid(1440), first.rem_euclid(1440));
        while day * DAY < until {
            let (month, of_month) = month_and_day(day);
            if self.months & 1 << month == 0 {
                day += (29 - i64::from(of_month)).max(0);
                day += days_till_other_month(day, month);
                minute = 0;
                continue;
            }
            if self.is_day(day, of_month)
                && let Some(minute) = self.first_minute(minute)
            {
                let found = day * DAY + minute * 60;
                return (found < until).then_some(found);
            }
            day += 1;
            minute = 0;
        }
        None
    }

    fn is_day(&self, day: i64, of_month: u32) -> bool {
        // 1 January 1970 was a Thursday.
        let weekday = (day + 4).rem_euclid(7);
        let (by_day, by_weekday) = (
            self.days & 1 << of_month != 0,
            self.weekdays & 1 << weekday != 0,
        );
        match self.wants_both {
            true => by_day && by_weekday,
            false => by_day || by_weekday,
        }
    }

    /// The first minute of a day from that one on.
    fn first_minute(&self, from: i64) -> Option<i64> {
        let (hour, minute) = (from / 60, from % 60);
        let later = |set: u64, from: i64| {
            let rest = set >> from << from;
            (rest != 0).then(|| i64::from(rest.trailing_zeros()))
        };
        if self.hours & 1 << hour != 0
            && let Some(minute) = later(self.minutes, minute)
        {
            return Some(hour * 60 + minute);
        }
        Some(later(self.hours, hour + 1)? * 60 + i64::from(self.minutes.trailing_zeros()))
    }
}

/// From a day, at the end of a month or later, how many days it is until the month is another.
fn days_till_other_month(day: i64, month: u32) -> i64 {
    (0..4)
        .find(|more| month_and_day(day + more).0 != month)
        .unwrap_or(0)
}

/// Of a day since 1970: which month it is of, and which of its days. By the proleptic Gregorian calendar, in years
/// that begin with March, so that the leap day is the last of its year.
fn month_and_day(day: i64) -> (u32, u32) {
    // Days since 1 March of the year 0, of which 400 years have 146,097.
    let of_era = (day + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let small = |number: i64| u32::try_from(number).unwrap_or(0);
    (small(month), small(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is set at certain instants.
    struct Made(i64, &'static [(i64, i64)]);

    impl Offsets for Made {
        fn offset(&self, at: i64) -> i64 {
            let mut past = self.1.iter().rev().filter(|(from, _)| *from <= at);
            past.next().map_or(self.0, |(_, offset)| *offset)
        }

        fn change_after(&self, at: i64) -> Option<i64> {
            self.1.iter().map(|(from, _)| *from).find(|from| *from > at)
        }
    }

    fn times(text: &str, zone: &dyn Offsets, after: i64, count: usize) -> Vec<i64> {
        let cron: Cron = text.parse().unwrap();
        cron.after(after, zone).take(count).collect()
    }

    const H: i64 = 3600;

    #[test]
    fn days_have_their_months() {
        let table = [
            (0, (1, 1)),
            (58, (2, 28)),
            (59, (3, 1)),
            (-1, (12, 31)),
            (19_782, (2, 29)),
            (-25_509, (2, 28)),
        ];
        for (day, found) in table {
            assert_eq!(month_and_day(day), found, "{day}");
        }
    }

    #[test]
    fn a_fixed_time_in_the_gap_comes_once_right_after_it() {
        // At 2 o'clock of the second day it is 3 o'clock.
        let zone = Made(0, &[(DAY + 2 * H, H)]);
        let day = |n: i64| n * DAY;
        let all = |text| times(text, &zone, day(1) - 1, 4);
        assert_eq!(
            all("30 2 * * *"),
            [
                day(1) + 2 * H,
                day(2) + H + 1800,
                day(3) + H + 1800,
                day(4) + H + 1800
            ]
        );
        assert_eq!(all("0,15,30,45 2 * * *")[..2], [day(1) + 2 * H, day(2) + H]);
        assert_eq!(
            all("*/15 2 * * *")[..2],
            [day(1) + 2 * H, day(2) + H],
            "a star in the minutes is none in the hours"
        );
        assert_eq!(
            all("0 2,3 * * *")[..2],
            [day(1) + 2 * H, day(2) + H],
            "both are then"
        );
        assert_eq!(
            all("30 2,3 * * *")[..2],
            [day(1) + 2 * H, day(1) + 2 * H + 1800]
        );
        assert_eq!(
            all("0 * * * *"),
            [day(1), day(1) + H, day(1) + 2 * H, day(1) + 3 * H]
        );
        assert_eq!(
            times("30 2 * * *", &zone, day(1) + 2 * H, 1),
            [day(2) + H + 1800],
            "not twice"
        );
        assert_eq!(
            times("30 2 * * *", &zone, day(1) + 2 * H - 1, 1),
            [day(1) + 2 * H]
        );
    }

    #[test]
    fn a_fixed_time_in_the_fold_comes_the_first_time() {
        // At 3 o'clock of the second day it is 2 o'clock again.
        let zone = Made(0, &[(DAY + 3 * H, -H)]);
        let day = |n: i64| n * DAY;
        let half = 1800;
        let all = |text| times(text, &zone, day(1) - 1, 5);
        assert_eq!(
            all("30 2 * * *")[..2],
            [day(1) + 2 * H + half, day(2) + 3 * H + half]
        );
        assert_eq!(
            all("0 2,3 * * *")[..3],
            [day(1) + 2 * H, day(1) + 4 * H, day(2) + 3 * H]
        );
        assert_eq!(
            all("0 * * * *"),
            [0, 1, 2, 3, 4].map(|hour| day(1) + hour * H)
        );
        assert_eq!(
            all("30 */2 * * *")[..3],
            [day(1) + half, day(1) + 2 * H + half, day(1) + 3 * H + half]
        );
        for second_pass in [day(1) + 3 * H, day(1) + 3 * H + half, day(1) + 4 * H - 1] {
            assert_eq!(
                times("30 2 * * *", &zone, second_pass, 1),
                [day(2) + 3 * H + half]
            );
        }
    }

    #[test]
    fn a_day_that_is_left_out_comes_right_after_it() {
        let zone = Made(-11 * H, &[(10 * DAY + 11 * H, 13 * H)]);
        assert_eq!(
            times("30 2 * * *", &zone, 10 * DAY + 10 * H, 2),
            [10 * DAY + 11 * H, 10 * DAY + 13 * H + 1800]
        );
    }

    #[test]
    fn rare_days_are_found_and_days_that_never_come_end_the_search() {
        let leap: Cron = "0 0 29 2 *".parse().unwrap();
        let days: Vec<i64> = leap.after(0, &Utc).take(3).map(|at| at / DAY).collect();
        assert_eq!(days, [789, 2250, 3711]);
        let rare: Cron = "0 0 29 2 */7".parse().unwrap();
        assert_eq!(
            rare.after(0, &Utc)
                .take(2)
                .map(|at| at / DAY)
                .collect::<Vec<_>>(),
            [2250, 12_477]
        );
        let weekdays_or_days: Cron = "0 0 1 * mon".parse().unwrap();
        let days: Vec<i64> = weekdays_or_days
            .after(0, &Utc)
            .take(6)
            .map(|at| at / DAY)
            .collect();
        assert_eq!(
            days,
            [4, 11, 18, 25, 31, 32],
            "on the first as well as on Mondays"
        );
    }
}
