//! `[types."NAME"]`: what becomes of the bodies of the PHP TaskQueue.

use super::error::{Error, Wrong};
use super::file::{File, Type, TypeOption};
use crate::task::command::Commands;
use crate::task::payload::{
    BadTypeName, CommandName, Mapping, OptionName, OptionValue, Refusal, Source, TypeName,
};

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
    for (name, from) in &given.options {
        let at = || format!(".options.{name:?}");
        let name: OptionName = name.parse().map_err(|e: Refusal| (at(), e.to_string()))?;
        let source = source(from.get_ref()).map_err(|reason| (at(), reason))?;
        options.push((from.span().start, name, source));
    }
    // As they were written: a table has no order of its own.
    options.sort_by_key(|(position, ..)| *position);
    Ok(Mapping {
        command,
        arguments: given.arguments.clone(),
        options: options
            .into_iter()
            .map(|(_, name, source)| (name, source))
            .collect(),
    })
}

/// Where the value of an option is from.
fn source(given: &TypeOption) -> Result<Source, String> {
    let value = |given: &Option<toml::Value>| given.as_ref().map(value).transpose();
    match (&given.field, value(&given.default)?, value(&given.value)?) {
        (Some(field), _, None) if field.is_empty() => Err("the field has no name".into()),
        (Some(field), default, None) => Ok(Source::Field {
            field: field.clone(),
            default,
        }),
        (None, None, Some(value)) => Ok(Source::Fixed(value)),
        (None, _, None) => Err("needs a field or a value".into()),
        (Some(_), _, Some(_)) => Err("has both a field and a value".into()),
        (None, Some(_), Some(_)) => Err("has both a value and a default".into()),
    }
}

/// A value as a body would say it.
fn value(given: &toml::Value) -> Result<OptionValue, String> {
    let number = |digits: String| OptionValue::Number(digits);
    match given {
        toml::Value::String(text) if text.contains('\0') => Err("a value has a NUL in it".into()),
        toml::Value::String(text) => Ok(OptionValue::Text(text.clone())),
        toml::Value::Integer(integer) => Ok(number(integer.to_string())),
        toml::Value::Float(float) if float.is_finite() => Ok(number(float.to_string())),
        toml::Value::Boolean(true) => Ok(OptionValue::Flag),
        toml::Value::Boolean(false) => Ok(OptionValue::Off),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => Err("a value is a string, a number, true or false".into()),
    }
}
