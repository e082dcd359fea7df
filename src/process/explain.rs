//! Why a program that is configured cannot be started, in words that say what to do. Looked into only when that has
//! failed: the system says "No such file or directory" also of a file that is there, and names an interpreter that
//! is not.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::environment::Environment;
use super::program::can_be_run;

/// As much of a file is looked at, in bytes: the kernel looks no further for an interpreter.
const LOOKED_AT: u64 = 256;

/// As much of a first line is shown, in characters.
const SHOWN: usize = 80;

/// The bytes that some editors put before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with a program of which the system said that. It was to be started in this directory, if not in ours.
pub fn explain(
    program: &str,
    environment: &Environment,
    directory: Option<&Path>,
    error: &io::Error,
) -> String {
    let Some(errno) = Errno::from_io_error(error) else {
        return error.to_string();
    };
    let explained = match errno {
        Errno::TOOBIG => Some(too_big()),
        Errno::TXTBSY => Some("somebody is writing to it".to_owned()),
        Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::NOEXEC | Errno::PERM => {
            file_is(program, environment, directory, errno)
        }
        _ => None,
    };
    match explained {
        Some(explained) => format!("{explained} ({error})"),
        None => error.to_string(),
    }
}

/// Whether a program can be started from this directory, if not from ours, as far as that is seen without starting it.
///
/// # Errors
/// Why not, in words that say what to do.
pub fn can_be_started(
    program: &str,
    environment: &Environment,
    directory: Option<&Path>,
) -> Result<(), String> {
    let paths = environment.paths_of(program).unwrap_or_default();
    let paths = paths.iter().map(|name| path(name, directory));
    let mut files = paths.filter(|path| can_be_run(path));
    let wrong = match files.next() {
        // The system looks on in PATH where an interpreter is missing.
        Some(first) if lacks_interpreter(&first) && files.all(|file| lacks_interpreter(&file)) => {
            there(&first, Errno::NOENT)
        }
        Some(_) => return Ok(()),
        None => file_is(program, environment, directory, Errno::ACCESS),
    };
    Err(wrong.unwrap_or_else(|| "it is no file that can be executed".to_owned()))
}

/// Whether the first line of a file names an interpreter that cannot be run.
fn lacks_interpreter(file: &Path) -> bool {
    let mut begin = beginning(file).unwrap_or_default();
    // A name that goes on behind what was looked at is not known.
    let is_whole = u64::try_from(begin.len()).is_ok_and(|length| length < LOOKED_AT);
    if is_whole {
        begin.push(b'\n');
    }
    let Some(line) = begin.strip_prefix(b"#!") else {
        return false;
    };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line: Vec<u8> = line.iter().copied().skip_while(is_space).collect();
    let end = line
        .iter()
        .position(|byte| is_space(byte) || matches!(byte, b'\n' | 0));
    let name = end.and_then(|end| line.get(..end));
    name.is_some_and(|name| !can_be_run(Path::new(OsStr::from_bytes(name))))
}

fn too_big() -> String {
    "its arguments and its environment are longer than the system takes; with stdin = \"body\" in the command's table \
     the task comes on standard input instead"
        .to_owned()
}

fn file_is(
    program: &str,
    environment: &Environment,
    directory: Option<&Path>,
    errno: Errno,
) -> Option<String> {
    let paths = environment.paths_of(program).unwrap_or_default();
    let found = paths
        .iter()
        .map(|name| path(name, directory))
        .find(|path| fs::symlink_metadata(path).is_ok());
    match found {
        Some(path) => there(&path, errno),
        None => Some(nowhere(program, directory)),
    }
}

fn path(name: &CString, directory: Option<&Path>) -> PathBuf {
    let name = Path::new(OsStr::from_bytes(name.to_bytes()));
    directory.map_or_else(|| name.to_owned(), |directory| directory.join(name))
}

fn nowhere(program: &str, directory: Option<&Path>) -> String {
    let here = match directory {
        Some(directory) => Ok(directory.to_owned()),
        None => std::env::current_dir(),
    };
    let here = here.map_or_else(|_| String::new(), |here| here.display().to_string());
    match program {
        "" => "no program is named".to_owned(),
        absolute if absolute.starts_with('/') => "there is no such file".to_owned(),
        relative if relative.contains('/') => format!("there is no such file in {here}"),
        _ => "no folder of PATH has it".to_owned(),
    }
}

