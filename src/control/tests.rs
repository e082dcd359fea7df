//! A question and its answer over a real socket; and those who ask what nobody can understand.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::tube::TubeName;

fn tube(name: &str) -> TubeName {
    name.parse().unwrap()
}

/// A server in a folder of its own that refuses everything by naming it.
fn echo(folder: &Path) -> PathBuf {
    let mut server = Server::open(folder, Path::new("/t.db"), &tube("mail")).unwrap();
    let socket = server.socket().to_owned();
    let (calls, mut called) = mpsc::channel(4);
    tokio::spawn(async move { server.run(&calls, Duration::from_millis(20)).await });
    tokio::spawn(async move {
        while let Some(Call { request, answer }) = called.recv().await {
            let reason = format!("{request:?}");
            drop(answer.send(Answer::Refused(reason.into())));
        }
    });
    socket
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(f).await.unwrap()
}

#[tokio::test]
async fn questions_are_answered_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("taskqueue");
    let socket = echo(&runtime);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&runtime), mode(&socket)), (0o700, 0o600));

    let to = socket.clone();
    let answer = blocking(move || {
        Client::connect(&to, client::PATIENCE)
            .unwrap()
            .ask(&Request::Status)
    })
    .await;
    let refused = |reason: &str| Answer::Refused(reason.into());
    assert_eq!(answer.unwrap(), refused("Status"));

    let long = vec![b'x'; 2 * usize::try_from(MAX_REQUEST).unwrap()];
    for (sent, said) in [
        (&b"\"dance\"\n"[..], "cannot be read"),
        (b"\n", "cannot be read"),
        (b"\xff\n", "cannot be read"),
        (&long, "no line of at most 4096 bytes"),
    ] {
        let (to, sent) = (socket.clone(), sent.to_owned());
        let answer = blocking(move || {
            let mut stream = UnixStream::connect(to).unwrap();
            // It may have been refused before all was read.
            let _ = stream.write_all(&sent);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        });
        let answer = answer.await;
        assert!(answer.contains(said), "{answer}");
    }
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let open = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open()).unwrap();
    let error = Server::open(folder.path(), Path::new("/t.db"), &tube("mail")).unwrap_err();
    assert!(error.to_string().contains("its mode is 755"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Server::open(&file, Path::new("/t.db"), &tube("mail")).unwrap_err();
    assert!(error.to_string().contains("it is no folder"), "{error}");
}

#[tokio::test]
async fn what_the_dead_left_is_removed_and_what_lives_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("taskqueue");
    let living = echo(&runtime);
    let stem = place::stem(Path::new("/t.db"), &tube("mail"));
    let dead = runtime.join(format!("{stem}-1.sock"));
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let other = runtime.join("other-1.sock");
    drop(std::os::unix::net::UnixListener::bind(&other).unwrap());
    let moved = runtime.join(format!("{stem}-2.sock"));
    std::fs::rename(&living, &moved).unwrap();

    let server = Server::open(&runtime, Path::new("/t.db"), &tube("mail")).unwrap();
    assert!(!dead.exists() && other.exists() && moved.exists());
    let socket = server.socket().to_owned();
    assert!(socket.exists());
    drop(server);
    assert!(!socket.exists());
}

/// As in containers that share the folder, where every tender is process 1.
#[tokio::test]
async fn one_of_the_same_number_that_still_listens_keeps_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("taskqueue");
    let open = || Server::open(&runtime, Path::new("/t.db"), &tube("mail")).unwrap();
    let old = open();
    let new = open();
    assert_ne!(old.socket(), new.socket());
    for server in [&old, &new] {
        std::os::unix::net::UnixStream::connect(server.socket()).unwrap();
    }
    let socket = old.socket().to_owned();
    drop(old);
    assert!(!socket.exists() && new.socket().exists());
    assert_eq!(open().socket(), socket);
}

#[test]
fn nobody_there_is_said_with_the_place() {
    let error = Client::connect(Path::new("/nowhere/t.sock"), client::PATIENCE).unwrap_err();
    assert!(error.to_string().contains("/nowhere/t.sock"), "{error}");
}

