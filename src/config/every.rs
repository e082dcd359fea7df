//! An interval, or at once again.

use serde::Deserialize;

use super::duration::{self, millis};
use crate::schedule::spec::SHORTEST;
use crate::task::Millis;

/// `every = …`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(pub Millis);

impl Every {
    /// Reads `600`, `10m` or `-1`, which is at once again.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Every, String> {
        match text.trim() {
            "-1" => Ok(Every(0)),
            text => match millis(duration::parse(text)?) {
                period if period >= SHORTEST => Ok(Every(period)),
                _ => Err("an interval is a second at least, or -1, which is at once again".into()),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Every, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(seconds) => seconds.to_string(),
            toml::Value::Float(seconds) => seconds.to_string(),
            _ => "neither".into(),
        };
        Every::read(&text).map_err(serde::de::Error::custom)
    }
}
