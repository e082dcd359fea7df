//! Changing tasks that wait: what they are given, how urgent they are, when they are due, and what they are called.

use std::sync::Arc;

use uuid::Uuid;

use super::Millis;
use super::after::{decided, waits_for_parents};
use super::announce::{Again, next_put};
use super::bulk::{Change, On};
use super::error::Failed;
use super::limits;
use super::rows::{Awaiting, Rows, TaskRow};
use super::unique::{self, Holder};
use crate::task::command::{Commands, Content};
use crate::task::id::TaskId;
use crate::task::made_key::key_of;
use crate::task::own::{BadOwn, Own};
use crate::task::payload::{Argument, Call, OptionName, OptionValue, Refusal};
use crate::task::state::Status;
use crate::task::tag::{self, BadTag, Tag};
use crate::task::unique::Hold;

/// What is changed; what is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Its job's priority.
    pub priority: Option<u32>,
    /// When it is due.
    pub due: Option<Due>,
    /// All of its arguments.
    pub arguments: Option<Vec<Argument>>,
    /// Its options go first.
    pub clear_options: bool,
    /// These options; others stay.
    pub options: Vec<(OptionName, OptionValue)>,
    /// Its tags go first.
    pub clear_tags: bool,
    /// These tags; others stay.
    pub tags: Vec<Tag>,
    /// All that it says of its own attempts goes first.
    pub clear_own: bool,
    /// The variables that it brings go first.
    pub clear_environment: bool,
    /// What it says of its own attempts. What is not said here, and other variables, stay.
    pub own: Own,
}

/// An edit of what waits for those who know what tasks may say of their own attempts.
#[derive(Debug, Clone)]
pub struct Bounded {
    /// What is changed.
    pub edit: Edit,
    /// What is configured, if that is known.
    pub commands: Option<Arc<Commands>>,
}

/// When a task is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// So many milliseconds from now on.
    In(Millis),
    /// Then.
    At(Millis),
}

/// A task that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// Its identity.
    pub uuid: Uuid,
    /// What is to ring for it, if that changed.
    pub again: Option<Again>,
}

/// Why a task was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotEdited {
    /// There is no such row.
    #[error("No such task :{id}")]
    NoSuchTask {
        /// The id asked for.
        id: TaskId,
    },
    /// Only what waits can be changed.
    #[error(
        "Invalid status for task. Current status: '{status}' must be 'waiting' to be able to change task {id}{}",
        next(*.status)
    )]
    NotWaiting {
        /// The task.
        id: TaskId,
        /// Where it stands.
        status: Status,
    },
    /// What it is given is in its producer's own body.
    #[error(
        "task {id} came by another producer's job, whose body says what it is given: that cannot be changed here"
    )]
    Foreign {
        /// The task.
        id: TaskId,
    },
    /// A raw body has no arguments and no options.
    #[error("task {id} is a raw body, which has no arguments and no options")]
    Raw {
        /// The task.
        id: TaskId,
    },
    /// It could never run then.
    #[error("task {id}: {refusal}")]
    Refused {
        /// The task.
        id: TaskId,
        /// Why not.
        refusal: Refusal,
    },
    /// Its key is made of what it is given, and another task has the key that it would have then.
    #[error("task {id} cannot be given that: {by}")]
    KeyTaken {
        /// The task.
        id: TaskId,
        /// Who has that key.
        by: Holder,
    },
    /// What it would say of its own attempts makes no sense.
    #[error("task {id}: {why}")]
    Own {
        /// The task.
        id: TaskId,
        /// Why not.
        why: BadOwn,
    },
    /// Its tags would not be a task's.
    #[error("task {id}: {why}")]
    Tags {
        /// The task.
        id: TaskId,
        /// Why not.
        why: BadTag,
    },
}

fn next(status: Status) -> &'static str {
    match status {
        Status::Failed => "; to let it wait again: taskqueue regenerate",
        Status::Waiting | Status::Running | Status::Done | Status::Cancelled => "",
    }
}

