//! What is printed by what done tasks have left running: read, and thrown away.
//!
//! What a task that is done leaves running may stay, and its output goes on into the pipe that the command had. Without
//! a reader, SIGPIPE would end it at its next line. So the end that is read from is kept here until nobody holds the
//! other end any more.
//!
//! The runtime watches one descriptor, however many pipes there are: an epoll instance with all of them. What prints
//! without end is read as fast as a pause lets it be, and waits for the rest of the time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::limit;
use crate::fd;

/// As many pipes are kept. Those that came first are let go for those that come later.
pub const MOST: usize = 256;

/// As many descriptors are left for what is worth more, a tender's workers above all.
const ROOM: u64 = 64;

/// Between two reads of what has come.
const PAUSE: Duration = Duration::from_millis(10);

/// As much is read of a pipe before the next pipe's turn: what one holds (pipe(7)).
const TURN: usize = 64 * 1024;

/// As much is read at once.
const READ: usize = 8 * 1024;

/// As many pipes have their turn before the next pause.
const TURNS: usize = 32;

const WITHOUT_WAITING: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Reads what nobody wants to know. Costs nothing before the first pipe.
#[derive(Debug, Default)]
pub struct Sink {
    /// Made for the first pipe.
    epoll: Option<AsyncFd<OwnedFd>>,
    /// By numbers that grow: the first is the one that came first.
    pipes: BTreeMap<u64, OwnedFd>,
    latest: u64,
    not_before: Option<Instant>,
    /// A pipe was let go, which was said.
    said: bool,
}

impl Sink {
    /// Keeps the end of a pipe that is read from. Its reads do not wait from then on.
    pub fn keep(&mut self, pipe: OwnedFd) {
        let is_full = self.pipes.len() >= MOST;
        let has_no_room = limit::left(&pipe).is_some_and(|(_, left)| left < ROOM);
        if is_full || has_no_room {
            self.let_go_of_the_first();
        }
        self.latest = self.latest.saturating_add(1);
        let watched = self.watch(&pipe, self.latest);
        match watched {
            Ok(()) => drop(self.pipes.insert(self.latest, pipe)),
            Err(error) => tracing::warn!(
                %error,
                "cannot read on what something prints that a task has left running; that may end it"
            ),
        }
    }

    fn watch(&mut self, pipe: &OwnedFd, number: u64) -> io::Result<()> {
        rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        let epoll = match &mut self.epoll {
            Some(epoll) => epoll,
            none @ None => {
                let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                none.insert(fd::watched(epoll)?)
            }
        };
        let data = epoll::EventData::new_u64(number);
        Ok(epoll::add(epoll, pipe, data, epoll::EventFlags::IN)?)
    }

    fn let_go_of_the_first(&mut self) {
        if let Some(first) = self.pipes.first_key_value().map(|(number, _)| *number) {
            self.let_go(first);
            if !std::mem::replace(&mut self.said, true) {
                tracing::warn!(
                    kept = self.pipes.len(),
                    "too much of what tasks have left running still prints: the oldest of it is read no more, which \
                     may end it; have it print elsewhere (>/dev/null)"
                );
            }
        }
    }

    fn let_go(&mut self, number: u64) {
        if let (Some(pipe), Some(epoll)) = (self.pipes.remove(&number), &self.epoll) {
            // Somebody else may hold the same pipe open, which would be heard of for ever.
            let _ = epoll::delete(epoll, pipe);
        }
    }

    /// Reads whatever comes. Never ends. May be cancelled: nothing is lost that anybody wants.
    pub async fn run(&mut self) -> Infallible {
        loop {
            let Some(epoll) = &self.epoll else {
                return pending().await;
            };
            if let Some(at) = self.not_before.filter(|at| *at > Instant::now()) {
                sleep_until(at).await;
            }
            let Ok(mut ready) = epoll.readable().await else {
                // The runtime is on its way out.
                return pending().await;
            };
            let printed = printed(epoll.get_ref());
            if printed.is_empty() {
                ready.clear_ready();
                continue;
            }
            for number in printed {
                let over = self.pipes.get(&number).is_some_and(is_over);
                if over {
                    self.let_go(number);
                }
            }
            self.not_before = Some(Instant::now() + PAUSE);
        }
    }

    /// All that is still kept, for somebody else.
    pub fn into_pipes(self) -> impl Iterator<Item = OwnedFd> {
        self.pipes.into_values()
    }
}

/// Into which pipes something was printed, or nobody can print any more.
fn printed(epoll: &OwnedFd) -> Vec<u64> {
    let mut room = [MaybeUninit::uninit(); TURNS];
    // What is wrong comes again.
    match epoll::wait(epoll, &mut room, Some(&WITHOUT_WAITING)) {
        Ok((events, _)) => events.iter().map(|event| event.data.u64()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Reads what there is, for one turn, and says whether nobody can print into the pipe any more.
fn is_over(pipe: &OwnedFd) -> bool {
    let mut room = [MaybeUninit::<u8>::uninit(); READ];
    for _ in 0..TURN / READ {
        match rustix::io::read(pipe, &mut room) {
            Ok(([], _)) => return true,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return false,
            Err(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::{PipeWriter, Write};
    use std::thread;

    use super::*;

    /// Both ends of a pipe that was handed to a sink.
    fn kept(sink: &mut Sink) -> PipeWriter {
        let (reader, writer) = io::pipe().unwrap();
        sink.keep(reader.into());
        writer
    }

    async fn run_until(sink: &mut Sink, is_so: impl Fn(&Sink) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !is_so(sink) {
            assert!(Instant::now() < until, "never was");
            // Cancelled again and again, as a worker's loop does.
            let _ = tokio::time::timeout(Duration::from_millis(1), sink.run()).await;
        }
    }

    #[tokio::test]
    async fn what_is_printed_is_read_however_much_it_is() {
        let mut sink = Sink::default();
        let mut writers: Vec<PipeWriter> = (0..TURNS + 8).map(|_| kept(&mut sink)).collect();
        let printing = thread::spawn(move || {
            for writer in &mut writers {
                // More than a pipe holds: whoever is not read waits for ever.
                writer.write_all(&vec![b'x'; 5 * TURN]).unwrap();
            }
            writers
        });
        run_until(&mut sink, |_| printing.is_finished()).await;
        let writers = printing.join().unwrap();
        assert_eq!(sink.pipes.len(), writers.len());
        drop(writers);
        run_until(&mut sink, |sink| sink.pipes.is_empty()).await;
    }

    #[tokio::test]
    async fn the_first_are_let_go_for_the_last() {
        let mut sink = Sink::default();
        let mut writers: Vec<PipeWriter> = (0..MOST + 3).map(|_| kept(&mut sink)).collect();
        assert_eq!(sink.pipes.len(), MOST);
        assert!(sink.said);
        for (number, writer) in writers.iter_mut().enumerate() {
            assert_eq!(writer.write_all(b"x").is_ok(), number >= 3, "{number}");
        }
        run_until(&mut sink, |sink| sink.not_before.is_some()).await;
        assert_eq!(sink.pipes.len(), MOST);
    }
}
