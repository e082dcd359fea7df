//! `[limits.NAME]`: how many tasks with something in common may run, or begin.

use super::duration::{millis, parse};
use super::error::{Error, Wrong};
use super::file::{self, File};
use super::producer::is_pattern;
use crate::task::command::Commands;
use crate::task::limit::{BadLimit, Bounds, By, LONGEST_NAME, Limit, MOST, Rate};
use crate::task::payload::OptionName;

/// The longest time that a rate is of: a year.
const LONGEST: i64 = 366 * 86_400_000;

/// Adds the limits of a file to what may run.
pub(super) fn limits(file: &File, commands: &mut Commands, wrong: &Wrong<'_>) -> Result<(), Error> {
    for (name, given) in &file.limits {
        let limit = limit(name, given, commands, &|key, reason| {
            wrong(format!("limits.\"{name}\"{key}"), reason)
        })?;
        commands.add_limit(limit);
    }
    Ok(())
}

type WrongKey<'a> = dyn Fn(&str, String) -> Error + 'a;

fn limit(
    name: &str,
    given: &file::Limit,
    commands: &Commands,
    wrong: &WrongKey<'_>,
) -> Result<Limit, Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        let reason = format!("a limit's name has 1 to {LONGEST_NAME} letters, digits, - _ . and :");
        return Err(wrong("", reason));
    }
    let concurrency = match given.concurrency {
        None => None,
        Some(most) => Some(at_least_one(most).map_err(|why| wrong(".concurrency", why))?),
    };
    let rate = match &given.rate {
        None => None,
        Some(text) => Some(rate(text).map_err(|why| wrong(".rate", why))?),
    };
    if concurrency.is_none() && rate.is_none() {
        let reason = "limits nothing: write concurrency = 2, or rate = \"90/10s\", or both";
        return Err(wrong("", reason.into()));
    }
    let by = match &given.by {
        None => By::Limit,
        Some(text) => text
            .parse()
            .map_err(|why: BadLimit| wrong(".by", why.to_string()))?,
    };
    if let By::Option(option) = &by {
        let known = option.parse::<OptionName>();
        known.map_err(|why| wrong(".by", why.to_string()))?;
    }
    if given.commands.is_empty() && given.tubes.is_empty() {
        let reason = "is of concern to nobody: write commands = [\"…\"], or tubes = [\"…\"], or both; \
                      commands = [\"*\"] are all";
        return Err(wrong("", reason.into()));
    }
    for pattern in &given.commands {
        if !is_pattern(pattern) {
            let reason = format!(
                "{pattern:?} is no command's name: letters, digits, - _ and :, and perhaps a * at its end"
            );
            return Err(wrong(".commands", reason));
        }
        if pattern != "*" && !commands.has(pattern) {
            let reason =
                format!("there is no [commands.\"{pattern}\"], nor one that it stands for");
            return Err(wrong(".commands", reason));
        }
    }
    let tubes = given.tubes.iter().map(|tube| tube.parse());
    let tubes = tubes.collect::<Result<_, crate::tube::BadTubeName>>();
    Ok(Limit {
        name: name.into(),
        bounds: Bounds { concurrency, rate },
        by,
        commands: given.commands.clone(),
        tubes: tubes.map_err(|why| wrong(".tubes", why.to_string()))?,
    })
}

fn at_least_one(number: i64) -> Result<u32, String> {
    let number = u32::try_from(number).ok();
    number
        .filter(|number| (1..=MOST).contains(number))
        .ok_or_else(|| format!("must be from 1 to {MOST}; leave it out for no such limit"))
}

/// `90/10s`
fn rate(text: &str) -> Result<Rate, String> {
    let bad = || BadLimit::Rate { text: text.into() }.to_string();
    let (allowed, per) = text.split_once('/').ok_or_else(bad)?;
    let allowed = allowed.trim().parse().map_err(|_| bad())?;
    let per = millis(parse(per.trim()).map_err(|_| bad())?);
    if !(1..=LONGEST).contains(&per) {
        return Err(format!("{text:?}: the time is from 1ms to a year"));
    }
    Ok(Rate {
        allowed: at_least_one(allowed)?,
        per,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, expected) in [
            ("90/10s", Some((90, 10_000))),
            ("5/1m", Some((5, 60_000))),
            ("5 / 1m", Some((5, 60_000))),
            ("1/2", Some((1, 2_000))),
            ("1/250ms", Some((1, 250))),
            ("0/1s", None),
            ("10001/1s", None),
            ("-1/1s", None),
            ("1/0s", None),
            ("1/400d", None),
            ("1", None),
            ("/1s", None),
            ("1/", None),
            ("1/s", None),
            ("x/1s", None),
        ] {
            let expected = expected.map(|(allowed, per)| Rate { allowed, per });
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
    }
}
