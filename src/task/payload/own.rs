//! What a body says of its task's own attempts.

use std::time::Duration;

use serde_json::value::RawValue;

use super::complaint::{is_empty, not_json, without_nul, wrong};
use super::excerpt::excerpt;
use super::json::{self, Value};
use super::{Place, Refusal};
use crate::task::own::{BadOwn, Own};
use crate::task::retry::{Attempts, Waits};
use crate::task::unique::millis;

/// The values of those keys, each given at most once. `null` is as if the key were not there.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) max_attempts: Option<&'a RawValue>,
    pub(super) retry: Option<&'a RawValue>,
    pub(super) timeout: Option<&'a RawValue>,
    pub(super) env: Option<&'a RawValue>,
}

impl Fields<'_> {
    /// What they say together; `None`: nothing.
    pub(super) fn read(&self) -> Result<Option<Own>, Refusal> {
        let given = |field: Option<&RawValue>| match field.map(|raw| raw.get()) {
            None | Some("null") => false,
            Some(_) => true,
        };
        let mut own = Own::default();
        if let Some(raw) = self.max_attempts.filter(|raw| given(Some(raw))) {
            own.max_attempts = Some(max_attempts(&Value::of(raw))?);
        }
        if let Some(raw) = self.retry.filter(|raw| given(Some(raw))) {
            own.waits = Some(waits(&Value::of(raw))?);
        }
        if let Some(raw) = self.timeout.filter(|raw| given(Some(raw))) {
            own.timeout = Some(duration("timeout", &Value::of(raw))?);
        }
        if let Some(raw) = self.env.filter(|raw| given(Some(raw))) {
            variables(&Value::of(raw), &mut own)?;
        }
        own.checked().map_err(Refusal::Own)
    }
}

fn max_attempts(value: &Value<'_>) -> Result<Attempts, Refusal> {
    const WANTED: &str = "a number from 1 to 4294967295, or \"endless\"";
    let place = Place::Member("max_attempts");
    let text = match value {
        Value::Number(digits) => (*digits).to_owned(),
        Value::Text(text) => text.clone(),
        Value::Null
        | Value::Bool(_)
        | Value::LoneSurrogate(_)
        | Value::Array(_)
        | Value::Object(_) => return Err(wrong(place, value, WANTED)),
    };
    text.parse().map_err(|_| Refusal::NotOneOf {
        place,
        text: excerpt(&text),
        wanted: WANTED,
    })
}

fn waits(value: &Value<'_>) -> Result<Waits, Refusal> {
    let place = Place::Member("retry");
    let Value::Array(array) = value else {
        return Err(wrong(place, value, "an array of durations"));
    };
    let elements = json::elements(array).map_err(|error| not_json(place, &error))?;
    let waits = elements
        .into_iter()
        .map(|raw| duration("retry", &Value::of(raw)));
    let waits: Vec<Duration> = waits.collect::<Result<_, _>>()?;
    Waits::new(&waits).map_err(|bad| Refusal::Own(BadOwn::Waits(bad)))
}

/// A number is seconds.
fn duration(key: &'static str, value: &Value<'_>) -> Result<Duration, Refusal> {
    const WANTED: &str = "a duration, such as 600 for seconds, or \"10m\"";
    let place = Place::Member(key);
    let (text, duration) = match value {
        Value::Number(digits) => {
            let seconds = digits.parse::<f64>().ok();
            let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
            ((*digits).to_owned(), duration)
        }
        Value::Text(text) => {
            let millis = millis(text).filter(|_| !text.trim().is_empty());
            let millis = millis.and_then(|millis| u64::try_from(millis).ok());
            (text.clone(), millis.map(Duration::from_millis))
        }
        Value::Null
        | Value::Bool(_)
        | Value::LoneSurrogate(_)
        | Value::Array(_)
        | Value::Object(_) => return Err(wrong(place, value, WANTED)),
    };
    duration.ok_or_else(|| Refusal::NotOneOf {
        place,
        text: excerpt(&text),
        wanted: WANTED,
    })
}

fn variables(value: &Value<'_>, own: &mut Own) -> Result<(), Refusal> {
    let place = || Place::Member("env");
    let object = match value {
        Value::Object(object) => object,
        // What PHP's json_encode makes of an array without elements, whatever it was meant to be.
        Value::Array(array) if is_empty(array) => return Ok(()),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::LoneSurrogate(_)
        | Value::Array(_) => return Err(wrong(place(), value, "an object")),
    };
    for member in json::members(object).map_err(|error| not_json(place(), &error))? {
        let name = member.key.map_err(|text| Refusal::LoneSurrogate {
            place: place(),
            text: excerpt(text),
        })?;
        let value = match Value::of(member.value) {
            Value::Text(text) => without_nul(place(), text)?,
            Value::Number(digits) => digits.to_owned(),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::LoneSurrogate(_)
            | Value::Array(_)
            | Value::Object(_)) => {
                return Err(wrong(place(), &other, "an object of strings and numbers"));
            }
        };
        own.add_variable(&name, value).map_err(Refusal::Own)?;
    }
    Ok(())
}
