//! How a task's content is run in a tube, or why not.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Command, Commands, Content, Options, Plan, named, options, pattern};
use crate::task::own::Own;
use crate::task::payload::{self, Body, Call, CommandName, Native, NotNative, Refusal};
use crate::tube::TubeName;

impl Commands {
    /// Whether tasks of a tube may ask for the command of that name.
    fn may_run_in(&self, tube: &TubeName, name: &str) -> bool {
        let Some(patterns) = self.scopes.get(tube) else {
            return true;
        };
        patterns.iter().any(|pattern| pattern::is_of(pattern, name))
    }

    /// What the configuration calls the command of that name by: its own entry, else the longest pattern.
    fn table(&self, name: &str) -> Option<String> {
        let configured = self.configured().map(|(table, _)| table);
        let of_it = configured.filter(|table| pattern::is_of(table, name));
        // Its own name is shorter than a pattern only where the pattern is that name and a *.
        of_it.max_by_key(|table| (!table.ends_with('*'), table.len()))
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
            Content::Call(call) => self.plan_call(uuid, tube, call),
            Content::Raw(body) => self.plan_raw(tube, body, None),
            Content::Unread(body) => self.plan_unread(uuid, tube, body),
        }
    }

    /// That a command is not configured.
    pub fn want_of(&self, command: &str) -> Option<Refusal> {
        self.find(command)
            .is_none()
            .then(|| Refusal::NotConfigured {
                command: command.into(),
            })
    }

    /// The same of a task that says something of its own attempts.
    pub fn plan_with(
        &self,
        uuid: Uuid,
        tube: &TubeName,
        content: &Content,
        own: Option<&Own>,
    ) -> Result<Plan, Refusal> {
        let plan = self.plan(uuid, tube, content)?;
        self.with(plan, own, tube)
    }

    fn with(&self, plan: Plan, own: Option<&Own>, tube: &TubeName) -> Result<Plan, Refusal> {
        let Some(own) = own else {
            return Ok(plan);
        };
        match plan.command.with(own, tube) {
            Ok(command) => Ok(Plan {
                command: command.into(),
                ..plan
            }),
            Err(out) => Err(Refusal::OutOfBounds {
                table: self.table(&plan.name).unwrap_or_else(|| plan.name.clone()),
                command: plan.name,
                out: Box::new(out),
            }),
        }
    }

    fn plan_call(&self, uuid: Uuid, tube: &TubeName, call: &Call) -> Result<Plan, Refusal> {
        if CommandName::is_a_hook(call.command.as_str()) {
            return self.plan_hook(call);
        }
        if self.chooses_for(tube) {
            return self.plan_raw(tube, &call.to_body(uuid).into(), None);
        }
        let name = call.command.as_str();
        let command = self.find(name).ok_or_else(|| Refusal::NotConfigured {
            command: name.into(),
        })?;
        if !self.may_run_in(tube, name) {
            return Err(Refusal::NotInTube {
                command: name.into(),
                tube: tube.to_string(),
            });
        }
        self.check_options(call, command)?;
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

    /// How a hook's task is run. What it runs is configured, and nothing that a row says is in its argv.
    fn plan_hook(&self, call: &Call) -> Result<Plan, Refusal> {
        let name = call.command.as_str();
        let command = self.hooks.get(name);
        let command = command.ok_or_else(|| Refusal::NotConfigured {
            command: name.into(),
        })?;
        let event = call.arguments.first().map(payload::Argument::as_str);
        Ok(fed(
            name,
            command,
            event.unwrap_or_default().to_owned().into(),
        ))
    }

    fn check_options(&self, call: &Call, command: &Command) -> Result<(), Refusal> {
        if call.options.is_empty() || command.options == Options::Any {
            return Ok(());
        }
        let name = call.command.as_str();
        let table = self.table(name).unwrap_or_else(|| name.into());
        let given = self.given.get(&call.command);
        options::check(call, &table, &command.options, given)
    }

    /// Everybody else's body, which may say in itself what it is.
    fn plan_unread(&self, task: Uuid, tube: &TubeName, body: &Bytes) -> Result<Plan, Refusal> {
        if self.chooses_for(tube) {
            return self.plan_raw(tube, body, None);
        }
        match self.read(body) {
            Body::Refused(refusal) => Err(refusal),
            // It could not be read when its job came, and another configuration reads it.
            Body::Native(Native {
                uuid: None,
                call,
                own,
                ..
            }) => self.with(self.plan_call(task, tube, &call)?, own.as_deref(), tube),
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
