//! What may run: the configured commands, and the way from a task's content to an argv.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::id::AttemptId;
use super::payload::{
    self, Body, Call, Described, Mapping, Native, NotNative, OptionValue, Refusal, TypeName,
};
use super::refused::Keep;
use super::retry;
use crate::tube::TubeName;

/// One configured command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its fixed arguments; an element `{command}` stands for the command's name.
    pub run: Vec<String>,
    /// The program, and its arguments, that ends what an attempt may have left running elsewhere: for a command that is
    /// a client of something else. `{command}` stands for the command's name.
    pub cleanup: Option<Vec<String>>,
    /// How long it may run, whatever its job's TTR.
    pub timeout: Option<Duration>,
    /// When it is tried again.
    pub retry: retry::Rules,
    /// Gets the whole native body on stdin, and nothing of it in its argv, which may be too short for it.
    pub body_on_stdin: bool,
    /// Takes arguments that begin with a hyphen.
    pub dash_arguments: bool,
    /// What becomes of the job of a task that failed.
    pub on_failure: OnFailure,
}

impl Command {
    /// A command with this program and every default.
    pub fn new(run: Vec<String>) -> Command {
        Command {
            run,
            cleanup: None,
            timeout: None,
            retry: retry::Rules::default(),
            body_on_stdin: false,
            dash_arguments: false,
            on_failure: OnFailure::Delete,
        }
    }
}

/// What becomes of the job of a task that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is deleted; the row stays.
    Delete,
    /// It is buried, for tools that look there.
    Bury,
}

/// What a task's row holds to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A named command with its arguments and options.
    Call(Call),
    /// Bytes for the tube's raw command: our own `put --stdin`.
    Raw(Bytes),
    /// A foreign producer's body that has not become a call.
    Unread(Bytes),
}

impl Content {
    /// Roughly how many bytes it takes up.
    pub fn size(&self) -> usize {
        match self {
            Content::Call(call) => {
                let arguments = call.arguments.iter().map(String::len);
                let options = call.options.iter().map(|(_, value)| match value {
                    OptionValue::Text(text) | OptionValue::Number(text) => text.len(),
                    OptionValue::Flag | OptionValue::Off => 0,
                });
                arguments.chain(options).fold(0, usize::saturating_add)
            }
            Content::Raw(body) | Content::Unread(body) => body.len(),
        }
    }
}

/// A command ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The command's name.
    pub name: String,
    /// How it is run.
    pub command: Arc<Command>,
    /// The program, its arguments and options, one element each.
    pub argv: Vec<String>,
    /// What it reads; nothing when `None`.
    pub stdin: Option<Bytes>,
}

/// The cleanup of an attempt that did not come to its end by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleanup {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Its task's identity.
    pub uuid: Uuid,
    /// Its task's tube.
    pub tube: TubeName,
    /// The number of the job that the attempt came by, where that is known.
    pub job: Option<u64>,
    /// The name of the attempt's command.
    pub command: String,
    /// The program and its arguments, one element each.
    pub argv: Vec<String>,
}

impl Plan {
    /// The cleanup of an attempt by this plan, if its command has one.
    pub fn cleanup(
        &self,
        attempt: AttemptId,
        uuid: Uuid,
        tube: &TubeName,
        job: Option<u64>,
    ) -> Option<Arc<Cleanup>> {
        let argv = named(self.command.cleanup.as_ref()?, &self.name);
        Some(Arc::new(Cleanup {
            attempt,
            uuid,
            tube: tube.clone(),
            job,
            command: self.name.clone(),
            argv,
        }))
    }
}

/// Every command that may run.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    exact: BTreeMap<String, Arc<Command>>,
    /// By what comes before the `*`.
    prefixes: BTreeMap<String, Arc<Command>>,
    raw: BTreeMap<TubeName, (String, Arc<Command>)>,
    types: BTreeMap<TypeName, Mapping>,
    max_lost: BTreeMap<TubeName, u32>,
    keep_refused: BTreeMap<TubeName, Keep>,
    every_body: Option<(String, Arc<Command>)>,
}

impl Commands {
    /// Adds a command by its name, or by a pattern such as `app:*`.
    pub fn add(&mut self, pattern: &str, command: Command) {
        match pattern.strip_suffix('*') {
            Some(prefix) => self.prefixes.insert(prefix.into(), command.into()),
            None => self.exact.insert(pattern.into(), command.into()),
        };
    }

    /// All of them, by their names and patterns.
    pub fn configured(&self) -> impl Iterator<Item = (String, &Command)> {
        let exact = self.exact.iter();
        let exact = exact.map(|(name, command)| (name.clone(), command.as_ref()));
        let prefixes = self.prefixes.iter();
        exact.chain(prefixes.map(|(prefix, command)| (format!("{prefix}*"), command.as_ref())))
    }

