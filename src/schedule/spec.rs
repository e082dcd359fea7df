//! What a schedule is: when it comes, what is done when that did not go as planned, and what it makes.
//!
//! All of it is kept as JSON in a row of the store, and read from there by whoever fires: a row of a later version, or
//! one that somebody has written by hand, may make no sense, and then says what is wrong with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::made_key::key_of;
use crate::task::own::Own;
use crate::task::payload::Call;
use crate::task::tag::Tag;
use crate::task::unique::{IfExists, Key, Scope, Unique};
use crate::tube::TubeName;

/// No two times of `every` are closer, in milliseconds.
pub const SHORTEST: Millis = 1000;

/// So many times are made up for at most, unless it is said how many.
pub const USUAL_LIMIT: u32 = 100;

/// And so many if it is said.
pub const LARGEST_LIMIT: u32 = 1000;

/// A schedule, without its name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// When it comes.
    pub timing: Timing,
    /// What is done when that did not go as planned.
    pub rules: Rules,
    /// What it makes.
    pub template: Template,
}

/// When a schedule comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// By the calendar.
    Cron {
        /// The expression.
        cron: Cron,
        /// By the clock of this zone, or else of the machine's.
        zone: Option<String>,
    },
    /// Again and again.
    Every {
        /// So many milliseconds lie between two times; none: at once again.
        period: Millis,
        /// From where they are counted.
        from: From,
        /// The first time; or else it is when the schedule is made.
        first: Option<Millis>,
    },
    /// Once.
    At(Millis),
}

/// From where an interval is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// From the time before, whatever became of it.
    Start,
    /// From the end of the task before, with all its attempts.
    End,
}

/// What is done when it did not go as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// With times that passed while nobody looked.
    pub missed: Missed,
    /// Of these at most so many, the newest.
    pub limit: u32,
    /// And none that passed longer ago, in milliseconds.
    pub window: Option<Millis>,
    /// With a time that comes while a task of the schedule has not ended.
    pub overlap: Overlap,
    /// It fires up to so many milliseconds late, by its name.
    pub jitter: Millis,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            missed: Missed::One,
            limit: USUAL_LIMIT,
            window: None,
            overlap: Overlap::Skip,
            jitter: 0,
        }
    }
}

/// What is done with times that passed while nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// The newest is made up for, for all of them.
    One,
    /// None is.
    Skip,
    /// Each is.
    All,
}

/// What is done with a time that comes while a task of the schedule has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is passed over.
    Skip,
    /// It fires all the same.
    Allow,
    /// One waits until the others have ended.
    Queue,
}

/// What a schedule makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Into which tube.
    pub tube: TubeName,
    /// What to run.
    pub content: Content,
    /// The jobs' priority.
    pub priority: u32,
    /// Their TTR in seconds.
    pub ttr: u32,
    /// What the tasks are called.
    pub tags: Vec<Tag>,
    /// What they say of their own attempts.
    pub own: Option<Box<Own>>,
    /// That none is made while another task has its key.
    pub unique: Option<Unique>,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missed::One => "one",
            Missed::Skip => "skip",
            Missed::All => "all",
        })
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Overlap::Skip => "skip",
            Overlap::Allow => "allow",
            Overlap::Queue => "queue",
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTiming {
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<From>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Millis>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRules {
    missed: Missed,
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Millis>,
    overlap: Overlap,
    jitter: Millis,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTemplate {
    tube: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// As they stand in a task's row.
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    priority: u32,
    ttr: u32,
    tags: Vec<String>,
    /// As it stands in a task's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<WrittenUnique>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUnique {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(rename = "while")]
    scope: String,
    if_exists: String,
}

impl WrittenUnique {
    fn of(unique: &Unique) -> WrittenUnique {
        WrittenUnique {
            key: unique.key.as_ref().map(Key::to_string),
            scope: unique.scope.to_string(),
            if_exists: unique.if_exists.to_string(),
        }
    }

    fn read(self) -> Result<Unique, String> {
        let key = self.key.map(|key| key.parse::<Key>());
        Ok(Unique {
            key: key.transpose().map_err(|why| why.to_string())?,
            scope: self.scope.parse::<Scope>()?,
            if_exists: self.if_exists.parse::<IfExists>()?,
        })
    }
}

impl Timing {
    /// As it stands in a row.
    pub fn written(&self) -> String {
        let mut written = WrittenTiming {
            cron: None,
            zone: None,
            every: None,
            from: None,
            at: None,
        };
        match self {
            Timing::Cron { cron, zone } => {
                (written.cron, written.zone) = (Some(cron.to_string()), zone.clone());
            }
            Timing::Every {
                period,
                from,
                first,
            } => {
                (written.every, written.from, written.at) = (Some(*period), Some(*from), *first);
            }
            Timing::At(at) => written.at = Some(*at),
        }
        json(&written)
    }

    /// Reads what stands in a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(written: &str) -> Result<Timing, String> {
        let written: WrittenTiming = read(written)?;
        match written {
            WrittenTiming {
                cron: Some(cron),
                zone,
                every: None,
                from: None,
                at: None,
            } => {
                let cron = cron
                    .parse()
                    .map_err(|fault: super::cron::Fault| fault.to_string())?;
                Ok(Timing::Cron { cron, zone })
            }
            WrittenTiming {
                cron: None,
                zone: None,
                every: Some(period),
                from: Some(from),
                at: first,
            } if period >= SHORTEST || (period == 0 && from == From::End) => Ok(Timing::Every {
                period,
                from,
                first,
            }),
            WrittenTiming {
                cron: None,
                zone: None,
                every: None,
                from: None,
                at: Some(at),
            } => Ok(Timing::At(at)),
            _ => Err("it says no time that there is, or more than one".into()),
        }
    }
}

impl Rules {
    /// As they stand in a row.
    pub fn written(&self) -> String {
        let Rules {
            missed,
            limit,
            window,
            overlap,
            jitter,
        } = *self;
        json(&WrittenRules {
            missed,
            limit,
            window,
            overlap,
            jitter,
        })
    }

    /// Reads what stands in a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(written: &str) -> Result<Rules, String> {
        let WrittenRules {
            missed,
            limit,
            window,
            overlap,
            jitter,
        } = read(written)?;
        if jitter < 0 || window.is_some_and(|window| window < 0) {
            return Err("a time is below zero".into());
        }
        Ok(Rules {
            missed,
            limit: limit.clamp(1, LARGEST_LIMIT),
            window,
            overlap,
            jitter,
        })
    }
}

