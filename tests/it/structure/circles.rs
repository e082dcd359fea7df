//! Files that import each other in a circle are one file in pieces: none can be read, tested or changed alone.
//!
//! A file has a tie to each file that it names a path of, wherever it does: in a `use` or in the middle of a function.
//! `mod x;` is no tie, for it says only where a file is. Nor is a `pub use x::Y` that the file itself makes no use of:
//! whoever imports `Y` from there has a tie to `x` and not to the file between. So a parent that declares its children,
//! and shows what is in them, may be imported by them; one that also calls them may not.
//!
//! What is not seen: methods. A file that adds methods to a type has them called without a path.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, sources};

/// Circles that are known and to be broken. Each may get smaller; one that is gone has to be crossed out here.
const KNOWN: &[&[&str]] = &[&[
    "tender",
    "tender/child",
    "tender/child/watched",
    "tender/control",
    "tender/demand",
    "tender/listener",
    "tender/ping",
    "tender/printed",
    "tender/reload",
    "tender/shared",
    "tender/status",
]];

/// Whom each file has a tie to, and by which path.
type Ties = BTreeMap<String, BTreeMap<String, String>>;

/// What files show of others: by file and name.
type Shown = BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>;

fn ties_between(sources: &[Source]) -> Ties {
    let files: BTreeSet<&[String]> = sources.iter().map(|source| &source.module[..]).collect();
    let parts: Vec<(&Source, Parts)> = sources
        .iter()
        .map(|source| (source, Parts::of(source, &files)))
        .collect();
    let shown: Shown = parts
        .iter()
        .map(|(source, parts)| (source.module.clone(), parts.shown.clone()))
        .collect();
    let mut ties = Ties::new();
    for (source, parts) in &parts {
        let mut of_this = BTreeMap::new();
        for path in &parts.used {
            if let Some(file) = file_of(path, &files, &shown)
                && file != source.module
            {
                of_this.insert(file.join("/"), path.join("::"));
            }
        }
        ties.insert(source.module.join("/"), of_this);
    }
    ties
}

/// A file's paths, from the root on.
struct Parts {
    /// Those that it makes use of.
    used: Vec<Vec<String>>,
    /// What it shows of others, by name.
    shown: BTreeMap<String, Vec<String>>,
}

impl Parts {
    fn of(source: &Source, files: &BTreeSet<&[String]>) -> Parts {
        let depth = source.module.len();
        let children: Vec<&str> = files
            .iter()
            .filter(|file| file.len() == depth + 1 && file.starts_with(&source.module))
            .map(|file| file[depth].as_str())
            .collect();
        let (shows, rest) = apart(&source.text);
        let named = |text: &str| source.named_in(text, children.iter().copied());
        let mut used: Vec<Vec<String>> = named(&rest).into_iter().map(|one| one.path).collect();
        let mut shown = BTreeMap::new();
        let rest = Source {
            path: source.path.clone(),
            module: source.module.clone(),
            text: rest,
        };
        for one in shows.iter().flat_map(|text| named(text)) {
            if rest.names(&one.name) {
                used.push(one.path.clone());
            }
            shown.insert(one.name, one.path);
        }
        Parts { used, shown }
    }
}

/// Its `pub use …;`, and all else.
fn apart(text: &str) -> (Vec<String>, String) {
    let (mut shows, mut rest) = (Vec::new(), String::new());
    let mut left = text;
    while let Some((before, word)) = ["pub use ", "pub(super) use ", "pub(crate) use "]
        .iter()
        .filter_map(|word| Some((left.split_once(word)?.0.len(), *word)))
        .min()
    {
        rest += &left[..before];
        let (show, after) = left[before + word.len()..].split_once(';').unwrap();
        shows.push(show.to_owned());
        left = after;
    }
    (shows, rest + left)
}

