//! As whom, where and with what commands run, as it is written: the same keys in `[defaults]`, in a tube's table and in
//! a command's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::duration::Span;
use crate::process::variables::OWN_VARIABLES;
use crate::task::conditions::{Limit, Variable};

/// `[defaults]`, and those keys of the other tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub user: Option<Name>,
    pub group: Option<Name>,
    pub directory: Option<PathBuf>,
    pub environment: Option<Variables>,
    pub clear_environment: Option<bool>,
    pub umask: Option<String>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    pub limits: Option<Limits>,
    pub no_new_privileges: Option<bool>,
    pub kill_after: Option<Span>,
}

/// Those keys of another table.
macro_rules! given {
    ($table:expr) => {
        $crate::config::given::Given {
            user: $table.user.clone(),
            group: $table.group.clone(),
            directory: $table.directory.clone(),
            environment: $table.environment.clone(),
            clear_environment: $table.clear_environment,
            umask: $table.umask.clone(),
            nice: $table.nice,
            oom_score_adjust: $table.oom_score_adjust,
            limits: $table.limits.clone(),
            no_new_privileges: $table.no_new_privileges,
            kill_after: $table.kill_after,
        }
    };
}

pub(super) use given;

/// A user or a group: by name or by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// As it is written.
    Name(String),
    /// The number.
    Number(u32),
}

/// `environment = …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variables {
    /// These of the worker's, and no others.
    Only(Vec<String>),
    /// What becomes of these.
    Named(BTreeMap<String, Variable>),
}

/// `limits = { … }`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    nofile: Option<Amount>,
    nproc: Option<Amount>,
    core: Option<Amount>,
    cpu: Option<Span>,
    memory: Option<Amount>,
    file_size: Option<Amount>,
}

impl Limits {
    /// Those that are given; `None`: as much as it likes.
    pub fn all(&self) -> impl Iterator<Item = (Limit, Option<u64>)> {
        let amount = |limit, amount: Option<Amount>| amount.map(|amount| (limit, amount.0));
        let seconds = self.cpu.map(|span| {
            let begun = u64::from(span.0.subsec_nanos() > 0);
            (Limit::Cpu, Some(span.0.as_secs().saturating_add(begun)))
        });
        [
            amount(Limit::Nofile, self.nofile),
            amount(Limit::Nproc, self.nproc),
            amount(Limit::Core, self.core),
            seconds,
            amount(Limit::Memory, self.memory),
            amount(Limit::FileSize, self.file_size),
        ]
        .into_iter()
        .flatten()
    }
}

/// A number, such as of bytes; `None`: any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(Option<u64>);

/// The key that is wrong, and why.
type Wrong = (String, String);

impl Given {
    /// Looks at what can be judged without asking the machine.
    pub fn check(&self) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err((key.to_owned(), why.to_owned()));
        for (key, name) in [("user", &self.user), ("group", &self.group)] {
            match name {
                Some(Name::Name(name)) if name.is_empty() || name.contains('\0') => {
                    return wrong(key, "it has no name");
                }
                Some(Name::Number(u32::MAX)) => {
                    return wrong(key, "4294967295 is no number of anybody's");
                }
                Some(Name::Name(_) | Name::Number(_)) | None => {}
            }
        }
        if let Some(directory) = &self.directory
            && (directory == Path::new("") || directory.to_string_lossy().contains('\0'))
        {
            return wrong("directory", "it has no name");
        }
        if self.umask.is_some() && self.mask().is_none() {
            return wrong(
                "umask",
                "it is written in octal digits, such as \"027\", and at most \"777\"",
            );
        }
        if self.nice.is_some_and(|nice| !(-20..=19).contains(&nice)) {
            return wrong("nice", "it goes from -20 to 19");
        }
        if self
            .oom_score_adjust
            .is_some_and(|score| !(-1000..=1000).contains(&score))
        {
            return wrong("oom_score_adjust", "it goes from -1000 to 1000");
        }
        match (&self.environment, self.clear_environment) {
            (Some(Variables::Only(_)), Some(false)) => wrong(
                "clear_environment",
                "false contradicts the list in environment, which leaves out all others",
            ),
            (Some(Variables::Only(names)), Some(true) | None) => {
                names.iter().try_for_each(|name| check_variable(name, None))
            }
            (Some(Variables::Named(named)), _) => {
                let mut named = named.iter();
                named.try_for_each(|(name, variable)| check_variable(name, Some(variable)))
            }
            (None, _) => Ok(()),
        }
    }

    /// The umask as a number.
    pub fn mask(&self) -> Option<u32> {
        let digits = self.umask.as_deref()?;
        let is_octal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let mask = u32::from_str_radix(digits, 8).ok()?;
        (is_octal && mask <= 0o777).then_some(mask)
    }
}

fn check_variable(name: &str, variable: Option<&Variable>) -> Result<(), Wrong> {
    let key = || match variable {
        Some(_) => format!("environment.{name:?}"),
        None => "environment".to_owned(),
    };
    if name.is_empty() || name.contains(['=', '\0']) {
        let why = match name.split_once('=') {
            Some((name, _)) => {
                format!("a list only has names; to set {name}, write a table: {{ {name} = \"…\" }}")
            }
            None => "a variable's name is not empty, and has no NUL".to_owned(),
        };
        return Err((key(), why));
    }
    if OWN_VARIABLES.contains(&name) {
        let why = format!("{name} is always set, and by nobody else: it tells whose a process is");
        return Err((key(), why));
    }
    match variable {
        Some(Variable::Set(value)) if value.contains('\0') => {
            Err((key(), "its value has a NUL in it".to_owned()))
        }
        Some(Variable::Set(_) | Variable::Kept | Variable::Withheld) | None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a number")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Name, E> {
                let number = u32::try_from(number);
                number
                    .map(Name::Number)
                    .map_err(|_| E::custom("it is no number of anybody's"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Ok(Name::Name(text.into()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, such as 512 or \"512M\", or \"unlimited\"")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                let number = u64::try_from(number);
                number
                    .map(|number| Amount(Some(number)))
                    .map_err(|_| E::custom("it is negative, and no limit"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                amount(text).ok_or_else(|| {
                    E::custom(format!(
                        "'{text}' is no limit: write a number, also with K, M, G or T as in \"512M\", or \"unlimited\""
                    ))
                })
            }
        }
        deserializer.deserialize_any(Words)
    }
}

/// Reads `512`, `512M` or `unlimited`. A `K` is 1024.
fn amount(text: &str) -> Option<Amount> {
    if text == "unlimited" {
        return Some(Amount(None));
    }
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'K') => (text.get(..at)?, 1 << 10),
        (at, 'M') => (text.get(..at)?, 1 << 20),
        (at, 'G') => (text.get(..at)?, 1 << 30),
        (at, 'T') => (text.get(..at)?, 1 << 40),
        _ => (text, 1u64),
    };
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(Amount(Some(number.checked_mul(factor)?)))
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Variables, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Variables;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or a table of variables")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Variables, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Variables::Only(names))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Variables, A::Error> {
                let mut named = BTreeMap::new();
                while let Some((name, Value(variable))) = table.next_entry()? {
                    named.insert(name, variable);
                }
                Ok(Variables::Named(named))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

/// A variable in a table.
struct Value(Variable);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, true for the worker's own value, or false for none")
            }
            fn visit_bool<E: de::Error>(self, is_kept: bool) -> Result<Value, E> {
                Ok(Value(match is_kept {
                    true => Variable::Kept,
                    false => Variable::Withheld,
                }))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value(Variable::Set(text.into())))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
