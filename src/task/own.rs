//! What a task says of its own attempts, which wins over what its command's configuration says, within the bounds that
//! the same configuration sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::retry::{Attempts, BadWaits, Waits};

mod written;

/// So many variables a task brings at the most.
pub const MOST_VARIABLES: usize = 20;

/// The longest value of one, in bytes.
pub const LONGEST_VALUE: usize = 4096;

/// The longest name of one, in bytes.
const LONGEST_NAME: usize = 100;

/// No timeout of a task is longer: a year.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// What a task says of its own attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// How often it is tried.
    pub max_attempts: Option<Attempts>,
    /// How long it waits in between. Without [`Own::max_attempts`] it is tried as often as uses each of these once.
    pub waits: Option<Waits>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// What its command finds in the environment.
    pub environment: BTreeMap<VariableName, String>,
}

/// The name of a variable that a task may be allowed to bring: letters, digits and `_`, no digit first; and none that
/// says which program runs, or whose a process is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VariableName(String);

/// What the configuration of a command lets its tasks say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// How often they may be tried; `None`: as often as the command says.
    pub max_attempts: Option<Attempts>,
    /// How long an attempt may take.
    pub timeout: MostTime,
    /// What they may bring into the environment.
    pub environment: BTreeSet<VariableName>,
}

/// How long an attempt may take at the most, if its task says how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MostTime {
    /// As long as the command says.
    #[default]
    AsTheCommand,
    /// So long.
    Most(Duration),
    /// As long as the task says.
    Any,
}

/// What is wrong with what a task says, whatever its command allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOwn {
    /// Its waits are none.
    #[error("retry: {0}")]
    Waits(BadWaits),
    /// It would be tried without end, or very often, and without pause.
    #[error("retry: its last wait is none, and the task would be tried very often, without pause")]
    NoPause,
    /// Its timeout is none.
    #[error("timeout: it is more than 0 and at most 366 days")]
    Timeout,
    /// It is tried never.
    #[error("max_attempts: it is at least 1")]
    NoAttempt,
    /// A variable has no name that it may have.
    #[error("the variable {name:?}: {why}")]
    Name {
        /// The name, as far as it may be shown.
        name: String,
        /// What is wrong with it.
        why: BadName,
    },
    /// A variable's value is too long, or would be cut short by the kernel.
    #[error("the variable {name}: its value has at most {LONGEST_VALUE} bytes, and no NUL")]
    Value {
        /// The variable.
        name: VariableName,
    },
    /// One variable is given twice.
    #[error("the variable {name} is given twice")]
    Twice {
        /// The variable.
        name: VariableName,
    },
    /// There are too many.
    #[error("{0} variables, and a task brings {MOST_VARIABLES} at most")]
    TooMany(usize),
}

/// Why a variable cannot be a task's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is no name.
    #[error("a name has letters, digits and _, no digit first, and at most {LONGEST_NAME} bytes")]
    NoName,
    /// It says which program runs, or whose a process is.
    #[error(
        "no task can bring PATH, LD_* or TASKQUEUE_*: they say which program runs, and whose a process is"
    )]
    Reserved,
}

/// What a task says, and its command's configuration does not let it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfBounds {
    /// What the task says.
    pub says: String,
    /// What is allowed.
    pub allowed: String,
    /// The key of the configuration by which more is allowed, with a value.
    pub key: String,
}

impl VariableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VariableName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<VariableName, BadName> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let has_letter_first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !has_letter_first || !text.chars().all(is_name) || text.len() > LONGEST_NAME {
            return Err(BadName::NoName);
        }
        if text == "PATH" || text.starts_with("LD_") || text.starts_with("TASKQUEUE_") {
            return Err(BadName::Reserved);
        }
        Ok(VariableName(text.to_owned()))
    }
}

