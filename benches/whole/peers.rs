//! Others that run commands: as many of the same, by as many workers, as far as they are installed here.
//!
//! Jobs wait before anybody runs them, as in our drain, except where handing one over is running it. A peer begins to
//! count when a tenth has ended: by then it has started.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::TRUE;
use super::figures::Samples;
use super::floor::rate_of_four;
use super::world::{Size, bare};

/// One that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// What those in Python need.
const FILES: &[(&str, &str)] = &[
    ("work.py", include_str!("../peers/work.py")),
    ("rq_tasks.py", include_str!("../peers/rq_tasks.py")),
    ("celery_tasks.py", include_str!("../peers/celery_tasks.py")),
    ("huey_tasks.py", include_str!("../peers/huey_tasks.py")),
];

struct Peer {
    name: &'static str,
    /// Without any of these programs it is left out.
    needs: &'static [&'static str],
    /// Runs so many commands; how many a second. None: what is installed does not work.
    run: fn(&Place, usize) -> Option<f64>,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "xargs",
        needs: &["xargs"],
        run: xargs,
    },
    Peer {
        name: "task-spooler",
        needs: &["tsp"],
        run: task_spooler,
    },
    Peer {
        name: "gearman",
        needs: &["gearmand", "gearman"],
        run: gearman,
    },
    Peer {
        name: "rq",
        needs: &["redis-server", "rq", "python3"],
        run: |place, count| {
            python(
                place,
                count,
                "rq_tasks",
                4,
                &["rq", "worker", "--url", "{redis}"],
            )
        },
    },
    Peer {
        name: "celery",
        needs: &["redis-server", "celery", "python3"],
        run: |place, count| {
            let worker = [
                "celery",
                "-A",
                "celery_tasks",
                "worker",
                "--concurrency",
                "4",
            ];
            python(place, count, "celery_tasks", 1, &worker)
        },
    },
    Peer {
        name: "huey",
        needs: &["redis-server", "huey_consumer", "python3"],
        run: |place, count| {
            let worker = [
                "huey_consumer",
                "huey_tasks.huey",
                "-w",
                "4",
                "-k",
                "process",
                "-d",
                "0.01",
                "-m",
                "0.1",
            ];
            python(place, count, "huey_tasks", 1, &worker)
        },
    },
];

pub fn measure(size: &Size, samples: &mut Samples) {
    // Beside them, for it takes a while until the round's own comes again.
    samples.add("peers.floor", rate_of_four(size.few));
    for peer in PEERS {
        if let Some(missing) = peer.needs.iter().find(|program| find(program).is_none()) {
            eprintln!("bench: {} was left out: no {missing} in PATH", peer.name);
            continue;
        }
        match (peer.run)(&Place::new(), size.few) {
            Some(rate) => samples.add(&format!("peers.{}", peer.name), rate),
            None => eprintln!("bench: {} was left out: it takes no jobs", peer.name),
        }
    }
}

