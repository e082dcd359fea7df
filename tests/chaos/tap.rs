//! The reader at the other end of a log: one that can sleep, or be gone.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::fcntl_setpipe_size;

/// Between two looks at what it is to do.
const LOOK: Duration = Duration::from_millis(20);

/// Whatever is written into so small a pipe soon fills it.
const ROOM: usize = 4096;

const READS: u8 = 0;
const SLEEPS: u8 = 1;
const GONE: u8 = 2;

/// A pipe from a process to its log.
#[derive(Debug, Clone)]
pub struct Tap(Arc<AtomicU8>);

impl Tap {
    /// The end to write into; what is read from it is appended to the log.
    pub fn open(log: File) -> (Tap, PipeWriter) {
        let (reader, writer) = std::io::pipe().unwrap();
        fcntl_setpipe_size(&writer, ROOM).unwrap();
        let tap = Tap(Arc::default());
        let does = Arc::clone(&tap.0);
        thread::spawn(move || serve(reader, log, &does));
        (tap, writer)
    }

    pub fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READS
    }

    /// Leaves what is written where it is.
    pub fn sleep(&self) {
        self.0.store(SLEEPS, Ordering::Relaxed);
    }

    /// Goes on reading.
    pub fn wake(&self) {
        self.0.store(READS, Ordering::Relaxed);
    }

    /// Closes the pipe for good.
    pub fn close(&self) {
        self.0.store(GONE, Ordering::Relaxed);
    }
}

fn serve(mut reader: PipeReader, mut log: File, does: &AtomicU8) {
    let mut piece = [0; ROOM];
    loop {
        match does.load(Ordering::Relaxed) {
            READS if is_readable(&reader) => match reader.read(&mut piece) {
                // Nobody has the other end any more.
                Ok(0) | Err(_) => return,
                Ok(read) => log.write_all(&piece[..read]).unwrap(),
            },
            READS => {}
            SLEEPS => thread::sleep(LOOK),
            _ => return,
        }
    }
}

/// Waits for a moment.
fn is_readable(reader: &PipeReader) -> bool {
    let mut reader = [PollFd::new(reader, PollFlags::IN)];
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LOOK.subsec_nanos()),
    };
    poll(&mut reader, Some(&wait)).is_ok_and(|ready| ready > 0)
}
