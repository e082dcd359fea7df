//! One run: break, settle, end, judge, tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::command::STAYS;
use super::disk::{self, Disk};
use super::faults::{Done, Stage};
use super::history::{Archive, by_task};
use super::journal::{self, Moment, What};
use super::judge::{self, Evidence, Put};
use super::ledger::Ledger;
use super::options::{Broker, Options};
use super::plan::{Fault, Kind, plan};
use super::producers::{self, Shared};
use super::proxy::Proxy;
use super::random::Random;
use super::server::Server;
use super::store;
use super::task::Key;
use super::tended;
use super::world::World;

/// Between two looks at what is to be done.
const TICK: Duration = Duration::from_millis(10);

/// Between two looks at how many tasks are open.
const COUNT: Duration = Duration::from_millis(250);

/// What could not be done is tried again after so long.
const LATER: Duration = Duration::from_millis(150);

/// A task that has not moved for so long, with nothing in its way, never will.
const SETTLED: Duration = Duration::from_secs(75);

/// Nor will what moves for so long without coming to an end.
const ENOUGH: Duration = Duration::from_secs(300);

/// How long the tenders may take to end: their grace periods, and then some.
const END: Duration = Duration::from_secs(30);

/// How long the tenders may take to answer once nothing goes wrong: they look for their sockets every five seconds, and
/// who has no right to a tube yet is started again and again.
const ANSWER: Duration = Duration::from_secs(30);

/// Tasks whose histories are told; one tells most of what there is to know.
const MOST_HISTORIES: usize = 12;

/// True if all went well.
pub fn run(options: &Options, seed: u64) -> bool {
    // Before there is a second thread.
    let apart = disk::set_apart();
    let (folder, temporary) = folder(options);
    let (broker, kinds) = (options.broker, options.kinds());
    println!(
        "chaos: seed {seed}, {} s, {}, in {}",
        options.seconds,
        broker.name(),
        folder.display()
    );
    let mut random = Random::new(seed);
    fs::create_dir_all(folder.join("log")).unwrap();
    let server = (broker == Broker::Beanstalkd).then(|| Server::start(&folder));
    let proxy = server
        .as_ref()
        .map(|server| Proxy::start(server.port(), random.split()));
    let url = match &proxy {
        Some(proxy) => format!("beanstalk://127.0.0.1:{}", proxy.port()),
        None => "embedded".into(),
    };
    let world = World::new(&folder, url);
    let mounted = apart.and_then(|()| Disk::mount(&folder.join("disk")));
    let disk = mounted.map_err(|error| {
        println!("chaos: cannot mount a small disk, so none can be full: {error}");
    });
    let shared = Arc::new(Shared::new(world));
    let mut stage = Stage::new(Arc::clone(&shared), random.split(), tended::all());
    stage.disk = disk.ok();
    let logs = shared.world.logs();
    stage.log_disk = stage.disk.as_ref().and_then(|_| Disk::mount(&logs).ok());
    // What is mounted is root's at first.
    for folder in [&folder.join("disk"), &logs] {
        shared.world.owner.owns(folder).unwrap();
    }
    if !shared.world.owner.is_bound() {
        println!("chaos: no limit of processes binds us, so none can be lacking");
    }
    stage.proxy = proxy;
    stage.server = server;

    let port = stage.server.as_ref().map(Server::port);
    let putting = producers::start(&shared, port, &mut random);
    break_things(
        &mut stage,
        plan(seed, options.time(), &kinds),
        options.time(),
    );
    stage.calm();
    shared.stop.store(true, Ordering::Relaxed);
    for putting in putting {
        while !putting.is_finished() {
            stage.tend();
            std::thread::sleep(TICK);
        }
        putting.join().unwrap();
    }
    producers::stop_schedule(&shared);
    let settled = settle(&mut stage);
    let evidence = end(&mut stage);
    let ledger = judge::judge(&evidence);
    let missing = tell(&stage, &ledger, &kinds, settled);
    let well = ledger.findings.is_empty() && missing.is_empty();
    if !well {
        tell_histories(&folder, &evidence, &ledger);
        println!("again: {}", options.again(seed));
    }
    drop(stage);
    drop(shared);
    if well && temporary {
        fs::remove_dir_all(&folder).unwrap();
    }
    well
}