#[test]
fn it_ends_when_its_socket_is_swept_and_leaves_the_next_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("run");
        let open = || Server::open(&runtime, Path::new("/t.db"), &tube("mail")).unwrap();
        let (calls, _called) = tokio::sync::mpsc::channel(1);
        let mut first = open();
        let socket = first.socket().to_owned();
        let run = tokio::spawn(async move { first.run(&calls, Duration::from_millis(20)).await });
        std::fs::remove_dir_all(&runtime).unwrap();
        let second = open();
        assert_eq!(second.socket(), socket);
        run.await.unwrap();
        assert!(socket.exists());
    });
}

/// As many as may ask hang on and say nothing; those who ask get their answers all the same.
#[tokio::test]
async fn who_is_silent_makes_room_for_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let socket = echo(&folder.path().join("taskqueue"));
    let silent: Vec<UnixStream> = (0..100)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let to = socket.clone();
    let ask = move || {
        let mut client = Client::connect(&to, Duration::from_secs(3))?;
        client.ask(&Request::Status)
    };
    let answer = blocking(ask).await.unwrap();
    drop(silent);
    assert!(matches!(answer, Answer::Refused(refusal) if refusal.reason == "Status"));
}

/// Whoever waits for the end of a tender takes no place of those who ask.
#[tokio::test]
async fn many_may_wait_for_the_end_and_more_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::open(
        &folder.path().join("taskqueue"),
        Path::new("/t.db"),
        &tube("mail"),
    )
    .unwrap();
    let socket = server.socket().to_owned();
    let (calls, mut called) = mpsc::channel(4);
    tokio::spawn(async move { server.run(&calls, Duration::from_millis(20)).await });
    tokio::spawn(async move {
        while let Some(Call { answer, .. }) = called.recv().await {
            drop(answer.send(Answer::Stopping { within_ms: 1 }));
        }
    });
    let (answers, clients) = blocking(move || {
        let mut clients = Vec::new();
        let mut ask = || {
            let mut client = Client::connect(&socket, Duration::from_secs(3)).unwrap();
            let answer = client.ask(&Request::Stop { now: true }).unwrap();
            clients.push(client);
            answer
        };
        let answers: Vec<Answer> = (0..257).map(|_| ask()).collect();
        (answers, clients)
    })
    .await;
    drop(clients);
    let (last, most) = answers.split_last().unwrap();
    assert!(
        most.iter()
            .all(|answer| matches!(answer, Answer::Stopping { .. }))
    );
    let said =
        matches!(last, Answer::Refused(refusal) if refusal.reason.contains("256 others wait"));
    assert!(said, "{last:?}");
}

/// A deadline is that of the whole answer, and of the way in.
#[test]
fn nobody_is_waited_for_longer_than_the_patience() {
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(300);
    let dripping = folder.path().join("dripping");
    let listener = std::os::unix::net::UnixListener::bind(&dripping).unwrap();
    let drips = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let begun = std::time::Instant::now();
    let mut client = Client::connect(&dripping, patience).unwrap();
    let error = client.ask(&Request::Status).unwrap_err();
    drop(client);
    drips.join().unwrap();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");

    let full = folder.path().join("full");
    let address = rustix::net::SocketAddrUnix::new(&full).unwrap();
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let first = UnixStream::connect(&full).unwrap();
    let error = Client::connect(&full, patience).unwrap_err();
    drop(first);
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_folder_that_others_may_replace_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().join("anybodys");
    let runtime = parent.join("deep").join("taskqueue");
    place::prepare(&runtime).unwrap();
    let mode = |mode| std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(mode));
    mode(0o777).unwrap();
    let error = place::prepare(&runtime).unwrap_err().to_string();
    assert!(error.contains("anybody may write to"), "{error}");
    // As /tmp is.
    mode(0o1777).unwrap();
    place::prepare(&runtime).unwrap();
    if rustix::process::geteuid().is_root() {
        mode(0o755).unwrap();
        std::os::unix::fs::chown(&parent, Some(4711), None).unwrap();
        let error = place::prepare(&runtime).unwrap_err().to_string();
        assert!(error.contains("belongs to user 4711"), "{error}");
    }
}
