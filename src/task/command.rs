//! What may run: the configured commands, and the way from a task's content to an argv.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::conditions::{ByTube, Conditions};
use super::hooks::{Hook, Telling};
use super::id::AttemptId;
use super::limit::Limit;
use super::own::{Bounds, OutOfBounds, Own};
use super::payload::{
    self, Body, Call, CommandName, Described, Mapping, Native, NotNative, OptionValue, Refusal,
    TypeName,
};
use super::refused::Keep;
use super::retry::{self, Next};
use super::state::Outcome;
use crate::tube::TubeName;

mod options;
mod pattern;
mod planning;

pub use options::Options;

/// One configured command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its fixed arguments; an element `{command}` stands for the command's name.
    pub run: Vec<String>,
    /// The program, and its arguments, that ends what an attempt may have left running elsewhere: for a command that is
    /// a client of something else. `{command}` stands for the command's name.
    pub cleanup: Option<Vec<String>>,
    /// What is run first in each attempt: where it fails, the attempt has failed, and the command is not run.
    pub before: Option<Vec<String>>,
    /// What is run last in each attempt, however its command has ended.
    pub after: Option<Vec<String>>,
    /// How long it may run, whatever its job's TTR.
    pub timeout: Option<Duration>,
    /// When it is tried again.
    pub retry: retry::Rules,
    /// What its tasks may say of that, and of what they find in the environment.
    pub bounds: Bounds,
    /// Gets the whole native body on stdin, and nothing of it in its argv, which may be too short for it.
    pub body_on_stdin: bool,
    /// Takes arguments that begin with a hyphen. A number below zero needs no such leave.
    pub dash_arguments: bool,
    /// The options that its tasks may give to it. Where it reads the whole body, options are a part of that, and no
    /// element of its argv.
    pub options: Options,
    /// What becomes of the job of a task that failed.
    pub on_failure: OnFailure,
    /// As whom, where and with what it runs.
    pub conditions: ByTube,
}

impl Command {
    /// A command with this program and every default.
    pub fn new(run: Vec<String>) -> Command {
        Command {
            run,
            cleanup: None,
            before: None,
            after: None,
            timeout: None,
            retry: retry::Rules::default(),
            bounds: Bounds::default(),
            body_on_stdin: false,
            dash_arguments: false,
            options: Options::default(),
            on_failure: OnFailure::Delete,
            conditions: ByTube::default(),
        }
    }
}

/// How a command's tasks are tried: of a command's keys those that `[defaults]` can have too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// When there is another.
    pub retry: retry::Rules,
    /// What tasks may say of that.
    pub bounds: Bounds,
    /// What becomes of the job of one that failed.
    pub on_failure: OnFailure,
}

impl Command {
    /// The same command, whose tasks are tried so.
    #[must_use]
    pub fn tried(self, tried: &Tried) -> Command {
        Command {
            timeout: tried.timeout,
            retry: tried.retry.clone(),
            bounds: tried.bounds.clone(),
            on_failure: tried.on_failure,
            ..self
        }
    }

