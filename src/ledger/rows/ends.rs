//! What is counted of what ended in a minute.

use crate::ledger::durations::Durations;

/// What is counted by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of {
    /// Since the epoch.
    pub minute: i64,
    /// The tube's name.
    pub tube: String,
    /// The command's name; nothing where none is known, and for what was refused.
    pub command: String,
}

impl Of {
    /// The same of no command by name.
    pub fn nameless(&self) -> Of {
        Of {
            command: String::new(),
            ..self.clone()
        }
    }
}

/// What ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ends {
    /// Tasks that are done.
    pub done: u64,
    /// Tasks that have failed.
    pub failed: u64,
    /// Attempts after which their tasks wait for another; not those that were interrupted.
    pub retried: u64,
    /// How long tasks had waited since they could have been run, for each attempt of which that is known.
    pub waited: Durations,
    /// How long commands ran.
    pub ran: Durations,
    /// Microseconds of CPU that commands took, their own and the kernel's.
    pub cpu: u64,
    /// The most bytes of memory that one of them had at once.
    pub memory: u64,
}

impl Ends {
    /// Counts what a command took.
    pub fn add_taken(&mut self, cpu: u64, memory: u64) {
        self.cpu = self.cpu.saturating_add(cpu);
        self.memory = self.memory.max(memory);
    }

    /// Counts others too.
    pub fn add(&mut self, others: &Ends) {
        self.done = self.done.saturating_add(others.done);
        self.failed = self.failed.saturating_add(others.failed);
        self.retried = self.retried.saturating_add(others.retried);
        self.waited.add_all(&others.waited);
        self.ran.add_all(&others.ran);
        self.add_taken(others.cpu, others.memory);
    }
}
