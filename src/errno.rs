//! What the system said of a file or a connection, in our words: without its numbers, and as a part of a sentence that
//! names what it is about.

use std::io::{Error, ErrorKind};

/// As many descriptors as a process may have (`EMFILE`), and as the machine may (`ENFILE`): the library has no kind for
/// them.
const TOO_MANY: [i32; 2] = [23, 24];

/// What the library puts before what the resolver said.
const LOOKUP: &str = "failed to lookup address information: ";

/// Said where a host's name means nothing.
pub const NO_HOST: &str = "no host of that name is known";

/// Why, in words. What is not the system's is words already.
pub fn said(error: &Error) -> String {
    let text = error.to_string();
    if let Some(why) = text.strip_prefix(LOOKUP) {
        return format!("{NO_HOST} ({})", why.to_lowercase());
    }
    let Some(number) = error.raw_os_error() else {
        return text;
    };
    if TOO_MANY.contains(&number) {
        return "too many files are open; allow more with: ulimit -n".into();
    }
    let ours = match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::IsADirectory => "it is a folder",
        ErrorKind::NotADirectory => "a part of its path is a file and no folder",
        ErrorKind::ReadOnlyFilesystem => "it is on a disk that is mounted for reading only",
        ErrorKind::StorageFull => "no room is left there",
        ErrorKind::QuotaExceeded => "the user's share of the disk is used up",
        ErrorKind::InvalidFilename => "the name is too long",
        ErrorKind::ConnectionRefused => "nobody listens there (connection refused)",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            "the other end closed the connection"
        }
        ErrorKind::BrokenPipe => "nobody reads there any more (broken pipe)",
        ErrorKind::TimedOut => "no answer came in time",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no way to that host from here"
        }
        ErrorKind::AddrNotAvailable => "this machine cannot use that address",
        _ => {
            let number = format!(" (os error {number})");
            return text.trim_end_matches(&number).to_lowercase();
        }
    };
    ours.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_become_ours() {
        for (number, words) in [
            (2, "there is no such file or folder"),
            (13, "permission denied"),
            (24, "too many files are open; allow more with: ulimit -n"),
            (28, "no room is left there"),
            (111, "nobody listens there (connection refused)"),
            // None of those that are known here.
            (5, "input/output error"),
        ] {
            assert_eq!(said(&Error::from_raw_os_error(number)), words);
        }
        assert_eq!(said(&Error::other("as it is")), "as it is");
        let lookup = Error::other(format!("{LOOKUP}Name or service not known"));
        assert!(said(&lookup).starts_with(NO_HOST));
    }
}
