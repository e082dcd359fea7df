//! Expressions in words.

use super::cron::Cron;

const MONTHS: [&str; 13] = [
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// So many times of a day are written out.
const WRITTEN_OUT: u32 = 6;

impl Cron {
    /// When it comes, for people: `at 02:30, on Monday to Friday`.
    pub fn in_words(&self) -> String {
        let mut words = self.times();
        if let Some(days) = self.days_in_words() {
            words.push_str(", ");
            words.push_str(&days);
        } else if !words.contains("every") {
            words.push_str(", every day");
        }
        if self.months != range(1, 12) {
            words.push_str(", in ");
            words.push_str(&list(self.months, 1, &|month| name(&MONTHS, month)));
        }
        words
    }

    fn times(&self) -> String {
        let (every_minute, every_hour) = (self.minutes == range(0, 59), self.hours == range(0, 23));
        let count = self.minutes.count_ones() * self.hours.count_ones();
        if !every_hour && count <= WRITTEN_OUT {
            let times: Vec<String> = numbers(self.hours)
                .flat_map(|hour| {
                    numbers(self.minutes).map(move |minute| format!("{hour:02}:{minute:02}"))
                })
                .collect();
            return format!("at {}", and(&times));
        }
        let minutes = match (every_minute, step(self.minutes, 60)) {
            (true, _) => "every minute".to_owned(),
            (false, Some(step)) => format!("every {step} minutes"),
            (false, None) if self.minutes == 1 => "at the beginning".to_owned(),
            (false, None) if self.minutes.count_ones() == 1 => {
                format!("at minute {}", list(self.minutes, 0, &plain))
            }
            (false, None) => format!("at minutes {}", list(self.minutes, 0, &plain)),
        };
        let of_hours = match (every_hour, step(self.hours, 24)) {
            (true, _) => "of every hour".to_owned(),
            (false, Some(step)) => format!("of every {step} hours from midnight"),
            (false, None) => format!(
                "of the hours {}",
                list(self.hours, 0, &|hour| format!("{hour:02}"))
            ),
        };
        match (every_hour, minutes.starts_with("every")) {
            (true, true) => minutes,
            (true, false) | (false, _) => format!("{minutes} {of_hours}"),
        }
    }

    /// `None`: every day.
    fn days_in_words(&self) -> Option<String> {
        let (all_days, all_weekdays) = (self.days == range(1, 31), self.weekdays == range(0, 6));
        let days = || {
            let word = if self.days.count_ones() == 1 {
                "day"
            } else {
                "days"
            };
            format!("on {word} {} of the month", list(self.days, 1, &plain))
        };
        let weekdays = || {
            // The week of people begins with Monday.
            let from_monday = (self.weekdays >> 1) | (self.weekdays & 1) << 6;
            let weekday = |number: u32| name(&WEEKDAYS, (number + 1) % 7);
            format!("on {}", list(from_monday, 0, &weekday))
        };
        match (all_days, all_weekdays) {
            (true, true) => None,
            // A day that is in one of the sets is enough, and one of them has all.
            (true, false) | (false, true) if !self.wants_both => None,
            (true, false) => Some(weekdays()),
            (false, true) => Some(days()),
            (false, false) if self.wants_both => Some(format!(
                "{}, where they are {}",
                days(),
                weekdays().replacen("on ", "a ", 1)
            )),
            (false, false) => Some(format!("{} and {}", days(), weekdays())),
        }
    }
}

fn range(first: u32, last: u32) -> u64 {
    (first..=last).fold(0, |set, number| set | 1 << number)
}

fn numbers(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |number| set & 1 << number != 0)
}

/// By how much the numbers of a set grow, if they begin with 0 and divide the whole.
fn step(set: u64, whole: u32) -> Option<u32> {
    let mut all = numbers(set);
    let (first, step) = (all.next()?, all.next()?);
    let is_even = whole.is_multiple_of(step)
        && set
            == (0..whole)
                .step_by(step as usize)
                .fold(0, |set, n| set | 1 << n);
    (first == 0 && step > 1 && is_even).then_some(step)
}

fn plain(number: u32) -> String {
    number.to_string()
}

fn name(names: &[&str], number: u32) -> String {
    names
        .get(number as usize)
        .copied()
        .unwrap_or_default()
        .to_owned()
}

/// `1, 3 to 5 and 7`.
fn list(set: u64, first: u32, word: &dyn Fn(u32) -> String) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers(set).filter(|number| *number >= first) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    let words: Vec<String> = runs
        .into_iter()
        .flat_map(|(from, to)| match to - from {
            0 => vec![word(from)],
            1 => vec![word(from), word(to)],
            _ => vec![format!("{} to {}", word(from), word(to))],
        })
        .collect();
    and(&words)
}

fn and(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_said_in_words() {
        let table = [
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("0 * * * *", "at the beginning of every hour"),
            ("5,35 * * * *", "at minutes 5 and 35 of every hour"),
            ("30 2 * * *", "at 02:30, every day"),
            ("@daily", "at 00:00, every day"),
            (
                "0 9,17 * * mon-fri",
                "at 09:00 and 17:00, on Monday to Friday",
            ),
            ("0 9 * * 1,3,0", "at 09:00, on Monday, Wednesday and Sunday"),
            (
                "0 0 1 1,7 *",
                "at 00:00, on day 1 of the month, in January and July",
            ),
            (
                "0 0 1-7,15 * mon",
                "at 00:00, on days 1 to 7 and 15 of the month and on Monday",
            ),
            (
                "0 0 */2 * mon",
                "at 00:00, on days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 \
                of the month, where they are a Monday",
            ),
            (
                "0 */2 * * *",
                "at the beginning of every 2 hours from midnight",
            ),
            ("*/10 8-18 * * *", "every 10 minutes of the hours 08 to 18"),
            ("* 2 * * *", "every minute of the hours 02"),
            ("0 0 1-31 * mon", "at 00:00, every day"),
        ];
        for (text, words) in table {
            assert_eq!(text.parse::<Cron>().unwrap().in_words(), words, "{text}");
        }
    }
}
