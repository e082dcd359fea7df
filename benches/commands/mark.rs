//! A command of the benchmark: says how long ago it was put.
//!
//! `mark SINCE SOCKET`: nanoseconds of the monotonic clock, and where to send the difference. A program of its own,
//! so that it starts about as fast as /bin/true.

use std::error::Error;
use std::os::unix::net::UnixDatagram;

use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    let began = clock_gettime(ClockId::Monotonic);
    let began = u64::try_from(began.tv_sec)? * 1_000_000_000 + u64::try_from(began.tv_nsec)?;
    let mut arguments = std::env::args().skip(1);
    let since: u64 = arguments.next().ok_or("since when?")?.parse()?;
    let took = began.saturating_sub(since);
    let socket = UnixDatagram::unbound()?;
    socket.send_to(&took.to_ne_bytes(), arguments.next().ok_or("to whom?")?)?;
    Ok(())
}