/// The folder of a run, and whether it is ours to remove.
fn folder(options: &Options) -> (PathBuf, bool) {
    match &options.folder {
        Some(folder) => {
            fs::create_dir_all(folder).unwrap();
            (folder.canonicalize().unwrap(), false)
        }
        None => (tempfile::tempdir().unwrap().keep(), true),
    }
}

fn break_things(stage: &mut Stage, plan: Vec<Fault>, time: Duration) {
    let begun = Instant::now();
    let mut plan: Vec<Fault> = plan;
    let mut counted = begun;
    while begun.elapsed() < time {
        stage.tend();
        let now = begun.elapsed();
        let (due, mut later): (Vec<Fault>, Vec<Fault>) =
            plan.into_iter().partition(|fault| fault.at <= now);
        for fault in due {
            if stage.perform(fault) == Done::NotNow {
                // A put is over in a moment, so whoever is to kill one looks for one all the time.
                let wait = if fault.kind == Kind::KillPut {
                    TICK
                } else {
                    LATER
                };
                later.push(Fault {
                    at: now + wait,
                    ..fault
                });
            }
        }
        plan = later;
        if counted.elapsed() > COUNT {
            count(&stage.shared);
            counted = Instant::now();
        }
        std::thread::sleep(TICK);
    }
}

/// Tells the producers how much there is to do.
fn count(shared: &Shared) {
    let counted = store::open(&shared.world.store()).and_then(|db| store::open_tasks(&db));
    if let Ok(open) = counted {
        shared.open.store(open, Ordering::Relaxed);
    }
}

/// Lets everything come to its end; how long that took.
fn settle(stage: &mut Stage) -> Duration {
    let begun = Instant::now();
    let world = Arc::clone(&stage.shared);
    let mut moved = Instant::now();
    let mut last = None;
    let db = store::open(&world.world.store()).unwrap();
    while moved.elapsed() < SETTLED && begun.elapsed() < ENOUGH {
        stage.tend();
        std::thread::sleep(TICK * 5);
        if store::open_tasks(&db).is_ok_and(|open| open == 0) {
            break;
        }
        let progress = store::progress(&db).ok();
        if progress != last {
            (last, moved) = (progress, Instant::now());
        }
    }
    begun.elapsed()
}

/// Waits until the tenders have answered; what they have not.
fn hear(stage: &mut Stage) -> Vec<String> {
    let begun = Instant::now();
    while begun.elapsed() < ANSWER && !stage.questions.open().is_empty() {
        stage.tend();
        std::thread::sleep(TICK);
    }
    stage.questions.open()
}

/// Ends everything that we started, and gathers what was seen.
fn end(stage: &mut Stage) -> Evidence {
    let unanswered = hear(stage);
    for tended in &mut stage.tended {
        tended.terminate();
    }
    let begun = Instant::now();
    while begun.elapsed() < END && !stage.tended.iter_mut().all(|tended| tended.has_ended()) {
        std::thread::sleep(TICK);
    }
    let shared = &stage.shared;
    let left = shared.world.wait_for_end(STAYS + Duration::from_secs(2));
    let left_over = left
        .iter()
        .map(|process| format!("{:?} {}", process.pid, process.line))
        .collect();
    let mut puts = shared.puts.lock().unwrap().clone();
    let after = shared.after.lock().unwrap().clone();
    let cancels = shared.cancels.lock().unwrap().clone();
    let db = store::open(&shared.world.store()).unwrap();
    let rows = store::rows(&db).unwrap();
    // Of what a schedule has made there is no more to say than that it is there.
    let made = rows.iter().filter(|row| row.nominal.is_some());
    let made = made.filter_map(|row| row.key.clone());
    puts.extend(made.map(|key| (key, Put::MADE)));
    let journals = journals(shared.world.folder(), puts.keys());
    keep_logs(&shared.world);
    Evidence {
        cut: cut(&stage.cut, &journals),
        cancels,
        after,
        unanswered,
        accepted: stage.accepted,
        panics: panics(shared.world.folder()),
        journals,
        rows,
        buried: match &stage.server {
            Some(server) => server.buried(),
            None => store::buried(&db).unwrap(),
        },
        puts,
        left_over,
    }
}

