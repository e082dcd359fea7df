//! The expressions of cron: five fields of numbers or names, or one word such as `@daily`.
//!
//! Written by hand, as the rule for daylight saving is strict (see [`super::calendar`]): of the crates, croner brings a
//! second library for time, and jiff-cron runs a fixed time twice where the clock is set back.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// When a schedule by the calendar comes. Each set has a bit for each number of its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// As it was written.
    text: String,
    /// Of the hour, 0 to 59.
    pub(super) minutes: u64,
    /// Of the day, 0 to 23.
    pub(super) hours: u64,
    /// Of the month, 1 to 31.
    pub(super) days: u64,
    /// 1 to 12.
    pub(super) months: u64,
    /// 0, which is Sunday, to 6.
    pub(super) weekdays: u64,
    /// The hours were written with a `*`: times follow elapsed time, and not the clock on the wall.
    pub(super) follows_time: bool,
    /// The days of the month, or the weekdays, were written with a `*`. Then a day has to be in both sets, and else in
    /// one of them.
    pub(super) wants_both: bool,
}

/// Why an expression cannot be read, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    text: String,
    /// Bytes of the expression.
    at: Range<usize>,
    why: String,
}

impl Fault {
    /// What is wrong, without the place.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The expression on a line, and a mark under the fault on the next.
    pub fn marked(&self) -> String {
        let columns = |range: Range<usize>| self.text.get(range).map_or(0, |s| s.chars().count());
        let before = columns(0..self.at.start);
        let wide = columns(self.at.clone()).max(1);
        format!("{}\n{}{}", self.text, " ".repeat(before), "^".repeat(wide))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        for (at, line) in self.marked().lines().enumerate() {
            let end = if at == 0 { "\n" } else { "" };
            write!(f, "  {line}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One of the five fields.
struct Field {
    /// What its numbers are, for people.
    what: &'static str,
    first: u32,
    last: u32,
    /// Of the numbers from `first` on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field::of("minutes", 0, 59, &[]),
    Field::of("hours", 0, 23, &[]),
    Field::of("days of the month", 1, 31, &[]),
    Field::of("months", 1, 12, &MONTHS),
    // 7 is Sunday too.
    Field::of("weekdays", 0, 7, &WEEKDAYS),
];

const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// So long an expression may be.
const LONGEST: usize = 1000;

impl FromStr for Cron {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Cron, Fault> {
        let fault = |at: Range<usize>, why: String| Fault {
            text: text.to_owned(),
            at,
            why,
        };
        if text.len() > LONGEST {
            let fault = Fault {
                text: text.chars().take(40).collect(),
                at: 0..40,
                why: format!("an expression has at most {LONGEST} bytes"),
            };
            return Err(fault);
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            let why = "an expression is one line without control characters";
            let text = text.replace(|c: char| c.is_control(), "?");
            let at = text.find('?').map_or(0..0, |at| at..at + 1);
            return Err(Fault {
                text,
                at,
                why: why.into(),
            });
        }
        let words = words(text);
        if let [(at, word)] = words.as_slice()
            && word.starts_with('@')
        {
            return match WORDS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(word))
            {
                Some((_, fields)) => fields.parse::<Cron>().map(|cron| Cron {
                    text: (*word).to_owned(),
                    ..cron
                }),
                None => Err(fault(at.clone(), unknown_word(word))),
            };
        }
        let [minutes, hours, days, months, weekdays] = words.as_slice() else {
            return Err(wrong_number(text, &words));
        };
        let read = |field: &Field, (at, word): &(Range<usize>, &str)| {
            field
                .read(word)
                .map_err(|(within, why)| fault(at.start + within.start..at.start + within.end, why))
        };
        let [of_minutes, of_hours, of_days, of_months, of_weekdays] = &FIELDS;
        let cron = Cron {
            text: words
                .iter()
                .map(|(_, word)| *word)
                .collect::<Vec<_>>()
                .join(" "),
            minutes: read(of_minutes, minutes)?,
            hours: read(of_hours, hours)?,
            days: read(of_days, days)?,
            months: read(of_months, months)?,
            weekdays: sunday_once(read(of_weekdays, weekdays)?),
            follows_time: has_star(hours.1),
            wants_both: has_star(days.1) || has_star(weekdays.1),
        };
        match cron.comes() {
            true => Ok(cron),
            false => {
                let why = "no month of those that are named has such a day: this never comes";
                Err(fault(days.0.clone(), why.into()))
            }
        }
    }
}

impl Cron {
    /// Whether any month has such a day.
    fn comes(&self) -> bool {
        let is_there = |month: &u32| {
            let days = (1..=longest_month(*month)).fold(0_u64, |days, day| days | 1 << day);
            self.months & 1 << month != 0 && self.days & days != 0
        };
        !self.wants_both || (1..=12).any(|month| is_there(&month))
    }
}

/// How many days a month has at most.
fn longest_month(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn has_star(word: &str) -> bool {
    word.split(',').any(|part| part.starts_with('*'))
}

fn sunday_once(weekdays: u64) -> u64 {
    (weekdays | weekdays >> 7) & 0x7f
}

/// The words of a text, and where they stand.
fn words(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    for part in text.split([' ', '\t']) {
        if !part.is_empty() {
            words.push((at..at + part.len(), part));
        }
        at += part.len() + 1;
    }
    words
}

fn unknown_word(word: &str) -> String {
    if word.eq_ignore_ascii_case("@reboot") {
        return "@reboot is no time: a schedule outlives reboots".into();
    }
    let known: Vec<&str> = WORDS.iter().map(|(name, _)| *name).collect();
    format!("there is no such word; there are {}", known.join(", "))
}

fn wrong_number(text: &str, words: &[(Range<usize>, &str)]) -> Fault {
    let fields = "minute, hour, day of the month, month and weekday";
    let (at, why) = match (words, words.get(5)) {
        ([], _) => (0..0, format!("it is empty; it has five fields: {fields}")),
        (_, Some((sixth, _))) => {
            let more = "there are no seconds and no years, and the zone is named beside it";
            (
                sixth.start..text.trim_end().len(),
                format!("it has five fields ({fields}), and no sixth: {more}"),
            )
        }
        (few, None) => {
            let end = text.trim_end().len();
            let why = format!("it has {} of five fields: {fields}", few.len());
            (end..end, why)
        }
    };
    Fault {
        text: text.to_owned(),
        at,
        why,
    }
}

/// What is wrong within a word.
type Within = (Range<usize>, String);

impl Field {
    const fn of(
        what: &'static str,
        first: u32,
        last: u32,
        names: &'static [&'static str],
    ) -> Field {
        Field {
            what,
            first,
            last,
            names,
        }
    }

    fn read(&self, word: &str) -> Result<u64, Within> {
        let (mut set, mut at) = (0, 0);
        for part in word.split(',') {
            let read = self.read_part(part);
            set |= read.map_err(|(within, why)| (at + within.start..at + within.end, why))?;
            at += part.len() + 1;
        }
        Ok(set)
    }

    /// `*`, `7`, `1-5`, each perhaps with `/2`.
    fn read_part(&self, part: &str) -> Result<u64, Within> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => (range, Some((range.len() + 1, step))),
        };
        let by = match step {
            None => 1,
            Some((at, step)) => self.step(step).map_err(|why| (at..part.len(), why))?,
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.first, self.last_of_all()),
            (_, Some((from, to))) => {
                let first = self.number(from).map_err(|why| (0..from.len(), why))?;
                let at = from.len() + 1;
                let last = self.number(to).map_err(|why| (at..range.len(), why))?;
                // A week that ends with its Sunday.
                let last = match (self.last, last) {
                    (7, 0) if first > 0 => 7,
                    _ => last,
                };
                if last < first {
                    return Err((
                        0..range.len(),
                        "a range goes from the lower to the higher".into(),
                    ));
                }
                (first, last)
            }
            (_, None) => {
                let from = self.number(range).map_err(|why| (0..range.len(), why))?;
                match step {
                    None => (from, from),
                    Some(_) => (from, self.last_of_all()),
                }
            }
        };
        Ok((from..=to)
            .step_by(by)
            .fold(0, |set, number| set | 1 << number))
    }

