//! `[types."NAME"]`: what becomes of the bodies of the PHP TaskQueue.

use super::error::{Error, Wrong};
use super::file::{File, Type};
use crate::task::command::Commands;
use crate::task::payload::{BadTypeName, CommandName, Mapping, OptionName, Refusal, TypeName};

/// Adds every type of the file. Its command is there already, or it is refused.
pub(super) fn types(file: &File, commands: &mut Commands, wrong: &Wrong<'_>) -> Result<(), Error> {
    for (name, given) in &file.types {
        let at = |key: &str| format!("types.{name:?}{key}");
        let name: TypeName = name
            .parse()
            .map_err(|e: BadTypeName| wrong(at(""), e.to_string()))?;
        let mapping = mapping(given).map_err(|(key, reason)| wrong(at(&key), reason))?;
        if !commands.take_type(name, mapping) {
            return Err(wrong(
                at(".command"),
                format!("there is no [commands.\"{}\"]", given.command),
            ));
        }
    }
    Ok(())
}

/// Checks one type. What is wrong is the key below it, and why.
fn mapping(given: &Type) -> Result<Mapping, (String, String)> {
    let command: CommandName = given
        .command
        .parse()
        .map_err(|e: Refusal| (".command".to_owned(), e.to_string()))?;
    if given.arguments.iter().any(String::is_empty) {
        return Err((".arguments".into(), "a field has no name".into()));
    }
    let mut options = Vec::with_capacity(given.options.len());
    for (name, field) in &given.options {
        let at = || format!(".options.{name:?}");
        let name: OptionName = name.parse().map_err(|e: Refusal| (at(), e.to_string()))?;
        if field.get_ref().is_empty() {
            return Err((at(), "the field has no name".into()));
        }
        options.push((field.span().start, name, field.get_ref().clone()));
    }
    // As they were written: a table has no order of its own.
    options.sort_by_key(|(position, ..)| *position);
    Ok(Mapping {
        command,
        arguments: given.arguments.clone(),
        options: options
            .into_iter()
            .map(|(_, name, field)| (name, field))
            .collect(),
    })
}