/// The file that a path leads to, past whoever only shows what is there.
fn file_of(path: &[String], files: &BTreeSet<&[String]>, shown: &Shown) -> Option<Vec<String>> {
    let at = (1..=path.len())
        .rev()
        .find(|at| files.contains(&path[..*at]))?;
    let (file, rest) = path.split_at(at);
    let behind = rest.first().and_then(|name| shown.get(file)?.get(name));
    match behind {
        Some(behind) => file_of(&[behind, &rest[1..]].concat(), files, shown),
        None => Some(file.to_vec()),
    }
}

/// The circles: files of which each reaches each other.
fn circles(ties: &Ties) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        ties.keys().map(|file| (file, reach(file, ties))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, far) in &reached {
        let back = |other: &&&String| reached[**other].contains(file);
        let circle: BTreeSet<String> = far.iter().filter(back).map(|f| f.to_string()).collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// Where one gets to from a file; back to it too, if there is a way.
fn reach<'a>(from: &'a String, ties: &'a Ties) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(file) = left.pop() {
        let new = ties[file].keys().filter(|to| reached.insert(*to));
        left.extend(new.collect::<Vec<_>>());
    }
    reached
}

/// Reads files as they would be found.
fn ties_of(files: &[(&str, &str)]) -> Ties {
    let source = |(module, text): &(&str, &str)| Source {
        path: module.into(),
        module: module.split('/').map(str::to_owned).collect(),
        text: (*text).to_owned(),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    ties_between(&sources)
}

#[test]
fn a_circle_is_one_of_uses() {
    let child = ("a/b", "use super::{Shared, c::C};");
    let shows = "mod b; mod c; pub use b::B; pub use c::{C as D, E};";
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a [&'a str]]);
    let table: &[Case<'_>] = &[
        // A parent that declares its children and shows them.
        (&[("a", shows), child, ("a/c", "")], &[]),
        // One that makes use of what it shows.
        (
            &[
                ("a", "mod b; pub use b::B; struct A(B);"),
                child,
                ("a/c", ""),
            ],
            &[&["a", "a/b"]],
        ),
        // One that calls a child.
        (
            &[("a", "mod b; fn f() { b::g(); }"), child, ("a/c", "")],
            &[&["a", "a/b"]],
        ),
        // What a parent shows is its child's.
        (
            &[
                ("a", shows),
                ("a/b", "use super::D;"),
                ("a/c", "use crate::a::B;"),
            ],
            &[&["a/b", "a/c"]],
        ),
        // By way of others, and beyond a module.
        (
            &[
                ("a", "use crate::x::y::Z;"),
                ("x", "mod y;"),
                ("x/y", "fn f() { super::super::z::f() }"),
                ("z", "use crate::a;"),
            ],
            &[&["a", "x/y", "z"]],
        ),
        // Only a way in.
        (
            &[
                ("a", "mod b; use b::B;"),
                ("a/b", "use crate::x::X;"),
                ("x", ""),
            ],
            &[],
        ),
    ];
    for (files, expected) in table {
        let found: Vec<Vec<String>> = circles(&ties_of(files))
            .into_iter()
            .map(|c| c.into_iter().collect())
            .collect();
        assert_eq!(found, *expected, "{files:?}");
    }
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    let ties = ties_between(&sources());
    let circles = circles(&ties);
    let is_part = |circle: &BTreeSet<String>, known: &[&str]| {
        circle.iter().all(|file| known.contains(&file.as_str()))
    };
    let mut wrong = Vec::new();
    for circle in &circles {
        if !KNOWN.iter().any(|known| is_part(circle, known)) {
            wrong.push(format!("a circle of {} files:", circle.len()));
            for file in circle {
                let inside = ties[file].iter().filter(|(to, _)| circle.contains(*to));
                wrong.extend(inside.map(|(to, path)| format!("    {file} → {to}, by {path}")));
            }
        }
    }
    for known in KNOWN {
        if !circles.iter().any(|circle| is_part(circle, known)) {
            wrong.push(format!("is no circle any more, cross it out: {known:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
