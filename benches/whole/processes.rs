//! What processes have used up, as the kernel counts it.

use std::fs;
use std::ops::{Add, Sub};

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
