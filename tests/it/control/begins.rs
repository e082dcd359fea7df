//! A tender that has its tubes, and does not listen yet.

use std::os::unix::net::UnixListener;
use std::thread::sleep;
use std::time::Duration;

use taskqueue::ownership::Ownership;

use crate::support::{Taskqueue, until};

fn own(taskqueue: &Taskqueue) -> Ownership {
    let tube = "t".parse().unwrap();
    Ownership::take(&taskqueue.store(), &[tube]).unwrap()
}

#[test]
fn who_asks_it_waits_until_it_listens() {
    let taskqueue = Taskqueue::embedded();
    let mut begins = own(&taskqueue);
    let asks = taskqueue.start(&["scale", "t", "--max", "2"]);
    sleep(Duration::from_millis(200));
    let socket = taskqueue.path("its.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    begins.announce(Some(&socket)).unwrap();
    // It is asked, and gives no answer.
    listener.set_nonblocking(true).unwrap();
    until("it is asked", || listener.accept().is_ok());
    drop(listener);
    asks.wait().failed(1);
}

#[test]
fn one_that_never_does_is_not_waited_for_for_long() {
    let taskqueue = Taskqueue::embedded();
    let _begins = own(&taskqueue);
    let said = taskqueue.run(&["scale", "t", "--max", "2"]).failed(1);
    assert!(said.contains("does not listen"), "{said}");
}
