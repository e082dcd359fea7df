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

#[cfg(test)]
mod tests {
    use crate::task::own::Own;
    use crate::task::payload::{Body, read};

    fn own(more: &str) -> Result<Option<Own>, String> {
        let body = format!(r#"{{"taskqueue":1,"command":"a",{more}}}"#);
        match read(body.as_bytes()) {
            Body::Native(native) => Ok(native.own.map(|own| *own)),
            Body::Refused(refusal) => Err(refusal.to_string()),
            other @ (Body::Pointer(_) | Body::Other(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_body_says_of_its_attempts_is_read() {
        for (more, written) in [
            (r#""max_attempts":7"#, r#"{"max_attempts":7}"#),
            (r#""max_attempts":"7""#, r#"{"max_attempts":7}"#),
            (
                r#""max_attempts":"endless""#,
                r#"{"max_attempts":"endless"}"#,
            ),
            (
                r#""retry":[1,0.5,"2m","1h 30m"]"#,
                r#"{"retry":[1000,500,120000,5400000]}"#,
            ),
            (r#""timeout":"90s""#, r#"{"timeout":90000}"#),
            (r#""timeout":1.5"#, r#"{"timeout":1500}"#),
            (
                r#""env":{"B":"x","A":1e5}"#,
                r#"{"env":{"A":"1e5","B":"x"}}"#,
            ),
        ] {
            let read = own(more).unwrap().unwrap();
            assert_eq!(read.written(), written, "{more}");
        }
        for nothing in [
            r#""max_attempts":null,"retry":null,"timeout":null,"env":null"#,
            r#""env":{}"#,
            r#""env":[]"#,
        ] {
            assert_eq!(own(nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn what_makes_no_sense_refuses_the_body() {
        for (more, says) in [
            (r#""max_attempts":0"#, "the payload's \"max_attempts\" is"),
            (r#""max_attempts":-1"#, "not a number from 1"),
            (r#""max_attempts":1.5"#, "not a number from 1"),
            (r#""max_attempts":4294967296"#, "not a number from 1"),
            (r#""max_attempts":"for ever""#, "not a number from 1"),
            (
                r#""max_attempts":true"#,
                "\"max_attempts\" is true, not a number",
            ),
            (r#""retry":"5m""#, "\"retry\" is a string, not an array"),
            (r#""retry":[-1]"#, "not a duration"),
            (r#""retry":[1e300]"#, "not a duration"),
            (r#""retry":[""]"#, "not a duration"),
            (r#""retry":[null]"#, "\"retry\" is null, not a duration"),
            (r#""retry":["367d"]"#, "a wait has 366 days at most"),
            (r#""max_attempts":"endless","retry":[0]"#, "without pause"),
            (r#""max_attempts":1000,"retry":[0]"#, "without pause"),
            (r#""timeout":0"#, "timeout: it is more than 0"),
            (r#""env":["A"]"#, "\"env\" is an array, not an object"),
            (
                r#""env":{"A":true}"#,
                "\"env\" is true, not an object of strings",
            ),
            (
                r#""env":{"a b":"x"}"#,
                "the variable \"a b\": a name has letters",
            ),
            (r#""env":{"\ud800":"x"}"#, "half a surrogate pair"),
            (r#""timeout":1,"timeout":1"#, "twice"),
        ] {
            let refused = own(more).unwrap_err();
            assert!(refused.contains(says), "{more}: {refused}");
        }
        let uuid = "0195f2e2-7a10-7c3e-9f52-9c2b8f1a4d01";
        for key in ["max_attempts", "retry", "timeout", "env"] {
            let body = format!(r#"{{"taskqueue":1,"uuid":"{uuid}","store":"{uuid}","{key}":1}}"#);
            let Body::Refused(refusal) = read(body.as_bytes()) else {
                panic!("{key} stands in a pointer");
            };
            assert!(refusal.to_string().contains(key), "{refusal}");
        }
    }
}
