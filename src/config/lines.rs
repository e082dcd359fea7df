//! On which line of a configuration a key stands.

use toml::de::{DeTable, DeValue};

/// The line of a key, such as `commands."x".run`, counted from 1; `None` where it cannot be told. A key that is not
/// there itself stands where the last of the tables around it does.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut found = None;
    for part in parts(key)? {
        let mut entries = table.iter();
        let Some((name, value)) = entries.find(|(name, _)| *name.get_ref() == part) else {
            break;
        };
        found = Some(name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    line_at(text, found?)
}

/// The line of a byte, counted from 1.
pub(super) fn line_at(text: &str, byte: usize) -> Option<usize> {
    let before = text.get(..byte)?;
    Some(before.matches('\n').count().saturating_add(1))
}

/// The parts of a dotted key, by whoever reads keys: as tables, one in the other.
fn parts(key: &str) -> Option<Vec<String>> {
    let mut table: toml::Table = toml::from_str(&format!("{key} = 0")).ok()?;
    let mut parts = Vec::new();
    loop {
        let (name, value) = table.into_iter().next()?;
        parts.push(name);
        match value {
            toml::Value::Table(inner) => table = inner,
            _ => return Some(parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found() {
        let text = "broker = 'embedded'\n\n[commands.'a:b']\nrun = [\n 'x',\n]\ntimeout = 3\n\
            [tubes]\nt.max_workers = 0\n";
        for (key, line) in [
            ("broker", Some(1)),
            ("commands.\"a:b\"", Some(3)),
            ("commands.\"a:b\".run", Some(4)),
            ("commands.\"a:b\".timeout", Some(7)),
            ("commands.\"a:b\".backoff.factor", Some(3)),
            ("tubes.\"t\".max_workers", Some(9)),
            ("store", None),
            ("no key", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
    }
}
