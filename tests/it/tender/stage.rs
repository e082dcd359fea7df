//! A tender on a stage: a directory of jobs, foreign workers, a broker that says what it is told to.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use taskqueue::broker::{
    Broker, Capabilities, Delivery, Error, Held, Instance, InstanceId, JobId, JobState, JobStats,
    NewJob, Reservation, Reserve, TubeStats,
};
use taskqueue::lifecycle::{READY_TIMEOUT, Rules, Unready};
use taskqueue::pool::Limits;
use taskqueue::signals::Asked;
use taskqueue::tender::{self, PoolSettings, Protocol, Settings, WorkerCommand};
use taskqueue::tube::TubeName;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

pub struct Stage {
    directory: TempDir,
    ready: Arc<Mutex<Option<u64>>>,
    panics: [Arc<AtomicU32>; 2],
    asked: Sender<Asked>,
    tender: JoinHandle<Result<(), tender::Error>>,
}

/// What differs between the tests.
pub struct Scene {
    pub limits: (u32, u32, u32),
    pub program: &'static str,
    pub mode: &'static str,
    pub rules: Rules,
    pub grace: Duration,
    pub limit: Option<u32>,
}

impl Scene {
    pub fn of(min: u32, spare: u32, max: u32) -> Self {
        Self {
            limits: (min, spare, max),
            program: "python3",
            mode: "work",
            rules: Rules {
                unready: Unready::Killed(READY_TIMEOUT),
                ..Rules::default()
            },
            grace: Duration::from_secs(5),
            limit: None,
        }
    }

    /// To be called within a current-thread runtime.
    pub fn raise(self) -> Stage {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("jobs")).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tender/worker.py");
        let (min, spare, max) = self.limits;
        let command = WorkerCommand {
            program: self.program.into(),
            arguments: vec![
                "-S".into(),
                script.into(),
                directory.path().into(),
                self.mode.into(),
            ],
            protocol: Protocol::Lines,
        };
        let pool = PoolSettings {
            tube: "mail".parse().unwrap(),
            limits: Limits::new(min, spare, max).unwrap(),
            rules: self.rules,
            command,
        };
        let ready = Arc::new(Mutex::new(Some(0)));
        let panics: [Arc<AtomicU32>; 2] = Default::default();
        let told = |panics: &Arc<AtomicU32>| Told {
            ready: Arc::clone(&ready),
            panics: Arc::clone(panics),
        };
        let settings = Settings {
            existing: std::sync::Arc::new(|| Ok(None)),
            pools: vec![pool],
            shared: Vec::new(),
            store: directory.path().join("t.db"),
            grace: self.grace,
            broker: Box::new(told(&panics[0])),
            runtime: Vec::new(),
            guard: None,
            configuration: None,
            reopen: || {},
            began: None,
            listener: Box::new(told(&panics[1])),
            limit: self.limit,
            reconciler: None,
            upkeep: None,
            scheduler: None,
        };
        let (asked, receiver) = mpsc::channel(8);
        Stage {
            directory,
            ready,
            panics,
            asked,
            tender: tokio::spawn(tender::run(settings, receiver)),
        }
    }
}

impl Stage {
    /// What the broker says waits; `None`: it cannot be reached.
    pub fn ready(&self, jobs: Option<u64>) {
        *self.ready.lock().unwrap() = jobs;
    }

    /// Has the next question panic, of whoever asks how many jobs wait, and each reserve of whoever listens.
    pub fn panic(&self) {
        self.panics[0].store(1, Ordering::SeqCst);
        self.panics[1].store(FOR_EVER, Ordering::SeqCst);
    }

    /// Whether whoever asks how many jobs wait has panicked, and whoever listens.
    pub fn panicked(&self) -> [bool; 2] {
        let left = |panics: &Arc<AtomicU32>| panics.load(Ordering::SeqCst);
        [left(&self.panics[0]) == 0, left(&self.panics[1]) < FOR_EVER]
    }

    pub fn ask(&self, asked: Asked) {
        self.asked.try_send(asked).unwrap();
    }

    /// Puts a job that prints so many bytes.
    pub fn put(&self, name: &str, output: u64) {
        let path = self.path("new");
        fs::write(&path, output.to_string()).unwrap();
        fs::rename(path, self.path("jobs").join(name)).unwrap();
    }

    /// From now on jobs last until they are let go.
    pub fn hold(&self) {
        fs::write(self.path("hold"), "").unwrap();
    }