    /// `*` has each weekday once.
    fn last_of_all(&self) -> u32 {
        match self.last {
            7 => 6,
            last => last,
        }
    }

    fn step(&self, step: &str) -> Result<usize, String> {
        match whole(step) {
            Some(0) => Err("a step is at least 1".into()),
            Some(by) if by <= self.last => usize::try_from(by).map_err(|e| e.to_string()),
            Some(_) => Err(format!("a step of {} is at most {}", self.what, self.last)),
            None => Err("a step is a number".into()),
        }
    }

    fn number(&self, word: &str) -> Result<u32, String> {
        let named = (self.first..).zip(self.names);
        let mut named = named.filter(|(_, name)| name.eq_ignore_ascii_case(word));
        let number = named
            .next()
            .map(|(number, _)| number)
            .or_else(|| whole(word));
        match number {
            Some(number) if (self.first..=self.last).contains(&number) => Ok(number),
            Some(_) => Err(format!(
                "{} go from {} to {}",
                self.what, self.first, self.last
            )),
            None if word.is_empty() => Err(format!("{} are missing here", self.what)),
            None if self.names.is_empty() => {
                Err(format!("{} are numbers, lists, ranges, or *", self.what))
            }
            None => {
                let names = self.names.join(", ");
                Err(format!("{} are numbers, or {names}", self.what))
            }
        }
    }
}