impl Template {
    /// As it stands in a row.
    pub fn written(&self) -> String {
        let (command, arguments, options, body) = match &self.content {
            Content::Call(call) => (
                Some(call.command.to_string()),
                Some(call.arguments_json()),
                Some(call.options_json()),
                None,
            ),
            Content::Raw(body) | Content::Unread(body) => (
                None,
                None,
                None,
                Some(String::from_utf8_lossy(body).into_owned()),
            ),
        };
        json(&WrittenTemplate {
            tube: self.tube.to_string(),
            command,
            arguments,
            options,
            body,
            priority: self.priority,
            ttr: self.ttr,
            tags: self.tags.iter().map(ToString::to_string).collect(),
            own: self.own.as_ref().map(|own| own.written()),
            unique: self.unique.as_ref().map(WrittenUnique::of),
        })
    }

    /// The key that its tasks have, if they are to have one.
    pub fn key(&self) -> Option<Key> {
        let unique = self.unique.as_ref()?;
        let made = || key_of(&self.content, self.own.as_deref(), &self.tube);
        Some(unique.key.clone().unwrap_or_else(made))
    }

    /// Reads what stands in a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(written: &str) -> Result<Template, String> {
        let written: WrittenTemplate = read(written)?;
        let content = match (written.command, written.body) {
            (Some(command), None) => {
                let arguments = written.arguments.as_deref().unwrap_or("[]");
                let options = written.options.as_deref().unwrap_or("{}");
                let call = Call::from_parts(&command, arguments, options);
                Content::Call(call.map_err(|refusal| refusal.to_string())?)
            }
            (None, Some(body)) => Content::Raw(body.into()),
            (Some(_), Some(_)) => return Err("it asks for a command and for a body".into()),
            (None, None) => return Err("it asks for nothing".into()),
        };
        let tags = written.tags.iter().map(|tag| tag.parse());
        Ok(Template {
            tube: written
                .tube
                .parse()
                .map_err(|e: crate::tube::BadTubeName| e.to_string())?,
            content,
            priority: written.priority,
            ttr: written.ttr.max(1),
            tags: tags
                .collect::<Result<_, crate::task::tag::BadTag>>()
                .map_err(|why| why.to_string())?,
            own: match written.own {
                Some(own) => Some(Box::new(Own::read(&own)?)),
                None => None,
            },
            unique: written.unique.map(WrittenUnique::read).transpose()?,
        })
    }
}

/// None of what is written can fail to be: there are no keys but texts.
fn json(written: &impl Serialize) -> String {
    serde_json::to_string(written).unwrap_or_default()
}

fn read<'a, T: Deserialize<'a>>(written: &'a str) -> Result<T, String> {
    serde_json::from_str(written).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let timings = [
            Timing::Cron {
                cron: "*/5 2 * * mon".parse().unwrap(),
                zone: Some("Europe/Berlin".into()),
            },
            Timing::Every {
                period: 90_000,
                from: From::Start,
                first: Some(5),
            },
            Timing::Every {
                period: 0,
                from: From::End,
                first: None,
            },
            Timing::At(7),
        ];
        for timing in timings {
            assert_eq!(Timing::read(&timing.written()), Ok(timing));
        }
        let rules = Rules {
            missed: Missed::All,
            limit: 3,
            window: Some(9),
            overlap: Overlap::Queue,
            jitter: 4,
        };
        assert_eq!(Rules::read(&rules.written()), Ok(rules));
        let call = Call::from_parts("a:b", r#"["1",2]"#, r#"{"z":true,"a":"x"}"#).unwrap();
        for content in [Content::Call(call), Content::Raw("body".into())] {
            let template = Template {
                tube: "t".parse().unwrap(),
                content,
                priority: 7,
                ttr: 60,
                own: Some(Box::new(Own {
                    max_attempts: Some(crate::task::retry::Attempts::Endless),
                    ..Own::default()
                })),
                tags: vec!["k=v".parse().unwrap()],
                unique: None,
            };
            for unique in [
                None,
                Some(Unique::default()),
                Some(Unique {
                    key: Some("k".parse().unwrap()),
                    scope: Scope::For(90_001),
                    if_exists: IfExists::Refuse,
                }),
            ] {
                let template = Template {
                    unique,
                    ..template.clone()
                };
                assert_eq!(Template::read(&template.written()), Ok(template));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_says_so() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"cron":"* * *"}"#,
            r#"{"cron":"* * * * *","at":1}"#,
            r#"{"every":1,"from":"start"}"#,
            r#"{"every":0,"from":"start"}"#,
            r#"{"every":5000}"#,
            r#"{"zone":"UTC"}"#,
            r#"{"later":1}"#,
        ] {
            assert!(Timing::read(bad).is_err(), "{bad}");
        }
        assert!(Rules::read(r#"{"missed":"some","limit":1,"overlap":"skip","jitter":0}"#).is_err());
        assert!(Template::read(r#"{"tube":"t","priority":1,"ttr":1,"tags":[]}"#).is_err());
    }
}
