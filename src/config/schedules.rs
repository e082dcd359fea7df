//! `[schedules.NAME]`, and the same from the flags of `taskqueue schedule add`.

use std::time::Duration;

use toml::Spanned;
use uuid::Uuid;

use super::duration::{Span, millis};
use super::error::{Error, Wrong};
pub use super::every::Every;
use super::file::{File, Schedule};
use crate::schedule::cron::{Cron, Fault};
use crate::schedule::spec::{From, LARGEST_LIMIT, Missed, Overlap, Rules, Spec, Template, Timing};
use crate::task::Millis;
use crate::task::command::{Commands, Content};
use crate::task::own::Own;
use crate::task::payload::{Argument, Call, OptionName, OptionValue, Refusal};
use crate::task::retry::Waits;
use crate::task::tag::{self, BadTag, Tag};
use crate::task::unique::{BadKey, Unique};
use crate::tube::{BadTubeName, TubeName};
use crate::zone::Zone;

/// As a job has them unless it is said otherwise.
const PRIORITY: u32 = 1024;
const TTR: u32 = 60;

/// A name has at most so many bytes.
const LONGEST_NAME: usize = 100;

/// When it comes, as it is given.
#[derive(Debug, Clone, Default)]
pub struct GivenTiming {
    /// An expression.
    pub cron: Option<String>,
    /// By the clock of that zone.
    pub zone: Option<String>,
    /// An interval.
    pub every: Option<Every>,
    /// From where it is counted.
    pub from: Option<From>,
    /// A time.
    pub at: Option<String>,
}

/// What is done when it did not go as planned, as it is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenRules {
    /// With times that were missed.
    pub missed: Option<Missed>,
    /// So many of them.
    pub limit: Option<u32>,
    /// None older than that.
    pub window: Option<Duration>,
    /// With times that come too early.
    pub overlap: Option<Overlap>,
    /// By how much it may be late.
    pub jitter: Option<Duration>,
}

/// A key, and what is wrong with it.
type Bad = (&'static str, String);

fn bad(key: &'static str) -> impl Fn(String) -> Bad {
    move |why| (key, why)
}

impl GivenTiming {
    /// What that comes to. `words`: a time may be said in words, which mean something else tomorrow.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn timing(self, now: Millis, words: bool) -> Result<Timing, Bad> {
        let GivenTiming {
            cron,
            zone,
            every,
            from,
            at,
        } = self;
        let read_at = |at: String| {
            let zone = Zone::of(zone.as_deref()).map_err(bad("zone"))?;
            let is_date =
                at.trim_start().starts_with(|c: char| c.is_ascii_digit()) && at.contains('-');
            if !words && !is_date {
                let why = format!(
                    "'{at}' is no date and time: write one such as 2026-12-24T18:00:00+01:00"
                );
                return Err(("at", why));
            }
            zone.read(&at, now).map_err(bad("at"))
        };
        match (cron, every, at) {
            (Some(cron), None, None) => {
                if from.is_some() {
                    return Err(("from", "goes with every, and not with cron".into()));
                }
                let cron: Cron = cron
                    .parse()
                    .map_err(|fault: Fault| ("cron", fault.to_string()))?;
                let known = Zone::of(zone.as_deref()).map_err(bad("zone"))?;
                // By its name, for all who read the row: their own zones may be others.
                let named = || {
                    known
                        .name()
                        .filter(|name| Zone::named(name).is_ok())
                        .map(str::to_owned)
                };
                let zone = zone.or_else(named);
                Ok(Timing::Cron { cron, zone })
            }
            (None, Some(Every(period)), first) => {
                if period == 0 && from == Some(From::Start) {
                    let why = "at once again is counted from the end: write from = \"end\", or leave it out";
                    return Err(("from", why.into()));
                }
                let usual = if period == 0 { From::End } else { From::Start };
                let first = first.map(read_at).transpose()?;
                if zone.is_some() && first.is_none() {
                    return Err((
                        "zone",
                        "goes with cron or at, and not with every alone".into(),
                    ));
                }
                Ok(Timing::Every {
                    period,
                    from: from.unwrap_or(usual),
                    first,
                })
            }
            (None, None, Some(at)) => match from {
                Some(_) => Err(("from", "goes with every, and not with at".into())),
                None => Ok(Timing::At(read_at(at)?)),
            },
            (None, None, None) => Err(("", "says no time: give it cron, every or at".into())),
            (Some(_), _, _) => Err(("cron", "goes neither with every nor with at".into())),
        }
    }
}