fn xargs(place: &Place, count: usize) -> Option<f64> {
    let mut command = place.command("xargs", &["-P", "4", "-n", "1", TRUE]);
    let mut xargs = command.stdin(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let words = "word\n".repeat(count);
    xargs
        .stdin
        .take()
        .unwrap()
        .write_all(words.as_bytes())
        .unwrap();
    assert!(xargs.wait().unwrap().success());
    Some(count as f64 / begun.elapsed().as_secs_f64())
}

/// Its server is started by whoever is first, and each job is handed over by a process.
fn task_spooler(place: &Place, count: usize) -> Option<f64> {
    let tsp = |arguments: &[&str]| {
        let mut command = place.command("tsp", arguments);
        command.env("TS_SOCKET", place.folder.path().join("socket"));
        command.env("TS_MAXFINISHED", "10");
        command
    };
    assert!(tsp(&["-S", "4"]).status().unwrap().success());
    let begun = Instant::now();
    for _ in 0..count {
        assert!(tsp(&["-n", TRUE]).status().unwrap().success());
    }
    wait_until(|| {
        let listed = tsp(&[]).stdout(Stdio::piped()).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        !listed.contains("queued") && !listed.contains("running")
    });
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    assert!(tsp(&["-K"]).status().unwrap().success());
    Some(rate)
}

fn gearman(place: &Place, count: usize) -> Option<f64> {
    let port = place.port.to_string();
    let log = place.folder.path().join("log");
    let log = log.to_str().unwrap();
    // As nobody else's: it refuses to be root's without a user.
    let _server = place.start(
        "gearmand",
        &["-p", &port, "-L", "127.0.0.1", "-l", log, "-u", "root"],
    );
    let mut admin = place.connect();
    let mut put = place.command(
        "gearman",
        &["-p", &port, "-h", "127.0.0.1", "-f", "run", "-b", "-n"],
    );
    let mut put = put.stdin(Stdio::piped()).spawn().unwrap();
    let words = "word\n".repeat(count);
    put.stdin
        .take()
        .unwrap()
        .write_all(words.as_bytes())
        .unwrap();
    assert!(put.wait().unwrap().success());
    let mut left = move || {
        admin.get_mut().write_all(b"status\n").unwrap();
        let mut left = 0;
        loop {
            let mut line = String::new();
            admin.read_line(&mut line).unwrap();
            match line.trim_end() {
                "." => return left,
                line => left += line.split('\t').nth(1).unwrap().parse::<usize>().unwrap(),
            }
        }
    };
    assert_eq!(left(), count);
    let worker = [
        "-p",
        &port,
        "-h",
        "127.0.0.1",
        "-w",
        "-f",
        "run",
        "--",
        TRUE,
    ];
    let _workers: Vec<Running> = (0..4).map(|_| place.start("gearman", &worker)).collect();
    Some(most_of(count, || count - left()))
}

/// So many workers that take their jobs from redis.
fn python(
    place: &Place,
    count: usize,
    module: &str,
    workers: usize,
    worker: &[&str],
) -> Option<f64> {
    for (name, text) in FILES {
        fs::write(place.folder.path().join(name), text).unwrap();
    }
    let port = place.port.to_string();
    let server = ["--port", &port, "--bind", "127.0.0.1", "--save", ""];
    let _server = place.start("redis-server", &server);
    let mut asking = place.connect();
    let put = format!("import {module}; {module}.put({count})");
    let put = place.command("python3", &["-c", &put]).status().unwrap();
    if !put.success() {
        return None;
    }
    let redis = place.redis();
    let worker: Vec<&str> = worker
        .iter()
        .map(|word| if *word == "{redis}" { &redis } else { *word })
        .collect();
    let (program, arguments) = worker.split_first()?;
    let _workers: Vec<Running> = (0..workers)
        .map(|_| place.start(program, arguments))
        .collect();
    Some(most_of(count, move || {
        asking.get_mut().write_all(b"INCRBY ended 0\r\n").unwrap();
        let mut line = String::new();
        asking.read_line(&mut line).unwrap();
        line.trim_start_matches(':').trim_end().parse().unwrap()
    }))
}

/// The rate at which the last nine tenths end.
fn most_of(count: usize, mut ended: impl FnMut() -> usize) -> f64 {
    let mut first = 0;
    wait_until(|| {
        first = ended();
        first >= count / 10
    });
    let begun = Instant::now();
    wait_until(|| ended() >= count);
    (count - first) as f64 / begun.elapsed().as_secs_f64()
}

fn wait_until(mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "a peer does not come to an end");
        sleep(Duration::from_millis(5));
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file())
}

/// A folder and a port of a peer's own.
struct Place {
    folder: TempDir,
    port: u16,
}

impl Place {
    fn new() -> Place {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Place {
            folder: tempfile::tempdir().unwrap(),
            port: listener.local_addr().unwrap().port(),
        }
    }

    fn redis(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = bare(&find(program).unwrap());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("PYTHONPATH", self.folder.path())
            .env("REDIS", self.redis())
            // Celery does not want to be root's.
            .env("C_FORCE_ROOT", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Running {
        Running(self.command(program, arguments).spawn().unwrap())
    }

    /// Waits until somebody listens.
    fn connect(&self) -> BufReader<TcpStream> {
        let mut stream = None;
        wait_until(|| {
            stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
            stream.is_some()
        });
        BufReader::new(stream.unwrap())
    }
}

/// Ended when dropped, in good order if it can be: it may have started others.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let begun = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) {
            if begun.elapsed() > Duration::from_secs(10) {
                let _ = self.0.kill();
            }
            sleep(Duration::from_millis(5));
        }
    }
}
