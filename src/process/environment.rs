//! The environment that commands find.

use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

/// Where programs are looked for if the environment does not say (confstr(3), `_CS_PATH`).
const USUAL_PATH: &[u8] = b"/bin:/usr/bin";

/// What all commands have in their environment: put together once, not for each of them.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `NAME=value`.
    entries: Vec<CString>,
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
        let mut entries = Vec::new();
        let mut path = None;
        for (name, value) in variables {
            if withheld.iter().any(|withheld| name == withheld.as_ref()) {
                continue;
            }
            let (mut entry, value) = (name.into_vec(), value.into_vec());
            let is_path = entry == b"PATH";
            entry.push(b'=');
            entry.extend(&value);
            if is_path {
                path = Some(value);
            }
            // There is no null in what the system gave us as a string.
            entries.extend(CString::new(entry));
        }
        let path = path.as_deref().unwrap_or(USUAL_PATH);
        let folders = path.split(|byte| *byte == b':').map(<[u8]>::to_vec);
        Environment {
            entries,
            folders: folders.collect(),
        }
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
            ["A=1", "AB=2=3", "B="]
        );
        assert_eq!(shown(environment(&all, &["A", "B"]).entries()), ["AB=2=3"]);
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