/// What is wrong with a file that is there.
fn there(path: &Path, errno: Errno) -> Option<String> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Some(format!("{shown} is a link that leads nowhere: {error}")),
    };
    if metadata.is_dir() {
        return Some(format!("{shown} is a folder"));
    }
    if errno == Errno::ACCESS && access(path, Access::EXEC_OK).is_err() {
        return Some(format!(
            "{shown} may not be executed; allow it with: chmod +x {shown}"
        ));
    }
    Some(contents(&beginning(path)?, errno)).filter(|text| !text.is_empty())
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut begin = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LOOKED_AT).read_to_end(&mut begin).ok()?;
    Some(begin)
}

/// What is wrong with a file that begins so; empty where that does not tell.
fn contents(begin: &[u8], errno: Errno) -> String {
    if begin.is_empty() {
        return "the file is empty".to_owned();
    }
    let line = begin.split(|byte| *byte == b'\n').next().unwrap_or(begin);
    let is_windows = line.ends_with(b"\r");
    let line: String = String::from_utf8_lossy(line).chars().take(SHOWN).collect();
    let line = line.escape_debug();
    if begin.starts_with(MARK) {
        return format!(
            "a byte order mark stands before its first line, '{line}': the file must begin with #!"
        );
    }
    if !begin.starts_with(b"#!") {
        return match errno {
            Errno::NOEXEC => {
                "it has no #! line and is no program: name its interpreter in the first line, as #!/bin/sh, or in run"
                    .to_owned()
            }
            Errno::NOENT => "the file is there, but not the loader (interpreter) that it needs".to_owned(),
            _ => String::new(),
        };
    }
    let next = match is_windows {
        true => {
            ": the line ends as on Windows, and the \\r is taken for a part of the interpreter's name; convert the file"
        }
        false => ", and that interpreter cannot be started",
    };
    format!("its first line is '{line}'{next}")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        make("windows", "#!/bin/sh\r\necho\r\n", 0o755);
        make("elsewhere", "#!/no/such/php\n", 0o755);
        make("plain", "echo\n", 0o755);
        make("marked", "\u{feff}#!/bin/sh\n", 0o755);
        make("empty", "", 0o755);
        make("closed", "#!/bin/sh\n", 0o644);
        make("program", "\u{7f}ELF", 0o755);
        make("escape", "#!/\u{1b}[31m\n", 0o755);
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        let environment = Environment::without(&[] as &[&str]);
        for (name, errno, words) in [
            (
                "windows",
                Errno::NOENT,
                r"'#!/bin/sh\r': the line ends as on Windows",
            ),
            (
                "elsewhere",
                Errno::NOENT,
                "'#!/no/such/php', and that interpreter",
            ),
            ("escape", Errno::NOENT, r"'#!/\u{1b}[31m'"),
            ("plain", Errno::NOEXEC, "no #! line"),
            ("marked", Errno::NOEXEC, "byte order mark"),
            ("empty", Errno::NOEXEC, "empty"),
            ("closed", Errno::ACCESS, "chmod +x"),
            ("folder", Errno::ACCESS, "is a folder"),
            ("link", Errno::NOENT, "leads nowhere"),
            ("program", Errno::NOENT, "loader"),
            ("missing", Errno::NOENT, "there is no such file"),
            ("plain", Errno::TXTBSY, "writing"),
            ("plain", Errno::TOOBIG, r#"stdin = "body""#),
        ] {
            // Root may execute nothing that nobody may.
            let path = folder.path().join(name);
            let said = explain(path.to_str().unwrap(), &environment, None, &errno.into());
            assert!(said.contains(words), "{name}: {said}");
            assert!(said.contains("os error"), "{name}: {said}");
        }
        let can_be_started = |name: &str| {
            let path = folder.path().join(name);
            super::can_be_started(path.to_str().unwrap(), &environment, None)
        };
        make("args", "#! /bin/sh -e\n", 0o755);
        make("long", &format!("#!/{}", "x".repeat(300)), 0o755);
        make("short", "#!/bin/sh", 0o755);
        make("nothing", "#!\n/bin/sh\n", 0o755);
        for name in ["args", "long", "short", "program", "plain"] {
            assert_eq!(can_be_started(name), Ok(()), "{name}");
        }
        for (name, words) in [
            ("windows", "the line ends as on Windows"),
            ("elsewhere", "'#!/no/such/php', and that interpreter"),
            ("nothing", "'#!', and that interpreter"),
            ("closed", "chmod +x"),
            ("folder", "is a folder"),
            ("link", "leads nowhere"),
            ("missing", "there is no such file"),
        ] {
            let said = can_be_started(name).unwrap_err();
            assert!(said.contains(words), "{name}: {said}");
        }
        let said = explain("no-such-program", &environment, None, &Errno::NOENT.into());
        assert!(said.contains("PATH"), "{said}");
        let said = explain("./no/such", &environment, None, &Errno::NOENT.into());
        assert!(said.contains("no such file in /"), "{said}");
    }
}
