//! A folder with a store, a broker, a tender and its workers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::processes::{children, is_worker};
use super::server::Server;

/// The one tube.
pub const TUBE: &str = "bench";

/// Something that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much of everything.
pub struct Size {
    pub quick: bool,
    pub rounds: usize,
    /// Jobs of the drain that counts, and of the floor.
    pub jobs: usize,
    /// Jobs of the drains beside it.
    pub few: usize,
    /// Puts of which the latency is measured.
    pub puts: usize,
    /// Tasks put one at a time, and rows inserted so.
    pub singles: usize,
    /// Workers killed, of either kind.
    pub kills: usize,
    /// How long nothing happens.
    pub idle: Duration,
    /// Jobs after which the workers' memory is looked at.
    pub looks: [usize; 2],
    /// Tasks that a store has seen, in ascending order.
    pub histories: [usize; 3],
    /// Tasks that a broker forgets.
    pub forgotten: usize,
}

impl Size {
    pub const FULL: Size = Size {
        quick: false,
        rounds: 5,
        jobs: 10_000,
        few: 3_000,
        puts: 200,
        singles: 1_000,
        kills: 20,
        idle: Duration::from_secs(60),
        looks: [1_000, 100_000],
        histories: [1_000, 100_000, 2_000_000],
        forgotten: 100_000,
    };
    pub const QUICK: Size = Size {
        quick: true,
        rounds: 2,
        jobs: 2_000,
        few: 800,
        puts: 50,
        singles: 300,
        kills: 5,
        idle: Duration::from_secs(10),
        looks: [1_000, 5_000],
        histories: [1_000, 10_000, 100_000],
        forgotten: 10_000,
    };

    /// What the table says, with how much it was.
    pub fn fill_in(&self, words: &str) -> String {
        let with =
            |words: String, (mark, count): (&str, usize)| words.replace(mark, &in_thousands(count));
        let [few, many] = self.looks;
        let [least, some, most] = self.histories;
        [
            ("{few jobs}", few),
            ("{many jobs}", many),
            ("{least}", least),
            ("{some}", some),
            ("{most}", most),
            ("{half}", most / 2),
            ("{forgotten}", self.forgotten),
        ]
        .into_iter()
        .fold(words.to_owned(), with)
    }
}

fn in_thousands(count: usize) -> String {
    match count {
        0..1_000 => count.to_string(),
        _ => format!("{},{:03}", in_thousands(count / 1_000), count % 1_000),
    }
}

/// Hangs, unless it was killed before.
const HANG: &str = r#"[ "$TASKQUEUE_ATTEMPT" -gt 1 ] || exec sleep 600"#;

/// This program, which is also the floor.
pub fn ourselves() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A program with next to nothing in its environment, which all that it starts inherits. What cargo puts there makes
/// the dynamic linker look for every library in places of cargo's.
pub fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// The command that says when it began.
pub fn marker() -> String {
    let built = ourselves()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/mark");
    assert!(
        built.exists(),
        "{} is not built: make bench",
        built.display()
    );
    built.to_str().unwrap().to_owned()
}

/// Everything that one measurement needs, apart from all others. Its processes are gone when it is dropped.
pub struct World {
    folder: TempDir,
    store: PathBuf,
    /// The newest task that was there before.
    before: i64,
    /// None: the embedded broker.
    pub server: Option<Server>,
    tender: Option<Child>,
}

impl World {
    pub fn with_beanstalkd() -> World {
        World::new(Some(Server::start()))
    }

    pub fn embedded() -> World {
        World::new(None)
    }

    fn new(server: Option<Server>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let quoted = |words: &[&str]| serde_json::to_string(words).unwrap();
        let configuration = format!(
            "[commands.true]\nrun = {}\n[commands.false]\nrun = {}\n[commands.print]\nrun = {}\n\
             [commands.mark]\nrun = {}\n[commands.hang]\nrun = {}\n",
            quoted(&[super::TRUE]),
            quoted(&[super::FALSE]),
            quoted(super::floor::drain_print()),
            quoted(&[&marker()]),
            quoted(&["/bin/sh", "-c", HANG]),
        );
        fs::write(folder.path().join("taskqueue.toml"), configuration).unwrap();
        World {
            store: folder.path().join("bench.db"),
            before: 0,
            folder,
            server,
            tender: None,
        }
    }

    /// With a store that has been used before.
    pub fn over(self, store: PathBuf) -> World {
        let mut world = self;
        world.store = store;
        world.pass_over();
        world
    }

    /// Tasks that are there by now are not looked at when the next are checked.
    pub fn pass_over(&mut self) {
        self.before = self.ask("SELECT coalesce(max(id), 0) FROM tasks");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.store.clone()
    }

    pub fn broker(&self) -> String {
        self.server
            .as_ref()
            .map_or("embedded".to_owned(), Server::url)
    }

