//! A document as lines, and its fenced blocks by what stands behind the fence:
//!
//! | fence | what a test does with the block |
//! |---|---|
//! | `console` | runs each command after a `$`, and compares what it prints with the lines below |
//! | `console not-run` | nothing |
//! | any language and `file=NAME` | makes it a file in the folder in which the commands are run |
//! | `sh` | looks whether the subcommands, flags and goals of `make` are there |
//! | anything else | nothing |

/// What becomes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark<'a> {
    Run,
    File(&'a str),
    Look,
    Leave,
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line of no block, or a fence.
    Line(&'a str),
    /// What is between two fences.
    Block(Mark<'a>, Vec<&'a str>),
}

pub fn pieces(document: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        pieces.push(Piece::Line(line));
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut block = Vec::new();
        let end = loop {
            match lines.next() {
                Some("```") => break "```",
                Some(line) => block.push(line),
                None => panic!("{line} has no end"),
            }
        };
        pieces.push(Piece::Block(mark(info), block));
        pieces.push(Piece::Line(end));
    }
    pieces
}

fn mark(info: &str) -> Mark<'_> {
    match info.split_once(' ').unwrap_or((info, "")) {
        ("console", "") => Mark::Run,
        ("console", "not-run") => Mark::Leave,
        ("sh", "") => Mark::Look,
        (_, "") => Mark::Leave,
        (_, order) => match order.strip_prefix("file=") {
            Some(name) => Mark::File(name),
            None => panic!("{info}: there is no such mark"),
        },
    }
}

#[test]
fn blocks_are_read() {
    let document = "a\n```console\n$ b\nc\n```\n```toml file=t\nd\n```\n```php\n```";
    let line = Piece::Line;
    assert_eq!(
        pieces(document),
        [
            line("a"),
            line("```console"),
            Piece::Block(Mark::Run, vec!["$ b", "c"]),
            line("```"),
            line("```toml file=t"),
            Piece::Block(Mark::File("t"), vec!["d"]),
            line("```"),
            line("```php"),
            Piece::Block(Mark::Leave, vec![]),
            line("```"),
        ]
    );
}
