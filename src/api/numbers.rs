//! Numbers that every reader of JSON reads as what they are.
//!
//! A task's options may have a number of any size, since it becomes text for a command. Python refuses more than 4,300
//! digits, Go what no double holds, and what counts in doubles, as `jq` and JavaScript do, reads another number than
//! was put. Such a number is written as a string of its digits.

use std::borrow::Cow;

/// All integers up to here are doubles, and no other is taken for one of them.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// So many digits come out of a double as they went in, wherever the point is.
const MAX_DIGITS: usize = 15;

/// JSON that is right, with a string in the place of each number that not everybody can read.
pub(super) fn readable(json: &str) -> Cow<'_, str> {
    let mut written = String::new();
    let (mut rest, mut done) = (json, 0);
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let at = json.len() - rest.len() + start;
        let token = json.get(at..).unwrap_or_default();
        let length = match token.starts_with('"') {
            true => string(token),
            false => token.find(|c| !is_of_number(c)).unwrap_or(token.len()),
        };
        let (token, after) = token.split_at_checked(length).unwrap_or((token, ""));
        if !token.starts_with('"') && !is_readable(token) {
            written.push_str(json.get(done..at).unwrap_or_default());
            written.push('"');
            written.push_str(token);
            written.push('"');
            done = at + token.len();
        }
        rest = after;
    }
    if done == 0 {
        return json.into();
    }
    written.push_str(json.get(done..).unwrap_or_default());
    written.into()
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')
}

/// How long a string is, with its quotes.
fn string(token: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in token.bytes().enumerate().skip(1) {
        match (is_escaped, byte) {
            (true, _) => is_escaped = false,
            (false, b'\\') => is_escaped = true,
            (false, b'"') => return at + 1,
            (false, _) => {}
        }
    }
    token.len()
}

fn is_readable(number: &str) -> bool {
    let Ok(double) = number.parse::<f64>() else {
        return false;
    };
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, ""));
    let is_integer = exponent.is_empty() && !digits.contains('.');
    let leading = ['-', '0', '.'];
    let significant = digits
        .trim_start_matches(leading)
        .bytes()
        .filter(u8::is_ascii_digit);
    match is_integer {
        true => number
            .parse::<i64>()
            .is_ok_and(|n| n.unsigned_abs() <= MAX_INTEGER),
        // What is too small for a double becomes nothing.
        false => {
            let is_nothing = digits.trim_start_matches(leading).is_empty();
            double.is_finite()
                && significant.count() <= MAX_DIGITS
                && (double.is_normal() || is_nothing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_only_some_can_read_are_strings() {
        let digits = "9".repeat(5000);
        for (json, said) in [
            ("{}", "{}"),
            (r#"["1e400","\"1e400",-1]"#, r#"["1e400","\"1e400",-1]"#),
            (r#"{"n":1e400,"m":1}"#, r#"{"n":"1e400","m":1}"#),
            (r#"{ "a1e400": -1E400 }"#, r#"{ "a1e400": "-1E400" }"#),
            (
                "[0,-0,0.1,-1.5e3,1E+2,123456789.012345]",
                "[0,-0,0.1,-1.5e3,1E+2,123456789.012345]",
            ),
            (
                "[0.1234567890123456789,1e-400,0e-400]",
                r#"["0.1234567890123456789","1e-400",0e-400]"#,
            ),
            (
                "[9007199254740991,-9007199254740991]",
                "[9007199254740991,-9007199254740991]",
            ),
            (
                "[9007199254740993,-9007199254740993]",
                r#"["9007199254740993","-9007199254740993"]"#,
            ),
            ("[18446744073709551615]", r#"["18446744073709551615"]"#),
            (&format!("[{digits}]"), &format!("[\"{digits}\"]")),
        ] {
            assert_eq!(readable(json), said);
            let read: serde_json::Value = serde_json::from_str(said).unwrap();
            assert!(read.is_array() || read.is_object());
        }
    }
}
