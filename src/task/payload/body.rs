//! What a body can be, once it has been read.

use uuid::Uuid;

use super::{CommandName, NotNative, OptionName, Refusal};

/// What an option is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// `true`: `--x`.
    Flag,
    /// `false` or `null`: as if it were not there.
    Off,
    /// A string: `--x=value`, also when it is empty.
    Text(String),
    /// A number: `--x=value`, with the very digits that it was written with.
    Number(String),
}

/// What is to be run: a command's name and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which configured command.
    pub command: CommandName,
    /// Its arguments, each a whole element.
    pub arguments: Vec<String>,
    /// Its options in the order in which they were written, no name twice.
    pub options: Vec<(OptionName, OptionValue)>,
}

/// A payload that any producer can put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    /// The task, if the producer named it; a repeated uuid means the same task.
    pub uuid: Option<Uuid>,
    /// What it asks for.
    pub call: Call,
}

/// The body that we put ourselves: it names a row and says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// The task.
    pub uuid: Uuid,
    /// The store that holds it.
    pub store: Uuid,
}

/// What a body turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Look at a task in a store.
    Pointer(Pointer),
    /// Run a call.
    Native(Native),
    /// Meant for us, and wrong.
    Refused(Refusal),
    /// Not meant for us; where the tube has no command for raw bodies, the reason refuses it.
    Other(NotNative),
}
