//! What a name may be.

/// The most bytes that a command's or an option's name may have.
pub const MAX_NAME_LEN: usize = 200;

/// What is wrong with a name; reads on after the name itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// Nothing at all.
    #[error("is empty")]
    Empty,
    /// Longer than [`MAX_NAME_LEN`].
    #[error("has {len} bytes, at most {MAX_NAME_LEN} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Its first character is a hyphen.
    #[error("begins with a hyphen")]
    LeadingHyphen,
    /// Holds something that no name may hold.
    #[error("has {found:?} in it; allowed are letters, digits and {allowed}")]
    Character {
        /// The first character that is not allowed.
        found: char,
        /// What is allowed besides letters and digits.
        allowed: &'static str,
    },
}

/// Says what is wrong with a name that may hold ASCII letters, digits and the `punctuation`, which
/// `allowed` lists for the reader.
pub(super) fn check(name: &str, punctuation: &str, allowed: &'static str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(BadName::TooLong { len: name.len() });
    }
    if name.starts_with('-') {
        return Err(BadName::LeadingHyphen);
    }
    let known = |c: char| c.is_ascii_alphanumeric() || punctuation.contains(c);
    match name.chars().find(|&c| !known(c)) {
        Some(found) => Err(BadName::Character { found, allowed }),
        None => Ok(()),
    }
}
