//! A tube that others watch beside this store's workers: what nothing is configured for here may well be theirs.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{jobs, lines, number, stats};
use rustix::process::Signal;

use crate::support::{Beanstalkd, Taskqueue, until};

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

/// Puts bodies into the tube `t`, as any client does.
fn put(server: &Beanstalkd, bodies: &[&str]) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut said = "use t\r\n".to_owned();
    for body in bodies {
        said += &format!("put 5 0 60 {}\r\n{body}\r\n", body.len());
    }
    stream.write_all((said + "quit\r\n").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(
        answers.matches("INSERTED").count(),
        bodies.len(),
        "{answers}"
    );
}

/// A client that watches the tube, and takes nothing.
fn watcher(server: &Beanstalkd) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.write_all(b"watch t\r\n").unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    stream
}

/// Of bodies of all forms: the one store has a command for them, the other has none.
#[test]
fn what_only_another_store_has_a_command_for_is_left_to_its_workers() {
    const KINDS: usize = 2;
    let server = Beanstalkd::start();
    let (there, here) = (Taskqueue::with(&server), Taskqueue::with(&server));
    let ran = there.path("ran").display().to_string();
    let run = format!("run = [\"/bin/sh\", \"-c\", \"cat >/dev/null; echo 1 >> {ran}\"]");
    there.configure(&format!(
        "[commands.a]\n{run}\n[commands.raw]\n{run}\n[tubes.t]\ncommand = \"raw\"\n"
    ));
    here.configure("[commands.b]\nrun = [\"/bin/true\"]\n");
    let b = here.start(&WORKER);
    until("it waits", || stats(&server, "t").waiting == 1);
    let other = watcher(&server);
    let bodies: [&str; KINDS] = [r#"{"taskqueue":1,"command":"a"}"#, "anything"];
    put(&server, &bodies);
    until("all are left", || {
        let stats = stats(&server, "t");
        stats.delayed == KINDS as u64 && stats.waiting == 1
    });
    assert_eq!(number(&here, "SELECT count(*) FROM tasks"), 0);
    drop(other);
    let a = there.start(&WORKER);
    until("the other store's worker waits", || {
        stats(&server, "t").waiting == 2 || jobs(&server, "t") < KINDS as u64
    });
    put(&server, &bodies.repeat(5));
    until("all ran", || {
        std::fs::exists(&ran).unwrap() && lines(&there.path("ran")).len() == 6 * KINDS
    });
    until("none is left", || jobs(&server, "t") == 0);
    assert_eq!(number(&here, "SELECT count(*) FROM tasks"), 0);
    // Where nobody else can have come for it, whoever put it is told.
    a.signal(Signal::TERM);
    a.wait();
    let only = "SELECT count(*) FROM tasks WHERE status = 'failed'";
    put(&server, &[r#"{"taskqueue":1,"command":"nobodys"}"#]);
    until("refused", || number(&here, only) == 1);
    assert_eq!(stats(&server, "t").buried, 1);
    b.signal(Signal::TERM);
    b.wait();
}
