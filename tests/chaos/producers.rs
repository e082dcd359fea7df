//! Those who put tasks, and remember which were acknowledged; who calls some off is among them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use beanstalkc::Beanstalkc;
use serde_json::json;
use uuid::Uuid;

use super::beside::After;
use super::called_off::Cancels;
use super::canceller;
use super::configuration::SCHEDULE;
use super::judge::{Acknowledged, Put};
use super::random::Random;
use super::task::{Key, Kind};
use super::world::{CALLS, RAW, SPARE, World};

/// What producers and the rest of the run share.
pub struct Shared {
    pub world: World,
    /// Every task that was ever put, from before it was.
    pub puts: Mutex<BTreeMap<Key, Put>>,
    /// Every task that was to be cancelled, from before it was.
    pub cancels: Mutex<Cancels>,
    /// Every task that was put after others.
    pub after: Mutex<After>,
    /// Tasks that have not ended, as last looked at; producers wait while there are many.
    pub open: AtomicU64,
    pub stop: AtomicBool,
    numbers: AtomicU64,
}

/// No more is put while so many tasks wait or run: what goes wrong is to meet tasks that are worked at.
const ENOUGH: u64 = 40;

/// How long a put rests, in milliseconds.
const REST: (u64, u64) = (50, 500);

impl Shared {
    pub fn new(world: World) -> Shared {
        Shared {
            world,
            puts: Mutex::default(),
            cancels: Mutex::default(),
            after: Mutex::default(),
            open: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
        }
    }

    /// A new task's key, noted before anybody can have heard of it.
    fn key(&self, kind: Kind) -> Key {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let key = Key { number, kind };
        let put = Put {
            acknowledged: Acknowledged::No,
            forgotten: false,
        };
        self.puts.lock().unwrap().insert(key.clone(), put);
        key
    }

    fn acknowledge(&self, key: &Key, by: Acknowledged) {
        if let Some(put) = self.puts.lock().unwrap().get_mut(key) {
            put.acknowledged = by;
        }
    }

    /// The broker is about to forget, or has just forgotten: what is not in the store may be gone.
    pub fn forget(&self, but: &std::collections::BTreeSet<Key>) {
        for (key, put) in self.puts.lock().unwrap().iter_mut() {
            put.forgotten |= !but.contains(key);
        }
    }

    /// Waits for the time to put the next; false when it is over.
    fn next(&self, random: &mut Random) -> bool {
        sleep(random.millis(REST.0, REST.1));
        while self.open.load(Ordering::Relaxed) > ENOUGH && !self.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20));
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Starts all of them; those that need a server only where there is one, on this port.
pub fn start(
    shared: &Arc<Shared>,
    server: Option<u16>,
    random: &mut Random,
) -> Vec<JoinHandle<()>> {
    let mut all = vec![
        spawn(shared, random, put_one),
        spawn(shared, random, put_batch),
        spawn(shared, random, put_raw),
        spawn(shared, random, put_family),
    ];
    if let Some(port) = server {
        all.push(spawn(shared, random, move |shared, random| {
            put_foreign(shared, random, port);
        }));
    }
    all.push(spawn(shared, random, canceller::call_off));
    all
}

/// The schedule makes no more from then on.
pub fn stop_schedule(shared: &Shared) {
    let mut pause = shared.world.taskqueue(&["schedule", "pause", SCHEDULE]);
    let pause = pause.stdout(Stdio::null()).stderr(shared.world.log("put"));
    assert!(pause.status().unwrap().success(), "it cannot be paused");
}

fn spawn(
    shared: &Arc<Shared>,
    random: &mut Random,
    put: impl Fn(&Shared, &mut Random) + Send + 'static,
) -> JoinHandle<()> {
    let (shared, mut random) = (Arc::clone(shared), random.split());
    thread::spawn(move || put(&shared, &mut random))
}

/// By weight, but for those that a command cannot be put for.
fn kind(random: &mut Random) -> Kind {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Refused);
    let weighed: Vec<Kind> = kinds.flat_map(|kind| vec![kind; kind.weight()]).collect();
    random.pick(&weighed).copied().unwrap_or(Kind::Quick)
}

/// A raw body may ask for what ends well; all raw bodies have one command.
fn raw_kind(random: &mut Random) -> Kind {
    let kinds = [
        Kind::Quick,
        Kind::Quick,
        Kind::Slow,
        Kind::Flaky,
        Kind::Leaving,
    ];
    random.pick(&kinds).copied().unwrap_or(Kind::Quick)
}

fn raw_tube(random: &mut Random) -> &'static str {
    if random.percent(30) { SPARE } else { RAW }
}

/// Key, and bytes that are no text.
fn raw_body(key: &Key, random: &mut Random) -> Vec<u8> {
    let mut body = format!("{key}\n").into_bytes();
    let noise = random.below(2000);
    body.extend((0..noise).map(|_| (random.next() & 0xff) as u8));
    body
}

fn native(key: &Key, uuid: Option<Uuid>) -> Vec<u8> {
    let mut body = json!({
        "taskqueue": 1,
        "command": key.kind.command(),
        "arguments": [key.to_string()],
    });
    if let Some(uuid) = uuid {
        body["uuid"] = uuid.to_string().into();
    }
    body.to_string().into_bytes()
}

