//! Why a payload may not run, in the words that `show` prints.
//!
//! A reason ends up on terminals and in logs, so what it quotes from a payload is escaped and cut
//! first: see [`excerpt`](super::excerpt).

use std::fmt;

use super::rules::BadName;
use super::type_name::TypeName;
use crate::task::own::{BadOwn, OutOfBounds};
use crate::task::tag::BadTag;
use crate::task::unique::BadKey;

/// Why a native payload may not run. Its text is the reason that people read.
///
/// Every field that quotes the payload is escaped, quoted and cut already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Written for a program newer than this one.
    #[error("the payload is of a later version, {found}, and this program reads version 1")]
    LaterVersion {
        /// The version it names.
        found: String,
    },
    /// Its version is a number, but none that there ever was.
    #[error("the payload's version is {found}, not the integer 1")]
    NoSuchVersion {
        /// What stands in its place.
        found: String,
    },
    /// A key that has no meaning; a misspelt one must not be ignored.
    #[error(
        "the payload has the unknown key {key}; known are taskqueue, uuid, store, command, arguments, options, \
         tags, at, unique, max_attempts, retry, timeout, env, ref, after, after_any and if_parent_fails"
    )]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The same key twice; readers differ in which of the two they take.
    #[error("the payload has the key {key} twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The same option twice.
    #[error("the option {name} is given twice")]
    DuplicateOption {
        /// The option's name.
        name: String,
    },
    /// What is called a tag and is none, or is one too many.
    #[error("the payload's \"tags\": {0}")]
    Tag(BadTag),
    /// What is called a key that no two tasks have, and is none.
    #[error("the payload's \"unique\": {0}")]
    UniqueKey(BadKey),
    /// How a task is to be the only one of its key, in words that say nothing.
    #[error("the payload's \"unique\": its {key:?}: {why}")]
    Unique {
        /// The member.
        key: &'static str,
        /// What is wrong with it, with an excerpt of it.
        why: String,
    },
    /// A member that says how a task is to be the only one of its key, which nothing here knows.
    #[error(
        "the payload's \"unique\" has the unknown key {key}: it knows \"key\", \"while\" and \"if_exists\""
    )]
    UniqueMember {
        /// The member.
        key: String,
    },
    /// What it says of tasks that it is to wait for, or that wait for it.
    #[error("the payload's {key:?}: {why}")]
    After {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It names others that are put with it, and comes alone.
    #[error(
        "the payload's \"after\" or \"ref\" names tasks by reference: that is for the lines of taskqueue put --batch, \
         which are put together; a job that comes alone waits for tasks by their numbers"
    )]
    NotOfABatch,
    /// A key that must be there.
    #[error("the payload has no {key:?}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// An argument's field that must be there: what follows it would take its place.
    #[error("the payload has no field {field:?}, which is argument {argument}")]
    MissingField {
        /// The field's name, from the configuration.
        field: String,
        /// Which argument it is, from 1.
        argument: usize,
    },
    /// A pointer that also says what to run.
    #[error("the payload has both \"store\" and {key:?}: a pointer does not say what to run")]
    PointerWith {
        /// The key that does not go with `store`.
        key: &'static str,
    },
    /// A value of a type that means nothing there.
    #[error("{place} is {found}, not {wanted}")]
    WrongType {
        /// Where it stands.
        place: Place,
        /// The type that it has.
        found: &'static str,
        /// What may stand there.
        wanted: &'static str,
    },
    /// A value that means nothing there, though its type may.
    #[error("{place} is {text}, not {wanted}")]
    NotOneOf {
        /// Where it stands.
        place: Place,
        /// What stands there.
        text: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// Half of a UTF-16 surrogate pair: JSON can write it, no string can hold it.
    #[error("{place} has half a surrogate pair in it: {text}")]
    LoneSurrogate {
        /// Where it stands.
        place: Place,
        /// The string as it was written.
        text: String,
    },
    /// A NUL, at which the kernel would cut an argument short.
    #[error("{place} has a NUL in it: {text}")]
    Nul {
        /// Where it stands.
        place: Place,
        /// The text around it.
        text: String,
    },
    /// Not a UUID in its 36-character form.
    #[error("{place} is {text}, not a UUID with hyphens")]
    Uuid {
        /// Where it stands.
        place: Place,
        /// What stands there.
        text: String,
    },
    /// No time, or one without its offset.
    #[error("at is {text}, not a time with its offset such as 2026-12-24T18:00:00+01:00")]
    Time {
        /// What stands there.
        text: String,
    },
    /// No command can have this name.
    #[error("the command name {name} {reason}")]
    CommandName {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// No option can have this name.
    #[error("the option name {name} {reason}")]
    OptionName {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// A command could take the argument for an option.
    #[error(
        "{place} begins with a hyphen, which the command {command:?} does not allow: {argument}"
    )]
    LeadingHyphen {
        /// Which argument.
        place: Place,
        /// The argument.
        argument: String,
        /// The command's name.
        command: String,
    },
    /// The configuration does not say that the command takes these.
    #[error("the command {command} may not be given {}; if it is to take {}, write options = [{}] under \
             [commands.{table:?}]", named(.refused), them(.refused), list(.allowed, .refused))]
    OptionsNotAllowed {
        /// The command's name.
        command: String,
        /// What stands in the configuration: its name, or a pattern.
        table: String,
        /// Those that it may be given.
        allowed: Vec<String>,
        /// Those that it was given and may not be, in their order.
        refused: Vec<String>,
    },
    /// What a task is to say of its own attempts, and makes no sense.
    #[error("the payload's {0}")]
    Own(BadOwn),
    /// The configuration does not let tasks of the command say so much of their own attempts.
    #[error(
        "the task asks for {}, and the command {command} allows {}; to allow it, write {} under [commands.{table:?}]",
        .out.says, .out.allowed, .out.key
    )]
    OutOfBounds {
        /// The command's name.
        command: String,
        /// What stands in the configuration: its name, or a pattern.
        table: String,
        /// What the task says, and what it may say.
        out: Box<OutOfBounds>,
    },
    /// The configuration says which commands the tube runs, and this is none of them.
    #[error(
        "the command {command} may not run in tube {tube}; to run it there, add \"{command}\" to commands of \
             [tubes.{tube:?}]"
    )]
    NotInTube {
        /// The command's name.
        command: String,
        /// The tube's name.
        tube: String,
    },
    /// The configuration names no program, and a payload's argument must never become one.
    #[error("the command {command:?} has no program to run")]
    NoProgram {
        /// The command's name.
        command: String,
    },
    /// What may run is configured, and this is not.
    #[error("the command {command} is not configured; add [commands.\"{command}\"] to run it")]
    NotConfigured {
        /// The command's name.
        command: String,
    },
    /// A uuid is a task's identity, and this one is another task's.
    #[error("the uuid {uuid} is that of another task, which asks for something else")]
    UuidTaken {
        /// The uuid.
        uuid: uuid::Uuid,
    },
    /// Bytes that say nothing of themselves, in a tube that says nothing of them either.
    #[error("{}tube {tube} has no command for raw bodies", prefix(.why))]
    NoRawCommand {
        /// The tube's name.
        tube: String,
        /// Why the body is not a native one, where it was read.
        why: Option<NotNative>,
    },
    /// What the store holds of the payload, or what follows a body's type, is no JSON.
    #[error("{place} is not JSON: {reason}")]
    NotJson {
        /// Which part.
        place: Place,
        /// What the parser said.
        reason: String,
    },
}

