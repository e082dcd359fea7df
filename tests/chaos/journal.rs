//! What the commands themselves say of their runs: a file a task, a line an event, in no store of ours.

use super::task::Key;

/// Moments on two clocks: one for people and to compare with rows, one that no step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub wall: i64,
    /// Nanoseconds since boot.
    pub steady: u64,
}

impl Moment {
    pub fn now() -> Moment {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
        let steady = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let part = |n: i64| u64::try_from(n).unwrap_or(0);
        Moment {
            wall,
            steady: part(steady.tv_sec) * 1_000_000_000 + part(steady.tv_nsec),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Begin,
    /// It is about to exit with this code.
    End(i32),
    /// A child that was left behind has come to its own end.
    ChildEnd,
    /// Another attempt's process still held the task's file locked: this one.
    Overlap(String),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: Moment,
    pub pid: u32,
    /// The task's number in the store, as the command was told.
    pub task: i64,
    pub attempt: i64,
    pub what: What,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Line {
            at,
            pid,
            task,
            attempt,
            what,
        } = self;
        write!(f, "{} {} {pid} {task} {attempt} ", at.wall, at.steady)?;
        match what {
            What::Begin => write!(f, "begin"),
            What::End(code) => write!(f, "end {code}"),
            What::ChildEnd => write!(f, "child-end"),
            What::Overlap(with) => write!(f, "overlap {}", with.replace('\n', " ")),
        }
    }
}

impl std::str::FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Line, String> {
        let wrong = || format!("not a line of a journal: {text:?}");
        let mut words = text.splitn(7, ' ');
        let mut word = || words.next().ok_or_else(wrong);
        let (wall, steady, pid, task, attempt) = (word()?, word()?, word()?, word()?, word()?);
        let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
        let what = match (word()?, words.next()) {
            ("begin", None) => What::Begin,
            ("end", Some(code)) => What::End(code.parse().map_err(|_| wrong())?),
            ("child-end", None) => What::ChildEnd,
            ("overlap", Some(with)) => What::Overlap(with.to_owned()),
            _ => return Err(wrong()),
        };
        Ok(Line {
            at: Moment {
                wall: number(wall)?,
                steady: steady.parse().map_err(|_| wrong())?,
            },
            pid: pid.parse().map_err(|_| wrong())?,
            task: number(task)?,
            attempt: number(attempt)?,
            what,
        })
    }
}

/// Where a task's journal is.
pub fn path(world: &std::path::Path, key: &Key) -> std::path::PathBuf {
    world.join("runs").join(key.to_string())
}
