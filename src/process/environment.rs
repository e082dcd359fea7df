//! The environment that commands find.

use std::borrow::Cow;
use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use crate::task::conditions::{Variable, Variables};

/// Where programs are looked for if the environment does not say (confstr(3), `_CS_PATH`).
const USUAL_PATH: &[u8] = b"/bin:/usr/bin";

/// What says how wide and high a terminal is. A command has none; but what asks for that goes about it at length where
/// these are missing: Symfony's console starts `stty` for it, at each start.
const USUAL: [(&str, &str); 2] = [("COLUMNS", "80"), ("LINES", "24")];

/// What all commands have in their environment: put together once, not for each of them.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `NAME=value`.
    entries: Vec<CString>,
    /// How many of them, the first, were this process's.
    inherited: usize,
    /// What is not added where it is missing.
    unwanted: Vec<&'static str>,
    /// Of `PATH`, in order; as they are written.
    folders: Vec<Vec<u8>>,
}

impl Environment {
    /// This process's, without the variables of these names.
    pub fn without(withheld: &[impl AsRef<str>]) -> Environment {
        Environment::of(env::vars_os(), withheld)
    }

    /// With one more variable, of which there is none yet.
    #[must_use]
    pub fn with(mut self, name: &str, value: OsString) -> Environment {
        let mut entry = name.as_bytes().to_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        // Neither is there a null in a name of ours, nor in a path.
        self.entries.extend(CString::new(entry));
        self
    }

    fn of(
        variables: impl Iterator<Item = (OsString, OsString)>,
        withheld: &[impl AsRef<str>],
    ) -> Environment {
        let is_withheld = |name: &str| withheld.iter().any(|withheld| withheld.as_ref() == name);
        let mut entries = Vec::new();
        for (name, value) in variables {
            if name.to_str().is_some_and(is_withheld) {
                continue;
            }
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            // There is no null in what the system gave us as a string.
            entries.extend(CString::new(entry));
        }
        let names = USUAL.iter().map(|(name, _)| *name);
        let mut environment = Environment {
            inherited: entries.len(),
            folders: folders(&entries),
            entries,
            unwanted: names.filter(|name| is_withheld(name)).collect(),
        };
        environment.add_usual(&environment.unwanted.clone());
        environment
    }

    /// Adds what is usual where it is missing, but for what is not wanted.
    fn add_usual(&mut self, unwanted: &[&str]) {
        for (name, value) in USUAL {
            let is_there = self
                .entries
                .iter()
                .any(|entry| name_of(entry) == name.as_bytes());
            if !is_there && !unwanted.contains(&name) {
                self.entries.extend(CString::new(format!("{name}={value}")));
            }
        }
    }

    /// As a command finds it under such conditions.
    pub fn under(&self, variables: &Variables) -> Cow<'_, Environment> {
        if variables.is_empty() {
            return Cow::Borrowed(self);
        }
        let named = |entry: &CString| {
            let name = std::str::from_utf8(name_of(entry)).ok()?;
            variables.named.get(name)
        };
        let entries = self.entries.iter().enumerate();
        let entries = entries.filter(|(index, entry)| match named(entry) {
            Some(Variable::Kept) => true,
            Some(Variable::Set(_) | Variable::Withheld) => false,
            // What is told by us is no part of what is cleared, and what is usual comes again.
            None => !variables.clear || *index >= self.inherited,
        });
        let mut entries: Vec<CString> = entries.map(|(_, entry)| entry.clone()).collect();
        let inherited = entries.len();
        for (name, variable) in &variables.named {
            match variable {
                // A null was refused when the configuration was read.
                Variable::Set(value) => entries.extend(CString::new(format!("{name}={value}"))),
                Variable::Kept | Variable::Withheld => {}
            }
        }
        let mut environment = Environment {
            inherited,
            folders: folders(&entries),
            entries,
            unwanted: self.unwanted.clone(),
        };
        let withheld = USUAL
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| variables.named.get(*name) == Some(&Variable::Withheld));
        let unwanted: Vec<&str> = self.unwanted.iter().copied().chain(withheld).collect();
        environment.add_usual(&unwanted);
        Cow::Owned(environment)
    }

    /// All variables, as `NAME=value`.
    pub(super) fn entries(&self) -> &[CString] {
        &self.entries
    }

    /// Where a program may be, in order: as it says itself if it is a path, otherwise in each folder of `PATH`.
    pub(super) fn paths_of(&self, program: &str) -> io::Result<Vec<CString>> {
        if program.is_empty() || program.contains('/') {
            return Ok(vec![CString::new(program)?]);
        }
        let paths = self.folders.iter().map(|folder| {
            let mut path = folder.clone();
            // An empty one is the current folder.
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(program.bytes());
            CString::new(path)
        });
        Ok(paths.collect::<Result<_, _>>()?)
    }
}

