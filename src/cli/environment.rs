//! The variables that stand for flags: their names, and whether it was they that said something.

use std::borrow::Cow;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The variable of `--config`.
pub const CONFIG_VARIABLE: &str = "TASKQUEUE_CONFIG";
/// The variable of `--broker`.
pub const BROKER_VARIABLE: &str = "TASKQUEUE_BROKER";
/// The variable of `--store`.
pub use crate::guard::STORE_VARIABLE;
/// The variable of `--log-file`.
pub const LOG_FILE_VARIABLE: &str = "TASKQUEUE_LOG_FILE";

/// How flags and their variables are offered by those who do not know which of them was used.
const OFFERED: [(&str, &str, &str); 4] = [
    ("--store PATH", "store", STORE_VARIABLE),
    ("--broker URL", "broker", BROKER_VARIABLE),
    ("--config FILE", "config", CONFIG_VARIABLE),
    ("--log-file PATH", "log-file", LOG_FILE_VARIABLE),
];

/// An advice, to change the variable where that was used: whoever reads of the flag alone looks in the wrong place.
pub fn blame(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (flag, name, variable) in OFFERED {
        let offered = format!("{flag} or {variable}");
        if text.contains(&offered) && names(name, variable) {
            let blamed = format!("{flag}, or change the variable {variable}, which names this one");
            text = Cow::Owned(text.replace(&offered, &blamed));
        }
    }
    text
}

/// What a variable holds; one that is empty is as good as none.
pub fn not_empty(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether a flag's variable says what the flag would: it is set, and the flag is not given.
pub fn names(flag: &str, variable: &str) -> bool {
    not_empty(variable).is_some() && !is_given(Some(flag))
}

/// The one of a flag and its variable that says something.
pub fn said_by(flag: &str, variable: &str) -> String {
    match names(flag, variable) {
        true => variable.to_owned(),
        false => format!("--{flag}"),
    }
}

/// Whether the command line has the flag of that name, with its value or before it.
pub fn is_given(flag: Option<&str>) -> bool {
    let words = env::args_os().take_while(|word| word != "--");
    flag.is_some_and(|flag| words.into_iter().any(|word| is_flag(&word, flag)))
}

fn is_flag(word: &OsStr, flag: &str) -> bool {
    let name = word.as_bytes().strip_prefix(b"--");
    let rest = name.and_then(|name| name.strip_prefix(flag.as_bytes()));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'=')))
}
