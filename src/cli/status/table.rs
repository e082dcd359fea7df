//! Tables for people, as wide as their terminals.

use crate::harmless::one_line;

/// As wide as the narrowest terminal that people have.
pub(super) const COLUMNS: usize = 80;

/// More words about the line above, however many.
pub(super) fn wrapped(text: &mut String, words: &str) {
    for line in lines_of(words, COLUMNS) {
        text.push_str(&line);
        text.push('\n');
    }
}

/// Words that stand by themselves, however many. Only the first line is not set in: where others wrote some of the
/// words, no line that these begin looks like one of ours.
pub(super) fn paragraph(text: &mut String, words: &str) {
    for (number, line) in lines_of(words, COLUMNS).iter().enumerate() {
        let line = match number {
            0 => line.trim_start(),
            _ => line,
        };
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
}

/// Words in lines of so many columns, set in by two. A word that is longer than a line is cut in pieces.
pub(super) fn lines_of(words: &str, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(2).max(1);
    let mut lines = Vec::new();
    let mut row = String::new();
    let mut length = 0_usize;
    for word in one_line(words).split(' ') {
        let letters: Vec<char> = word.chars().collect();
        let gap = usize::from(length > 0);
        if length > 0 && length + gap + letters.len() > room {
            lines.push(format!("  {row}"));
            row.clear();
            length = 0;
        }
        if length > 0 {
            row.push(' ');
            length += 1;
        }
        let mut pieces = letters.chunks(room).peekable();
        while let Some(piece) = pieces.next() {
            row.extend(piece);
            length += piece.len();
            if pieces.peek().is_some() {
                lines.push(format!("  {row}"));
                row.clear();
                length = 0;
            }
        }
    }
    lines.push(format!("  {row}"));
    lines
}

/// A row whose first word may be longer than its column: then that has lines of its own.
pub(super) fn line<const N: usize>(text: &mut String, widths: [usize; N], words: [&str; N]) {
    let mut row = String::new();
    for (at, (word, width)) in words.iter().zip(widths).enumerate() {
        let word = one_line(word);
        if at == 0 && word.chars().count() > width {
            let letters: Vec<char> = word.chars().collect();
            for piece in letters.chunks(COLUMNS) {
                text.extend(piece);
                text.push('\n');
            }
            row.push_str(&" ".repeat(width));
        } else {
            row.push_str(&format!("{word:<width$}"));
        }
        row.push(' ');
    }
    text.push_str(row.trim_end());
    text.push('\n');
}

/// At most so many letters.
pub(super) fn cut(word: &str, width: usize) -> String {
    let word = one_line(word);
    match word.chars().count() > width {
        true => {
            let begins = word.chars().take(width.saturating_sub(1));
            begins.chain(['…']).take(width).collect()
        }
        false => word.into_owned(),
    }
}

/// So many bytes, in at most nine columns.
pub(super) fn bytes(n: u64) -> String {
    const KIB: u64 = 1024;
    match n {
        0..KIB => format!("{n} B"),
        n if n < 10 * KIB * KIB => format!("{} KiB", n / KIB),
        n => format!("{} MiB", n / KIB / KIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let long = "x".repeat(200);
        for words in [
            "",
            "a b",
            &format!("see {long} there"),
            &long,
            "\u{1b}[2J and more words than fit",
        ] {
            for columns in [1, 2, 3, 20, 80] {
                let lines = lines_of(words, columns);
                let widest = lines.iter().map(|line| line.chars().count()).max();
                assert!(widest.unwrap() <= columns.max(3), "{columns}: {lines:?}");
                let letters = |text: &str| text.replace(' ', "").chars().count();
                let kept: usize = lines.iter().map(|line| letters(line)).sum();
                assert_eq!(kept, letters(&one_line(words)), "nothing is lost");
            }
        }
        assert_eq!(lines_of("one two three", 9), ["  one two", "  three"]);
    }

    #[test]
    fn a_name_that_is_too_long_has_a_line_of_its_own() {
        let mut text = String::new();
        line(&mut text, [4, 3, 0], ["mail", "12", "x"]);
        line(&mut text, [4, 3, 0], ["invoices", "12", "x"]);
        line(&mut text, [4, 3, 0], [&"n".repeat(100), "", ""]);
        let n = |times| "n".repeat(times);
        let said = format!("mail 12  x\ninvoices\n     12  x\n{}\n{}\n\n", n(80), n(20));
        assert_eq!(text, said);
    }

    #[test]
    fn what_is_cut_says_so() {
        for (word, width, cut_to) in [
            ("mail", 4, "mail"),
            ("mails", 4, "mai…"),
            ("mails", 1, "…"),
            ("mails", 0, ""),
        ] {
            assert_eq!(cut(word, width), cut_to);
        }
    }
}
