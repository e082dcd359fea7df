//! The kinds of tasks, what their commands do, and how they must end.

/// What a task's command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ends at once.
    Quick,
    /// Takes up to 2.5 s.
    Slow,
    /// Fails twice, then does it.
    Flaky,
    /// Fails for good; its job is buried.
    Failing,
    /// Is done, and leaves a child behind that goes on for a while and holds its output open.
    Leaving,
    /// Fails twice and leaves a child each time that would go on for long.
    Forking,
    /// Prints more than is kept, on both streams.
    Printing,
    /// Does not listen to TERM, and takes longer than it may.
    Stubborn,
    /// Stops itself, and so takes longer than it may.
    Stopping,
    /// Asks for a command that there is not.
    Refused,
    /// Ends at once; a schedule makes it, and nobody puts it.
    Scheduled,
}

/// How a task must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    Failed,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Quick,
        Kind::Slow,
        Kind::Flaky,
        Kind::Failing,
        Kind::Leaving,
        Kind::Forking,
        Kind::Printing,
        Kind::Stubborn,
        Kind::Stopping,
        Kind::Refused,
        Kind::Scheduled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Quick => "quick",
            Kind::Slow => "slow",
            Kind::Flaky => "flaky",
            Kind::Failing => "failing",
            Kind::Leaving => "leaving",
            Kind::Forking => "forking",
            Kind::Printing => "printing",
            Kind::Stubborn => "stubborn",
            Kind::Stopping => "stopping",
            Kind::Refused => "refused",
            Kind::Scheduled => "scheduled",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn must_end(self) -> End {
        match self {
            Kind::Quick
            | Kind::Slow
            | Kind::Flaky
            | Kind::Leaving
            | Kind::Forking
            | Kind::Printing
            | Kind::Scheduled => End::Done,
            Kind::Failing | Kind::Stubborn | Kind::Stopping | Kind::Refused => End::Failed,
        }
    }

    /// Of a hundred and thirteen tasks.
    pub fn weight(self) -> usize {
        match self {
            Kind::Quick => 60,
            Kind::Slow => 25,
            Kind::Flaky | Kind::Failing | Kind::Leaving | Kind::Forking => 5,
            Kind::Printing => 4,
            Kind::Refused => 2,
            Kind::Stubborn | Kind::Stopping => 1,
            Kind::Scheduled => 0,
        }
    }

    /// Whether it is ended when its time is over.
    pub fn takes_too_long(self) -> bool {
        match self {
            Kind::Stubborn | Kind::Stopping => true,
            Kind::Quick
            | Kind::Slow
            | Kind::Flaky
            | Kind::Failing
            | Kind::Leaving
            | Kind::Forking
            | Kind::Printing
            | Kind::Refused
            | Kind::Scheduled => false,
        }
    }

    /// Its table in the configuration, but for `run` and `timeout`. Attempts enough for every command that is killed on
    /// purpose, so that what must be done is done in the end.
    pub fn settings(self) -> &'static str {
        match self {
            Kind::Quick
            | Kind::Slow
            | Kind::Flaky
            | Kind::Leaving
            | Kind::Forking
            | Kind::Printing
            | Kind::Scheduled => {
                "max_attempts = 1000\nmax_lost = 1000\nbackoff = { first = 1, factor = 1, max = 1 }\n"
            }
            // Killed in its first attempt it has failed as well.
            Kind::Failing => "max_lost = 1000\non_failure = \"bury\"\n",
            Kind::Stubborn | Kind::Stopping => "max_lost = 1000\n",
            Kind::Refused => "",
        }
    }

    /// The name in the configuration.
    pub fn command(self) -> String {
        format!("job:{}", self.name())
    }
}

/// The key that all tasks of the schedule are made with. Each has its own by its number in the store.
pub const SCHEDULED: Key = Key {
    number: 0,
    kind: Kind::Scheduled,
};

/// What tells one task from all others, in whatever form it is put: `17.slow`. It can be a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub number: u64,
    pub kind: Kind,
}

impl Key {
    /// The key of a task that has this number in the store.
    pub fn of(self, task: i64) -> Key {
        match self == SCHEDULED {
            true => Key {
                number: task.unsigned_abs(),
                ..self
            },
            false => self,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.number, self.kind.name())
    }
}

impl std::str::FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Key, String> {
        let wrong = || format!("not a task's key: {text:?}");
        let (number, kind) = text.split_once('.').ok_or_else(wrong)?;
        Ok(Key {
            number: number.parse().map_err(|_| wrong())?,
            kind: Kind::named(kind).ok_or_else(wrong)?,
        })
    }
}
