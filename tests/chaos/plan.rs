//! What goes wrong, and when: a list that follows from the seed alone.

use std::time::Duration;

use super::random::Random;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillWorker,
    KillTender,
    KillTogether,
    KillGuard,
    KillCommand,
    KillPut,
    KillEverything,
    KillBroker,
    ForgetBroker,
    StopWorker,
    StopTender,
    StopCommand,
    StopBroker,
    Restart,
    Cut,
    Disk,
    Lock,
    TermEverything,
    KillDrain,
    HandOver,
    NoProcess,
    NoDescriptor,
    LogGone,
    LogHung,
    LogFull,
    SweepSocket,
    ReplaceProgram,
    ChangeConfig,
    BreakConfig,
    SaveConfig,
}

impl Kind {
    pub const ALL: [Kind; 30] = [
        Kind::KillWorker,
        Kind::KillTender,
        Kind::KillTogether,
        Kind::KillGuard,
        Kind::KillCommand,
        Kind::KillPut,
        Kind::KillEverything,
        Kind::KillBroker,
        Kind::ForgetBroker,
        Kind::StopWorker,
        Kind::StopTender,
        Kind::StopCommand,
        Kind::StopBroker,
        Kind::Restart,
        Kind::Cut,
        Kind::Disk,
        Kind::Lock,
        Kind::TermEverything,
        Kind::KillDrain,
        Kind::HandOver,
        Kind::NoProcess,
        Kind::NoDescriptor,
        Kind::LogGone,
        Kind::LogHung,
        Kind::LogFull,
        Kind::SweepSocket,
        Kind::ReplaceProgram,
        Kind::ChangeConfig,
        Kind::BreakConfig,
        Kind::SaveConfig,
    ];