impl GivenRules {
    /// What that comes to.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn rules(self) -> Result<Rules, Bad> {
        let usual = Rules::default();
        let missed = self.missed.unwrap_or(usual.missed);
        if let Some(limit) = self.limit {
            if missed != Missed::All {
                return Err(("limit", "goes with missed = \"all\"".into()));
            }
            if !(1..=LARGEST_LIMIT).contains(&limit) {
                return Err(("limit", format!("is 1 to {LARGEST_LIMIT}")));
            }
        }
        if self.window.is_some() && missed == Missed::Skip {
            return Err(("window", "goes with missed = \"one\" or \"all\"".into()));
        }
        Ok(Rules {
            missed,
            limit: self.limit.unwrap_or(usual.limit),
            window: self.window.map(millis),
            overlap: self.overlap.unwrap_or(usual.overlap),
            jitter: self.jitter.map_or(0, millis),
        })
    }
}

/// Whether a schedule can be called so.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_right = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    match !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.chars().all(is_right)
        && !name.starts_with('-')
    {
        true => Ok(()),
        false => Err(format!(
            "a schedule's name has letters, digits, - _ . and :, no hyphen first, and at most {LONGEST_NAME} bytes"
        )),
    }
}

/// Whether what it makes may run, by these commands.
///
/// # Errors
/// Why not.
pub fn check_template(template: &Template, commands: &Commands) -> Result<(), String> {
    let planned = commands.plan_with(
        Uuid::nil(),
        &template.tube,
        &template.content,
        template.own.as_deref(),
    );
    planned.map(drop).map_err(|refusal| refusal.to_string())
}

/// All of the file's, by their names.
pub(super) fn schedules(
    file: &File,
    commands: &Commands,
    now: Millis,
    wrong: &Wrong<'_>,
) -> Result<Vec<(String, Spec)>, Error> {
    let mut schedules = Vec::with_capacity(file.schedules.len());
    for (name, given) in &file.schedules {
        let key = |key: &str| match key {
            "" => format!("schedules.\"{name}\""),
            key => format!("schedules.\"{name}\".{key}"),
        };
        check_name(name).map_err(|why| wrong(key(""), why))?;
        let spec = spec(given, now).map_err(|(at, why)| wrong(key(at), why))?;
        check_template(&spec.template, commands).map_err(|why| wrong(key("command"), why))?;
        schedules.push((name.clone(), spec));
    }
    Ok(schedules)
}

fn spec(given: &Schedule, now: Millis) -> Result<Spec, Bad> {
    let timing = GivenTiming {
        cron: given.cron.clone(),
        zone: given.zone.clone(),
        every: given.every,
        from: given.from,
        at: match &given.at {
            None => None,
            Some(toml::Value::String(text)) => Some(text.clone()),
            Some(toml::Value::Datetime(time)) => Some(time.to_string()),
            Some(_) => return Err(("at", "is a date and time, or one in quotes".into())),
        },
    };
    let rules = GivenRules {
        missed: given.missed,
        limit: given.limit,
        window: given.window.map(|span| span.0),
        overlap: given.overlap,
        jitter: given.jitter.map(|span| span.0),
    };
    Ok(Spec {
        timing: timing.timing(now, false)?,
        rules: rules.rules()?,
        template: template(given)?,
    })
}

fn template(given: &Schedule) -> Result<Template, Bad> {
    let tube: TubeName = match &given.tube {
        Some(tube) => tube
            .parse()
            .map_err(|why: BadTubeName| ("tube", why.to_string()))?,
        None => {
            return Err((
                "",
                "says no tube: write tube = \"…\", whose workers are to run it".into(),
            ));
        }
    };
    let content = match (&given.command, &given.body) {
        (Some(command), None) => Content::Call(call(command, given)?),
        (None, Some(body)) if given.arguments.is_empty() && given.options.is_empty() => {
            Content::Raw(body.clone().into())
        }
        (None, Some(_)) => return Err(("body", "has neither arguments nor options".into())),
        (Some(_), Some(_)) => {
            return Err((
                "body",
                "goes to the tube's own command: leave out command".into(),
            ));
        }
        (None, None) => return Err(("", "makes nothing: give it a command, or a body".into())),
    };
    let tags: Result<Vec<Tag>, BadTag> = given.tags.iter().map(|tag| tag.parse()).collect();
    Ok(Template {
        tube,
        content,
        priority: given.priority.unwrap_or(PRIORITY),
        ttr: given.ttr.map_or(TTR, |Span(ttr)| {
            u32::try_from(ttr.as_secs()).unwrap_or(u32::MAX).max(1)
        }),
        tags: tags
            .and_then(tag::of_a_task)
            .map_err(|why| ("tags", why.to_string()))?,
        own: own(given)?.map(Box::new),
        unique: match &given.unique {
            Some(value) => unique(value).map_err(bad("unique"))?,
            None => None,
        },
    })
}