    /// Gives the raw bodies of a tube to the command of that name. False if there is none.
    #[must_use]
    pub fn take_raw(&mut self, tube: TubeName, name: &str) -> bool {
        match self.find(name).cloned() {
            Some(command) => {
                self.raw.insert(tube, (name.into(), command));
                true
            }
            None => false,
        }
    }

    /// Says how many attempts of a tube's tasks may be lost, where their commands say nothing of it.
    pub fn set_max_lost(&mut self, tube: TubeName, max_lost: u32) {
        self.max_lost.insert(tube, max_lost);
    }

    /// Says how much is kept of what is refused in a tube.
    pub fn set_keep_refused(&mut self, tube: TubeName, keep: Keep) {
        self.keep_refused.insert(tube, keep);
    }

    /// How much is kept of what is refused in a tube.
    pub fn keep_refused(&self, tube: &TubeName) -> Keep {
        self.keep_refused.get(tube).copied().unwrap_or_default()
    }

    /// The rules for a task of a tube; `None`: it may not run, or not any more.
    pub fn rules(&self, tube: &TubeName, plan: Option<&Plan>) -> retry::Rules {
        let rules = plan.map_or_else(retry::Rules::default, |plan| plan.command.retry);
        retry::Rules {
            max_lost: rules.max_lost.or_else(|| self.max_lost.get(tube).copied()),
            ..rules
        }
    }

    /// Says what becomes of bodies of that type. False if there is no such command.
    #[must_use]
    pub fn take_type(&mut self, name: TypeName, mapping: Mapping) -> bool {
        let known = self.find(mapping.command.as_str()).is_some();
        if known {
            self.types.insert(name, mapping);
        }
        known
    }

    /// Reads a body, also one whose type is configured: that is a native one without a uuid then.
    pub fn read(&self, body: &[u8]) -> Body {
        let read = payload::read(body);
        let (Body::Other(_), Some(described)) = (&read, Described::split(body)) else {
            return read;
        };
        match (self.types.get(described.name()), described.type_name()) {
            (Some(mapping), _) => match mapping.call(&described) {
                Ok(call) => Body::Native(Native { uuid: None, call }),
                Err(refusal) => Body::Refused(refusal),
            },
            (None, Some(name)) => Body::Other(NotNative::UnknownType { name }),
            (None, None) => read,
        }
    }

    /// Gives every body, of whatever form, to one command.
    pub fn take_every_body(&mut self, name: String, command: Command) {
        self.every_body = Some((name, command.into()));
    }

    /// Whether all bodies go to one command unread.
    pub fn takes_every_body(&self) -> bool {
        self.every_body.is_some()
    }

    /// Whether a tube has a command for raw bodies.
    pub fn takes_raw(&self, tube: &TubeName) -> bool {
        self.takes_every_body() || self.raw.contains_key(tube)
    }

    /// The command of that name: by its own entry, else by the longest pattern.
    pub fn find(&self, name: &str) -> Option<&Arc<Command>> {
        self.exact.get(name).or_else(|| {
            self.prefixes
                .iter()
                .filter(|(prefix, _)| name.starts_with(prefix.as_str()))
                .max_by_key(|(prefix, _)| prefix.len())
                .map(|(_, command)| command)
        })
    }

    /// Decides how a task's content is run in a tube, or why not.
    pub fn plan(&self, uuid: Uuid, tube: &TubeName, content: &Content) -> Result<Plan, Refusal> {
        match content {
            Content::Call(call) => self.plan_call(uuid, call),
            Content::Raw(body) => self.plan_raw(tube, body, None),
            Content::Unread(body) => self.plan_unread(uuid, tube, body),
        }
    }

    fn plan_call(&self, uuid: Uuid, call: &Call) -> Result<Plan, Refusal> {
        if let Some((name, command)) = &self.every_body {
            return Ok(fed(name, command, call.to_body(uuid).into()));
        }
        let name = call.command.as_str();
        let command = self.find(name).ok_or_else(|| Refusal::NotConfigured {
            command: name.into(),
        })?;
        if command.body_on_stdin {
            return Ok(fed(name, command, call.to_body(uuid).into()));
        }
        Ok(Plan {
            name: name.into(),
            argv: payload::argv(call, &command.run, command.dash_arguments)?,
            stdin: None,
            command: Arc::clone(command),
        })
    }

