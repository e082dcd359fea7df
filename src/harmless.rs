//! Text that others wrote, with nothing in it that a terminal obeys, that hides, or that breaks a line.
//!
//! Two characters may pass where a text has lines, the newline and the tab. Everything else of the kind is written as
//! what it is: `\u{1b}` for people, `\u001b` in JSON, where it means the same to whoever reads the string.

use std::borrow::Cow;

/// How a character is written that may not be written as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// For people: `\u{202e}`.
    Text,
    /// As in a string of JSON: `\u202e`.
    Json,
}

/// Whether a terminal would obey the character, or nobody would see it for what it is: controls, what turns the
/// direction of writing, what has no width, and what ends a line for some readers and not for others.
///
/// The invisible ones are Unicode's `Default_Ignorable_Code_Point`, but for the variation selectors, which only pick
/// how the character before them looks. A joiner within an emoji is escaped with the rest.
pub fn is_odd(c: char) -> bool {
    // Nearly everything.
    if matches!(c, ' '..='~') {
        return false;
    }
    c.is_control()
        || matches!(
            c,
            // The soft hyphen, the grapheme joiner, the mark of Arabic's direction.
            '\u{ad}' | '\u{34f}' | '\u{61c}'
            // Letters that show nothing: Hangul's, Khmer's, Mongolian's.
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Without width, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Ends of lines and paragraphs, and embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // The word joiner, isolates of direction, invisible operators.
            | '\u{2060}'..='\u{206f}'
            // The byte order mark, and annotations between lines.
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            // Of shorthand and of music.
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags, and selectors of whom nobody has heard.
            | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Text that may have lines and tabs: all other odd characters are escaped.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, Spelling::Text, |c| {
        !matches!(c, '\n' | '\t') && is_odd(c)
    })
}

/// A word, a cell of a table or the value of a field: what is said stays within its line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, Spelling::Text, is_odd)
}

/// JSON that is written already: what it has between strings stays, and strings mean what they meant.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, Spelling::Json, |c| {
        !matches!(c, '\n' | '\t') && is_odd(c)
    })
}

fn escaped(text: &str, spelling: Spelling, odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&odd) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len().saturating_mul(2));
    for c in text.chars() {
        match (odd(c), spelling) {
            (false, _) => clean.push(c),
            (true, Spelling::Text) => clean.extend(c.escape_unicode()),
            (true, Spelling::Json) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    clean.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_and_nobody_is_deceived() {
        for (text, said) in [
            ("a\nb\tc ä ü 漢 🦀", "a\nb\tc ä ü 漢 🦀"),
            ("e\u{301} ❤\u{fe0f}", "e\u{301} ❤\u{fe0f}"),
            (
                "\u{1b}[31mred\u{9b}x\0\r\u{8}",
                r"\u{1b}[31mred\u{9b}x\u{0}\u{d}\u{8}",
            ),
            ("\u{1b}]52;c;ZXZpbA==\u{7}", r"\u{1b}]52;c;ZXZpbA==\u{7}"),
            (
                "\u{7f}\u{80}\u{85}\u{9f}\u{a0}",
                "\\u{7f}\\u{80}\\u{85}\\u{9f}\u{a0}",
            ),
            (
                "\u{202a}\u{202e}\u{2066}\u{2069}",
                r"\u{202a}\u{202e}\u{2066}\u{2069}",
            ),
            ("\u{200e}\u{200f}\u{61c}", r"\u{200e}\u{200f}\u{61c}"),
            (
                "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
                r"\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            ),
            ("\u{2028}\u{2029}", r"\u{2028}\u{2029}"),
            (
                "\u{ad}\u{115f}\u{3164}\u{e0041}",
                r"\u{ad}\u{115f}\u{3164}\u{e0041}",
            ),
        ] {
            assert_eq!(lines(text), said);
        }
        assert_eq!(one_line("ho\nst\t"), r"ho\u{a}st\u{9}");
    }

    #[test]
    fn json_means_what_it_meant() {
        let text = "a\u{7f}\u{9b}\u{202e}\u{2028}\u{feff}\u{e0041}ä🦀\"\\\n\u{1b}";
        let written = serde_json::to_string_pretty(&[text]).unwrap();
        let harmless = json(&written);
        assert!(
            !harmless.chars().any(|c| is_odd(c) && c != '\n'),
            "{harmless}"
        );
        assert!(
            harmless.contains(r"a\u007f\u009b\u202e\u2028\ufeff\udb40\udc41ä🦀"),
            "{harmless}"
        );
        assert_eq!(
            serde_json::from_str::<[String; 1]>(&harmless).unwrap(),
            [text]
        );
    }

    #[test]
    fn what_is_harmless_is_not_copied() {
        assert!(matches!(lines("as it is\n"), Cow::Borrowed(_)));
        assert!(matches!(json("[\"as it is\"]\n"), Cow::Borrowed(_)));
    }
}
