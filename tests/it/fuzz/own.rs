//! What taskqueue-payload(7) says of what a task may say of its own attempts, as code that shares nothing with the
//! program.

use super::json::Json;

/// A year, in milliseconds.
const YEAR: f64 = 366.0 * 86_400_000.0;

/// The values of those keys.
pub struct Said<'a> {
    pub max_attempts: Option<&'a Json>,
    pub retry: Option<&'a Json>,
    pub timeout: Option<&'a Json>,
    pub env: Option<&'a Json>,
}

impl Said<'_> {
    pub fn is_right(&self) -> bool {
        let given = |of: Option<&'_ Json>| of.is_some_and(|value| *value != Json::Null);
        let attempts = match self.max_attempts {
            Some(value) if given(self.max_attempts) => match attempts(value) {
                Some(attempts) => Some(attempts),
                None => return false,
            },
            Some(_) | None => None,
        };
        let waits = match self.retry {
            Some(Json::Array(waits)) => {
                let waits: Option<Vec<f64>> = waits.iter().map(millis).collect();
                match waits {
                    Some(waits) if (1..=100).contains(&waits.len()) => waits,
                    Some(_) | None => return false,
                }
            }
            Some(_) if given(self.retry) => return false,
            Some(_) | None => Vec::new(),
        };
        if waits.iter().any(|wait| *wait > YEAR) {
            return false;
        }
        if let (Some(attempts), Some(last)) = (attempts, waits.last())
            && attempts > waits.len() as u64 + 101
            && *last < 10.0
        {
            return false;
        }
        if given(self.timeout) {
            let right = self.timeout.and_then(millis);
            // What is less than a nanosecond is nothing.
            if !right.is_some_and(|time| (0.000_000_5..=YEAR).contains(&time)) {
                return false;
            }
        }
        !given(self.env) || self.env.is_some_and(variables)
    }
}

/// More than any number: without end.
fn attempts(value: &Json) -> Option<u64> {
    let text = match value {
        Json::Number(digits) => digits.as_str(),
        Json::Text(Some(text)) if text == "endless" => return Some(u64::MAX),
        Json::Text(Some(text)) => text,
        Json::Text(None) | Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
            return None;
        }
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.trim_start_matches('0').parse().ok();
    number.filter(|number| is_number && (1..=u64::from(u32::MAX)).contains(number))
}

/// Seconds as a number or in digits, or numbers that each have a unit after them.
fn millis(value: &Json) -> Option<f64> {
    let text = match value {
        Json::Number(digits) => {
            let seconds: f64 = digits.parse().ok()?;
            return (0.0..1e19).contains(&seconds).then_some(seconds * 1000.0);
        }
        Json::Text(Some(text)) => text.as_str(),
        Json::Text(None) | Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
            return None;
        }
    };
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(f64::from(seconds) * 1000.0);
    }
    let mut left = text.trim();
    let mut sum = None;
    while !left.is_empty() {
        let number = left.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &left[..left.len() - number.len()];
        let after = number.trim_start();
        let rest = after.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &after[..after.len() - rest.len()] {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            "w" => 604_800_000.0,
            _ => return None,
        };
        let count: i64 = digits.parse().ok()?;
        let so_far: f64 = sum.unwrap_or(0.0) + count as f64 * unit;
        sum = Some(so_far).filter(|sum| *sum < 9e18);
        sum?;
        left = rest.trim_start();
    }
    sum
}

fn variables(value: &Json) -> bool {
    let members = match value {
        Json::Object(members) => members,
        Json::Array(elements) => return elements.is_empty(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => return false,
    };
    let mut names = Vec::new();
    for (name, value) in members {
        let (Some(name), Json::Number(value) | Json::Text(Some(value))) = (name, value) else {
            return false;
        };
        let is_name = !name.is_empty()
            && name.len() <= 100
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let is_ours = name == "PATH" || name.starts_with("LD_") || name.starts_with("TASKQUEUE_");
        if !is_name || is_ours || names.contains(&name) {
            return false;
        }
        if value.len() > 4096 || value.contains('\0') {
            return false;
        }
        names.push(name);
    }
    names.len() <= 20
}
