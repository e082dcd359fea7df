//! Recording tasks and putting their jobs, beside what SQLite takes for as many rows.

use std::time::Instant;

use rusqlite::{Connection, params};

use taskqueue::{Put, Queue};

use super::figures::Samples;
use super::world::{Size, TUBE, World};

pub fn measure(size: &Size, samples: &mut Samples) {
    samples.add("put.insert", insert(size.singles));
    samples.add("put.batch", batch(World::with_beanstalkd(), size.jobs));
    samples.add("put.batch.embedded", batch(World::embedded(), size.jobs));
    samples.add(
        "put.single",
        one_by_one(World::with_beanstalkd(), size.singles),
    );
    samples.add(
        "put.single.embedded",
        one_by_one(World::embedded(), size.singles),
    );
}

/// Rows a second that plain SQLite takes, each in a transaction as durable as a task's.
fn insert(count: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let plain = Connection::open(folder.path().join("plain.db")).unwrap();
    plain
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE plain (id INTEGER PRIMARY KEY, uuid BLOB, tube TEXT, command TEXT, arguments TEXT, created INTEGER)",
        )
        .unwrap();
    let mut insert = plain
        .prepare("INSERT INTO plain (uuid, tube, command, arguments, created) VALUES (?1, ?2, 'true', '[]', ?3)")
        .unwrap();
    let begun = Instant::now();
    for n in 0..count as i64 {
        insert.execute(params![[7u8; 16], TUBE, n]).unwrap();
    }
    rate(count, begun)
}

/// Tasks a second that the program takes from a file, its own start included.
fn batch(world: World, count: usize) -> f64 {
    let took = world.put("true", count);
    check(&world, count);
    count as f64 / took.as_secs_f64()
}

/// Tasks a second that a producer puts by the library, each answered before the next.
fn one_by_one(world: World, count: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = world.store().into();
    let queue = Queue::open(&world.broker().parse().unwrap(), &store).unwrap();
    let tube = TUBE.parse().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        for _ in 0..count {
            let receipt = queue.put(&tube, Put::command("true")).await.unwrap();
            assert!(receipt.announced());
        }
    });
    let rate = rate(count, begun);
    drop(queue);
    check(&world, count);
    rate
}

fn rate(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Every task is recorded, and knows its job; every job is there.
fn check(world: &World, count: usize) {
    let noted = "SELECT count(*) FROM tasks JOIN task_jobs ON task = id
        WHERE status = 'waiting' AND generation = 1 AND job IS NOT NULL AND NOT EXISTS (SELECT 1 FROM puts)";
    assert_eq!(world.ask(noted), count as i64);
    let jobs = match &world.server {
        Some(server) => server.connect().jobs(TUBE),
        None => world.ask("SELECT count(*) FROM jobs").unsigned_abs(),
    };
    assert_eq!(jobs, count as u64);
}