    pub fn let_go(&self) {
        fs::remove_file(self.path("hold")).unwrap();
    }

    /// The directory of the jobs that nobody has taken.
    pub fn jobs(&self) -> std::path::PathBuf {
        self.path("jobs")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// When each worker was started, in seconds.
    pub fn starts(&self) -> Vec<f64> {
        let second = |line: &String| line.split(' ').nth(1).unwrap().parse().unwrap();
        self.lines("started").iter().map(second).collect()
    }

    /// The pids of those that live, oldest first.
    pub fn alive(&self) -> Vec<u32> {
        let started = self.lines("started");
        let pids = started
            .iter()
            .map(|line| line.split(' ').next().unwrap().parse().unwrap());
        pids.filter(|pid| lives(*pid)).collect()
    }

    /// Waits until it is so, and fails with `what` when it isn't within ten seconds.
    pub async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !so(self) {
            let alive = self.alive();
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "not {what}: {alive:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails if it is not so at any moment of the time.
    pub async fn throughout(&self, time: Duration, what: &str, so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while began.elapsed() < time {
            assert!(so(self), "not {what}: {:?}", self.alive());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the tender as its death would, and leaves its workers to themselves.
    pub fn abandon(&self) {
        self.tender.abort();
    }

    /// Waits for the tender's end, with nobody left.
    pub async fn ended(&mut self) {
        let ended = tokio::time::timeout(Duration::from_secs(20), &mut self.tender).await;
        ended.expect("the tender did not end").unwrap().unwrap();
        assert_eq!(self.alive(), [0_u32; 0]);
    }
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// More often than any test goes on.
const FOR_EVER: u32 = 1000;

/// A broker that only tells how many jobs are ready, and panics as often as it is to.
struct Told {
    ready: Arc<Mutex<Option<u64>>>,
    panics: Arc<AtomicU32>,
}

impl Told {
    fn may_panic(&self) {
        let fewer = |left: u32| left.checked_sub(1);
        let is_to = self
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
        assert!(is_to.is_err(), "a broker that panics, on purpose");
    }
}

#[async_trait]
impl Broker for Told {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            deadline_soon: false,
            drain: false,
        }
    }
    async fn stats_tube(&mut self, _: &TubeName) -> Result<Option<TubeStats>, Error> {
        self.may_panic();
        let told = *self.ready.lock().unwrap();
        let ready = told.ok_or_else(|| Error::Unreachable {
            address: "nowhere".to_owned(),
            reason: "told so".to_owned(),
        })?;
        Ok(Some(TubeStats {
            ready,
            reserved: 0,
            delayed: 0,
            buried: 0,
            waiting: 0,
            watching: None,
            pause_left: Duration::ZERO,
        }))
    }
    async fn about(&mut self) -> Result<Instance, Error> {
        Err(Error::NotFound)
    }
    async fn put(&mut self, _: &TubeName, _: &[NewJob]) -> Vec<Result<JobId, Error>> {
        vec![]
    }
    async fn instance(&mut self) -> Result<InstanceId, Error> {
        Err(Error::NotFound)
    }
    async fn deliver(&mut self, _: &TubeName, _: &[NewJob]) -> Delivery {
        Delivery {
            instance: None,
            answers: vec![],
        }
    }
    async fn reserve(&mut self, _: &[TubeName], _: Duration) -> Result<Reserve, Error> {
        self.may_panic();
        Err(Error::NotFound)
    }
    async fn next_jobs(
        &mut self,
        _: &TubeName,
        _: JobState,
        _: usize,
    ) -> Result<Vec<JobId>, Error> {
        Err(Error::NotFound)
    }
    async fn touch(&mut self, _: Held) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn delete(&mut self, _: Reservation) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn release(&mut self, _: Reservation, _: u32, _: Duration) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn bury(&mut self, _: Reservation, _: u32) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn remove(&mut self, _: JobId) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn peek(&mut self, _: JobId) -> Result<Option<Bytes>, Error> {
        Err(Error::NotFound)
    }
    async fn stats_job(&mut self, _: JobId) -> Result<Option<JobStats>, Error> {
        Err(Error::NotFound)
    }
    async fn kick_job(&mut self, _: JobId) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn kick(&mut self, _: &TubeName, _: u32) -> Result<u64, Error> {
        Err(Error::NotFound)
    }
    async fn pause(&mut self, _: &TubeName, _: Duration) -> Result<(), Error> {
        Err(Error::NotFound)
    }
}
