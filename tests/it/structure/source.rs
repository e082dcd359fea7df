//! The sources as they are read here: without comments and tests, and which paths each of them names.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file, without comments and its tests.
pub struct Source {
    pub path: PathBuf,
    /// `broker::beanstalkd::wire`, as words.
    pub module: Vec<String>,
    pub text: String,
}

/// The files of Rust in a folder and below it, in their order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = files(&root);
    let found: Vec<Source> = found
        .iter()
        .filter_map(|path| source(&root, path))
        .collect();
    assert!(found.len() > 20, "the sources are not where they were");
    found
}

/// `None` for the crate's roots and for files of tests.
fn source(root: &Path, path: &Path) -> Option<Source> {
    let inside = path.strip_prefix(root).unwrap().with_extension("");
    let module: Vec<String> = inside
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    let is_root = matches!(module.as_slice(), [only] if only == "lib" || only == "main");
    if is_root || module.iter().any(|part| part == "tests") {
        return None;
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines: Vec<&str> = code
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect();
    Some(Source {
        path: path.into(),
        module,
        text: lines.join("\n"),
    })
}

impl Source {
    /// Every path below the crate's root that is named, `a::B` or only `a`, groups taken apart.
    pub fn imports(&self) -> Vec<String> {
        let mut imports = paths_after(&self.text, "crate::");
        // From `a::b`, `super::` is `a` and `super::super::` is the crate's root.
        let root = "super::".repeat(self.module.len());
        imports.extend(paths_after(&self.text, &root));
        imports
    }

    /// What it names of this crate, from the crate's root, in `text`, which is its own or a piece of that: `children`
    /// are the modules below it.
    pub fn named_in<'a>(&self, text: &str, children: impl Iterator<Item = &'a str>) -> Vec<Named> {
        let above = &self.module[..self.module.len() - 1];
        let mut named = from_root(&[], whole_paths_after(text, "crate::"));
        named.extend(from_root(above, whole_paths_after(text, "super::")));
        named.extend(from_root(&self.module, whole_paths_after(text, "self::")));
        for child in children {
            let below = [&self.module[..], &[child.to_owned()]].concat();
            let prefix = format!("{child}::");
            named.extend(from_root(&below, whole_paths_after(text, &prefix)));
        }
        named
    }

    pub fn names(&self, word: &str) -> bool {
        self.text.match_indices(word).any(|(at, _)| {
            let before = self.text[..at].chars().next_back();
            let after = self.text[at + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    }
}

/// The paths that follow a prefix, as far as their second part: `crate::{a, b::{C, D}}` is `a`, `b::C`, `b::D`.
pub fn paths_after(text: &str, prefix: &str) -> Vec<String> {
    let whole = whole_paths_after(text, prefix).into_iter();
    whole.map(|path| path.first(2)).collect()
}

/// A path that is named somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// `a::b::C` in its parts.
    pub path: Vec<String>,
    /// What it is called from there on: its last part, or what follows `as`.
    pub name: String,
}

impl Named {
    fn first(&self, parts: usize) -> String {
        let parts: Vec<&str> = self.path.iter().take(parts).map(String::as_str).collect();
        parts.join("::")
    }
}

/// The same as far as they go.
fn whole_paths_after(text: &str, prefix: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        // Not the end of `super::crate_x::`, nor of a longer row of `super::`.
        let before = text[..at].chars().next_back();
        if !before.is_some_and(|c| is_part(c) || c == ':') {
            take_paths(&text[at + prefix.len()..], &[], &mut found);
        }
    }
    found
}

fn take_paths(text: &str, before: &[String], found: &mut Vec<Named>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        for item in items(group) {
            take_paths(item, before, found);
        }
        return;
    }
    let word = |text: &str| -> String { text.chars().take_while(|c| is_part(*c)).collect() };
    let part = word(text);
    let mut path = before.to_vec();
    if !part.is_empty() && (part != "self" || path.is_empty()) {
        path.push(part.clone());
    }
    let rest = &text[part.len()..];
    match rest.strip_prefix("::") {
        Some(rest) => take_paths(rest, &path, found),
        None => {
            let renamed = rest.trim_start().strip_prefix("as ").map(word);
            let name = renamed.or_else(|| path.last().cloned());
            found.extend(name.map(|name| Named { path, name }));
        }
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Paths below a module, from the root on; `super` among them is the module above.
fn from_root(module: &[String], named: Vec<Named>) -> Vec<Named> {
    let mut absolute = named;
    for one in &mut absolute {
        let mut path = module.to_vec();
        for part in one.path.drain(..) {
            match part.as_str() {
                "super" => drop(path.pop()),
                _ => path.push(part),
            }
        }
        one.path = path;
    }
    absolute
}

/// The items of a group whose opening brace was just read.
fn items(text: &str) -> Vec<&str> {
    let (mut items, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(text[begin..at].trim());
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

#[test]
fn paths_are_read_whatever_way_they_are_written() {
    let text = "use crate::a::B; use crate::{c, d::{E, F as G}, h::I::J};\nlet x = crate::k::l(); pub(crate) fn";
    assert_eq!(
        paths_after(text, "crate::"),
        ["a::B", "c", "d::E", "d::F", "h::I", "k::l"]
    );
    let text = "use super::a; use super::super::b::C;";
    assert_eq!(paths_after(text, "super::super::"), ["b::C"]);
    assert_eq!(
        paths_after("use crate::a::{self, B};", "crate::"),
        ["a", "a::B"]
    );
}
