//! Services in made-up time.

use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::time::{self, advance};
use tracing::subscriber::set_default;

use super::*;

/// Ends each run as it is told to, and notes when that began.
struct Told {
    ends: Vec<End>,
    begun: Arc<Mutex<Vec<u64>>>,
    since: time::Instant,
    /// Closed with this.
    _alive: mpsc::Sender<()>,
}

#[derive(Clone, Copy)]
enum End {
    Panic,
    Lack,
    Design,
    /// A panic after so many seconds.
    Late(u64),
    Never,
}

impl Service for Told {
    const NAME: &'static str = "told";

    async fn run(&mut self) -> Result<(), String> {
        let at = self.since.elapsed().as_secs();
        self.begun.lock().unwrap().push(at);
        match self.ends.remove(0) {
            End::Panic => panic!("it is {at}"),
            End::Lack => Err("no thread".to_owned()),
            End::Design => Ok(()),
            End::Late(seconds) => {
                sleep(Duration::from_secs(seconds)).await;
                panic!("late");
            }
            End::Never => std::future::pending().await,
        }
    }
}

/// A service, when its runs began, and what is closed with it.
fn told(ends: &[End]) -> (Told, Arc<Mutex<Vec<u64>>>, mpsc::Receiver<()>) {
    let begun = Arc::default();
    let (alive, gone) = mpsc::channel(1);
    let told = Told {
        ends: ends.to_vec(),
        begun: Arc::clone(&begun),
        since: time::Instant::now(),
        _alive: alive,
    };
    (told, begun, gone)
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn log(&self) -> tracing::subscriber::DefaultGuard {
        let lines = self.clone();
        let log = tracing_subscriber::fmt().with_ansi(false);
        set_default(log.with_writer(move || lines.clone()).finish())
    }

    fn count(&self, what: &str) -> usize {
        let text = self.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap().matches(what).count()
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_is_named_and_begun_anew_after_a_pause_that_grows() {
    let lines = Lines::default();
    let _log = lines.log();
    let (service, begun, _) = told(&[[End::Panic; 7].as_slice(), &[End::Design]].concat());
    Services::of(service).finish().await;
    assert_eq!(*begun.lock().unwrap(), [0, 1, 3, 7, 15, 25, 35, 45]);
    assert_eq!(
        lines.count("service=\"told\" reason=\"panicked: it is 0\""),
        1
    );
    assert_eq!(lines.count("will begin it anew"), 7);
}

#[tokio::test(start_paused = true)]
async fn what_it_lacks_is_said_once() {
    let lines = Lines::default();
    let _log = lines.log();
    let (service, begun, _) = told(&[End::Lack, End::Lack, End::Lack, End::Design]);
    Services::of(service).finish().await;
    assert_eq!(begun.lock().unwrap().len(), 4);
    assert_eq!(lines.count("reason=\"no thread\""), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_run_for_a_while_begins_with_the_shortest_pause() {
    let lines = Lines::default();
    let _log = lines.log();
    let (service, begun, _) = told(&[
        End::Late(1),
        End::Late(1),
        End::Late(100),
        End::Late(1),
        End::Design,
    ]);
    Services::of(service).finish().await;
    // 1 + 1, 1 + 2, 100 + 1, 1 + 2.
    assert_eq!(*begun.lock().unwrap(), [0, 2, 5, 106, 109]);
    assert_eq!(lines.count("service runs again"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_returns_is_over() {
    let (service, begun, mut gone) = told(&[End::Design, End::Never]);
    let mut services = Services::of(service);
    services.finish().await;
    assert_eq!(gone.recv().await, None, "what it had is still there");
    advance(Duration::from_secs(100)).await;
    assert_eq!(*begun.lock().unwrap(), [0]);
}

#[tokio::test(start_paused = true)]
async fn one_whose_owner_is_gone_ends_where_it_waits() {
    for ends in [[End::Never], [End::Panic]] {
        let (service, begun, mut gone) = told(&ends);
        let services = Services::of(service);
        while begun.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(services);
        assert_eq!(gone.recv().await, None);
        advance(Duration::from_secs(100)).await;
        assert_eq!(*begun.lock().unwrap(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_keeps_no_other_from_running() {
    let (fails, _, _) = told(&[End::Panic; 9]);
    let (runs, begun, mut gone) = told(&[End::Design]);
    let mut services = Services::of(fails);
    services.start(runs);
    assert_eq!(gone.recv().await, None);
    assert_eq!(*begun.lock().unwrap(), [0]);
}

#[test]
fn a_thread_that_panics_is_begun_anew_with_what_it_had() {
    let (sender, runs): (_, Receiver<u32>) = channel();
    let mut number = 0;
    let begun = on_thread("told", None, move || {
        number += 1;
        sender.send(number).unwrap();
        assert!(number > 1, "on purpose");
    });
    begun.unwrap();
    // The end is that of the sender, which the thread had.
    assert_eq!(runs.iter().collect::<Vec<_>>(), [1, 2]);
}