fn put_one(shared: &Shared, random: &mut Random) {
    while shared.next(random) {
        let key = shared.key(kind(random));
        let (text, command) = (key.to_string(), key.kind.command());
        let ttr = (1 + random.below(5)).to_string();
        let delay = random.below(3).to_string();
        let mut arguments = vec!["put", "--use-tube", CALLS, "--ttr", &ttr];
        if random.percent(20) {
            arguments.extend(["--delay", &delay]);
        }
        arguments.extend([command.as_str(), &text]);
        put(shared, &arguments, b"", &[key]);
    }
}

fn put_batch(shared: &Shared, random: &mut Random) {
    while shared.next(random) {
        sleep(random.millis(500, 3000));
        let count = 2 + random.below(20);
        let keys: Vec<Key> = (0..count).map(|_| shared.key(kind(random))).collect();
        let mut lines = Vec::new();
        for key in &keys {
            lines.extend(native(key, random.percent(30).then(Uuid::now_v7)));
            lines.push(b'\n');
        }
        let ttr = (1 + random.below(5)).to_string();
        let arguments = ["put", "--use-tube", CALLS, "--ttr", &ttr, "--batch", "-"];
        put(shared, &arguments, &lines, &keys);
    }
}

/// One or two tasks, and one that waits for them.
fn put_family(shared: &Shared, random: &mut Random) {
    while shared.next(random) {
        sleep(random.millis(300, 1500));
        let mut parents = Vec::new();
        for _ in 0..=random.below(2) {
            let key = shared.key(kind(random));
            let (text, command) = (key.to_string(), key.kind.command());
            let arguments = ["put", "--use-tube", CALLS, &command, &text];
            parents.extend(put(shared, &arguments, b"", &[key]));
        }
        if parents.is_empty() {
            continue;
        }
        let key = shared.key(kind(random));
        // Before anybody can have heard of it.
        let mut after = shared.after.lock().unwrap();
        after.insert(key.clone(), parents.clone());
        drop(after);
        let (text, command) = (key.to_string(), key.kind.command());
        let parents: Vec<String> = parents.iter().map(i64::to_string).collect();
        let parents = parents.join(",");
        let arguments = [
            "put",
            "--use-tube",
            CALLS,
            "--after",
            &parents,
            &command,
            &text,
        ];
        put(shared, &arguments, b"", &[key]);
    }
}

fn put_raw(shared: &Shared, random: &mut Random) {
    while shared.next(random) {
        let key = shared.key(raw_kind(random));
        let body = raw_body(&key, random);
        let arguments = ["put", "--use-tube", raw_tube(random), "--stdin"];
        put(shared, &arguments, &body, &[key]);
    }
}

/// Runs our own `put`; the ids that it prints whole. Each is a promise, whatever becomes of it afterwards.
fn put(shared: &Shared, arguments: &[&str], input: &[u8], keys: &[Key]) -> Vec<i64> {
    let mut command = shared.world.taskqueue(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(shared.world.log("put"));
    let mut child = command.spawn().unwrap();
    // It may have been killed.
    let _ = child.stdin.take().unwrap().write_all(input);
    let printed = BufReader::new(child.stdout.take().unwrap());
    // A line without its end was cut short by a kill; it is a promise all the same, but of an unknown id.
    let lines = printed.lines().map_while(Result::ok);
    let mut ids = Vec::new();
    for (key, id) in keys.iter().zip(lines) {
        shared.acknowledge(key, Acknowledged::ByUs);
        ids.push(id);
    }
    let is_whole = child.wait().unwrap().success();
    let ids = ids.iter().filter(|_| is_whole);
    ids.map(|id| id.parse().unwrap()).collect()
}

/// Puts what any beanstalkd client could, on a connection that is opened again when it breaks.
fn put_foreign(shared: &Shared, random: &mut Random, port: u16) {
    let mut connection = None;
    while shared.next(random) {
        let connected = match connection.take() {
            Some(connected) => connected,
            None => match connect(port) {
                Some(connected) => connected,
                None => {
                    sleep(Duration::from_millis(100));
                    continue;
                }
            },
        };
        connection = put_one_foreign(shared, random, connected);
    }
}

fn connect(port: u16) -> Option<Beanstalkc> {
    Beanstalkc::new()
        .host("127.0.0.1")
        .port(port)
        .connect()
        .ok()
}

/// None if the connection broke.
fn put_one_foreign(
    shared: &Shared,
    random: &mut Random,
    mut connection: Beanstalkc,
) -> Option<Beanstalkc> {
    let (tube, key, body, times) = match random.below(10) {
        0..=3 => {
            let key = shared.key(kind(random));
            // The same uuid with the same content is the same task, however often it is put.
            let body = native(&key, Some(Uuid::now_v7()));
            (CALLS, key, body, 1 + random.below(3))
        }
        4..=6 => {
            let key = shared.key(kind(random));
            let body = native(&key, None);
            (CALLS, key, body, 1)
        }
        7 => {
            let key = shared.key(Kind::Refused);
            let body = native(&key, None);
            (CALLS, key, body, 1)
        }
        _ => {
            let key = shared.key(raw_kind(random));
            let body = raw_body(&key, random);
            (raw_tube(random), key, body, 1)
        }
    };
    connection.use_tube(tube).ok()?;
    let ttr = Duration::from_secs(1 + random.below(8));
    for _ in 0..times {
        connection.put(&body, 1024, Duration::ZERO, ttr).ok()?;
        shared.acknowledge(&key, Acknowledged::ByBroker);
    }
    Some(connection)
}