    /// Everybody else's body, which may say in itself what it is.
    fn plan_unread(&self, task: Uuid, tube: &TubeName, body: &Bytes) -> Result<Plan, Refusal> {
        if self.every_body.is_some() {
            return self.plan_raw(tube, body, None);
        }
        match self.read(body) {
            Body::Refused(refusal) => Err(refusal),
            // It could not be read when its job came, and another configuration reads it.
            Body::Native(Native { uuid: None, call }) => self.plan_call(task, &call),
            // What can be run of these has become a call, or was another task's, before it came here.
            Body::Native(Native {
                uuid: Some(uuid), ..
            }) => Err(Refusal::UuidTaken { uuid }),
            Body::Pointer(pointer) => Err(Refusal::UuidTaken { uuid: pointer.uuid }),
            Body::Other(why) => self.plan_raw(tube, body, Some(why)),
        }
    }

    fn plan_raw(
        &self,
        tube: &TubeName,
        body: &Bytes,
        why: Option<NotNative>,
    ) -> Result<Plan, Refusal> {
        let (name, command) = self
            .every_body
            .as_ref()
            .or_else(|| self.raw.get(tube))
            .ok_or_else(|| Refusal::NoRawCommand {
                tube: tube.to_string(),
                why,
            })?;
        Ok(fed(name, command, body.clone()))
    }
}

/// A command that reads what it is to do.
fn fed(name: &str, command: &Arc<Command>, stdin: Bytes) -> Plan {
    Plan {
        name: name.into(),
        argv: named(&command.run, name),
        stdin: Some(stdin),
        command: Arc::clone(command),
    }
}

/// What is configured to be started, with the command's name where that is to stand.
fn named(configured: &[String], name: &str) -> Vec<String> {
    let elements = configured.iter().map(|element| match element.as_str() {
        payload::COMMAND_ELEMENT => name.into(),
        _ => element.clone(),
    });
    elements.collect()
}

#[cfg(test)]
mod tests {
    use super::super::payload::OptionName;
    use super::*;

    const BODY: &[u8] = br#"Acme\Task::{"taskIdentifier":"12","message":"hello","wait":"1"}"#;

    fn commands(with_type: bool) -> Commands {
        let mut commands = Commands::default();
        commands.add("example", Command::new(vec!["run".into()]));
        commands.add("raw", Command::new(vec!["cat".into()]));
        assert!(commands.take_raw("raw".parse().unwrap(), "raw"));
        let message: OptionName = "message".parse().unwrap();
        let mapping = |command: &str| Mapping {
            command: command.parse().unwrap(),
            arguments: vec!["wait".into()],
            options: vec![(message.clone(), "message".into())],
        };
        assert!(!commands.take_type("Other".parse().unwrap(), mapping("missing")));
        if with_type {
            assert!(commands.take_type(r"Acme\Task".parse().unwrap(), mapping("example")));
        }
        commands
    }

    fn plan(commands: &Commands, tube: &str, body: &'static [u8]) -> Result<Plan, String> {
        let content = Content::Unread(Bytes::from_static(body));
        let plan = commands.plan(Uuid::max(), &tube.parse().unwrap(), &content);
        plan.map_err(|refusal| refusal.to_string())
    }

    /// As of a task that was refused, when its type was configured after that.
    #[test]
    fn a_body_of_a_configured_type_runs_in_any_tube() {
        for tube in ["native", "raw"] {
            let plan = plan(&commands(true), tube, BODY).unwrap();
            assert_eq!(plan.name, "example");
            assert_eq!(plan.argv, ["run", "1", "--message=hello"]);
            assert_eq!(plan.stdin, None);
            let cut = super::tests::plan(&commands(true), tube, br#"Acme\Task::{"wait":"#);
            let reason = cut.unwrap_err();
            assert!(reason.starts_with("what follows the body's type is not JSON"));
        }
    }

    #[test]
    fn a_body_of_another_type_is_raw_or_refused() {
        let raw = plan(&commands(false), "raw", BODY).unwrap();
        assert_eq!(
            (raw.name.as_str(), raw.stdin.as_deref()),
            ("raw", Some(BODY))
        );
        assert_eq!(
            plan(&commands(false), "native", BODY).unwrap_err(),
            "the body's type is not configured; add [types.\"Acme\\\\Task\"] to run it; and tube native has no \
             command for raw bodies"
        );
        let code = plan(&commands(true), "native", b"std::move(x)").unwrap_err();
        assert!(code.starts_with("not JSON"), "{code}");
    }

    #[test]
    fn one_command_for_every_body_gets_those_of_a_type_too() {
        let mut commands = commands(true);
        commands.take_every_body("all".into(), Command::new(vec!["cat".into()]));
        let plan = plan(&commands, "native", BODY).unwrap();
        assert_eq!(
            (plan.name.as_str(), plan.stdin.as_deref()),
            ("all", Some(BODY))
        );
    }
}
