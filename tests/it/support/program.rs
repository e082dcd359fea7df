//! The program itself, with a folder, a store and a configuration of its own.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, geteuid, kill_process, set_parent_process_death_signal};
use serde_json::Value;
use tempfile::TempDir;

use super::{Beanstalkd, PATIENCE};

/// Where nobody listens: only root may, and nobody does.
pub const NOBODY: &str = "beanstalk://127.0.0.1:1";

/// A folder to run the program in. Nothing of the environment of whoever runs the tests comes in but
/// `PATH`, and the configuration of the machine is hidden by one in the folder.
pub struct Taskqueue {
    dir: TempDir,
    broker: String,
    store: RefCell<PathBuf>,
}

/// What `put` says where nobody works on a tube.
pub const UNSERVED: &str = "taskqueue: warning: nobody works on the tube ";

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    /// 0, 1 or 2; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What it printed, if it said nothing else and exited with 0.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (Some(0), ""),
            "{}",
            self.stdout
        );
        self.stdout
    }

    /// The same where the store need not be there yet, which is told.
    #[track_caller]
    pub fn ok_without_store(mut self) -> String {
        let is_told =
            self.stderr.starts_with("there is no store ") && self.stderr.lines().count() == 1;
        if is_told {
            self.stderr.clear();
        }
        self.ok()
    }

    /// The same without the word that nobody works on the tube, which nearly every test would have to expect.
    fn without_unserved(mut self) -> Self {
        let is_it = |line: &&str| !line.starts_with(UNSERVED);
        let kept = self.stderr.split_inclusive('\n').filter(is_it);
        self.stderr = kept.collect();
        self
    }

    /// What it complained of, if it exited with this code.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }

    /// The JSON that it printed.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// A tender of the tube `t` with one worker.
pub const TEND_ONE: [&str; 7] = [
    "tender",
    "--use-tube",
    "t",
    "--min-workers",
    "1",
    "--max-workers",
    "1",
];

impl Taskqueue {
    /// For a server that runs.
    pub fn with(server: &Beanstalkd) -> Self {
        Self::at(&server.url())
    }

    /// With the queue in its own store.
    pub fn embedded() -> Self {
        Self::at("embedded")
    }

    /// Without a broker.
    pub fn alone() -> Self {
        Self::at(NOBODY)
    }

    fn at(broker: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let this = Self {
            store: dir.path().join("t.db").into(),
            dir,
            broker: broker.into(),
        };
        this.configure("");
        this
    }

    /// The broker, as the command line takes it.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// Writes its configuration.
    pub fn configure(&self, text: &str) {
        fs::write(self.path("taskqueue.toml"), text).unwrap();
    }

    /// Makes a file in its folder that may be executed, and can never be: it is no program, and names no interpreter.
    pub fn no_program(&self, name: &str) {
        fs::write(self.path(name), "echo\n").unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o700)).unwrap();
    }

    /// A file or folder in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its store. Not there before the program has made it.
    pub fn store(&self) -> PathBuf {
        self.store.borrow().clone()
    }

    /// Keeps its store in another place from now on.
    pub fn keep_store_at(&self, path: PathBuf) {
        *self.store.borrow_mut() = path;
    }

    /// Another connection to its store.
    pub fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.store()).unwrap()
    }

    /// The program with these arguments, about to run; nothing to read.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare(args);
        command
            .env("TASKQUEUE_BROKER", &self.broker)
            .env("TASKQUEUE_STORE", self.store());
        command
    }

    /// The same with nothing said of broker and store.
    pub fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taskqueue"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // In somebody else's folder a configuration is not read unless it is named.
        let is_ours = |found: fs::Metadata| found.uid() == geteuid().as_raw();
        if !fs::metadata(self.dir.path()).is_ok_and(is_ours) {
            command.env("TASKQUEUE_CONFIG", self.path("taskqueue.toml"));
        }
        command
    }

    /// The same as another user, who may run a copy of it in the folder. Only root can have that.
    pub fn command_as(&self, user: u32, args: &[&str]) -> Command {
        let program = self.path("tq");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_taskqueue"), &program).unwrap();
            fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            fs::set_permissions(self.dir.path(), Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.path()).env_clear();
        for (name, value) in self.command(args).get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        command.uid(user).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Running::start(self.command(args)).wait()
    }

    /// Runs it to its end with something to read.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command);
        let mut stdin = running.child.stdin.take().unwrap();
        let input = input.to_vec();
        // It may end without reading.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ran = running.wait();
        writing.join().unwrap();
        ran
    }

    /// Starts it; it is killed when dropped.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// What `show --json` says of a task.
    #[track_caller]
    pub fn show(&self, id: &str) -> Value {
        self.run(&["show", id, "--json"]).json()
    }

    /// Has a worker run so many jobs of a tube.
    #[track_caller]
    pub fn work(&self, tube: &str, jobs: usize) {
        let jobs = jobs.to_string();
        let ran = self.run(&["worker", "--use-tube", tube, "--max-jobs", &jobs]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

/// The program while it runs. What it prints is read all the time, so that it never waits for us.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a command and reads all that it prints. It dies with the thread that started it.
    pub fn start(command: Command) -> Self {
        let mut this = Self::start_unread(command);
        this.stdout = this.child.stdout.take().map(read);
        this.stderr = this.child.stderr.take().map(read);
        this
    }

    /// Starts a worker whose tender is the caller: that end of their link.
    pub fn start_tended(mut command: Command) -> (Self, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let number = theirs.as_raw_fd();
        command.env("TASKQUEUE_TENDER_FD", number.to_string());
        // SAFETY: between fork and exec nothing but one system call is made, on a descriptor that is open.
        unsafe {
            command.pre_exec(move || {
                let theirs = BorrowedFd::borrow_raw(number);
                Ok(fcntl_setfd(theirs, FdFlags::empty())?)
            });
        }
        let worker = Self::start(command);
        // The worker's death is the end of the file.
        drop(theirs);
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        (worker, ours)
    }

    /// Starts a command whose output the caller reads.
    pub fn start_unread(mut command: Command) -> Self {
        // SAFETY: between fork and exec nothing but one system call is made.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        Self {
            child: command.spawn().unwrap(),
            stdout: None,
            stderr: None,
        }
    }

    /// What it prints, for the caller to read.
    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// What it complains of, for the caller to read.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Ran {
        self.whole().without_unserved()
    }

    /// Waits for its end, and keeps every line of what it said.
    #[track_caller]
    pub fn whole(mut self) -> Ran {
        let code = self.ended().code();
        let said =
            |of: Option<JoinHandle<String>>| of.map_or_else(String::new, |t| t.join().unwrap());
        Ran {
            code,
            stdout: said(self.stdout.take()),
            stderr: without_new_store(said(self.stderr.take())),
        }
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if begun.elapsed() > PATIENCE * 2 {
                let _ = self.child.kill();
                let said = self.stderr.take().map(|t| t.join().unwrap());
                panic!("did not end; it said: {said:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever is first to put into a store says that it was not there, which no other test is about.
fn without_new_store(said: String) -> String {
    let is_that = |line: &str| line.starts_with("taskqueue: made a new store, ");
    let rest = said.split_inclusive('\n').filter(|line| !is_that(line));
    rest.collect()
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = from.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    })
}
