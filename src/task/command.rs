//! What may run: the configured commands, and the way from a task's content to an argv.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::payload::{self, Body, Call, Native, NotNative, Refusal};
use super::retry;
use crate::tube::TubeName;

/// One configured command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its fixed arguments; an element `{command}` stands for the command's name.
    pub run: Vec<String>,
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

/// Every command that may run.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    exact: BTreeMap<String, Arc<Command>>,
    /// By what comes before the `*`.
    prefixes: BTreeMap<String, Arc<Command>>,
    raw: BTreeMap<TubeName, (String, Arc<Command>)>,
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

    /// Gives every body, of whatever form, to one command.
    pub fn take_every_body(&mut self, name: String, command: Command) {
        self.every_body = Some((name, command.into()));
    }

    /// Whether all bodies go to one command unread.
    pub fn takes_every_body(&self) -> bool {
        self.every_body.is_some()
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
            Content::Unread(body) => self.plan_unread(tube, body),
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
    fn plan_unread(&self, tube: &TubeName, body: &Bytes) -> Result<Plan, Refusal> {
        if self.every_body.is_some() {
            return self.plan_raw(tube, body, None);
        }
        match payload::read(body) {
            Body::Refused(refusal) => Err(refusal),
            // What can be run of these has become a call, or was another task's, before it came here.
            Body::Native(Native { uuid, .. }) => Err(Refusal::UuidTaken {
                uuid: uuid.unwrap_or_default(),
            }),
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
    let argv = command.run.iter().map(|element| match element.as_str() {
        payload::COMMAND_ELEMENT => name.into(),
        _ => element.clone(),
    });
    Plan {
        name: name.into(),
        argv: argv.collect(),
        stdin: Some(stdin),
        command: Arc::clone(command),
    }
}