/// The attempts whose commands were told to end: those that last began as that process.
fn cut(
    told: &[(i32, Moment)],
    journals: &BTreeMap<Key, Vec<journal::Line>>,
) -> BTreeSet<(i64, i64)> {
    let begins = || {
        journals
            .values()
            .flatten()
            .filter(|line| line.what == What::Begin)
    };
    let latest = |(pid, at): &(i32, Moment)| {
        begins()
            .filter(|line| i32::try_from(line.pid) == Ok(*pid) && line.at.steady < at.steady)
            .max_by_key(|line| line.at.steady)
            .map(|line| (line.task, line.attempt))
    };
    told.iter().filter_map(latest).collect()
}

/// Log files beside the other logs: their disk is gone when we are.
fn keep_logs(world: &World) {
    for entry in fs::read_dir(world.logs()).unwrap().flatten() {
        let kept = world.folder().join("log").join(entry.file_name());
        let log = fs::read(entry.path()).unwrap();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(kept)
            .unwrap();
        file.write_all(&log).unwrap();
    }
}

fn panics(world: &Path) -> Vec<String> {
    let mut panics = Vec::new();
    for entry in fs::read_dir(world.join("log")).unwrap().flatten() {
        let text = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains("panicked at"));
        panics.extend(lines.map(|line| format!("{:?}: {line}", entry.file_name())));
    }
    panics
}

fn journals<'a>(
    world: &Path,
    keys: impl Iterator<Item = &'a Key>,
) -> BTreeMap<Key, Vec<journal::Line>> {
    let mut journals = BTreeMap::new();
    for key in keys {
        if let Ok(text) = fs::read_to_string(journal::path(world, key)) {
            let lines = text.lines().map(|line| line.parse().unwrap());
            journals.insert(key.clone(), lines.collect());
        }
    }
    journals
}

/// Prints what happened; the kinds of faults that should have and did not.
fn tell(stage: &Stage, ledger: &Ledger, kinds: &[Kind], settled: Duration) -> Vec<Kind> {
    println!("faults");
    let mut missing = Vec::new();
    for kind in Kind::ALL {
        let count = stage.done.get(&kind).copied().unwrap_or(0);
        let note = match (kinds.contains(&kind), count) {
            (false, _) => "left out",
            (true, 0) => {
                missing.push(kind);
                "NOT ONCE"
            }
            (true, _) => kind.says(),
        };
        println!("  {:<36}{count:>8}  {note}", kind.name());
    }
    let gave_up: u64 = stage.tended.iter().map(|tended| tended.gave_up).sum();
    println!(
        "  {:<36}{gave_up:>8}  and was started again",
        "ended by itself"
    );
    let (answered, longest) = (stage.questions.answered, stage.questions.longest);
    println!(
        "  {:<36}{answered:>8}  the longest after {} s",
        "questions that tenders answered",
        longest.as_secs()
    );
    println!("ledger, {} s after the last fault", settled.as_secs());
    print!("{ledger}");
    missing
}

fn tell_histories(folder: &Path, evidence: &Evidence, ledger: &Ledger) {
    let db = keep_store(folder);
    let archive = Archive::read(folder);
    println!("wrong");
    let by_task = by_task(&ledger.findings);
    let mut all = String::new();
    for (at, (key, findings)) in by_task.iter().enumerate() {
        let mut told = String::new();
        for finding in findings {
            let who = key.as_ref().map_or_else(String::new, Key::to_string);
            told += &format!("{}: {who}: {}\n", finding.wrong.says(), finding.details);
        }
        if let Some(key) = key {
            told += &archive.tell(key, evidence, &db);
        }
        if at < MOST_HISTORIES {
            print!("{told}");
        }
        all += &told;
    }
    fs::write(folder.join("wrong"), &all).unwrap();
    if by_task.len() > MOST_HISTORIES {
        println!("… {} more tasks", by_task.len() - MOST_HISTORIES);
    }
    println!(
        "all of it is in {}/wrong, the store in {0}/t.db",
        folder.display()
    );
}

/// The small disk is gone when we are.
fn keep_store(folder: &Path) -> Connection {
    let kept = folder.join("t.db");
    let db = store::open(&folder.join("disk").join("t.db")).unwrap();
    db.execute("VACUUM INTO ?1", [kept.to_str().unwrap()])
        .unwrap();
    store::open(&kept).unwrap()
}