impl Edit {
    /// A task that waits is due now.
    pub fn run_now() -> Edit {
        Edit {
            due: Some(Due::In(0)),
            ..Edit::default()
        }
    }

    fn changes_content(&self) -> bool {
        self.arguments.is_some() || self.clear_options || !self.options.is_empty()
    }

    fn changes_own(&self) -> bool {
        self.clear_own || self.clear_environment || !self.own.is_empty()
    }

    fn changes_tags(&self) -> bool {
        self.clear_tags || !self.tags.is_empty()
    }

    /// What the task is given then.
    fn content(&self, id: TaskId, row: &TaskRow) -> Result<Option<Content>, NotEdited> {
        if !self.changes_content() {
            return Ok(None);
        }
        if row.foreign {
            return Err(NotEdited::Foreign { id });
        }
        let Content::Call(before) = &row.content else {
            return Err(NotEdited::Raw { id });
        };
        let mut call = before.clone();
        if let Some(arguments) = &self.arguments {
            call.arguments.clone_from(arguments);
        }
        if self.clear_options {
            call.options.clear();
        }
        for (name, value) in &self.options {
            match call.options.iter_mut().find(|(other, _)| other == name) {
                Some((_, other)) => other.clone_from(value),
                None => call.options.push((name.clone(), value.clone())),
            }
        }
        // As strict as with what is put.
        let (command, arguments) = (call.command.as_str(), call.arguments_json());
        match Call::from_parts(command, &arguments, &call.options_json()) {
            Ok(call) => Ok(Some(Content::Call(call))),
            Err(refusal) => Err(NotEdited::Refused { id, refusal }),
        }
    }

    /// What the task says of its own attempts then; `None`: what it says now.
    fn own(&self, id: TaskId, before: Option<&Own>) -> Result<Option<Option<Own>>, NotEdited> {
        if !self.changes_own() {
            return Ok(None);
        }
        let mut own = before
            .filter(|_| !self.clear_own)
            .cloned()
            .unwrap_or_default();
        if self.clear_environment {
            own.environment.clear();
        }
        // Each by itself: what is not said stays.
        let Own {
            max_attempts,
            waits,
            timeout,
            environment,
        } = self.own.clone();
        own.max_attempts = max_attempts.or(own.max_attempts);
        own.waits = waits.or(own.waits);
        own.timeout = timeout.or(own.timeout);
        own.environment.extend(environment);
        own.checked()
            .map(Some)
            .map_err(|why| NotEdited::Own { id, why })
    }

    fn tags(&self, id: TaskId, mut tags: Vec<Tag>) -> Result<Vec<Tag>, NotEdited> {
        let is_given = |tag: &Tag| self.tags.iter().any(|given| given.name() == tag.name());
        tags.retain(|tag| !self.clear_tags && !is_given(tag));
        tags.extend(self.tags.iter().cloned());
        tag::of_a_task(tags).map_err(|why| NotEdited::Tags { id, why })
    }
}

/// The key of a task that has one which is made of what it is given, once that is something else.
fn hold(
    rows: &dyn Rows,
    row: &TaskRow,
    content: &Content,
    own: Option<&Own>,
    now: Millis,
) -> Result<Result<Option<Hold>, Holder>, Failed> {
    let before = key_of(&row.content, row.own.as_deref(), &row.tube);
    let key = key_of(content, own, &row.tube);
    if key == before {
        return Ok(Ok(None));
    }
    let Some(hold) = rows.hold(row.id)?.filter(|hold| hold.key == before) else {
        return Ok(Ok(None));
    };
    let taken = unique::taken(rows, &key, now)?;
    Ok(match taken.filter(|other| other.id != row.id) {
        Some(other) => Err(Holder::of(&other)),
        None => Ok(Some(Hold { key, ..hold })),
    })
}

/// Why a task may not say that of its own attempts, as far as it is known here what is configured.
fn out_of_bounds(
    row: &TaskRow,
    content: &Content,
    own: Option<&Own>,
    commands: Option<&Commands>,
) -> Option<Refusal> {
    let planned = commands?.plan_with(row.uuid, &row.tube, content, own);
    planned
        .err()
        .filter(|refusal| matches!(refusal, Refusal::OutOfBounds { .. }))
}

