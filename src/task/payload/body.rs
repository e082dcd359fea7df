//! What a body can be, once it has been read.

use crate::task::Millis;
use crate::task::after::Links;
use crate::task::own::Own;
use crate::task::tag::Tag;
use crate::task::unique::Unique;
use uuid::Uuid;

use super::json::is_number;
use super::{CommandName, NotNative, OptionName, Refusal};

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A string; or a number that does not begin with a hyphen, which is as good as its digits.
    Text(String),
    /// A number below zero, or `-0`, with the very digits that it was written with: no option's name.
    Negative(String),
}

impl Argument {
    /// A number as JSON has it, by its digits.
    pub(super) fn number(digits: &str) -> Argument {
        match digits.starts_with('-') {
            true => Argument::Negative(digits.into()),
            false => Argument::Text(digits.into()),
        }
    }

    /// From where everything is a text, as on a command line: one that is a number and nothing else counts as one.
    pub fn of_text(text: String) -> Argument {
        match text.starts_with('-') && is_number(&text) {
            true => Argument::Negative(text),
            false => Argument::Text(text),
        }
    }

    /// The element of the argv.
    pub fn as_str(&self) -> &str {
        match self {
            Argument::Text(text) | Argument::Negative(text) => text,
        }
    }
}

/// A text, whatever it looks like.
impl<T: Into<String>> From<T> for Argument {
    fn from(text: T) -> Argument {
        Argument::Text(text.into())
    }
}

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
    pub arguments: Vec<Argument>,
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
    /// What its producer calls it, in the order of the names.
    pub tags: Vec<Tag>,
    /// When it is to run, if not at once.
    pub at: Option<Millis>,
    /// That it is not to be put while another has its key.
    pub unique: Option<Unique>,
    /// What it says of its own attempts.
    pub own: Option<Box<Own>>,
    /// What it has to do with others, if it says anything of that.
    pub links: Option<Box<Links>>,
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
