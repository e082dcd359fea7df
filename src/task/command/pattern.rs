//! The names of commands as the configuration writes them: whole, or with a `*` for whatever follows.

/// Whether a pattern stands for a name.
pub(super) fn is_of(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// Whether there may be a name that both patterns stand for.
pub(super) fn may_meet(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        (None, _) => is_of(other, one),
        (Some(_), None) => is_of(one, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        #[rustfmt::skip]
        let table = [
            ("a", "a", true), ("a", "ab", false), ("a:*", "a:", true), ("a:*", "a:b", true), ("a:*", "a", false),
            ("a:*", "b:a:b", false), ("*", "a", true), ("a*", "b", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(is_of(pattern, name), expected, "{pattern} {name}");
            assert_eq!(may_meet(pattern, name), expected, "{pattern} {name}");
            assert_eq!(may_meet(name, pattern), expected, "{name} {pattern}");
        }
        for (one, other, expected) in [
            ("a:*", "a:b:*", true),
            ("*", "a*", true),
            ("a*", "b*", false),
        ] {
            assert_eq!(may_meet(one, other), expected, "{one} {other}");
            assert_eq!(may_meet(other, one), expected, "{other} {one}");
        }
    }
}
