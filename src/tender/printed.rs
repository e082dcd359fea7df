//! What workers that are not ours print: lines for the log, and with some of them tokens that say how they stand.
//!
//! Nobody knows what they print. Lines are cut, and of those that come faster than anybody reads the rest is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Event, WorkerId};
use crate::harmless;
use crate::link::Report;
use crate::service::Service;
use crate::tube::TubeName;

/// A worker takes jobs, or has ended one (the PHP TaskQueue's workers).
const READY: &[u8] = b"[[CHILD::READY]]";
/// It runs one.
const BUSY: &[u8] = b"[[CHILD::BUSY]]";

/// The most bytes of a line that are logged.
const LINE: usize = 4096;

/// The most lines of a stream that are logged in a [`WHILE`].
const LINES: u32 = 100;
const WHILE: Duration = Duration::from_secs(1);

/// As much as is read at once.
const READ: usize = 8192;

/// Whose it is, as the log has it.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    pub(super) worker: String,
    pub(super) pid: u32,
    pub(super) tube: TubeName,
}

/// Who is told what tokens say.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: WorkerId,
    pub(super) events: mpsc::Sender<Event>,
}

/// Logs what comes until its end, counts its bytes, and tells what its tokens say, if it may have any.
pub(super) struct Follower<S> {
    stream: S,
    name: &'static str,
    printer: Printer,
    bytes: Arc<AtomicU64>,
    told: Option<Told>,
    heard: Heard,
    pace: Pace,
}

impl<S> Follower<S> {
    /// Of a stream of that name.
    pub(super) fn of(
        stream: S,
        name: &'static str,
        printer: Printer,
        bytes: Arc<AtomicU64>,
        told: Option<Told>,
    ) -> Follower<S> {
        Follower {
            stream,
            name,
            printer,
            bytes,
            told,
            heard: Heard::default(),
            pace: Pace::default(),
        }
    }
}

impl<S: AsyncRead + Unpin + Send + 'static> Service for Follower<S> {
    const NAME: &'static str = "follower of output";

    /// Begun anew, it leaves out the line that it had begun.
    async fn run(&mut self) -> Result<(), String> {
        let Follower {
            stream,
            name,
            printer,
            bytes,
            told,
            heard,
            pace,
        } = self;
        let mut cutter = Cutter::new(told.is_some());
        let mut piece = [0; READ];
        loop {
            // A stream that cannot be read has ended as far as we are concerned.
            let size = stream.read(&mut piece).await.unwrap_or(0);
            bytes.fetch_add(size as u64, Ordering::Relaxed);
            let said = match piece.get(..size) {
                None | Some([]) => cutter.end().into_iter().collect(),
                Some(read) => cutter.push(read),
            };
            for said in said {
                match said {
                    Said::Line(line) => pace.log(printer, name, &line),
                    Said::Token(token) => {
                        if let Some(told) = &*told
                            && let Some(report) = heard.hear(token)
                            // The tender has ended.
                            && told.events.send(Event::Reported(told.id, report)).await.is_err()
                        {
                            return Ok(());
                        }
                    }
                }
            }
            if size == 0 {
                pace.end(printer, name);
                return Ok(());
            }
        }
    }
}

/// A word that is not for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Ready,
    Busy,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Line(String),
    Token(Token),
}

/// Cuts a stream into lines and tokens, whatever pieces it comes in.
#[derive(Debug)]
struct Cutter {
    has_tokens: bool,
    line: Vec<u8>,
    /// Bytes of the line that were too many.
    left_out: u64,
    /// The last bytes, as many as a token has.
    recent: Vec<u8>,
}

impl Cutter {
    fn new(has_tokens: bool) -> Cutter {
        Cutter {
            has_tokens,
            line: Vec::new(),
            left_out: 0,
            recent: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                said.extend(self.end());
                continue;
            }
            if self.line.len() < LINE {
                self.line.push(byte);
            } else {
                self.left_out += 1;
            }
            if self.has_tokens {
                said.extend(self.token(byte).map(Said::Token));
            }
        }
        said
    }

    /// What is there is a line, unless it is nothing.
    fn end(&mut self) -> Option<Said> {
        self.recent.clear();
        let line = std::mem::take(&mut self.line);
        let left_out = std::mem::take(&mut self.left_out);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            return None;
        }
        // What a terminal would take for an order is shown for what it is.
        let mut text = harmless::lines(text).into_owned();
        if left_out > 0 {
            text.push_str(&format!(" … and {left_out} bytes more"));
        }
        Some(Said::Line(text))
    }

    /// Whether that byte ends a token, which is then taken out of the line.
    fn token(&mut self, byte: u8) -> Option<Token> {
        if self.recent.len() == READY.len() {
            self.recent.remove(0);
        }
        self.recent.push(byte);
        if byte != b']' {
            return None;
        }
        let (token, word) = [(Token::Ready, READY), (Token::Busy, BUSY)]
            .into_iter()
            .find(|(_, word)| self.recent.ends_with(word))?;
        self.recent.clear();
        if self.line.ends_with(word) {
            self.line.truncate(self.line.len() - word.len());
        }
        Some(token)
    }
}