/// Digits alone: no sign.
fn whole(word: &str) -> Option<u32> {
    let digits = !word.is_empty() && word.len() < 6 && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: impl IntoIterator<Item = u32>) -> u64 {
        numbers.into_iter().fold(0, |set, number| set | 1 << number)
    }

    #[test]
    fn fields_are_read() {
        let cron: Cron = "*/15 1,2-4,20/2 1-31/10 jan,MAR-may mon-fri,7"
            .parse()
            .unwrap();
        assert_eq!(cron.minutes, set([0, 15, 30, 45]));
        assert_eq!(cron.hours, set([1, 2, 3, 4, 20, 22]));
        assert_eq!(cron.days, set([1, 11, 21, 31]));
        assert_eq!(cron.months, set([1, 3, 4, 5]));
        assert_eq!(cron.weekdays, set(0..6));
        assert!(!cron.follows_time && !cron.wants_both);
        let table = [
            ("* * * * *", true, true),
            ("0 */2 1 * 1", true, false),
            ("0 0-23 1 * *", false, true),
            ("0 1,*/3 */2 * 1", true, true),
        ];
        for (text, follows_time, wants_both) in table {
            let cron: Cron = text.parse().unwrap();
            assert_eq!(
                (cron.follows_time, cron.wants_both),
                (follows_time, wants_both),
                "{text}"
            );
        }
        for (text, weekdays) in [
            ("fri-sun", set([0, 5, 6])),
            ("0-7", set(0..7)),
            ("sun", 1),
            ("*/2", set([0, 2, 4, 6])),
        ] {
            let cron: Cron = format!("0 0 * * {text}").parse().unwrap();
            assert_eq!(cron.weekdays, weekdays, "{text}");
        }
    }

    #[test]
    fn words_stand_for_fields_and_spaces_for_one() {
        let daily: Cron = " @DAILY ".parse().unwrap();
        let fields: Cron = "0\t0  * * * ".parse().unwrap();
        assert_eq!(
            (daily.minutes, daily.hours, daily.days),
            (fields.minutes, fields.hours, fields.days)
        );
        assert_eq!(
            (daily.to_string(), fields.to_string()),
            ("@DAILY".into(), "0 0 * * *".into())
        );
    }

    #[test]
    fn what_cannot_be_read_is_marked() {
        let table = [
            ("", "", "^"),
            ("0 25 * * *", "hours go from 0 to 23", "  ^^"),
            (
                "0 0 * * mon-xyz",
                "weekdays are numbers, or sun",
                "            ^^^",
            ),
            ("0 0 0 * *", "days of the month go from 1 to 31", "    ^"),
            ("0,61 0 * * *", "minutes go from 0 to 59", "  ^^"),
            ("*/0 * * * *", "a step is at least 1", "  ^"),
            ("*/x * * * *", "a step is a number", "  ^"),
            ("*/99 * * * *", "a step of minutes is at most 59", "  ^^"),
            ("5-1 * * * *", "from the lower to the higher", "^^^"),
            ("1,,2 * * * *", "minutes are missing", "  ^"),
            ("-5 * * * *", "minutes are missing", "^"),
            ("+5 * * * *", "minutes are numbers", "^^"),
            ("0 0 ? * *", "days of the month are numbers", "    ^"),
            ("0 0 L * *", "days of the month are numbers", "    ^"),
            ("0 0 * *", "it has 4 of five fields", "       ^"),
            ("0 0 0 * * mon", "no seconds", "          ^^^"),
            ("@reboot", "@reboot is no time", "^^^^^^^"),
            ("@often", "there is no such word", "^^^^^^"),
            ("0 0 30 2 *", "this never comes", "    ^^"),
            ("0 0 31 4,6 *", "this never comes", "    ^^"),
            ("é 0 * * *", "minutes are numbers", "^"),
            ("99999999999 0 * * *", "minutes are numbers", "^^^^^^^^^^^"),
        ];
        for (text, why, mark) in table {
            let fault = text.parse::<Cron>().expect_err(text);
            assert!(fault.why().contains(why), "{text}: {}", fault.why());
            assert_eq!(fault.marked(), format!("{text}\n{mark}"));
        }
        assert!("0 0\n* * *".parse::<Cron>().is_err());
        assert!("0 ".repeat(9999).parse::<Cron>().is_err());
        assert!("0 0 29 2 *".parse::<Cron>().is_ok());
        assert!(
            "0 0 30 2 mon".parse::<Cron>().is_ok(),
            "on Mondays of February"
        );
    }
}