    /// The same command as it runs in a tube for a task that says something of its own attempts.
    fn with(&self, own: &Own, tube: &TubeName) -> Result<Command, OutOfBounds> {
        self.bounds
            .allow(own, self.retry.max_attempts, self.timeout)?;
        let mut with = self.clone();
        with.retry.max_attempts = own.attempts().unwrap_or(with.retry.max_attempts);
        with.retry.waits = own.waits.clone().or(with.retry.waits);
        with.timeout = own.timeout.or(with.timeout);
        if !own.environment.is_empty() {
            let variables = own.environment.iter();
            let variables = variables.map(|(name, value)| (name.to_string(), value.clone()));
            with.conditions = with.conditions.with(tube, variables);
        }
        Ok(with)
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
    /// What a hook's task asks for.
    pub fn of_a_hook(hook: &Hook, event: &str) -> Content {
        Content::Call(Call {
            command: CommandName::of_a_hook(hook.name()),
            arguments: vec![payload::Argument::Text(event.into())],
            options: Vec::new(),
        })
    }

    /// Roughly how many bytes it takes up.
    pub fn size(&self) -> usize {
        match self {
            Content::Call(call) => {
                let arguments = call.arguments.iter().map(|one| one.as_str().len());
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

/// What is run once the command of an attempt has ended: its cleanup, if it did not come to its end by itself, and
/// then what is run after each.
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
    /// The cleanup's program and its arguments, one element each; none where there is none.
    pub argv: Vec<String>,
    /// What is run after that.
    pub after: Option<After>,
    /// As whom, where and with what both run: as the attempt's command.
    pub conditions: Arc<Conditions>,
}

/// What is run last in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The program and its arguments, one element each.
    pub argv: Vec<String>,
    /// What it finds in its environment of how the attempt has ended.
    pub told: Vec<(&'static str, String)>,
    /// How long it may take.
    pub within: Duration,
}

impl Cleanup {
    /// What of it is run once an attempt has come to that outcome; `None`: nothing.
    pub fn at_the_end(
        &self,
        (outcome, next): (&Outcome, &Next),
        within: Duration,
    ) -> Option<Arc<Cleanup>> {
        let is_cut_short = outcome.is_cut_short();
        let argv = match is_cut_short {
            true => self.argv.clone(),
            false => Vec::new(),
        };
        let next = match next {
            Next::Done => "done",
            Next::Failed { .. } => "failed",
            Next::Cancelled => "cancelled",
            Next::Wait(_) => "waiting",
        };
        let word = (OUTCOME_VARIABLE, outcome.word().to_owned());
        let mut told = vec![word, (NEXT_VARIABLE, next.to_owned())];
        let code = outcome.exit_code().map(|code| code.to_string());
        told.extend(code.map(|code| (EXIT_CODE_VARIABLE, code)));
        let signal = outcome.signal().map(|signal| signal.to_string());
        told.extend(signal.map(|signal| (SIGNAL_VARIABLE, signal)));
        let after = self.after.as_ref().map(|after| After {
            told,
            within: match is_cut_short {
                true => within.min(AFTER_A_KILL),
                false => within,
            },
            ..after.clone()
        });
        (!argv.is_empty() || after.is_some()).then(|| {
            Arc::new(Cleanup {
                argv,
                after,
                ..self.clone()
            })
        })
    }
}

/// How an attempt has ended, for what is run after it.
const OUTCOME_VARIABLE: &str = "TASKQUEUE_OUTCOME";
/// What becomes of its task.
const NEXT_VARIABLE: &str = "TASKQUEUE_NEXT";
/// With which code its command exited.
const EXIT_CODE_VARIABLE: &str = "TASKQUEUE_EXIT_CODE";
/// By which signal it ended.
const SIGNAL_VARIABLE: &str = "TASKQUEUE_SIGNAL";

/// How long what is run after a command may take, where nobody waits to go.
pub const AFTER: Duration = Duration::from_secs(60);

/// The same after a command that was cut short, and where somebody waits.
pub const AFTER_A_KILL: Duration = Duration::from_secs(10);

impl Plan {
    /// What is run before the command.
    pub fn before(&self) -> Option<Vec<String>> {
        let before = self.command.before.as_ref();
        before.map(|before| named(before, &self.name))
    }

    /// What is run after the command of an attempt by this plan, if there is anything.
    pub fn cleanup(
        &self,
        attempt: AttemptId,
        uuid: Uuid,
        tube: &TubeName,
        job: Option<u64>,
    ) -> Option<Arc<Cleanup>> {
        let argv = |of: &Option<Vec<String>>| of.as_ref().map(|argv| named(argv, &self.name));
        let (argv, after) = (argv(&self.command.cleanup), argv(&self.command.after));
        if argv.is_none() && after.is_none() {
            return None;
        }
        let after = after.map(|argv| After {
            argv,
            told: Vec::new(),
            within: AFTER,
        });
        let argv = argv.unwrap_or_default();
        Some(Arc::new(Cleanup {
            attempt,
            uuid,
            tube: tube.clone(),
            job,
            command: self.name.clone(),
            argv,
            after,
            conditions: Arc::clone(self.command.conditions.of(tube)),
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
    /// The options that types give to the commands of these names.
    given: BTreeMap<CommandName, options::Given>,
    /// The patterns of the commands that a tube runs, where it does not run all.
    scopes: BTreeMap<TubeName, Vec<String>>,
    /// Tubes whose bodies are for their own commands, whatever the bodies say.
    raw_only: BTreeSet<TubeName>,
    /// Of what has no table of its own.
    conditions: ByTube,
    /// The same.
    tried: Option<Tried>,
    /// How many attempts may be lost, where neither a command nor a tube says it.
    usual_max_lost: Option<u32>,
    /// How many tasks with something in common may run, or begin.
    limits: Vec<Arc<Limit>>,
    /// What is told of what happens, and run for that.
    telling: Arc<Telling>,
    /// What hooks run, by their names.
    hooks: BTreeMap<String, Arc<Command>>,
}

impl Commands {
    /// Adds a limit.
    pub fn add_limit(&mut self, limit: Limit) {
        self.limits.push(limit.into());
    }

    /// All limits.
    pub fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }

    /// The limits that are of concern to tasks of a tube that run that command.
    pub fn limits_of<'a>(
        &'a self,
        tube: &'a TubeName,
        command: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Limit>> {
        let limits = self.limits.iter();
        limits.filter(move |limit| limit.concerns(tube, command, pattern::is_of))
    }

    /// Says under which conditions each command runs that is here: by its pattern, `None` for those that come without a
    /// table of their own.
    pub fn set_conditions(&mut self, mut of: impl FnMut(Option<&str>) -> ByTube) {
        self.conditions = of(None);
        for hook in self.hooks.values_mut() {
            Arc::make_mut(hook).conditions = self.conditions.clone();
        }
        let prefixes = self.prefixes.iter_mut();
        let prefixes = prefixes.map(|(prefix, command)| (format!("{prefix}*"), command));
        let exact = self.exact.iter_mut();
        let exact = exact.map(|(name, command)| (name.clone(), command));
        for (pattern, command) in exact.chain(prefixes) {
            Arc::make_mut(command).conditions = of(Some(&pattern));
        }
        // These are some of the above.
        let mut raw = std::mem::take(&mut self.raw);
        for (name, command) in raw.values_mut() {
            if let Some(known) = self.find(name) {
                *command = Arc::clone(known);
            }
        }
        self.raw = raw;
    }

    /// Says how the tasks of what has no table of its own are tried.
    pub fn set_defaults(&mut self, tried: Tried, max_lost: Option<u32>) {
        self.tried = Some(tried);
        self.usual_max_lost = max_lost;
    }

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
        let rules = plan.map_or_else(retry::Rules::default, |plan| plan.command.retry.clone());
        retry::Rules {
            max_lost: rules
                .max_lost
                .or_else(|| self.max_lost.get(tube).copied())
                .or(self.usual_max_lost),
            ..rules
        }
    }

    /// Says what becomes of bodies of that type. False if there is no such command.
    #[must_use]
    pub fn take_type(&mut self, name: TypeName, mapping: Mapping) -> bool {
        let known = self.find(mapping.command.as_str()).is_some();
        if known {
            let given = self.given.entry(mapping.command.clone()).or_default();
            given.add(&mapping);
            self.types.insert(name, mapping);
        }
        known
    }

    /// Reads a body, also one whose type is configured: that is a native one without a uuid then.
    pub fn read(&self, body: &[u8]) -> Body {
        let read = match payload::read(body) {
            Body::Native(native)
                if native
                    .links
                    .as_ref()
                    .is_some_and(|links| links.is_of_a_batch()) =>
            {
                Body::Refused(Refusal::NotOfABatch)
            }
            read => read,
        };
        let (Body::Other(_), Some(described)) = (&read, Described::split(body)) else {
            return read;
        };
        match (self.types.get(described.name()), described.type_name()) {
            (Some(mapping), _) => match mapping.call(&described) {
                Ok(call) => Body::Native(Native {
                    uuid: None,
                    call,
                    tags: Vec::new(),
                    at: None,
                    unique: None,
                    own: None,
                    links: None,
                }),
                Err(refusal) => Body::Refused(refusal),
            },
            (None, Some(name)) => Body::Other(NotNative::UnknownType { name }),
            (None, None) => read,
        }
    }

    /// Gives every body, of whatever form, to one command.
    pub fn take_every_body(&mut self, name: String, command: Command) {
        let mut command = match &self.tried {
            Some(tried) => command.tried(tried),
            None => command,
        };
        command.conditions = self.conditions.clone();
        self.every_body = Some((name, command.into()));
    }

    /// Says what is told of what happens, and what the hooks of that run, by their names.
    pub fn set_telling(&mut self, telling: Telling, hooks: BTreeMap<String, Command>) {
        self.telling = Arc::new(telling);
        let hooks = hooks.into_iter();
        self.hooks = hooks
            .map(|(name, command)| (name, command.into()))
            .collect();
    }

    /// What hooks run.
    pub fn hooks(&self) -> impl Iterator<Item = (&Hook, &Command)> {
        let all = self.telling.hooks.all().iter();
        all.filter_map(|hook| Some((hook, self.hooks.get(&hook.name())?.as_ref())))
    }

    /// What is told of what happens, and run for that.
    pub fn telling(&self) -> &Arc<Telling> {
        &self.telling
    }

    /// Whether a name or a pattern may stand for a command that is configured.
    pub fn has(&self, pattern: &str) -> bool {
        let mut configured = self.configured();
        configured.any(|(name, _)| pattern::may_meet(pattern, &name))
    }

    /// Says which commands the tasks of a tube may ask for, by names and patterns.
    pub fn limit(&mut self, tube: TubeName, patterns: Vec<String>) {
        self.scopes.insert(tube, patterns);
    }

    /// Takes the bodies of a tube for content of the tube's own command, whatever they say.
    pub fn take_raw_only(&mut self, tube: TubeName) {
        self.raw_only.insert(tube);
    }

    /// Whether all bodies of all tubes go to one command unread.
    pub fn takes_every_body(&self) -> bool {
        self.every_body.is_some()
    }

    /// Whether the configuration says that bodies of this tube are not read.
    pub fn is_raw_only(&self, tube: &TubeName) -> bool {
        self.raw_only.contains(tube)
    }

    /// Whether no task of a tube chooses its command.
    pub fn chooses_for(&self, tube: &TubeName) -> bool {
        self.takes_every_body() || self.is_raw_only(tube)
    }

    /// Whether a tube has a command for raw bodies.
    pub fn takes_raw(&self, tube: &TubeName) -> bool {
        self.takes_every_body() || self.raw.contains_key(tube)
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
mod tests;
