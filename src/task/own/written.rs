//! What a task says of its own attempts, as it stands in a row.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BadOwn, Own};
use crate::task::retry::{Attempts, Waits};

/// Durations are milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_attempts: Option<Often>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Often {
    Number(u32),
    Word(String),
}

impl Own {
    /// As it stands in a row: a JSON object.
    pub fn written(&self) -> String {
        let written = Written {
            max_attempts: self.max_attempts.map(|attempts| match attempts {
                Attempts::Most(most) => Often::Number(most),
                Attempts::Endless => Often::Word(attempts.to_string()),
            }),
            retry: self
                .waits
                .as_ref()
                .map(|waits| waits.all().iter().copied().map(millis).collect()),
            timeout: self.timeout.map(|timeout| millis(timeout).max(1)),
            env: self
                .environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        };
        // There is nothing in it that JSON cannot say.
        serde_json::to_string(&written).unwrap_or_else(|_| "{}".into())
    }

    /// Reads what stands in a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Own, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let attempts = |often| match often {
            Often::Number(most) => Ok(Attempts::Most(most)),
            Often::Word(word) => word.parse(),
        };
        let said = |bad: BadOwn| bad.to_string();
        let mut own = Own {
            max_attempts: written.max_attempts.map(attempts).transpose()?,
            waits: match written.retry {
                None => None,
                Some(waits) => {
                    let waits: Vec<Duration> =
                        waits.into_iter().map(Duration::from_millis).collect();
                    Some(Waits::new(&waits).map_err(|bad| bad.to_string())?)
                }
            },
            timeout: written.timeout.map(Duration::from_millis),
            environment: BTreeMap::new(),
        };
        for (name, value) in written.env {
            own.add_variable(&name, value).map_err(said)?;
        }
        Ok(own.checked().map_err(said)?.unwrap_or_default())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
