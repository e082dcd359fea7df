//! The lines of a batch.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use rustix::io::Errno;

use super::order::MAX_BODY;
use crate::api::Put;
use crate::cli::Failure;
use crate::errno;
use crate::task::after::Links;
use crate::task::payload::{self, Body, Native};

/// A folder can be opened too, and then not be read.
fn open(path: &Path) -> Result<File, Failure> {
    let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::Error::from_raw_os_error(Errno::ISDIR.raw_os_error())),
        false => Ok(file),
    });
    opened.map_err(|error| {
        let (path, why) = (path.display(), errno::said(&error));
        Failure::new(format!(
            "cannot read the batch {path}: {why}; nothing was put"
        ))
        .next("name a file with a JSON object a line, or - for standard input")
    })
}

/// A batch of tasks, read line by line, and what is wrong with lines that are no task.
pub(super) struct TaskLines {
    /// Until it ends, or cannot be read any more.
    input: Option<Box<dyn BufRead>>,
    number: u64,
    /// It was said what a line looks like.
    is_told: bool,
}

impl Iterator for TaskLines {
    type Item = Result<Put, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number = self.number.saturating_add(1);
            match read_line(self.input.as_mut()?) {
                Ok(Line::End) => return None,
                Ok(Line::TooLong) => {
                    return Some(Err(self.wrong(format!("it has more than {MAX_BODY} bytes"))));
                }
                Ok(Line::Whole(line)) if line.trim_ascii().is_empty() => {}
                Ok(Line::Whole(line)) => return Some(self.task(line.trim_ascii_end())),
                Err(error) => {
                    self.input = None;
                    return Some(Err(self.wrong(format!(
                        "it cannot be read, nor any after it: {}",
                        errno::said(&error)
                    ))));
                }
            }
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

fn read_line(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let read = input.take(MAX_BODY).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(Line::End);
    }
    if read as u64 >= MAX_BODY && !line.ends_with(b"\n") {
        // What follows is the rest of this line, and no line of its own.
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole(line))
}

/// What a line of a batch looks like.
const SUCH_A_LINE: &str =
    r#"write a task as {"taskqueue":1,"command":"NAME"}; see taskqueue-payload(7)"#;

impl TaskLines {
    /// Those of a file, or of standard input.
    pub fn of(path: &Path) -> Result<TaskLines, Failure> {
        let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(open(path)?))
        };
        Ok(TaskLines {
            input: Some(input),
            number: 0,
            is_told: false,
        })
    }

    fn wrong(&self, why: String) -> Failure {
        Failure::new(format!("line {}: {why}", self.number))
    }

    fn task(&mut self, line: &[u8]) -> Result<Put, Failure> {
        let is_told = self.is_told;
        let wrong = |why| self.wrong(why);
        match payload::read(line) {
            Body::Native(Native {
                uuid,
                call,
                tags,
                at,
                unique,
                own,
                links,
            }) => {
                let put = tags.into_iter().fold(Put::from(call), Put::tag);
                let put = at.into_iter().fold(put, Put::at);
                let put = unique.into_iter().fold(put, Put::unique);
                let put = own.iter().fold(put, |put, own| put.own(own));
                let put = put.links(links.map_or_else(Links::default, |links| *links));
                Ok(match uuid {
                    Some(uuid) => put.uuid(uuid),
                    None => put,
                })
            }
            Body::Pointer(_) => Err(wrong("a pointer is not for producers".into())),
            Body::Refused(refusal) => Err(wrong(refusal.to_string())),
            Body::Other(why) => {
                let wrong = wrong(why.to_string());
                self.is_told = true;
                Err(match is_told {
                    false => wrong.next(SUCH_A_LINE),
                    true => wrong,
                })
            }
        }
    }
}