    /// The program, with its broker, store and configuration in its environment.
    pub fn taskqueue(&self, arguments: &[&str]) -> Command {
        let mut command = bare(env!("CARGO_BIN_EXE_taskqueue").as_ref());
        command
            .args(arguments)
            .env("TASKQUEUE_BROKER", self.broker())
            .env("TASKQUEUE_STORE", self.store())
            .env("TASKQUEUE_CONFIG", self.path("taskqueue.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Puts so many tasks of a command that takes no arguments. Returns how long the program took.
    pub fn put(&self, command: &str, count: usize) -> Duration {
        let lines = format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n").repeat(count);
        let batch = self.path("batch.jsonl");
        fs::write(&batch, lines).unwrap();
        let mut put = self.taskqueue(&["put", "--use-tube", TUBE, "--batch"]);
        let begun = Instant::now();
        assert!(put.arg(batch).status().unwrap().success(), "put failed");
        begun.elapsed()
    }

    /// Starts a tender with a fixed number of workers, and waits until all of them wait for jobs.
    pub fn tend(&mut self, workers: usize) {
        let count = workers.to_string();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut tender = self.taskqueue(&["tender", "--use-tube", TUBE]);
        tender
            .args(["--min-workers", &count, "--max-workers", &count])
            .args(["--max-worker-age", "0", "--max-worker-buffer", "0"])
            .stderr(log);
        self.tender = Some(tender.spawn().unwrap());
        let begun = Instant::now();
        while self.waiting() < workers as u64 {
            assert!(begun.elapsed() < PATIENCE, "no workers: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How many workers wait for jobs.
    pub fn waiting(&self) -> u64 {
        match &self.server {
            Some(server) => server.connect().waiting(TUBE),
            None => self.watching().unwrap_or(0).unsigned_abs(),
        }
    }

    /// Sessions that wait for a job of the embedded broker; none where there is no store yet.
    fn watching(&self) -> Option<i64> {
        let counted = "SELECT count(*) FROM watches";
        self.reading()?
            .query_row(counted, [], |row| row.get(0))
            .ok()
    }

    fn reading(&self) -> Option<Connection> {
        Connection::open_with_flags(self.store(), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
    }

    pub fn tender(&self) -> u32 {
        self.tender.as_ref().unwrap().id()
    }

    pub fn workers(&self) -> Vec<u32> {
        let mut workers = children(self.tender());
        workers.retain(|pid| is_worker(*pid));
        workers
    }

    /// The process that cleans up when all the others are killed.
    pub fn guard(&self) -> u32 {
        let others = children(self.tender());
        let mut others = others.into_iter().filter(|pid| !is_worker(*pid));
        others.next().expect("a tender has a guard")
    }

    /// Sends all workers a signal.
    pub fn signal_workers(&self, signal: Signal) {
        for worker in self.workers() {
            kill_process(pid(worker), signal).unwrap();
        }
    }

    /// Waits until no job is left but what was buried.
    pub fn drain(&self) {
        let begun = Instant::now();
        let mut session = self.server.as_ref().map(Server::connect);
        let store = self.reading().unwrap();
        let left = "SELECT EXISTS (SELECT * FROM jobs WHERE state <> 'buried')";
        let mut are_left = || match &mut session {
            Some(session) => session.jobs_left(TUBE) > 0,
            None => store.query_row(left, [], |row| row.get(0)).unwrap(),
        };
        while are_left() {
            assert!(begun.elapsed() < PATIENCE, "jobs are left: {}", self.log());
            // Not so often that the asking costs anything.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every task is done, by one attempt each whose command was seen to exit with 0.
    pub fn check(&self, count: usize) {
        self.check_each(count, "done", "outcome = 'exited' AND exit_code = 0");
    }

    /// Every task has that status, by one attempt each that ended in such a way.
    pub fn check_each(&self, count: usize, status: &str, ended: &str) {
        let before = self.before;
        let counted = |of: &str| self.ask(&format!("SELECT count(*) FROM {of}"));
        let stand = counted(&format!(
            "tasks WHERE id > {before} AND status = '{status}'"
        ));
        let rows = counted(&format!("tasks WHERE id > {before}"));
        let ran = counted(&format!("attempts WHERE task > {before} AND {ended}"));
        let attempts = counted(&format!("attempts WHERE task > {before}"));
        let count = count as i64;
        let expected = [count; 4];
        assert_eq!([stand, rows, ran, attempts], expected, "{}", self.log());
    }

    /// The sum of what all attempts printed, in bytes.
    pub fn printed(&self) -> i64 {
        self.ask("SELECT coalesce(sum(length(head) + dropped + length(tail)), 0) FROM output")
    }

    /// A number that the store knows.
    pub fn ask(&self, query: &str) -> i64 {
        let store = self.reading().unwrap();
        store.query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }

    /// Ends the tender and its workers, in good order.
    pub fn stop(&mut self) {
        if let Some(mut tender) = self.tender.take() {
            kill_process(Pid::from_child(&tender), Signal::TERM).unwrap();
            assert!(tender.wait().unwrap().success(), "{}", self.log());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.tender.is_none() {
            return;
        }
        let workers = self.workers();
        if let Some(mut tender) = self.tender.take() {
            let _ = tender.kill();
            let _ = tender.wait();
        }
        // They may have been stopped, and would never hear of it.
        for worker in workers {
            let _ = kill_process(pid(worker), Signal::KILL);
        }
    }
}

/// How long a program takes from its start to its end, in milliseconds.
pub fn millis(mut program: Command) -> f64 {
    let begun = Instant::now();
    let status = program.status().unwrap();
    assert!(status.success(), "{program:?} failed");
    begun.elapsed().as_secs_f64() * 1000.0
}

pub fn pid(of: u32) -> Pid {
    Pid::from_raw(of.try_into().unwrap()).unwrap()
}
