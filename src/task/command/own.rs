//! A command as it runs for a task that says something of its own attempts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Command;
use crate::task::conditions::{ByTube, Conditions, Variable};
use crate::task::own::{MostTime, OutOfBounds, Own, VariableName};
use crate::task::retry::Attempts;
use crate::tube::TubeName;

/// A command as it runs for this task in a tube.
///
/// # Errors
/// What the command's configuration does not let its tasks say.
pub(super) fn with(
    own: &Own,
    command: &Command,
    tube: &TubeName,
) -> Result<Arc<Command>, OutOfBounds> {
    within(own, command)?;
    let mut with = command.clone();
    with.retry.max_attempts = own.attempts().unwrap_or(with.retry.max_attempts);
    if let Some(waits) = &own.waits {
        with.retry.waits = Some(waits.clone());
    }
    with.timeout = own.timeout.or(with.timeout);
    if !own.environment.is_empty() {
        let mut conditions = Conditions::clone(command.conditions.of(tube));
        let set = |(name, value): (&VariableName, &String)| {
            (name.to_string(), Variable::Set(value.clone()))
        };
        let named = &mut conditions.variables.named;
        named.extend(own.environment.iter().map(set));
        with.conditions = ByTube::new(conditions.into(), BTreeMap::new());
    }
    Ok(with.into())
}

fn within(own: &Own, command: &Command) -> Result<(), OutOfBounds> {
    let bounds = &command.bounds;
    let most = bounds.max_attempts.unwrap_or(command.retry.max_attempts);
    if let Some(attempts) = own.attempts().filter(|attempts| *attempts > most) {
        return Err(OutOfBounds {
            says: format!("max_attempts = {}", quoted(attempts)),
            allowed: format!("at most {most}"),
            key: format!("task_max_attempts = {}", quoted(attempts)),
        });
    }
    let most = match bounds.timeout {
        MostTime::AsTheCommand => command.timeout,
        MostTime::Most(most) => Some(most),
        MostTime::Any => None,
    };
    if let (Some(timeout), Some(most)) = (own.timeout, most)
        && timeout > most
    {
        return Err(OutOfBounds {
            says: format!("timeout = {}", timeout.as_secs_f64()),
            allowed: format!("at most {} seconds", most.as_secs_f64()),
            key: format!("task_timeout = {}", timeout.as_secs_f64().ceil()),
        });
    }
    let mut names = own.environment.keys();
    match names.find(|name| !bounds.environment.contains(*name)) {
        None => Ok(()),
        Some(name) => {
            let allowed: Vec<&str> = bounds.environment.iter().map(|one| one.as_str()).collect();
            let with: Vec<String> = allowed
                .iter()
                .chain([&name.as_str()])
                .map(|one| format!("{one:?}"))
                .collect();
            Err(OutOfBounds {
                says: format!("the variable {name}"),
                allowed: match allowed.is_empty() {
                    true => "none".into(),
                    false => format!("only {}", allowed.join(", ")),
                },
                key: format!("task_environment = [{}]", with.join(", ")),
            })
        }
    }
}

fn quoted(attempts: Attempts) -> String {
    match attempts {
        Attempts::Most(most) => most.to_string(),
        Attempts::Endless => format!("\"{attempts}\""),
    }
}

#[cfg(test)]
mod tests;
