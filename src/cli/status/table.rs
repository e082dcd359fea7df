//! Tables for people, as wide as their terminals.

use crate::harmless::one_line;

/// As wide as the narrowest terminal that people have.
const COLUMNS: usize = 80;

/// More words about the line above, however many.
pub(super) fn wrapped(text: &mut String, words: &str) {
    let mut row = String::from(" ");
    for word in one_line(words).split(' ') {
        if row.chars().count() + 1 + word.chars().count() > COLUMNS && !row.trim().is_empty() {
            text.push_str(&row);
            text.push('\n');
            row = " ".into();
        }
        row.push(' ');
        row.push_str(word);
    }
    text.push_str(&row);
    text.push('\n');
}

pub(super) fn line<const N: usize>(text: &mut String, widths: [usize; N], words: [&str; N]) {
    let mut row = String::new();
    for (word, width) in words.iter().zip(widths) {
        row.push_str(&format!("{:<width$}", one_line(word)));
        row.push(' ');
    }
    text.push_str(row.trim_end());
    text.push('\n');
}
