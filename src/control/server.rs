//! A tender's end: questions become calls, which its loop answers.

use std::collections::VecDeque;
use std::fs;
use std::future::pending;
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::connect_within;
use super::{Answer, Error, MAX_REQUEST, Request, place};
use crate::file_id::FileId;
use crate::service::{Service, Services};
use crate::tube::TubeName;

/// How many may ask at a time. For one more, the one who has been silent longest has to go.
const MOST: usize = 32;

/// How many may wait for the tender's end, beside those who ask.
const MOST_WAITING: usize = 256;

/// How many tenders of one number, store and tube are told apart.
const MOST_OF_A_NUMBER: u32 = 16;

/// How long one may take to say what it wants, the tender to answer, and one to read that.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question, and the way back for its answer.
#[derive(Debug)]
pub struct Call {
    /// The question.
    pub request: Request,
    /// To whoever asked; that nobody waits there any more is no failure.
    pub answer: oneshot::Sender<Answer>,
}

/// A socket at which a tender is asked. It is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    socket: PathBuf,
    /// The socket's own file.
    file: FileId,
    conversations: Services,
    /// A connection could not be taken, and none was since.
    is_full: bool,
}

impl Server {
    /// Listens in the folder, for the tender that has the right to these tubes of the store. What tenders that
    /// are dead have left there is removed. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the folder is not ours alone, or the socket cannot be made in it.
    pub fn open(folder: &Path, store: &Path, first: &TubeName) -> Result<Server, Error> {
        place::prepare(folder)?;
        let stem = place::stem(store, first);
        remove_stale(folder, &stem);
        let socket = free(folder, &format!("{stem}-{}", std::process::id()));
        // Nobody listens there: an earlier process of our number left it.
        let _ = fs::remove_file(&socket);
        let listen = || {
            let listener = UnixListener::bind(&socket)?;
            fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
            Ok((listener, FileId::at(&socket)?))
        };
        match listen() {
            Ok((listener, file)) => Ok(Server {
                listener,
                socket,
                file,
                conversations: Services::default(),
                is_full: false,
            }),
            Err(source) => Err(Error::Listen { socket, source }),
        }
    }

