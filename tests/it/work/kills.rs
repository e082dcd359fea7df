//! Hundreds of kills at random instants: of workers, of tenders, of both together, of workers that nobody tends. What
//! a dead worker ran is gone within a second, no task runs twice at once, and none is lost.
//!
//! The commands bear witness themselves: each holds a lock of its task's own for as long as a process of it lives.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use super::{jobs, lines, number};
use crate::chaos::random::Random;
use crate::support::{Beanstalkd, Running, Taskqueue, until};

/// At the most, and as long as jobs wait, at the least.
const WORKERS: usize = 4;

/// How often each is killed.
const STRIKES: [(Strike, usize); 4] = [
    (Strike::Worker, 130),
    (Strike::Tender, 20),
    (Strike::Together, 20),
    (Strike::Lone, 40),
];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// One worker, of a tender that lives or of one that was killed.
    Worker,
    /// A tender; its workers drain.
    Tender,
    /// A tender and all workers that there are.
    Together,
    /// A worker that nobody tends.
    Lone,
}

/// It runs for a moment or for seconds, until the file `finish` is there; alone, with others in its group or out of
/// it, or deaf to TERM.
const SCRIPT: &str = r#"
exec 9>> "task.$TASKQUEUE_TASK_ID"
flock -n 9 || echo "overlap $TASKQUEUE_TASK_ID" >> log
echo "begin $TASKQUEUE_TASK_ID" >> log
time=$1
[ -e finish ] && time=0.01
case $2 in
    alone) sleep $time ;;
    grouped) sleep $time & sleep $time & wait ;;
    left) setsid sleep $time & sleep $time; wait ;;
    deaf) trap '' TERM; sleep $time ;;
esac
echo "end $TASKQUEUE_TASK_ID" >> log
"#;

/// A process whose folder is that of the test.
struct Process {
    pid: i32,
    parent: i32,
    argv: Vec<String>,
    /// The task and the attempt whose it is.
    token: Option<(String, String)>,
}

/// All of them, as far as they live.
fn processes(folder: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|p| p.file_name().to_str()?.parse().ok());
    numbers.filter_map(|pid| process(pid, folder)).collect()
}

