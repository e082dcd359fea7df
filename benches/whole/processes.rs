//! What processes have used up and hold, as the kernel counts it.

use std::collections::HashMap;
use std::fs;
use std::ops::{Add, Sub};
use std::path::PathBuf;

/// Time on a processor, in the kernel's ticks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub user: u64,
    pub system: u64,
}

impl Cpu {
    /// What a process itself has used, all its threads.
    pub fn of(pid: u32) -> Cpu {
        Cpu::read(&pid.to_string(), 11)
    }

    /// What the processes have used that it has waited for.
    pub fn of_those_waited_for(pid: u32) -> Cpu {
        Cpu::read(&pid.to_string(), 13)
    }

    /// The same of this process.
    pub fn of_children() -> Cpu {
        Cpu::read("self", 13)
    }

    /// proc_pid_stat(5), counted from the state, which follows the name in parentheses.
    fn read(pid: &str, from: usize) -> Cpu {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let mut fields = fields
            .split(' ')
            .skip(from)
            .map(|field| field.parse().unwrap());
        Cpu {
            user: fields.next().unwrap(),
            system: fields.next().unwrap(),
        }
    }

    pub fn micros(self) -> f64 {
        in_micros(self.user + self.system)
    }

    pub fn user_micros(self) -> f64 {
        in_micros(self.user)
    }

    pub fn system_micros(self) -> f64 {
        in_micros(self.system)
    }
}

fn in_micros(ticks: u64) -> f64 {
    ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64
}

impl Add for Cpu {
    type Output = Cpu;

    fn add(self, other: Cpu) -> Cpu {
        Cpu {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, other: Cpu) -> Cpu {
        Cpu {
            user: self.user - other.user,
            system: self.system - other.system,
        }
    }
}

impl std::iter::Sum for Cpu {
    fn sum<I: Iterator<Item = Cpu>>(all: I) -> Cpu {
        all.fold(Cpu::default(), Add::add)
    }
}

/// The processes that a process has started and not waited for.
pub fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let listed = listed.unwrap_or_default();
    listed
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Whether a process is a worker of ours, and not another that a tender has started.
pub fn is_worker(pid: u32) -> bool {
    let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    argv.split(|byte| *byte == 0).nth(1) == Some(b"worker")
}

/// Memory in KB: its own, and its share of what it shares.
pub fn memory(pid: u32) -> f64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    number_after(&maps, "Pss:") as f64
}

/// Nanoseconds that a process has been on a processor: all its threads, those that have ended too.
pub fn nanos(pid: u32) -> u64 {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both calls write into what is ours and lives as long as they last.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid.try_into().unwrap(), &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    assert!(!failed, "process {pid} has no clock");
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}

/// How often processes were given a processor since this was last asked, thread by thread: what a thread did before
/// it ended is lost, so ask often.
#[derive(Debug, Default)]
pub struct Wakes(HashMap<PathBuf, u64>);

impl Wakes {
    pub fn of(&mut self, pids: &[u32]) -> u64 {
        let threads = pids.iter().flat_map(|pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            threads.map(|thread| thread.unwrap().path().join("schedstat"))
        });
        let mut since = 0;
        for thread in threads {
            // One that has just ended.
            let Ok(stat) = fs::read_to_string(&thread) else {
                continue;
            };
            let times = stat.split_whitespace().nth(2).unwrap().parse().unwrap();
            since += times - self.0.insert(thread, times).unwrap_or(0);
        }
        since
    }
}

fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