    fn is_there(&self) -> bool {
        FileId::at(&self.socket).is_ok_and(|file| file == self.file)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes questions for as long as the socket is where it was made, which is looked up each time that so long has
    /// passed. Folders of such files are swept, by a logout or after some days.
    pub async fn run(&mut self, calls: &mpsc::Sender<Call>, look: Duration) {
        let places = Arc::new(Semaphore::new(MOST));
        let ends = Arc::new(Semaphore::new(MOST_WAITING));
        let mut silent = Silent::default();
        let mut looked = Instant::now();
        loop {
            let accepted = timeout_at(looked + look, self.listener.accept()).await;
            if looked.elapsed() >= look {
                looked = Instant::now();
                if !self.is_there() {
                    return;
                }
            }
            let Ok(accepted) = accepted else {
                continue;
            };
            match accepted {
                Ok((stream, _)) => {
                    if std::mem::take(&mut self.is_full) {
                        tracing::info!("connections taken again");
                    }
                    if places.available_permits() == 0 {
                        silent.send_one_away();
                    }
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                        return;
                    };
                    self.conversations.start(Conversation {
                        stream: Some(stream),
                        sent_away: silent.with_one_more(),
                        calls: calls.clone(),
                        place: Some(place),
                        ends: Arc::clone(&ends),
                    });
                }
                // No descriptor is left, which may change.
                Err(error) => {
                    if !std::mem::replace(&mut self.is_full, true) {
                        tracing::warn!(%error, "connections cannot be taken; will keep trying");
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Waits until those who asked have their answers.
    pub async fn finish(&mut self) {
        self.conversations.finish().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been swept away already, and another be there.
        if self.is_there() {
            let _ = fs::remove_file(&self.socket);
        }
    }
}

/// A name with which nobody listens. In containers that share the folder all tenders may have one number, and one that
/// ends listens on while the next one takes over.
fn free(folder: &Path, ours: &str) -> PathBuf {
    let first = folder.join(format!("{ours}.sock"));
    let more = (2..=MOST_OF_A_NUMBER).map(|n| folder.join(format!("{ours}-{n}.sock")));
    let mut names = std::iter::once(first.clone()).chain(more);
    let is_free = |name: &PathBuf| !is_heard(name);
    names.find(is_free).unwrap_or(first)
}

/// Whether somebody listens there, be it that too many wait to be let in.
fn is_heard(socket: &Path) -> bool {
    match connect_within(socket, Duration::ZERO) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Removes the sockets of dead tenders of the same store and tube: nobody listens there.
fn remove_stale(folder: &Path, stem: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(stem);
        let is_refused = |path: &Path| {
            connect_within(path, Duration::ZERO)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if ours && is_refused(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Those who have not said yet what they want, who came first first.
#[derive(Default)]
struct Silent(VecDeque<oneshot::Sender<()>>);

impl Silent {
    /// One more. What is returned is dropped when it has said what it wants, or hears that it has to go.
    fn with_one_more(&mut self) -> oneshot::Receiver<()> {
        self.0.retain(|one| !one.is_closed());
        let (send_away, sent_away) = oneshot::channel();
        self.0.push_back(send_away);
        sent_away
    }

    fn send_one_away(&mut self) {
        while let Some(first) = self.0.pop_front() {
            if first.send(()).is_ok() {
                return;
            }
        }
    }
}

struct Conversation {
    /// Taken when it begins: what went wrong with one, another cannot put right. Whoever asked sees its end.
    stream: Option<UnixStream>,
    sent_away: oneshot::Receiver<()>,
    calls: mpsc::Sender<Call>,
    /// Given back before the tender's end is waited for.
    place: Option<OwnedSemaphorePermit>,
    /// The places of those who wait for that.
    ends: Arc<Semaphore>,
}

impl Service for Conversation {
    const NAME: &'static str = "conversation";

    async fn run(&mut self) -> Result<(), String> {
        if let Some(stream) = self.stream.take() {
            self.converse(stream).await;
        }
        Ok(())
    }
}

impl Conversation {
    /// One question and its answer.
    async fn converse(&mut self, mut stream: UnixStream) {
        let asked = tokio::select! {
            biased;
            asked = timeout(PATIENCE, question(&mut stream)) => asked.ok(),
            _ = &mut self.sent_away => None,
        };
        self.sent_away.close();
        let answer = match asked {
            Some(Ok(request)) => ask(request, &self.calls).await,
            Some(Err(reason)) => Some(Answer::Refused(reason.into())),
            None => None,
        };
        let (answer, end) = match answer {
            Some(stopping @ Answer::Stopping { .. }) => self.with_place_to_wait(stopping),
            Some(answer) => (answer, None),
            None => return,
        };
        let Ok(mut line) = serde_json::to_vec(&answer) else {
            return;
        };
        line.push(b'\n');
        let written = timeout(PATIENCE, stream.write_all(&line)).await;
        if let (Ok(Ok(())), Some(_end)) = (written, end) {
            drop(self.place.take());
            until_the_end(stream).await;
        }
    }

    /// Whoever stops a tender may wait for its end, unless very many do.
    fn with_place_to_wait(&self, stopping: Answer) -> (Answer, Option<OwnedSemaphorePermit>) {
        match Arc::clone(&self.ends).try_acquire_owned() {
            Ok(place) => (stopping, Some(place)),
            Err(_) => {
                let reason = format!(
                    "it was told, and ends; {MOST_WAITING} others wait for that, and no more may wait with them"
                );
                (Answer::Refused(reason.into()), None)
            }
        }
    }
}

async fn question(stream: &mut UnixStream) -> Result<Request, String> {
    let mut line = Vec::new();
    let mut limited = BufReader::new(stream.take(MAX_REQUEST));
    let read = limited.read_until(b'\n', &mut line).await;
    read.map_err(|error| error.to_string())?;
    if line.last() != Some(&b'\n') {
        return Err(format!("no line of at most {MAX_REQUEST} bytes came"));
    }
    serde_json::from_slice(&line).map_err(|error| format!("the request cannot be read: {error}"))
}

/// `None` when the loop has ended.
async fn ask(request: Request, calls: &mpsc::Sender<Call>) -> Option<Answer> {
    let (answer, answered) = oneshot::channel();
    calls.send(Call { request, answer }).await.ok()?;
    match timeout(PATIENCE, answered).await {
        Ok(answer) => answer.ok(),
        Err(_) => Some(Answer::Refused(
            format!("nothing came of it within {}s", PATIENCE.as_secs()).into(),
        )),
    }
}

/// Keeps a connection open until this process is gone, or whoever asked: so they learn of its end from the
/// system, and not a moment too early.
async fn until_the_end(stream: UnixStream) {
    let mut stream = ManuallyDrop::new(stream);
    // Dropped here, with the runtime, it is not closed.
    match stream.read(&mut [0]).await {
        Ok(0) | Err(_) => drop(ManuallyDrop::into_inner(stream)),
        Ok(_) => pending().await,
    }
}