/// What a worker that speaks in tokens has said so far.
#[derive(Debug, Default)]
struct Heard {
    is_ready: bool,
    is_busy: bool,
    jobs: u64,
}

impl Heard {
    /// What is new of it.
    fn hear(&mut self, token: Token) -> Option<Report> {
        match token {
            Token::Ready if self.is_busy => {
                self.is_busy = false;
                self.jobs = self.jobs.saturating_add(1);
                Some(Report::Idle {
                    jobs: self.jobs,
                    output: 0,
                })
            }
            Token::Ready if !self.is_ready => {
                self.is_ready = true;
                Some(Report::Ready)
            }
            Token::Busy if !self.is_busy => {
                self.is_ready = true;
                self.is_busy = true;
                Some(Report::Busy {
                    task: 0,
                    group: 0,
                    left: None,
                    notice: None,
                })
            }
            Token::Ready | Token::Busy => None,
        }
    }
}

/// How much of a stream is logged.
#[derive(Debug, Default)]
struct Pace {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Pace {
    fn log(&mut self, printer: &Printer, stream: &str, line: &str) {
        let now = Instant::now();
        if self.since.is_none_or(|since| now - since >= WHILE) {
            self.end(printer, stream);
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= LINES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.lines += 1;
        let Printer { worker, pid, tube } = printer;
        tracing::info!(worker, pid, %tube, stream, line, "worker printed");
    }

    fn end(&mut self, printer: &Printer, stream: &str) {
        let lines = std::mem::take(&mut self.left_out);
        if lines > 0 {
            let Printer { worker, pid, tube } = printer;
            tracing::warn!(worker, pid, %tube, stream, lines, "worker printed more than is logged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Said {
        Said::Line(text.into())
    }

    /// However it is cut into pieces, it says the same.
    #[track_caller]
    fn says(has_tokens: bool, printed: &[u8], expected: &[Said]) {
        for size in 1..=printed.len().max(1) {
            let mut cutter = Cutter::new(has_tokens);
            let mut said: Vec<Said> = printed
                .chunks(size)
                .flat_map(|piece| cutter.push(piece))
                .collect();
            said.extend(cutter.end());
            assert_eq!(said, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn lines_and_tokens_are_told_apart() {
        let (ready, busy) = (|| Said::Token(Token::Ready), || Said::Token(Token::Busy));
        says(true, b"", &[]);
        says(true, b"a\nb", &[line("a"), line("b")]);
        says(true, b"a\r\n\n \nb\n", &[line("a"), line("b")]);
        says(true, b"[[CHILD::READY]]\n", &[ready()]);
        says(true, b"[[CHILD::BUSY]][[CHILD::READY]]", &[busy(), ready()]);
        let mixed = b"one [[CHILD::BUSY]]two\n";
        says(true, mixed, &[busy(), line("one two")]);
        says(false, mixed, &[line("one [[CHILD::BUSY]]two")]);
        let nearly = b"[[CHILD::READY]\n[[CHILD::\nBUSY]]\n";
        let expected = [line("[[CHILD::READY]"), line("[[CHILD::"), line("BUSY]]")];
        says(true, nearly, &expected);
        says(
            true,
            b"\xff\x1b[2J\x07\t.\n",
            &[line("\u{fffd}\\u{1b}[2J\\u{7}\t.")],
        );
    }

    #[test]
    fn a_line_without_end_is_cut_and_its_tokens_are_heard() {
        let mut cutter = Cutter::new(true);
        for _ in 0..100 {
            assert_eq!(cutter.push(&[b'x'; 1000]), []);
        }
        assert!(cutter.line.len() <= LINE);
        assert_eq!(cutter.push(READY), [Said::Token(Token::Ready)]);
        let Some(Said::Line(text)) = cutter.end() else {
            panic!("no line");
        };
        assert!(text.ends_with("x … and 95920 bytes more"), "{text}");
    }

    #[test]
    fn tokens_say_how_a_worker_stands() {
        let mut heard = Heard::default();
        let mut hear = |token| heard.hear(token);
        let idle = |jobs| Some(Report::Idle { jobs, output: 0 });
        let busy = Some(Report::Busy {
            task: 0,
            group: 0,
            left: None,
            notice: None,
        });
        assert_eq!(hear(Token::Ready), Some(Report::Ready));
        assert_eq!(hear(Token::Ready), None);
        assert_eq!(hear(Token::Busy), busy);
        assert_eq!(hear(Token::Busy), None);
        assert_eq!(hear(Token::Ready), idle(1));
        assert_eq!(hear(Token::Busy), busy);
        assert_eq!(hear(Token::Ready), idle(2));
        assert_eq!(hear(Token::Ready), None);
    }
}
