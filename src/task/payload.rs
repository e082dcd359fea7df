//! Bodies: what a producer may ask for, and what becomes an argv.
//!
//! ```text
//! body ──read──▶ Native   a call, perhaps with a uuid
//!           ├──▶ Pointer  "look at this task in that store"
//!           ├──▶ Refused  meant for us, and wrong
//!           └──▶ Other    anything else: for a raw command's stdin, or refused
//! call ──argv──▶ the configured program, then whole elements
//! Other ──split──▶ Described   type and fields ──Mapping::call──▶ a call, or Refused
//! ```
//!
//! A body is native if it is a JSON object with a top-level key `taskqueue`. From there on nothing
//! is guessed, mended or ignored: what is wrong with it refuses it, with a reason.

use uuid::Uuid;

mod about;
mod body;
mod complaint;
mod described;
mod excerpt;
mod json;
mod name;
mod own;
mod read;
mod refusal;
mod rules;
#[cfg(test)]
mod tests;
mod time;
mod type_name;

pub use about::About;
pub use body::{Argument, Body, Call, Native, OptionValue, Pointer};
pub use described::{Described, Mapping, Source};
pub use name::{CommandName, HOOK, OptionName};
pub use read::read;
pub use refusal::{NotNative, Place, Refusal};
pub use rules::{BadName, MAX_NAME_LEN};
pub use type_name::{BadTypeName, TypeName};

use excerpt::excerpt;
use json::{is_number, quoted};
use read::{not_json, without_duplicates, without_nul};

/// The element of a configured `run` in whose place the command's name is put.
pub const COMMAND_ELEMENT: &str = "{command}";

impl Pointer {
    /// The body that [`read`] reads back as this pointer. `about` is for whoever looks at the broker with a console.
    pub fn to_body(&self, about: Option<&About>) -> Vec<u8> {
        let Self { uuid, store } = self;
        let about = about.map_or_else(String::new, |about| {
            format!(r#","for":{}"#, quoted(about.as_str()))
        });
        format!(r#"{{"taskqueue":1,"uuid":"{uuid}","store":"{store}"{about}}}"#).into_bytes()
    }

    /// Whether a body that [`read`] reads as this pointer is one that we wrote, byte for byte.
    pub fn is_as_written(&self, body: &[u8]) -> bool {
        let bare = self.to_body(None);
        let begins = bare.strip_suffix(b"}").unwrap_or(&bare);
        match body.strip_prefix(begins) {
            Some(rest) => rest == b"}" || rest.starts_with(br#","for":""#),
            None => false,
        }
    }
}

impl Call {
    /// The arguments as a JSON array of strings, but for negative numbers.
    pub fn arguments_json(&self) -> String {
        let argument = |argument: &Argument| match argument {
            Argument::Negative(digits) if is_number(digits) => digits.clone(),
            // A number that is none is kept as the text that the argv would get.
            Argument::Negative(text) | Argument::Text(text) => quoted(text),
        };
        let arguments: Vec<String> = self.arguments.iter().map(argument).collect();
        format!("[{}]", arguments.join(","))
    }

    /// The same, all of them strings: as rows of earlier versions have them.
    pub fn arguments_as_texts(&self) -> String {
        let arguments = self.arguments.iter();
        let texts: Vec<String> = arguments.map(|one| quoted(one.as_str())).collect();
        format!("[{}]", texts.join(","))
    }

    /// The options as a JSON object, in their order.
    pub fn options_json(&self) -> String {
        let member = |(name, value): &(OptionName, OptionValue)| {
            let value = match value {
                OptionValue::Flag => "true".into(),
                OptionValue::Off => "false".into(),
                OptionValue::Number(digits) if is_number(digits) => digits.clone(),
                // A number that is none is kept as the text that the argv would get.
                OptionValue::Number(text) | OptionValue::Text(text) => quoted(text),
            };
            format!("{}:{value}", quoted(name.as_str()))
        };
        let members: Vec<String> = self.options.iter().map(member).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The native body that [`read`] reads back as this call.
    pub fn to_body(&self, uuid: Uuid) -> Vec<u8> {
        format!(
            r#"{{"taskqueue":1,"uuid":"{uuid}","command":{},"arguments":{},"options":{}}}"#,
            quoted(self.command.as_str()),
            self.arguments_json(),
            self.options_json()
        )
        .into_bytes()
    }

    /// Puts a call together again from what a store holds of it.
    ///
    /// As strict as [`read`]: a row that was edited by hand runs nothing that a body could not.
    pub fn from_parts(
        command: &str,
        arguments_json: &str,
        options_json: &str,
    ) -> Result<Self, Refusal> {
        let part =
            |key, text| json::value(text).map_err(|error| not_json(Place::Member(key), &error));
        Ok(Self {
            // Only what we have made ourselves is in a row by such a name: no body is read as one.
            command: match CommandName::is_a_hook(command) {
                true => CommandName::of_a_hook(command.into()),
                false => command.parse()?,
            },
            arguments: read::arguments(part("arguments", arguments_json)?)?,
            options: read::options(part("options", options_json)?)?,
        })
    }

    /// Reads options as the command line gives them: `K=V` is a text, `K` alone a flag.
    pub fn parse_options(given: &[String]) -> Result<Vec<(OptionName, OptionValue)>, Refusal> {
        let option = |text: &String| {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text.as_str(), None),
            };
            let name: OptionName = name.parse()?;
            let value = match value {
                Some(value) => OptionValue::Text(without_nul(
                    Place::Option(name.to_string()),
                    value.to_owned(),
                )?),
                None => OptionValue::Flag,
            };
            Ok((name, value))
        };
        without_duplicates(given.iter().map(option).collect::<Result<_, _>>()?)
    }
}

/// The argv of a call: the configured program and its fixed arguments, then the call's arguments,
/// then its options.
///
/// An element of `run` that is exactly `{command}` becomes the command's name. Everything from the
/// payload becomes a whole element; nothing in it is split, joined, expanded or left out.
pub fn argv(call: &Call, run: &[String], dash_arguments: bool) -> Result<Vec<String>, Refusal> {
    if run.is_empty() {
        return Err(Refusal::NoProgram {
            command: call.command.to_string(),
        });
    }
    let mut argv = Vec::with_capacity(run.len() + call.arguments.len() + call.options.len());
    argv.extend(run.iter().map(|element| match element.as_str() {
        COMMAND_ELEMENT => call.command.to_string(),
        _ => element.clone(),
    }));
    for (index, argument) in call.arguments.iter().enumerate() {
        let place = Place::Argument(index + 1);
        let text = argument.as_str();
        let is_number = match argument {
            Argument::Text(_) => false,
            Argument::Negative(digits) => is_number(digits),
        };
        if text.starts_with('-') && !is_number && !dash_arguments {
            return Err(Refusal::LeadingHyphen {
                place,
                argument: excerpt(text),
                command: call.command.to_string(),
            });
        }
        argv.push(without_nul(place, text.to_owned())?);
    }
    for (name, value) in &call.options {
        let value = match value {
            OptionValue::Off => continue,
            OptionValue::Flag => {
                argv.push(format!("--{name}"));
                continue;
            }
            OptionValue::Text(value) | OptionValue::Number(value) => value.clone(),
        };
        let value = without_nul(Place::Option(name.to_string()), value)?;
        argv.push(format!("--{name}={value}"));
    }
    Ok(argv)
}