impl Refusal {
    /// Whether the configuration has no command for it. Whoever took the command out, or misspelt it, may put it back.
    pub fn is_for_want_of_a_command(&self) -> bool {
        matches!(
            self,
            Refusal::NotConfigured { .. } | Refusal::NoRawCommand { .. }
        )
    }
}

/// The most options that a reason names.
const NAMED: usize = 8;

/// Options by their names, as far as a reason has room for them.
fn named(options: &[String]) -> String {
    let names = options.iter().take(NAMED).map(|name| format!("\"{name}\""));
    let names = names.collect::<Vec<_>>().join(", ");
    let noun = match options {
        [_] => "the option",
        _ => "the options",
    };
    match options.len().saturating_sub(NAMED) {
        0 => format!("{noun} {names}"),
        more => format!("{noun} {names} and {more} more"),
    }
}

fn them(options: &[String]) -> &'static str {
    match options {
        [_] => "it",
        _ => "them",
    }
}

/// The elements of a list in the configuration.
fn list(allowed: &[String], refused: &[String]) -> String {
    let names = allowed.iter().chain(refused.iter().take(NAMED));
    let mut names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    if refused.len() > NAMED {
        names.push("…".into());
    }
    names.join(", ")
}

fn prefix(why: &Option<NotNative>) -> String {
    why.as_ref()
        .map(|why| format!("{why}; and "))
        .unwrap_or_default()
}

/// Where in a payload something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// One of the payload's keys itself.
    Key,
    /// The value of a top-level key.
    Member(&'static str),
    /// An argument, the first being number 1.
    Argument(usize),
    /// The name of an option.
    OptionName,
    /// The value of the option with this name.
    Option(String),
    /// Everything that follows the type of a body of the PHP TaskQueue.
    Fields,
    /// The value of the field with this name there.
    Field(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("a key of the payload"),
            Self::Member(key) => write!(f, "the payload's {key:?}"),
            Self::Argument(number) => write!(f, "argument {number}"),
            Self::OptionName => f.write_str("an option's name"),
            Self::Option(name) => write!(f, "the value of option {name:?}"),
            Self::Fields => f.write_str("what follows the body's type"),
            Self::Field(name) => write!(f, "the field {name:?}"),
        }
    }
}

/// Why a body is not a native payload: no fault where the tube has a command for raw bodies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotNative {
    /// No bytes at all.
    #[error("the body is empty")]
    Empty,
    /// Bytes that are no text.
    #[error("not JSON: not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// How many bytes before the first wrong one.
        at: usize,
    },
    /// Some editors write U+FEFF before the text; JSON has no such thing (RFC 8259, 8.1).
    #[error("not JSON: the body begins with a byte order mark")]
    ByteOrderMark,
    /// Text that is not JSON.
    #[error("not JSON: {reason}")]
    NotJson {
        /// What the parser said, with line and column.
        reason: String,
    },
    /// JSON, but no object.
    #[error("JSON, but {found}, not an object with a \"taskqueue\" key")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A body of the PHP TaskQueue whose type the configuration does not map.
    #[error("the body's type is not configured; add [types.{name:?}] to run it")]
    UnknownType {
        /// The type.
        name: TypeName,
    },
    /// An object that somebody else understands.
    #[error("JSON, but without a \"taskqueue\" key")]
    NoKey,
}
