//! Tags: what a producer calls a task, so that people find it and its like again.

use std::fmt;
use std::str::FromStr;

/// As many tags a task may have.
pub const MOST: usize = 20;

/// As many bytes a tag may have, as it is written.
pub const MAX_LEN: usize = 100;

/// A tag: `urgent`, or one with a value, `customer=4711`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    name: String,
    value: Option<String>,
}

/// Why a text is no tag, or several are not a task's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTag {
    /// It has no name.
    #[error("a tag has a name: write k or k=v")]
    Empty,
    /// It is too long.
    #[error("a tag has at most {MAX_LEN} bytes, and one has {length}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// It has a character in it that is none of a text's.
    #[error("the tag {tag:?} has a control character in it")]
    Control {
        /// The tag.
        tag: String,
    },
    /// Two of them have one name.
    #[error("the tag {name:?} is given twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// They are too many.
    #[error("a task has at most {MOST} tags, and {given} are given")]
    TooMany {
        /// How many there are.
        given: usize,
    },
}

impl Tag {
    /// What stands before the equals sign.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands after it; `None` where there is none.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Whether a task that has that one is meant by this one: by a name alone, whatever the value is.
    pub fn means(&self, other: &Tag) -> bool {
        self.name == other.name && (self.value.is_none() || self.value == other.value)
    }

    /// A tag as a row has it: whatever stands there.
    pub(crate) fn from_row(name: String, value: Option<String>) -> Tag {
        Tag { name, value }
    }
}

impl FromStr for Tag {
    type Err = BadTag;

    fn from_str(text: &str) -> Result<Tag, BadTag> {
        if text.len() > MAX_LEN {
            return Err(BadTag::TooLong { length: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(BadTag::Control { tag: text.into() });
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(BadTag::Empty);
        }
        Ok(Tag {
            name: name.into(),
            value: value.map(Into::into),
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Passes a task's tags on, in the order of their names, if they may be.
///
/// # Errors
/// When they are too many, or two have one name.
pub fn of_a_task(mut tags: Vec<Tag>) -> Result<Vec<Tag>, BadTag> {
    if tags.len() > MOST {
        return Err(BadTag::TooMany { given: tags.len() });
    }
    tags.sort();
    let mut pairs = tags.windows(2);
    let twice = pairs.find_map(|pair| match pair {
        [one, other] if one.name == other.name => Some(one.name.clone()),
        _ => None,
    });
    match twice {
        Some(name) => Err(BadTag::Twice { name }),
        None => Ok(tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    #[test]
    fn a_tag_is_a_name_and_perhaps_a_value() {
        let long = "k".repeat(MAX_LEN);
        for (text, name, value) in [
            ("urgent", "urgent", None),
            ("customer=4711", "customer", Some("4711")),
            ("k=", "k", Some("")),
            ("a=b=c", "a", Some("b=c")),
            ("größe=1,5 m", "größe", Some("1,5 m")),
            (&long, &long, None),
        ] {
            let tag = tag(text);
            assert_eq!((tag.name(), tag.value()), (name, value));
            assert_eq!(tag.to_string(), text);
        }
        let too_long = "k".repeat(MAX_LEN + 1);
        for wrong in ["", "=v", "a\nb", "k=\u{1b}[2J", &too_long] {
            assert!(wrong.parse::<Tag>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_alone_means_every_value() {
        for (one, other, means) in [
            ("k", "k", true),
            ("k", "k=v", true),
            ("k=v", "k=v", true),
            ("k=v", "k", false),
            ("k=", "k", false),
            ("k=v", "k=w", false),
            ("k", "l", false),
        ] {
            assert_eq!(tag(one).means(&tag(other)), means, "{one} {other}");
        }
    }

    #[test]
    fn a_task_has_each_name_once_and_twenty_at_most() {
        let many = |count: usize| {
            (0..count)
                .map(|n| tag(&format!("k{n}")))
                .collect::<Vec<_>>()
        };
        assert_eq!(of_a_task(many(MOST)).unwrap().len(), MOST);
        assert_eq!(
            of_a_task(many(MOST + 1)),
            Err(BadTag::TooMany { given: MOST + 1 })
        );
        let name = "a".into();
        assert_eq!(
            of_a_task(vec![tag("a=2"), tag("b"), tag("a=1")]),
            Err(BadTag::Twice { name })
        );
        assert_eq!(
            of_a_task(vec![tag("b"), tag("a")]),
            Ok(vec![tag("a"), tag("b")])
        );
    }
}
