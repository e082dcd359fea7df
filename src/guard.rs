//! A process of its own that outlives a tender, or a worker that nobody tends, by a second: what is killed together
//! with all that could clean up after it, the guard cleans up after.
//!
//! The guard blocks in a read of its standard input, a pipe whose other end only its parent holds. The end of that file
//! is the parent's death, however that came. Then the guard sweeps (`reconcile`) at once, and goes on while workers of
//! that parent are left: each holds the other end of the guard's standard output. Before the parent's death a guard has
//! opened nothing and costs nothing.
//!
//! The guard is a witness too: who stops its parent alone sends it nothing, and who stops all processes of a service
//! sends it what all are sent. It lets TERM, INT and QUIT wait, so that its parent sees in `/proc` that they came.
//!
//! The parent-death signal would reach the command alone and not what it has started, and be lost to a command that
//! changes its user.

use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::ledger::Open;
use crate::process::{leftover, program};
use crate::reconcile::{Looks, Sweep};
use crate::service::{Service, Services};
use crate::signals;

/// What it calls itself, as `ps` and `pgrep` see it; never by a word that finds workers.
pub const NAME: &str = "tq-guard";

/// The environment variable that tells it the store.
pub const STORE_VARIABLE: &str = "TASKQUEUE_STORE";

/// A guard that ends sooner is not started again at once.
const SETTLED: Duration = Duration::from_secs(1);

/// Between two looks while workers of a dead parent drain.
const EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 150_000_000,
};

/// What tenders and workers heed, and what they pass over, but for what asks for an end.
const PASSED_OVER: [i32; 5] = [SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU];

/// How long a look waits for what it killed to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a guard needs.
#[derive(Debug, Clone)]
pub struct Post {
    /// This program's file.
    pub program: PathBuf,
    /// The store whose attempts it ends.
    pub store: OsString,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, OsString)>,
}

/// A guard, as its parent has it. When this is dropped, it does what it would do after the parent's death.
#[derive(Debug)]
pub struct Guard {
    workers: PipeWriter,
    dismissed: oneshot::Sender<()>,
    keeping: Services,
    /// Its process; 0 while there is none.
    pid: Arc<AtomicU32>,
}

impl Guard {
    /// Starts one, and another whenever it ends. To be called within a current-thread runtime, on the only
    /// thread that starts processes.
    ///
    /// # Errors
    /// When there are no descriptors left. That it could not be started is logged, and tried again.
    pub fn post(post: Post) -> io::Result<Guard> {
        let (reader, workers) = pipe()?;
        let (dismissed, order) = oneshot::channel();
        let pid = Arc::default();
        let mut keeping = Keeping {
            post,
            workers: reader,
            guard: None,
            dismissed: order,
            pid: Arc::clone(&pid),
            is_said: false,
        };
        keeping.start();
        Ok(Guard {
            workers,
            dismissed,
            keeping: Services::of(keeping),
            pid,
        })
    }

    /// Asks whether it was told to go, as all processes are that are told together. Where that cannot be seen, it was.
    pub fn witness(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let pid = Arc::clone(&self.pid);
        move || {
            let pid = pid.load(Ordering::Relaxed);
            fs::read_to_string(format!("/proc/{pid}/status"))
                .map_or(true, |status| signals::are_ends_pending(&status))
        }
    }

    /// What each worker is to hold as long as it lives, and nobody else.
    pub fn held_by_workers(&self) -> BorrowedFd<'_> {
        self.workers.as_fd()
    }

    /// What tells whether a process is its process, which it waits for itself.
    pub fn is(&self) -> impl Fn(Pid) -> bool + Send + Sync + use<> {
        let known = Arc::clone(&self.pid);
        move |pid| {
            u32::try_from(pid.as_raw_nonzero().get())
                .is_ok_and(|pid| pid == known.load(Ordering::Relaxed))
        }
    }

    /// Ends it: there is nothing to clean up after. One that cannot be ended goes by itself, as after its parent's
    /// death.
    pub async fn dismiss(mut self) {
        let _ = self.dismissed.send(());
        // What keeps it there is in the log.
        let _ = timeout(SETTLED, self.keeping.finish()).await;
    }
}

