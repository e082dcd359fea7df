//! Stands between the program and its beanstalkd, and cuts connections in the middle of what is said.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::random::Random;

pub struct Proxy {
    port: u16,
    cuts: Arc<Cuts>,
}

/// Cuts that were ordered, and those that were made.
struct Cuts {
    random: Mutex<Random>,
    /// Pieces to pass before the next cut, and so on; the last is the next.
    ordered: Mutex<Vec<u64>>,
    made: AtomicU64,
}

impl Proxy {
    /// Listens, and passes everything on to that port until the program ends.
    pub fn start(to: u16, random: Random) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(Cuts {
            random: Mutex::new(random),
            ordered: Mutex::default(),
            made: AtomicU64::new(0),
        });
        let shared = Arc::clone(&cuts);
        thread::spawn(move || {
            for client in listener.incoming() {
                // Refused by the server, closed here: the client hears of it at once either way.
                let (Ok(client), Ok(server)) =
                    (client, TcpStream::connect((Ipv4Addr::LOCALHOST, to)))
                else {
                    continue;
                };
                pass(&client, &server, &shared);
                pass(&server, &client, &shared);
            }
        });
        Proxy { port, cuts }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// One of the next few pieces that pass, whoever says it, is cut in two, and its connection closed.
    pub fn cut(&self) {
        let after = self.cuts.random.lock().unwrap().below(4);
        self.cuts.ordered.lock().unwrap().push(after);
    }

    /// How many were cut so far.
    pub fn made(&self) -> u64 {
        self.cuts.made.load(Ordering::Relaxed)
    }

    /// None from now on.
    pub fn calm(&self) {
        self.cuts.ordered.lock().unwrap().clear();
    }
}

impl Cuts {
    /// How much of a piece passes, if it is to be cut: not nothing, and not all.
    fn cut(&self, length: usize) -> Option<usize> {
        if length < 2 {
            return None;
        }
        let mut ordered = self.ordered.lock().unwrap();
        let next = ordered.last_mut()?;
        if *next > 0 {
            *next -= 1;
            return None;
        }
        ordered.pop();
        self.made.fetch_add(1, Ordering::Relaxed);
        let part = self.random.lock().unwrap().below(length as u64 - 1);
        Some(1 + usize::try_from(part).unwrap())
    }
}

/// Copies one direction on a thread of its own.
fn pass(from: &TcpStream, to: &TcpStream, cuts: &Arc<Cuts>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let _ = from.set_nodelay(true);
    let _ = to.set_nodelay(true);
    let cuts = Arc::clone(cuts);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let cut = cuts.cut(length);
            if to.write_all(&buffer[..cut.unwrap_or(length)]).is_err() || cut.is_some() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
