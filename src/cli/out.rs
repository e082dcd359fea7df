//! Where results are printed: nothing that a stranger wrote gets past it as an order to a terminal.
//!
//! Whatever prints to stdout prints through [`Out`], whether stdout is a terminal or not, as `journalctl` does it.
//! (`ls` and `git` escape for a terminal only, since programs read what they print into a pipe. What programs read here
//! is `--json`, which loses nothing.)

use std::env;
use std::io::{self, IsTerminal, StdoutLock, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;

use crate::harmless::{self, Spelling};

/// Stdout, for text or for JSON. Each write has whole characters, as those of `write!` and of a serializer have.
#[derive(Debug)]
pub struct Out<W = StdoutLock<'static>> {
    to: W,
    spelling: Spelling,
}

/// Stdout for JSON, or for people.
pub fn out(json: bool) -> Out {
    let spelling = match json {
        true => Spelling::Json,
        false => Spelling::Text,
    };
    let to = io::stdout().lock();
    Out { to, spelling }
}

/// Stdout for what a command of ours prints as a task's command, whose worker keeps that as it is; and for what a
/// task's command has printed, where no terminal is there to obey it: whoever puts that into a file or a pipe wants the
/// very bytes.
pub fn as_it_is() -> StdoutLock<'static> {
    io::stdout().lock()
}

/// Prints what was asked for about the command line itself, in colours where people look on.
///
/// # Errors
/// When that cannot be written.
pub fn help(text: &clap::Error) -> io::Result<()> {
    text.print()?;
    io::stdout().flush()
}

/// Whether what is read from here reaches nobody any more: the reader of a pipe has gone.
pub fn is_abandoned() -> bool {
    let stdout = io::stdout();
    let mut reader = [PollFd::new(&stdout, PollFlags::empty())];
    let polled = poll(&mut reader, Some(&Timespec::default()));
    let [reader] = &reader;
    polled.is_ok_and(|found| found > 0) && reader.revents().contains(PollFlags::ERR)
}

/// Whether people look on.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// What terminals are told to do, and obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Use the other screen, without a cursor, and cut what is too long for a line.
    OtherScreen,
    /// Be as before that.
    OwnScreen,
    /// Go to the first line.
    Top,
    /// Have nothing from there on, nor below.
    RestIsEmpty,
    /// Show what follows the other way round: light on dark, or dark on light.
    Reversed,
    /// Show what follows as usual.
    Usual,
}

impl Order {
    fn bytes(self) -> &'static [u8] {
        match self {
            Order::OtherScreen => b"\x1b[?1049h\x1b[?25l\x1b[?7l",
            Order::OwnScreen => b"\x1b[?7h\x1b[?25h\x1b[?1049l",
            Order::Top => b"\x1b[H",
            Order::RestIsEmpty => b"\x1b[J",
            Order::Reversed => b"\x1b[7m",
            Order::Usual => b"\x1b[0m",
        }
    }
}

/// What is to catch the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// It went wrong.
    Red,
    /// Somebody should look.
    Yellow,
}

/// How many columns the terminal has; none where results go elsewhere, and have all the room.
pub fn width() -> Option<usize> {
    let size = is_terminal().then(|| tcgetwinsize(io::stdout()).ok())?;
    Some(size.map_or(80, |size| usize::from(size.ws_col))).filter(|width| *width > 0)
}

/// How many columns and lines the terminal has, if it can do more than print one line after the other.
pub fn screen() -> Option<(usize, usize)> {
    let size = obeys().then(|| tcgetwinsize(io::stdout()).ok())??;
    let (columns, lines) = (usize::from(size.ws_col), usize::from(size.ws_row));
    // A terminal that does not know its size has none.
    let known = |size: usize, usual: usize| if size == 0 { usual } else { size };
    Some((known(columns, 80), known(lines, 24)))
}

fn obeys() -> bool {
    is_terminal() && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

fn has_colours() -> bool {
    obeys() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl<W: Write> Out<W> {
    /// Writes a line in a colour, where people look on who want colours.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn painted(&mut self, colour: Colour, line: &str) -> io::Result<()> {
        if !has_colours() {
            return self.write_all(line.as_bytes());
        }
        let begin = match colour {
            Colour::Red => b"\x1b[31m",
            Colour::Yellow => b"\x1b[33m",
        };
        self.to.write_all(begin)?;
        self.write_all(line.as_bytes())?;
        self.to.write_all(b"\x1b[0m")
    }

    /// Tells the terminal to do something.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn order(&mut self, order: Order) -> io::Result<()> {
        self.to.write_all(order.bytes())
    }
}

impl Out<Vec<u8>> {
    /// For a whole screen, which is shown at once.
    pub fn drawn() -> Out<Vec<u8>> {
        Out {
            to: Vec::new(),
            spelling: Spelling::Text,
        }
    }

    /// Shows it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn show(self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&self.to)?;
        stdout.flush()
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for chunk in bytes.utf8_chunks() {
            let text = chunk.valid();
            let text = match self.spelling {
                Spelling::Text => harmless::lines(text),
                Spelling::Json => harmless::json(text),
            };
            self.to.write_all(text.as_bytes())?;
            if !chunk.invalid().is_empty() {
                self.to.write_all("\u{fffd}".as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(spelling: Spelling, bytes: &[u8]) -> String {
        let mut out = Out {
            to: Vec::new(),
            spelling,
        };
        out.write_all(bytes).unwrap();
        String::from_utf8(out.to).unwrap()
    }

    #[test]
    fn bytes_that_are_no_text_are_no_orders_either() {
        let bytes = b"ok \x9b31m \xff\x1b[2J \xc2\n";
        assert_eq!(
            printed(Spelling::Text, bytes),
            "ok \u{fffd}31m \u{fffd}\\u{1b}[2J \u{fffd}\n"
        );
    }

    #[test]
    fn json_is_spelt_as_json() {
        let object = serde_json::json!({ "a": "\u{9b}\u{202e}" }).to_string();
        assert_eq!(
            printed(Spelling::Json, object.as_bytes()),
            r#"{"a":"\u009b\u202e"}"#
        );
    }
}