fn process(pid: i32, folder: &Path) -> Option<Process> {
    let of = |file: &str| format!("/proc/{pid}/{file}");
    if fs::read_link(of("cwd")).ok()? != folder {
        return None;
    }
    let stat = fs::read_to_string(of("stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    if rest.next()? == "Z" {
        return None;
    }
    let words = |file: &str| -> Option<Vec<String>> {
        let text = fs::read(of(file)).ok()?;
        let words = text.split(|byte| *byte == 0);
        Some(
            words
                .map(|w| String::from_utf8_lossy(w).into_owned())
                .collect(),
        )
    };
    let environment = words("environ")?;
    let value = |name: &str| {
        let mut values = environment
            .iter()
            .filter_map(|entry| entry.strip_prefix(name));
        values.next().map(str::to_owned)
    };
    Some(Process {
        pid,
        parent: rest.next()?.parse().ok()?,
        argv: words("cmdline")?,
        token: value("TASKQUEUE_UUID=").zip(value("TASKQUEUE_ATTEMPT=")),
    })
}

impl Process {
    fn is_worker(&self) -> bool {
        self.token.is_none() && self.argv.get(1).is_some_and(|word| word == "worker")
    }
}

/// What is seen in a moment.
struct Census(Vec<Process>);

impl Census {
    fn take(folder: &Path) -> Census {
        Census(processes(folder))
    }

    /// Without those that are just becoming commands.
    fn workers(&self) -> impl Iterator<Item = &Process> {
        let workers: HashSet<i32> = self
            .0
            .iter()
            .filter(|p| p.is_worker())
            .map(|p| p.pid)
            .collect();
        let real = self.0.iter().filter(|p| p.is_worker());
        real.filter(move |p| !workers.contains(&p.parent))
    }

    /// Those that a tender has started, whether or not it lives.
    fn tended(&self) -> impl Iterator<Item = &Process> {
        self.workers().filter(|p| p.argv[0] == "taskqueue")
    }

    /// The attempts that these workers run.
    fn run_by(&self, workers: &[i32]) -> HashSet<(String, String)> {
        let commands = self.0.iter().filter(|p| workers.contains(&p.parent));
        commands.filter_map(|p| p.token.clone()).collect()
    }

    fn any_of(&self, attempts: &HashSet<(String, String)>) -> bool {
        let mut tokens = self.0.iter().filter_map(|p| p.token.as_ref());
        tokens.any(|token| attempts.contains(token))
    }
}

fn kill(pid: i32) {
    // It may have just ended by itself.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

/// What has been done, and what came of it.
#[derive(Default)]
struct Tally {
    strikes: [(usize, usize); 4],
    processes: usize,
    gone_after: Vec<Duration>,
}

struct World {
    taskqueue: Taskqueue,
    folder: std::path::PathBuf,
    random: Random,
    tally: Tally,
    tender: Option<Running>,
}

impl World {
    fn new(server: &Beanstalkd, seed: u64) -> World {
        let taskqueue = Taskqueue::with(server);
        let script = taskqueue.path("script");
        fs::write(&script, SCRIPT).unwrap();
        let run = script.display();
        taskqueue.configure(&format!(
            "[commands.job]\nrun = [\"/bin/sh\", \"{run}\"]\nmax_lost = 1000\n"
        ));
        let mut world = World {
            folder: fs::canonicalize(taskqueue.path("")).unwrap(),
            taskqueue,
            random: Random::new(seed),
            tally: Tally::default(),
            tender: None,
        };
        world.put();
        world
    }

    /// Sees to it that there is work.
    fn supply(&mut self) {
        if number(&self.taskqueue, WAITING) < 20 {
            self.put();
        }
    }

    fn put(&mut self) {
        let tasks: String = (0..40)
            .map(|_| {
                let time = *self.random.pick(&["0.05", "0.4", "2.5", "2.5"]).unwrap();
                let kind = *self.random.pick(&["alone", "grouped", "left", "deaf"]).unwrap();
                format!("{{\"taskqueue\":1,\"command\":\"job\",\"arguments\":[\"{time}\",\"{kind}\"]}}\n")
            })
            .collect();
        let put = ["put", "--use-tube", "t", "--batch", "-"];
        self.taskqueue.run_with(&put, tasks.as_bytes()).ok();
    }

    fn wait_below(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(self.random.below(milliseconds)));
    }

    fn tend(&mut self) {
        let workers = WORKERS.to_string();
        let (min, max) = (["--min-workers", &workers], ["--max-workers", &workers]);
        let tube = ["tender", "--use-tube", "t", "--log", "error"];
        let arguments: Vec<&str> = tube.into_iter().chain(min).chain(max).collect();
        self.tender
            .get_or_insert_with(|| self.taskqueue.start(&arguments));
    }

    fn strike(&mut self, strike: Strike) {
        self.supply();
        self.tend();
        match strike {
            Strike::Worker => {
                // Few that are only starting: a pool whose workers die before they are ready waits before it starts
                // others.
                let any = self.random.percent(10);
                let busy = !any && self.random.percent(60);
                let mut victim = None;
                until("there is a worker", || {
                    self.wait_below(60);
                    let census = self.census();
                    let known = if any { None } else { Some(self.known()) };
                    let workers = census.tended().map(|p| p.pid);
                    let workers: Vec<i32> = workers
                        .filter(|pid| known.as_ref().is_none_or(|known| known.contains(pid)))
                        .collect();
                    let picked = self.random.pick(&workers).copied();
                    victim = picked.map(|picked| (picked, census.run_by(&[picked])));
                    victim
                        .as_ref()
                        .is_some_and(|(_, ran)| !busy || !ran.is_empty())
                });
                let (victim, ran) = victim.unwrap();
                kill(victim);
                self.struck(strike, 1, &ran, &ran);
            }
            Strike::Tender => {
                self.wait_below(400);
                let census = self.census();
                let workers: Vec<i32> = census.tended().map(|p| p.pid).collect();
                let ran = census.run_by(&workers);
                // They go on; each is waited for by the lock of its task.
                drop(self.tender.take());
                self.struck(strike, 1, &ran, &HashSet::new());
            }
            Strike::Together => {
                self.wait_below(600);
                let census = self.census();
                let mut victims: Vec<i32> = census.tended().map(|p| p.pid).collect();
                let ran = census.run_by(&victims);
                let tender = self.tender.take().unwrap();
                victims.push(tender.pid().as_raw_nonzero().get());
                let first = usize::try_from(self.random.below(victims.len() as u64)).unwrap();
                victims.rotate_left(first);
                victims.iter().for_each(|pid| kill(*pid));
                self.struck(strike, victims.len(), &ran, &ran);
                drop(tender);
            }
            Strike::Lone => {
                let worker = self
                    .taskqueue
                    .start(&["worker", "--use-tube", "t", "--log", "error"]);
                let pid = worker.pid().as_raw_nonzero().get();
                if self.random.percent(60) {
                    until("it runs a command", || {
                        !self.census().run_by(&[pid]).is_empty()
                    });
                }
                self.wait_below(300);
                let ran = self.census().run_by(&[pid]);
                drop(worker);
                self.struck(strike, 1, &ran, &ran);
            }
        }
    }

    /// Who has come as far as the store.
    fn known(&self) -> HashSet<i32> {
        let store = self.taskqueue.sqlite();
        let mut pids = store.prepare("SELECT pid FROM workers").unwrap();
        let pids = pids.query_map([], |row| row.get(0)).unwrap();
        pids.map(Result::unwrap).collect()
    }

    fn census(&self) -> Census {
        let census = Census::take(&self.folder);
        let tended = census.tended().count();
        assert!(tended <= WORKERS, "{tended} workers");
        census
    }

    /// Counts, and waits until what must go is gone.
    fn struck(
        &mut self,
        strike: Strike,
        processes: usize,
        ran: &HashSet<(String, String)>,
        to_go: &HashSet<(String, String)>,
    ) {
        let since = Instant::now();
        let place = STRIKES
            .iter()
            .position(|(kind, _)| *kind == strike)
            .unwrap();
        let (all, busy) = &mut self.tally.strikes[place];
        *all += 1;
        *busy += usize::from(!ran.is_empty());
        self.tally.processes += processes;
        if !to_go.is_empty() {
            until("what a dead worker ran is gone", || {
                !self.census().any_of(to_go)
            });
            self.tally.gone_after.push(since.elapsed());
        }
    }

    fn finish(&mut self) {
        fs::write(self.taskqueue.path("finish"), "").unwrap();
        self.tend();
        until("every task is done", || {
            number(&self.taskqueue, UNDONE) == 0
        });
        let tender = self.tender.take().unwrap();
        tender.signal(Signal::TERM);
        assert_eq!(tender.wait().code, Some(0));
    }
}

const WAITING: &str = "SELECT count(*) FROM tasks WHERE status = 'waiting'";
const UNDONE: &str = "SELECT count(*) FROM tasks WHERE status <> 'done'";

#[test]
fn nothing_is_orphaned_run_twice_at_once_or_lost() {
    let since = Instant::now();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = std::env::var("SEED").map_or_else(
        |_| now.unwrap().subsec_nanos().into(),
        |seed| seed.parse().unwrap(),
    );
    println!("kills: SEED={seed}");
    let server = Beanstalkd::start();
    let mut world = World::new(&server, seed);
    let mut strikes: Vec<Strike> = STRIKES
        .iter()
        .flat_map(|(strike, times)| vec![*strike; *times])
        .collect();
    while !strikes.is_empty() {
        let next = world.random.below(strikes.len() as u64);
        let strike = strikes.swap_remove(usize::try_from(next).unwrap());
        world.strike(strike);
    }
    world.finish();

    let Tally {
        strikes,
        processes,
        mut gone_after,
    } = world.tally;
    let log = lines(&world.taskqueue.path("log"));
    let overlaps = log
        .iter()
        .filter(|line| line.starts_with("overlap"))
        .count();
    let ended: HashSet<&str> = log
        .iter()
        .filter_map(|line| line.strip_prefix("end "))
        .collect();
    let tasks = number(&world.taskqueue, "SELECT count(*) FROM tasks");
    let tasks = usize::try_from(tasks).unwrap();
    let (all, busy) = strikes
        .iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    gone_after.sort();
    let late = gone_after
        .iter()
        .filter(|time| **time > Duration::from_secs(1))
        .count();
    for ((strike, _), (all, busy)) in STRIKES.iter().zip(strikes) {
        println!("kills: {all:>3} of {strike:?}, {busy:>3} while a command ran");
    }
    println!(
        "kills: {all} in all, {busy} while a command ran; {processes} processes; what they ran was gone after {:?} at \
         the median, {:?} at the most, {late} of {} after more than a second; {tasks} tasks, {} begun, {overlaps} \
         twice at once, {} lost; {:?}",
        gone_after[gone_after.len() / 2],
        gone_after[gone_after.len() - 1],
        gone_after.len(),
        log.iter().filter(|line| line.starts_with("begin")).count(),
        tasks - ended.len(),
        since.elapsed(),
    );
    assert!(all >= 200 && busy * 2 >= all);
    // Left to themselves, most would run for longer; a machine that is busy with other tests is forgiven some.
    assert!(late * 20 <= gone_after.len(), "{gone_after:?}");
    assert_eq!(overlaps, 0);
    assert_eq!(tasks, ended.len());
    assert_eq!(jobs(&server, "t"), 0);
    let left: Vec<i32> = processes_left(&world.folder);
    assert_eq!(left, [0_i32; 0]);
    // Whoever has begun has ended, by its own word or by that of another, once.
    world.taskqueue.run(&["cleanup", "--period", "365d"]).ok();
    let worker = "SELECT sum(what = 15) AS begun, sum(what = 16) AS ended FROM events \
        WHERE what IN (15, 16) GROUP BY detail ->> 'worker', detail ->> 'pid'";
    let other = format!("SELECT count(*) FROM ({worker}) WHERE begun <> ended");
    assert_eq!(number(&world.taskqueue, &other), 0);
    let died = "SELECT count(*) FROM events WHERE what = 16 AND detail ->> 'reason' = 'it died'";
    assert!(number(&world.taskqueue, died) >= 150);
}

/// Those that nobody waits for, but the guards of those that were killed just now.
fn processes_left(folder: &Path) -> Vec<i32> {
    let left = processes(folder);
    let others = left.iter().filter(|p| p.argv[0] != "tq-guard");
    others.map(|p| p.pid).collect()
}