impl Own {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Own::default()
    }

    /// Adds a variable.
    ///
    /// # Errors
    /// When it cannot be a task's.
    pub fn add_variable(&mut self, name: &str, value: String) -> Result<(), BadOwn> {
        let name: VariableName = name.parse().map_err(|why| BadOwn::Name {
            name: name.chars().take(LONGEST_NAME).collect(),
            why,
        })?;
        if value.len() > LONGEST_VALUE || value.contains('\0') {
            return Err(BadOwn::Value { name });
        }
        if self.environment.contains_key(&name) {
            return Err(BadOwn::Twice { name });
        }
        self.environment.insert(name, value);
        Ok(())
    }

    /// Passes on what makes sense; nothing if nothing is said.
    ///
    /// # Errors
    /// What makes none.
    pub fn checked(self) -> Result<Option<Own>, BadOwn> {
        if self.max_attempts == Some(Attempts::Most(0)) {
            return Err(BadOwn::NoAttempt);
        }
        if let (Some(attempts), Some(waits)) = (self.max_attempts, &self.waits)
            && !waits.pause(attempts)
        {
            return Err(BadOwn::NoPause);
        }
        let is_timeout = |timeout: Duration| !timeout.is_zero() && timeout <= LONGEST_TIMEOUT;
        if !self.timeout.is_none_or(is_timeout) {
            return Err(BadOwn::Timeout);
        }
        if self.environment.len() > MOST_VARIABLES {
            return Err(BadOwn::TooMany(self.environment.len()));
        }
        Ok(Some(self).filter(|own| !own.is_empty()))
    }

    /// What is said here, and where nothing is, what the other says.
    #[must_use]
    pub fn or(self, other: &Own) -> Own {
        let says_how_often = self.max_attempts.is_some() || self.waits.is_some();
        let mut environment = other.environment.clone();
        environment.extend(self.environment);
        Own {
            max_attempts: match says_how_often {
                true => self.max_attempts,
                false => other.max_attempts,
            },
            waits: match says_how_often {
                true => self.waits,
                false => other.waits.clone(),
            },
            timeout: self.timeout.or(other.timeout),
            environment,
        }
    }

    /// What it says of how often and how long, for people, as flags and bodies have it; nothing if it says nothing.
    pub fn words(&self) -> String {
        let waits = self.waits.as_ref().map(|waits| {
            let waits: Vec<String> = waits.all().iter().copied().map(short).collect();
            format!("retry {}", waits.join(","))
        });
        let attempts = self.max_attempts.map(|most| format!("max_attempts {most}"));
        let timeout = self.timeout.map(|most| format!("timeout {}", short(most)));
        let said: Vec<String> = [attempts, waits, timeout].into_iter().flatten().collect();
        said.join(", ")
    }

    /// The names of the variables that it brings.
    pub fn names(&self) -> Vec<&str> {
        self.environment.keys().map(VariableName::as_str).collect()
    }

    /// How often it is to be tried, if it says so: a list of waits says it too.
    pub fn attempts(&self) -> Option<Attempts> {
        let of_list = || self.waits.as_ref().map(Waits::attempts);
        self.max_attempts.or_else(|| of_list().map(Attempts::Most))
    }
}

impl Bounds {
    /// Whether a task may say that of a command which is tried so often by itself, and may take so long.
    ///
    /// # Errors
    /// What it may not say.
    pub fn allow(
        &self,
        own: &Own,
        attempts: Attempts,
        timeout: Option<Duration>,
    ) -> Result<(), OutOfBounds> {
        let most = self.max_attempts.unwrap_or(attempts);
        if let Some(attempts) = own.attempts().filter(|attempts| *attempts > most) {
            return Err(OutOfBounds {
                says: format!("max_attempts = {}", quoted(attempts)),
                allowed: format!("at most {most}"),
                key: format!("task_max_attempts = {}", quoted(attempts)),
            });
        }
        let most = match self.timeout {
            MostTime::AsTheCommand => timeout,
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
        match names.find(|name| !self.environment.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let allowed: Vec<&str> = self.environment.iter().map(|one| one.as_str()).collect();
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
}

fn quoted(attempts: Attempts) -> String {
    match attempts {
        Attempts::Most(most) => most.to_string(),
        Attempts::Endless => format!("\"{attempts}\""),
    }
}

/// A duration in the largest unit that says it whole.
fn short(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let whole = |(unit, _): &&(u128, &str)| millis > 0 && millis.is_multiple_of(*unit);
    match units.iter().find(whole) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".into(),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests;
