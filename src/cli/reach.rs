//! Finding the tenders of a store, and asking them.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Failure;
use crate::address::StoreUrl;
use crate::control::client::PATIENCE;
use crate::control::{self, Answer, Client, Refusal, Request};
use crate::harmless::{lines, one_line};
use crate::ownership;
use crate::tube::TubeName;

/// A tender that begins has its tubes a moment before it listens. One that does not so long after, never does.
const BEGINS: Duration = Duration::from_secs(1);

/// Between two looks whether it listens.
const PAUSE: Duration = Duration::from_millis(10);

/// A tender that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Its process id, on its host.
    pub pid: u32,
    /// The machine that it runs on.
    pub host: String,
    /// Its tubes.
    pub tubes: Vec<TubeName>,
    /// It ends, and has given up its tubes: another may tend them.
    pub leaving: bool,
    /// Where it listens, if it does.
    socket: Option<PathBuf>,
}

/// Those that tend these tubes of the store, or any if none is named; and those that did and still end.
///
/// # Errors
/// When that cannot be found out.
pub fn tenders(store: &StoreUrl, tubes: &[TubeName]) -> Result<Vec<Reached>, Failure> {
    let mut found: Vec<Reached> = Vec::new();
    for tended in ownership::tended(store.beside())? {
        let known = found.iter_mut().find(|reached| {
            (reached.pid, &reached.host, &reached.socket, reached.leaving)
                == (tended.pid, &tended.host, &tended.socket, tended.leaving)
        });
        match known {
            Some(reached) => reached.tubes.push(tended.tube),
            None => found.push(Reached {
                pid: tended.pid,
                host: tended.host,
                tubes: vec![tended.tube],
                leaving: tended.leaving,
                socket: tended.socket,
            }),
        }
    }
    found.retain(|reached| tubes.is_empty() || reached.tubes.iter().any(|t| tubes.contains(t)));
    Ok(found)
}

/// The same, of which there must be one.
///
/// # Errors
/// When there is none, too: then with what to do.
pub fn some_tenders(store: &StoreUrl, tubes: &[TubeName]) -> Result<Vec<Reached>, Failure> {
    let mut found = tenders(store, tubes)?;
    let until = Instant::now() + BEGINS;
    let begins = |one: &Reached| one.socket.is_none() && !one.leaving;
    while found.iter().any(begins) && Instant::now() < until {
        sleep(PAUSE);
        found = tenders(store, tubes)?;
    }
    if found.is_empty() {
        return Err(nobody(store, tubes));
    }
    Ok(found)
}

/// The same without those that end, unless there are no others.
///
/// # Errors
/// As [`some_tenders`].
pub fn tending(store: &StoreUrl, tubes: &[TubeName]) -> Result<Vec<Reached>, Failure> {
    let mut found = some_tenders(store, tubes)?;
    if found.iter().any(|reached| !reached.leaving) {
        found.retain(|reached| !reached.leaving);
    }
    Ok(found)
}

fn nobody(store: &StoreUrl, tubes: &[TubeName]) -> Failure {
    let names: Vec<&str> = tubes.iter().map(TubeName::as_str).collect();
    let (what, how) = match names.as_slice() {
        [] => ("a tube".to_owned(), String::new()),
        [first, ..] => (
            format!("the tube {}", names.join(" or ")),
            format!(" --use-tube {first}"),
        ),
    };
    Failure::new(format!("no tender tends {what} of the store {store}")).next(format!(
        "name the store of one with --store PATH or TASKQUEUE_STORE; start one with: taskqueue tender{how}"
    ))
}

impl Reached {
    /// Whether it tends that tube.
    pub fn tends(&self, tube: Option<&TubeName>) -> bool {
        tube.is_some_and(|tube| self.tubes.contains(tube))
    }

    /// Whether it is certainly gone. One that ends may be gone between being found and being asked.
    pub fn is_gone(&self, store: &StoreUrl) -> bool {
        tenders(store, &[]).is_ok_and(|found| {
            let mut found = found.iter();
            !found.any(|one| (one.pid, &one.host) == (self.pid, &self.host))
        })
    }

    /// What is advised where it cannot be asked to end.
    fn how_to_end(&self, more: &str) -> String {
        let Self { pid, host, .. } = self;
        match may_be_killed(*pid, host) {
            true => format!("end it with: kill {pid}{more}"),
            false => format!(
                "end it where it was started: its service, its container, or a signal TERM to it on {}",
                one_line(host)
            ),
        }
    }

    /// Connects and asks. The connection is good for waiting for the tender's end.
    ///
    /// # Errors
    /// When it does not answer; and what it refused, with its reason.
    pub fn ask(&self, request: &Request) -> Result<(Client, Answer), Failure> {
        self.ask_within(request, PATIENCE)
    }

    /// The same, where the answer is not waited for as long as that.
    ///
    /// # Errors
    /// As [`Reached::ask`].
    pub fn ask_within(
        &self,
        request: &Request,
        patience: Duration,
    ) -> Result<(Client, Answer), Failure> {
        let Self { pid, host, .. } = self;
        let host = one_line(host);
        let failed = |error: String, next: String| {
            Failure::new(format!(
                "the tender, process {pid} on {host}, cannot be asked: {error}"
            ))
            .next(next)
        };
        let Some(socket) = &self.socket else {
            return Err(failed(
                "it does not listen; its log says why".to_owned(),
                self.how_to_end(""),
            ));
        };
        let asked = Client::connect(socket, patience).and_then(|mut client| {
            let answer = client.ask(request)?;
            Ok((client, answer))
        });
        match asked {
            Ok((_, Answer::Refused(Refusal { reason, is_wrong }))) => {
                // A configuration's line with a caret under it has lines.
                let reason = lines(reason.trim_end()).replace('\n', "\n  ");
                let what = format!("the tender, process {pid} on {host}, refused: {reason}");
                Err(match is_wrong {
                    true => Failure::usage(what),
                    false => Failure::new(what),
                })
            }
            Ok(answered) => Ok(answered),
            Err(error @ control::Error::Connect { .. }) => Err(failed(
                one_line(&error.to_string()).into_owned(),
                format!(
                    "ask on {host}, as the user that it runs as, or {}",
                    self.how_to_end("")
                ),
            )),
            Err(error) => Err(failed(
                one_line(&error.to_string()).into_owned(),
                self.how_to_end(", a second time to end it at once"),
            )),
        }
    }
}

/// Whether a tender may well be the process of that number here. The number is what it says of itself, and in a
/// container it counts from 1.
fn may_be_killed(pid: u32, host: &str) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    pid > 1 && host == ownership::host() && name.trim_end() == env!("CARGO_PKG_NAME")
}

/// An answer of another kind than what was asked for.
pub fn odd(answer: &Answer) -> Failure {
    Failure::new(format!(
        "the tender gave another answer than was asked for: {answer:?}"
    ))
    .next("is it of another version than this program?")
}