impl Change for Edit {
    type Done = Edited;
    type Refused = NotEdited;

    fn change(&self, on: &On<'_>, id: TaskId) -> Result<Result<Edited, NotEdited>, Failed> {
        self.change_within(on, id, None)
    }

    /// Whatever is changed of a task that is held has it wait by a job.
    fn puts_jobs(&self) -> bool {
        true
    }
}

impl Change for Bounded {
    type Done = Edited;
    type Refused = NotEdited;

    fn change(&self, on: &On<'_>, id: TaskId) -> Result<Result<Edited, NotEdited>, Failed> {
        self.edit.change_within(on, id, self.commands.as_deref())
    }

    fn puts_jobs(&self) -> bool {
        self.edit.puts_jobs()
    }
}

impl Edit {
    fn change_within(
        &self,
        on: &On<'_>,
        id: TaskId,
        commands: Option<&Commands>,
    ) -> Result<Result<Edited, NotEdited>, Failed> {
        let On { rows, now, jobs } = *on;
        let Some(row) = rows.row(id)? else {
            return Ok(Err(NotEdited::NoSuchTask { id }));
        };
        match row.status {
            Status::Waiting => {}
            status @ (Status::Running | Status::Done | Status::Failed | Status::Cancelled) => {
                return Ok(Err(NotEdited::NotWaiting { id, status }));
            }
        }
        // All that may be refused comes before the first row is written.
        let content = match self.content(id, &row) {
            Ok(content) => content,
            Err(refused) => return Ok(Err(refused)),
        };
        let own = match self.own(id, row.own.as_deref()) {
            Ok(own) => own,
            Err(refused) => return Ok(Err(refused)),
        };
        let given = content.as_ref().unwrap_or(&row.content);
        let says = own.as_ref().map_or(row.own.as_deref(), Option::as_ref);
        if own.is_some()
            && let Some(refusal) = out_of_bounds(&row, given, says, commands)
        {
            return Ok(Err(NotEdited::Refused { id, refusal }));
        }
        let hold = match hold(rows, &row, given, says, now)? {
            Ok(hold) => hold,
            Err(by) => return Ok(Err(NotEdited::KeyTaken { id, by })),
        };
        if self.changes_tags() {
            match self.tags(id, rows.tags(id)?) {
                Ok(tags) => rows.set_tags(id, &tags)?,
                Err(refused) => return Ok(Err(refused)),
            }
        }
        if let Some(content) = content {
            rows.set_content(id, &content)?;
        }
        if let Some(own) = own {
            rows.set_own(id, own.as_ref())?;
        }
        if let Some(hold) = hold {
            rows.set_hold(id, &hold)?;
        }
        if let Some(priority) = self.priority {
            rows.set_priority(id, priority)?;
        }
        let awaiting = waits_for_parents(rows, id, row.due)?;
        // What a limit holds may belong elsewhere now, and its claim finds out.
        let held = limits::due_of_held(rows, &row)?;
        // Who has a task run now has decided that.
        let has_to_wait = awaiting.is_some() && self.due != Some(Due::In(0));
        match (self.due.map(|due| due.at(now)).or(held), awaiting) {
            (Some(due), Some(awaiting)) if has_to_wait => {
                rows.set_awaiting(id, &Awaiting { due, ..awaiting })?;
            }
            (Some(due), awaiting) => {
                if awaiting.is_some() {
                    decided(rows, id)?;
                }
                rows.make_due(id, due)?;
            }
            (None, _) => {}
        }
        let again = match self.priority.is_some() || self.due.is_some() || held.is_some() {
            true if !has_to_wait => next_put(rows, id, None, now, jobs)?,
            true | false => None,
        };
        let uuid = row.uuid;
        Ok(Ok(Edited { uuid, again }))
    }
}

impl Due {
    /// When that is.
    pub fn at(self, now: Millis) -> Millis {
        match self {
            Due::In(time) => now.saturating_add(time.max(0)),
            Due::At(at) => at,
        }
    }
}
