//! What is run when something has happened: hooks, which only the configuration names.
//!
//! A hook is a task of its own, made in the transaction of what it is for. What it asks for is a call of a name that
//! no body can have, for it begins with an @; its one argument is the event, as JSON. What that runs is looked up in
//! the configuration by the name when the task is claimed, as any other command is.

use std::time::Duration;

use serde_json::Value;

use super::event::What;
use super::payload::HOOK as MARK;
use super::tag::Tag;
use crate::tube::TubeName;

/// As many bytes of a value are in the environment of a hook.
const LONGEST: usize = 4096;

/// What is told of what happens: whether events are kept, and which hooks there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// Events are recorded.
    pub events: bool,
    /// What is run.
    pub hooks: Hooks,
}

impl Default for Telling {
    fn default() -> Telling {
        Telling {
            events: true,
            hooks: Hooks::default(),
        }
    }
}

/// How long events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// None that is older; 0: none at all.
    pub keep: Duration,
    /// And so many at the most.
    pub most: u64,
}

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping {
            keep: Duration::from_secs(7 * 24 * 3600),
            most: 100_000,
        }
    }
}

impl Keeping {
    /// Whether any are kept.
    pub fn is_on(self) -> bool {
        !self.keep.is_zero() && self.most > 0
    }
}

/// All hooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Where their tasks wait; none: there are no hooks.
    pub tube: Option<TubeName>,
    hooks: Vec<Hook>,
    /// A bit for each event that some hook is for.
    wanted: u64,
}

/// What is run for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// For which.
    pub what: What,
    /// Of which tasks.
    pub of: Of,
}

/// Which tasks a hook is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// All of them.
    All,
    /// Those of a command, by its name or a pattern such as `app:*`.
    Command(String),
    /// Those of a tube.
    Tube(TubeName),
    /// Those that have a tag.
    Tag(Tag),
}

/// Of what an event is, as far as hooks ask.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The tube.
    pub tube: Option<&'a str>,
    /// The command.
    pub command: Option<&'a str>,
    /// What the task is called.
    pub tags: &'a [Tag],
}

impl Of {
    fn is_of(&self, subject: &Subject<'_>) -> bool {
        match self {
            Of::All => true,
            Of::Command(pattern) => subject.command.is_some_and(|name| {
                pattern
                    .strip_suffix('*')
                    .map_or(name == pattern, |prefix| name.starts_with(prefix))
            }),
            Of::Tube(tube) => subject.tube == Some(tube.as_str()),
            Of::Tag(tag) => subject.tags.iter().any(|other| tag.means(other)),
        }
    }
}

impl Hook {
    /// What its tasks are called.
    pub fn name(&self) -> String {
        let key = self.what.as_str();
        match &self.of {
            Of::All => format!("{MARK}on_{key}"),
            Of::Command(pattern) => format!("{MARK}commands.{pattern}.on_{key}"),
            Of::Tube(tube) => format!("{MARK}tubes.{tube}.on_{key}"),
            Of::Tag(tag) => format!("{MARK}tags.{tag}.on_{key}"),
        }
    }
}

impl Hook {
    /// Where it stands in the configuration, if that calls it so.
    pub fn key(&self) -> String {
        let key = self.what.as_str();
        match &self.of {
            Of::All => format!("hooks.on_{key}"),
            Of::Command(pattern) => format!("commands.\"{pattern}\".hooks.on_{key}"),
            Of::Tube(tube) => format!("tubes.\"{tube}\".hooks.on_{key}"),
            Of::Tag(tag) => format!("hooks.tags.\"{tag}\".on_{key}"),
        }
    }
}

impl Hooks {
    /// These, whose tasks wait there.
    pub fn new(tube: TubeName, hooks: Vec<Hook>) -> Hooks {
        let bits = hooks.iter().map(|hook| bit(hook.what));
        Hooks {
            tube: (!hooks.is_empty()).then_some(tube),
            wanted: bits.fold(0, |all, bit| all | bit),
            hooks,
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Hook] {
        &self.hooks
    }

    /// Whether any hook is for that: what is asked first, at each event.
    pub fn wants(&self, what: What) -> bool {
        self.wanted & bit(what) != 0
    }

    /// Those for an event.
    pub fn of<'a>(
        &'a self,
        what: What,
        subject: &'a Subject<'_>,
    ) -> impl Iterator<Item = &'a Hook> {
        let hooks = self.hooks.iter();
        hooks.filter(move |hook| hook.what == what && hook.of.is_of(subject))
    }
}

