//! temporary
use std::io;
use tokio::sync::mpsc;
/// Asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// First.
    Drain,
    /// Second.
    Stop,
}
/// Signals.
#[derive(Debug)]
pub struct Signals {
    rx: mpsc::UnboundedReceiver<Request>,
}
impl Signals {
    /// Listen.
    pub fn listen() -> io::Result<Signals> {
        let (tx, rx) = mpsc::unbounded_channel();
        let mut signals = signal_hook::iterator::Signals::new([2, 15])?;
        std::thread::spawn(move || {
            let mut n = 0;
            for _ in signals.forever() {
                n += 1;
                let _ = tx.send(if n > 1 { Request::Stop } else { Request::Drain });
            }
        });
        Ok(Signals { rx })
    }
    /// Next.
    pub async fn next(&mut self) -> Request {
        match self.rx.recv().await {
            Some(r) => r,
            None => std::future::pending().await,
        }
    }
}
