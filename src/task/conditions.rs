//! As whom, where and with what a command runs: what is configured of that, looked up and put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::tube::TubeName;

/// The conditions under which a command runs. By default those of its worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// As whom; `None`: as its worker.
    pub identity: Option<Identity>,
    /// Where; `None`: where its worker is.
    pub directory: Option<PathBuf>,
    /// What becomes of the worker's environment.
    pub variables: Variables,
    /// The permissions that new files do not get (umask(2)).
    pub umask: Option<u32>,
    /// How little of the processors is claimed (nice(2)), from -20 to 19.
    pub nice: Option<i32>,
    /// How soon the kernel kills it for memory (proc(5), "oom_score_adj"), from -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
    /// As much as it may use (setrlimit(2)); `None`: as much as it likes.
    pub limits: BTreeMap<Limit, Option<u64>>,
    /// Nothing that it starts has more rights than it has (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// The time between TERM and KILL; `None`: the usual one.
    pub kill_after: Option<Duration>,
}

/// Whose rights a process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What people know the user by.
    pub name: String,
    /// The user's number.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
    /// The supplementary groups (initgroups(3)).
    pub groups: Vec<u32>,
}

/// What becomes of the environment that a command would inherit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables {
    /// What is not named here is left out.
    pub clear: bool,
    /// By their names.
    pub named: BTreeMap<String, Variable>,
}

impl Variables {
    /// Whether all stays as it is.
    pub fn is_empty(&self) -> bool {
        !self.clear && self.named.is_empty()
    }
}

/// What becomes of one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// It has this value.
    Set(String),
    /// It is inherited, if it is there.
    Kept,
    /// It is left out.
    Withheld,
}

/// What there is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Open files (`RLIMIT_NOFILE`).
    Nofile,
    /// Processes of the user, all together (`RLIMIT_NPROC`).
    Nproc,
    /// Bytes of a core dump (`RLIMIT_CORE`).
    Core,
    /// Seconds of a processor's time (`RLIMIT_CPU`).
    Cpu,
    /// Bytes of address space (`RLIMIT_AS`).
    Memory,
    /// Bytes of a file that is written (`RLIMIT_FSIZE`).
    FileSize,
}

impl Limit {
    /// What the configuration calls it.
    pub fn word(self) -> &'static str {
        match self {
            Limit::Nofile => "nofile",
            Limit::Nproc => "nproc",
            Limit::Core => "core",
            Limit::Cpu => "cpu",
            Limit::Memory => "memory",
            Limit::FileSize => "file_size",
        }
    }
}

/// A command's conditions, which may be others in some tubes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ByTube {
    usual: Arc<Conditions>,
    others: Arc<BTreeMap<TubeName, Arc<Conditions>>>,
}

impl ByTube {
    /// The usual ones, and those of some tubes.
    pub fn new(usual: Arc<Conditions>, others: BTreeMap<TubeName, Arc<Conditions>>) -> ByTube {
        ByTube {
            usual,
            others: others.into(),
        }
    }

    /// Those that hold where a tube has none of its own.
    pub fn usual(&self) -> &Conditions {
        &self.usual
    }

    /// Those that hold in a tube, with these variables as well, whatever the others are.
    #[must_use]
    pub fn with(
        &self,
        tube: &TubeName,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> ByTube {
        let mut conditions = Conditions::clone(self.of(tube));
        let variables = variables.into_iter();
        let set = variables.map(|(name, value)| (name, Variable::Set(value)));
        conditions.variables.named.extend(set);
        ByTube::new(conditions.into(), BTreeMap::new())
    }

    /// Those that hold in a tube.
    pub fn of(&self, tube: &TubeName) -> &Arc<Conditions> {
        self.others.get(tube).unwrap_or(&self.usual)
    }
}