/// `true`, a key, or a table, as native bodies have it.
fn unique(value: &toml::Value) -> Result<Option<Unique>, String> {
    const WANTED: &str = "is true, a key, or a table with key, while and if_exists";
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    let table = match value {
        toml::Value::Boolean(is_wanted) => return Ok(is_wanted.then(Unique::default)),
        toml::Value::String(key) => {
            let key = key.parse().map_err(|why: BadKey| why.to_string())?;
            return Ok(Some(Unique {
                key: Some(key),
                ..Unique::default()
            }));
        }
        toml::Value::Table(table) => table,
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_) => return Err(WANTED.into()),
    };
    let mut unique = Unique::default();
    for (name, value) in table {
        let value = text(value).ok_or_else(|| format!("its {name} is no text"))?;
        match name.as_str() {
            "key" => unique.key = Some(value.parse().map_err(|why: BadKey| why.to_string())?),
            "while" => unique.scope = value.parse()?,
            "if_exists" => unique.if_exists = value.parse()?,
            _ => return Err(format!("{WANTED}; it has {name}")),
        }
    }
    Ok(Some(unique))
}

fn own(given: &Schedule) -> Result<Option<Own>, Bad> {
    let mut own = Own {
        max_attempts: given.max_attempts.map(|often| often.0),
        timeout: given.timeout.map(|span| span.0),
        ..Own::default()
    };
    if let Some(waits) = &given.retry {
        let waits: Vec<Duration> = waits.iter().map(|span| span.0).collect();
        own.waits = Some(Waits::new(&waits).map_err(|bad| ("retry", bad.to_string()))?);
    }
    for (name, value) in &given.env {
        let added = own.add_variable(name, value.clone());
        added.map_err(|bad| ("env", bad.to_string()))?;
    }
    own.checked().map_err(|bad| ("", bad.to_string()))
}

fn call(command: &str, given: &Schedule) -> Result<Call, Bad> {
    let refused = |key: &'static str| move |refusal: Refusal| (key, refusal.to_string());
    let mut arguments = Vec::with_capacity(given.arguments.len());
    for argument in &given.arguments {
        arguments.push(match argument {
            toml::Value::String(text) => Argument::of_text(text.clone()),
            toml::Value::Integer(number) => Argument::of_text(number.to_string()),
            toml::Value::Float(number) if number.is_finite() => {
                Argument::of_text(number.to_string())
            }
            _ => return Err(("arguments", "are strings and numbers".into())),
        });
    }
    let mut in_order: Vec<(usize, OptionName, OptionValue)> =
        Vec::with_capacity(given.options.len());
    for (name, value) in &given.options {
        let name: OptionName = name.parse().map_err(refused("options"))?;
        in_order.push((value.span().start, name, option(value)?));
    }
    // As they were written: a table has no order of its own.
    in_order.sort_by_key(|(at, ..)| *at);
    let call = Call {
        command: command.parse().map_err(refused("command"))?,
        arguments,
        options: in_order
            .into_iter()
            .map(|(_, name, value)| (name, value))
            .collect(),
    };
    // As strict as with what is put.
    Call::from_parts(command, &call.arguments_json(), &call.options_json())
        .map_err(refused("arguments"))
}

fn option(value: &Spanned<toml::Value>) -> Result<OptionValue, Bad> {
    match value.get_ref() {
        toml::Value::String(text) => Ok(OptionValue::Text(text.clone())),
        toml::Value::Integer(number) => Ok(OptionValue::Number(number.to_string())),
        toml::Value::Float(number) if number.is_finite() => {
            Ok(OptionValue::Number(number.to_string()))
        }
        toml::Value::Boolean(true) => Ok(OptionValue::Flag),
        toml::Value::Boolean(false) => Ok(OptionValue::Off),
        _ => Err(("options", "are strings, numbers, true or false".into())),
    }
}