/// The guard's process, and the end of its standard input that nobody else has.
type GuardProcess = (Child, Option<ChildStdin>);

/// Starts a guard, and another whenever it ends.
struct Keeping {
    post: Post,
    workers: PipeReader,
    guard: Option<GuardProcess>,
    dismissed: oneshot::Receiver<()>,
    pid: Arc<AtomicU32>,
    /// That none could be started is said once.
    is_said: bool,
}

impl Service for Keeping {
    const NAME: &'static str = "guard's keeper";

    async fn run(&mut self) -> Result<(), String> {
        loop {
            let since = Instant::now();
            if let Some((process, _)) = &mut self.guard {
                tokio::select! {
                    ended = process.wait() => {
                        let reason = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
                        tracing::warn!(reason, "guard ended; will start another");
                    }
                    order = &mut self.dismissed => {
                        if order.is_ok() {
                            // It fails when it has just ended by itself.
                            let _ = process.kill().await;
                        }
                        return Ok(());
                    }
                }
                self.guard = None;
                self.pid.store(0, Ordering::Relaxed);
            }
            if since.elapsed() < SETTLED {
                tokio::select! {
                    () = sleep(SETTLED) => {}
                    _ = &mut self.dismissed => return Ok(()),
                }
            }
            self.start();
        }
    }
}

impl Keeping {
    fn start(&mut self) {
        let post = &self.post;
        let spawned = self.workers.try_clone().and_then(|workers| {
            Command::new(program::found(post.program.as_os_str()))
                .arg0(NAME)
                .env(STORE_VARIABLE, &post.store)
                .envs(post.environment.iter().cloned())
                // What is started within a task is not to go as a part of it.
                .env_remove(leftover::STORE_VARIABLE)
                .env_remove(leftover::UUID_VARIABLE)
                .env_remove(leftover::ATTEMPT_VARIABLE)
                .stdin(Stdio::piped())
                .stdout(workers)
                // What is meant for the parent's group is not meant for it.
                .process_group(0)
                .spawn()
        });
        self.guard = match spawned {
            Ok(mut process) => {
                // Taken here: waiting for the process would close it.
                let held = process.stdin.take();
                if std::mem::take(&mut self.is_said) {
                    tracing::info!("started a guard at last");
                }
                self.pid.store(process.id().unwrap_or(0), Ordering::Relaxed);
                Some((process, held))
            }
            Err(error) => {
                let program = post.program.display();
                if !std::mem::replace(&mut self.is_said, true) {
                    tracing::error!(%program, %error, "could not start a guard; will keep trying");
                }
                None
            }
        };
    }
}

/// Stands guard, in a process of its own that does nothing else, until nothing is left to do. `awake` is called
/// when the parent has died.
///
/// # Errors
/// When signals cannot be ignored.
pub fn stand(store: Open, awake: impl FnOnce()) -> io::Result<()> {
    signals::let_ends_wait();
    // All that is meant for its parent and may be sent to a whole service; nobody takes note of it here.
    for signal in PASSED_OVER {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // Without it, it has the name of the program's file. Only people look.
    let _ = fs::write("/proc/self/comm", NAME);
    wait_for_end(io::stdin().lock());
    awake();
    let mut sweep = Sweep::of(store);
    loop {
        sweep.look(PATIENCE);
        if workers_are_gone() {
            break;
        }
    }
    // The last of them may have died since.
    let mut looks = Looks::begin();
    while let Some(pause) = looks.again(sweep.look(PATIENCE)) {
        thread::sleep(pause);
    }
    Ok(())
}

/// Nobody writes; what is read is passed over.
fn wait_for_end(mut input: impl Read) {
    let mut bytes = [0; 16];
    loop {
        match input.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Waits for a moment, or until they are.
fn workers_are_gone() -> bool {
    let held_by_workers = io::stdout();
    let mut descriptors = [PollFd::new(&held_by_workers, PollFlags::empty())];
    match poll(&mut descriptors, Some(&EVERY)) {
        // Nothing but the end was asked for.
        Ok(events) => events > 0,
        Err(rustix::io::Errno::INTR) => false,
        Err(_) => true,
    }
}