/// What stands before the first `=`.
fn name_of(entry: &CString) -> &[u8] {
    let entry = entry.as_bytes();
    entry.split(|byte| *byte == b'=').next().unwrap_or(entry)
}

/// Those of `PATH`, or of what is used without one.
fn folders(entries: &[CString]) -> Vec<Vec<u8>> {
    let mut paths = entries
        .iter()
        .filter_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    let path = paths.next().unwrap_or(USUAL_PATH);
    path.split(|byte| *byte == b':')
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)], withheld: &[&str]) -> Environment {
        let variables = variables.iter().map(|(n, v)| (n.into(), v.into()));
        Environment::of(variables, withheld)
    }

    fn shown(strings: &[CString]) -> Vec<&str> {
        strings.iter().map(|one| one.to_str().unwrap()).collect()
    }

    #[test]
    fn what_is_withheld_is_left_out() {
        let all = [("A", "1"), ("AB", "2=3"), ("B", "")];
        assert_eq!(
            shown(environment(&all, &[]).entries()),
            ["A=1", "AB=2=3", "B=", "COLUMNS=80", "LINES=24"]
        );
        let some = environment(&all, &["A", "B", "LINES"]);
        assert_eq!(shown(some.entries()), ["AB=2=3", "COLUMNS=80"]);
    }

    #[test]
    fn what_is_usual_is_there_unless_it_is_said_otherwise() {
        let inherited = environment(&[("COLUMNS", "132")], &[]);
        assert_eq!(shown(inherited.entries()), ["COLUMNS=132", "LINES=24"]);
    }

    #[test]
    fn a_command_finds_what_its_conditions_leave() {
        let all = [("PATH", "/one"), ("A", "1"), ("B", "2"), ("COLUMNS", "132")];
        let ours = environment(&all, &[]).with("TOLD", "t".into());
        let set = |value: &str| Variable::Set(value.into());
        for (clear, named, expected, program) in [
            (
                false,
                vec![("A", set("x=y")), ("B", Variable::Withheld), ("C", set(""))],
                vec![
                    "PATH=/one",
                    "COLUMNS=132",
                    "LINES=24",
                    "TOLD=t",
                    "A=x=y",
                    "C=",
                ],
                "/one/x",
            ),
            (
                true,
                vec![],
                vec!["LINES=24", "TOLD=t", "COLUMNS=80"],
                "/bin/x",
            ),
            (
                true,
                vec![
                    ("A", Variable::Kept),
                    ("NONE", Variable::Kept),
                    ("TOLD", Variable::Withheld),
                ],
                vec!["A=1", "LINES=24", "COLUMNS=80"],
                "/bin/x",
            ),
            (
                true,
                vec![
                    ("PATH", set("/two")),
                    ("LINES", Variable::Withheld),
                    ("COLUMNS", set("9")),
                ],
                vec!["TOLD=t", "COLUMNS=9", "PATH=/two"],
                "/two/x",
            ),
        ] {
            let named = named
                .into_iter()
                .map(|(name, variable)| (name.into(), variable));
            let variables = Variables {
                clear,
                named: named.collect(),
            };
            let found = ours.under(&variables);
            assert_eq!(shown(found.entries()), expected, "{variables:?}");
            assert_eq!(shown(&found.paths_of("x").unwrap())[0], program);
        }
    }

    #[test]
    fn a_program_is_looked_for_in_each_folder_unless_it_is_a_path() {
        let path = environment(&[("PATH", "/one::two")], &[]);
        let none = environment(&[], &[]);
        for (environment, program, expected) in [
            (&path, "x", &["/one/x", "x", "two/x"][..]),
            (&path, "./x", &["./x"]),
            (&path, "", &[""]),
            (&none, "x", &["/bin/x", "/usr/bin/x"]),
        ] {
            let paths = environment.paths_of(program).unwrap();
            assert_eq!(shown(&paths), expected, "{program}");
        }
        assert!(path.paths_of("a\0b").is_err());
    }
}
