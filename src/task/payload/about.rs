//! What the body of a pointer says to people: which task it is that a console shows at the broker.

use super::body::Call;

/// The most bytes that it has.
const MOST: usize = 64;

/// What stands for the rest.
const REST: &str = " …";

/// The command of a task and, where that can be shown, its first argument: `invoice:send 12`.
///
/// Whoever reaches the broker may read it, and nobody heeds it. So options are never in it, nor is an argument that is
/// longer than a line of a table takes, or has anything in it but letters, digits and some signs: what is a text, an
/// address or a document is not for a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About(String);

impl About {
    /// Of a task that is put. `discreet`: its arguments are not to be seen.
    pub fn call(call: &Call, discreet: bool) -> About {
        let mut about = About::command(call.command.as_str());
        let mut rest = call.arguments.iter().map(|argument| argument.as_str());
        let shown = rest.next().filter(|first| !discreet && is_plain(first));
        let left = match shown {
            Some(first) if about.has_room(first.len().saturating_add(1)) => {
                about.0.push(' ');
                about.0.push_str(first);
                rest.next().is_some()
            }
            Some(_) | None => !call.arguments.is_empty(),
        };
        if left && about.has_room(REST.len()) {
            about.0.push_str(REST);
        }
        about
    }

    /// Of a task of which no more is to be said.
    pub fn command(name: &str) -> About {
        let end = name.floor_char_boundary(MOST);
        About(name.get(..end).unwrap_or_default().to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.0.len().saturating_add(bytes) <= MOST
    }
}

fn is_plain(argument: &str) -> bool {
    let is_sign = |c| matches!(c, '.' | '_' | ':' | '/' | '+' | '-');
    !argument.is_empty()
        && argument
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || is_sign(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::payload::Argument;

    #[test]
    fn people_see_the_command_and_a_plain_first_argument() {
        let long = "x".repeat(60);
        for (command, arguments, about) in [
            ("invoice:send", &[][..], "invoice:send"),
            ("invoice:send", &["12"], "invoice:send 12"),
            ("invoice:send", &["-12"], "invoice:send -12"),
            (
                "invoice:send",
                &["2026-11/a.pdf", "b"],
                "invoice:send 2026-11/a.pdf …",
            ),
            ("mail", &["ann@example.org"], "mail …"),
            ("mail", &["two words", "b"], "mail …"),
            ("mail", &["", "b"], "mail …"),
            ("mail", &["\u{1b}[2J"], "mail …"),
            ("mail", &[&long], "mail …"),
            (&long, &["12"], &format!("{long} 12")),
            (&long, &["1234"], &format!("{long} …")),
            (&"y".repeat(200), &["12"], &"y".repeat(64)),
        ] {
            let call = Call {
                command: command.parse().unwrap(),
                arguments: arguments
                    .iter()
                    .map(|&text| Argument::of_text(text.into()))
                    .collect(),
                options: Vec::new(),
            };
            let said = About::call(&call, false);
            assert_eq!(said.as_str(), about);
            assert!(said.as_str().len() <= MOST);
            let discreet = About::call(&call, true);
            let argument = arguments.first().filter(|first| !first.is_empty());
            assert!(
                argument.is_none_or(|first| !discreet.as_str().contains(first)),
                "{discreet:?}"
            );
        }
    }
}