fn bit(what: What) -> u64 {
    1 << (what.number() & 63)
}

/// What a hook finds in its environment beside what all commands find: the event, by its members.
pub fn variables(event: &[u8]) -> Vec<(String, String)> {
    let Ok(Value::Object(members)) = serde_json::from_slice(event) else {
        return Vec::new();
    };
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(all) => {
            let texts = all.iter().filter_map(Value::as_str);
            Some(texts.collect::<Vec<_>>().join(","))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    };
    // Somebody may have edited what the task is given.
    let is_plain = |name: &str| name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let members = members.iter().filter(|(name, _)| is_plain(name));
    let variables = members.filter_map(|(name, value)| {
        let name = match name.as_str() {
            "what" => "TASKQUEUE_EVENT".to_owned(),
            name => format!("TASKQUEUE_EVENT_{}", name.to_ascii_uppercase()),
        };
        let mut text = text(value)?.replace('\0', "\u{fffd}");
        text.truncate(text.floor_char_boundary(LONGEST));
        Some((name, text))
    });
    variables.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(what: What, of: Of) -> Hook {
        Hook { what, of }
    }

    fn tube(name: &str) -> TubeName {
        name.parse().unwrap()
    }

    #[test]
    fn hooks_are_for_what_they_are_for() {
        let hooks = Hooks::new(
            tube("hooks"),
            vec![
                hook(What::Failed, Of::All),
                hook(What::Failed, Of::Command("app:*".into())),
                hook(What::Failed, Of::Tube(tube("mail"))),
                hook(What::Done, Of::Tag("urgent".parse().unwrap())),
                hook(What::Done, Of::Tag("customer=7".parse().unwrap())),
            ],
        );
        assert!(hooks.wants(What::Failed) && hooks.wants(What::Done));
        assert!(!hooks.wants(What::Put) && !hooks.wants(What::WorkerStart));
        let tags: Vec<Tag> = ["urgent=very", "customer=8"]
            .map(|tag| tag.parse().unwrap())
            .into();
        let names = |what, tube, command, tags: &[Tag]| -> Vec<String> {
            let subject = Subject {
                tube,
                command,
                tags,
            };
            hooks.of(what, &subject).map(Hook::name).collect()
        };
        assert_eq!(
            names(What::Failed, Some("mail"), Some("app:send"), &tags),
            [
                "@on_failed",
                "@commands.app:*.on_failed",
                "@tubes.mail.on_failed"
            ]
        );
        assert_eq!(names(What::Failed, None, None, &[]), ["@on_failed"]);
        assert_eq!(
            names(What::Failed, Some("x"), Some("app"), &tags),
            ["@on_failed"]
        );
        assert_eq!(
            names(What::Done, None, None, &tags),
            ["@tags.urgent.on_done"]
        );
        assert_eq!(names(What::Done, None, None, &[]), [""; 0]);
    }

    #[test]
    fn the_event_is_in_the_environment_by_its_members() {
        let event = br#"{"number":7,"what":"failed","task":3,"reason":"no\u0000t","exit_code":null,
            "tags":["a","b=c"]}"#;
        let variables = variables(event);
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(get("TASKQUEUE_EVENT"), Some("failed"));
        assert_eq!(get("TASKQUEUE_EVENT_NUMBER"), Some("7"));
        assert_eq!(get("TASKQUEUE_EVENT_TASK"), Some("3"));
        assert_eq!(get("TASKQUEUE_EVENT_REASON"), Some("no\u{fffd}t"));
        assert_eq!(get("TASKQUEUE_EVENT_EXIT_CODE"), None);
        assert_eq!(get("TASKQUEUE_EVENT_TAGS"), Some("a,b=c"));
        let long = format!(r#"{{"reason":"{}"}}"#, "é".repeat(LONGEST));
        let cut = super::variables(long.as_bytes()).remove(0).1;
        assert_eq!(cut.len(), LONGEST);
        assert_eq!(super::variables(b"[1]"), []);
        assert_eq!(super::variables(br#"{"A=B":"c","X":"y"}"#), []);
    }
}
