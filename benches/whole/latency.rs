//! From a put to the first instruction of what it runs.

use std::ffi::CString;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use taskqueue::{Put, Queue};

use super::figures::{Samples, quantile};
use super::floor::spawn_and_wait;
use super::world::{Size, TUBE, World, marker};

/// How many jobs a measured one has around it, under load.
const AROUND: usize = 10;

/// Half of this drain is half of the load.
const LOAD_OF: &str = "drain.foreign";

pub fn measure(size: &Size, samples: &mut Samples) {
    idle(size, samples);
    if let Some(rate) = samples.of(LOAD_OF) {
        loaded(size, samples, rate.median / 2.0);
    }
}

/// One job at a time: put straight to beanstalkd, put by the library (row first, durably), and the command alone.
fn idle(size: &Size, samples: &mut Samples) {
    let mut world = World::with_beanstalkd();
    world.tend(4);
    let marks = Marks::at(&world);
    let mut session = world.server.as_ref().unwrap().connect();
    session.use_tube(TUBE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = world.store().into();
    let queue = Queue::open(&world.broker().parse().unwrap(), &store).unwrap();
    let tube = TUBE.parse().unwrap();
    let words = |words: [String; 3]| words.map(|word| CString::new(word).unwrap());
    let (mut put, mut library, mut spawn) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.puts {
        settle_down();
        let since = now();
        session.put(&marks.native(since));
        put.push(marks.next());
        settle_down();
        let since = now();
        let task = Put::command("mark")
            .argument(since.to_string())
            .argument(&marks.path);
        assert!(
            runtime
                .block_on(queue.put(&tube, task))
                .unwrap()
                .announced()
        );
        library.push(marks.next());
        settle_down();
        let argv = words([marker(), now().to_string(), marks.path.clone()]);
        spawn_and_wait(&argv);
        spawn.push(marks.next());
    }
    drop(queue);
    world.drain();
    world.stop();
    world.check(2 * size.puts);
    add(samples, "latency.put", put);
    add(samples, "latency.library", library);
    add(samples, "latency.spawn", spawn);
}

/// Jobs come at a steady rate; one in so many is looked at.
fn loaded(size: &Size, samples: &mut Samples, rate: f64) {
    let mut world = World::with_beanstalkd();
    world.tend(4);
    let marks = Marks::at(&world);
    let mut session = world.server.as_ref().unwrap().connect();
    session.use_tube(TUBE);
    let count = size.puts * AROUND;
    let begun = Instant::now();
    let latencies = thread::scope(|scope| {
        // Meanwhile: a socket has room for a dozen, and then whoever says that it began would wait.
        let listening = scope.spawn(|| (0..size.puts).map(|_| marks.next()).collect());
        for n in 0..count {
            let due = begun + Duration::from_secs_f64(n as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if n % AROUND == 0 {
                session.put(&marks.native(now()));
            } else {
                session.put(r#"{"taskqueue":1,"command":"true"}"#);
            }
        }
        listening.join().unwrap()
    });
    world.drain();
    world.stop();
    world.check(count);
    add(samples, "latency.loaded", latencies);
}

fn add(samples: &mut Samples, name: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    samples.add(&format!("{name}.p50"), quantile(&values, 0.5));
    samples.add(&format!("{name}.p99"), quantile(&values, 0.99));
}

/// What ran last may still be on its way out.
fn settle_down() {
    thread::sleep(Duration::from_millis(5));
}

/// Nanoseconds of a clock that all processes share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// Where commands say when they began.
struct Marks {
    socket: UnixDatagram,
    path: String,
}

impl Marks {
    fn at(world: &World) -> Marks {
        let path = world.path("marks").to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Marks { socket, path }
    }

    /// A body that any client could put.
    fn native(&self, since: u64) -> String {
        let path = &self.path;
        format!(r#"{{"taskqueue":1,"command":"mark","arguments":["{since}","{path}"]}}"#)
    }

    /// How long the next one that began took to do so, in microseconds.
    fn next(&self) -> f64 {
        let mut bytes = [0; 8];
        self.socket
            .recv(&mut bytes)
            .expect("a command says when it began");
        u64::from_ne_bytes(bytes) as f64 / 1000.0
    }
}