    /// As `--skip` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::KillWorker => "kill-worker",
            Kind::KillTender => "kill-tender",
            Kind::KillTogether => "kill-together",
            Kind::KillGuard => "kill-guard",
            Kind::KillCommand => "kill-command",
            Kind::KillPut => "kill-put",
            Kind::KillEverything => "kill-everything",
            Kind::KillBroker => "kill-broker",
            Kind::ForgetBroker => "forget-broker",
            Kind::StopWorker => "stop-worker",
            Kind::StopTender => "stop-tender",
            Kind::StopCommand => "stop-command",
            Kind::StopBroker => "stop-broker",
            Kind::Restart => "restart",
            Kind::Cut => "cut",
            Kind::Disk => "disk",
            Kind::Lock => "lock",
            Kind::TermEverything => "term-everything",
            Kind::KillDrain => "kill-drain",
            Kind::HandOver => "hand-over",
            Kind::NoProcess => "no-process",
            Kind::NoDescriptor => "no-descriptor",
            Kind::LogGone => "log-gone",
            Kind::LogHung => "log-hung",
            Kind::LogFull => "log-full",
            Kind::SweepSocket => "sweep-socket",
            Kind::ReplaceProgram => "replace-program",
            Kind::ChangeConfig => "change-config",
            Kind::BreakConfig => "break-config",
            Kind::SaveConfig => "save-config",
        }
    }

    pub fn says(self) -> &'static str {
        match self {
            Kind::KillWorker => "a worker is killed",
            Kind::KillTender => "a tender is killed",
            Kind::KillTogether => "a tender and its workers are killed",
            Kind::KillGuard => "a guard is killed",
            Kind::KillCommand => "a command is killed, without its children",
            Kind::KillPut => "a producer is killed while it puts",
            Kind::KillEverything => "all tenders, workers, guards and the broker are killed",
            Kind::KillBroker => "beanstalkd is killed, and starts again with its binlog",
            Kind::ForgetBroker => "beanstalkd is killed, and starts again with nothing",
            Kind::StopWorker => "a worker is stopped for a while",
            Kind::StopTender => "a tender is stopped for a while",
            Kind::StopCommand => "a command is stopped for a while",
            Kind::StopBroker => "beanstalkd is stopped for a while",
            Kind::Restart => "a tender is told to end, and started again",
            Kind::Cut => "a connection is cut in the middle of a frame",
            Kind::Disk => "the store's disk is full for a while",
            Kind::Lock => "somebody else holds the store's write lock for a while",
            Kind::TermEverything => {
                "a tender, its workers and their commands are told to end at once"
            }
            Kind::KillDrain => "a tender, its workers or both are killed while they drain",
            Kind::HandOver => "a tender is told to end, and the next one started while it drains",
            Kind::NoProcess => "a tender or a worker can start no process for a while",
            Kind::NoDescriptor => "a tender or a worker can open no file for a while",
            Kind::LogGone => {
                "the reader of a log is gone, until whoever writes it is started again"
            }
            Kind::LogHung => "the reader of a log sleeps for a while",
            Kind::LogFull => "a log file's disk is full for a while",
            Kind::SweepSocket => "the folder of sockets is removed, and the tenders are asked",
            Kind::ReplaceProgram => {
                "the program is replaced, and tenders or workers go on with the new one"
            }
            Kind::ChangeConfig => "the configuration is changed, read again, and changed back",
            Kind::BreakConfig => "a wrong configuration is saved and refused, and put right",
            Kind::SaveConfig => "a configuration is saved and not read again, and put right",
        }
    }

    /// Needs a server that is not the store itself.
    pub fn needs_server(self) -> bool {
        match self {
            Kind::KillBroker | Kind::ForgetBroker | Kind::StopBroker | Kind::Cut => true,
            Kind::KillWorker
            | Kind::KillTender
            | Kind::KillTogether
            | Kind::KillGuard
            | Kind::KillCommand
            | Kind::KillPut
            | Kind::KillEverything
            | Kind::StopWorker
            | Kind::StopTender
            | Kind::StopCommand
            | Kind::Restart
            | Kind::Disk
            | Kind::Lock
            | Kind::TermEverything
            | Kind::KillDrain
            | Kind::HandOver
            | Kind::NoProcess
            | Kind::NoDescriptor
            | Kind::LogGone
            | Kind::LogHung
            | Kind::LogFull
            | Kind::SweepSocket
            | Kind::ReplaceProgram
            | Kind::ChangeConfig
            | Kind::BreakConfig
            | Kind::SaveConfig => false,
        }
    }

    /// How long it lasts: from, to, in milliseconds. None for what is done at once; then the time is how long
    /// whatever was killed stays away.
    fn lasts(self) -> (u64, u64) {
        match self {
            Kind::KillWorker
            | Kind::KillGuard
            | Kind::KillCommand
            | Kind::KillPut
            | Kind::Cut
            | Kind::TermEverything
            | Kind::HandOver
            | Kind::SweepSocket
            | Kind::ReplaceProgram => (0, 1),
            // A drain is over when the grace period is, of a second.
            Kind::KillTender | Kind::KillTogether | Kind::Restart | Kind::KillDrain => (0, 1500),
            Kind::KillBroker | Kind::ForgetBroker | Kind::KillEverything => (50, 2500),
            Kind::StopWorker | Kind::StopCommand => (200, 7000),
            Kind::StopTender | Kind::StopBroker => (200, 5000),
            Kind::Disk
            | Kind::Lock
            | Kind::NoProcess
            | Kind::NoDescriptor
            | Kind::LogGone
            | Kind::LogHung
            | Kind::LogFull => (300, 4000),
            Kind::ChangeConfig | Kind::BreakConfig | Kind::SaveConfig => (500, 3000),
        }
    }

    /// What happens often in life happens often here.
    fn weight(self) -> usize {
        match self {
            Kind::KillWorker => 6,
            Kind::KillCommand | Kind::KillPut | Kind::Cut | Kind::StopWorker => 3,
            Kind::KillTender
            | Kind::KillTogether
            | Kind::StopCommand
            | Kind::Lock
            | Kind::TermEverything
            | Kind::KillDrain
            | Kind::HandOver
            | Kind::NoProcess
            | Kind::NoDescriptor => 2,
            Kind::KillGuard
            | Kind::KillEverything
            | Kind::KillBroker
            | Kind::ForgetBroker
            | Kind::StopTender
            | Kind::StopBroker
            | Kind::Restart
            | Kind::Disk
            | Kind::LogGone
            | Kind::LogHung
            | Kind::LogFull
            | Kind::SweepSocket
            | Kind::ReplaceProgram
            | Kind::ChangeConfig
            | Kind::BreakConfig
            | Kind::SaveConfig => 1,
        }
    }
}

/// One thing that is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Since the beginning.
    pub at: Duration,
    pub kind: Kind,
    pub lasts: Duration,
}

/// Between two faults, where there is time enough.
const PACE: Duration = Duration::from_millis(800);

/// Nothing begins in a run's first and last moments: something must be there to be broken, and time for what
/// could not be done at once.
const CALM: Duration = Duration::from_secs(2);

/// Every kind at least once, however short the time is, and then all again in other orders, by weight.
pub fn plan(seed: u64, time: Duration, kinds: &[Kind]) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let time = time.saturating_sub(2 * CALM);
    let count = u32::try_from(kinds.len()).unwrap_or(u32::MAX).max(1);
    let pace = PACE.min(time / count);
    let most = u32::try_from(time.as_millis() / pace.as_millis().max(1)).unwrap_or(u32::MAX);
    let mut order: Vec<Kind> = Vec::new();
    let mut faults = Vec::new();
    for number in 0..most {
        if order.is_empty() && !kinds.is_empty() {
            order = if number == 0 {
                kinds.to_vec()
            } else {
                let weighed = kinds.iter().map(|kind| vec![*kind; kind.weight()]);
                weighed.flatten().collect()
            };
            random.shuffle(&mut order);
        }
        let Some(kind) = order.pop() else { break };
        let (from, to) = kind.lasts();
        faults.push(Fault {
            at: CALM + pace * number + pace.mul_f64(random.below(100) as f64 / 100.0),
            kind,
            lasts: random.millis(from, to),
        });
    }
    faults
}
