//! How a reason quotes a payload.

/// The most characters that a reason gives to one quotation.
const EXCERPT: usize = 80;

/// Quotes a piece of a payload for people: in double quotes, with nothing in it that a terminal
/// would obey, cut at [`EXCERPT`] characters.
pub(super) fn excerpt(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut room = EXCERPT;
    for c in text.chars() {
        let escaped = match c {
            '\'' => String::from("'"),
            c => c.escape_debug().to_string(),
        };
        let width = escaped.chars().count();
        if width > room {
            quoted.push_str("\"…");
            return quoted;
        }
        room -= width;
        quoted.push_str(&escaped);
    }
    quoted.push('"');
    quoted
}
