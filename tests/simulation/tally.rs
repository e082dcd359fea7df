//! What a day came to.

use std::fmt;
use std::time::Duration;

/// How long jobs waited for a worker, all of them together, by what they waited for.
#[derive(Debug, Default)]
pub struct Waits {
    /// The broker to be reached.
    pub broker: Duration,
    /// A worker that starts and does not crash.
    pub program: Duration,
    /// A busy one of the most workers that there may be.
    pub busy: Duration,
    /// The pool to be large enough. That is what the tender can be blamed for.
    pub pool: Duration,
}

impl Waits {
    pub fn all(&self) -> Duration {
        self.broker + self.program + self.busy + self.pool
    }

    fn add(&mut self, other: &Self) {
        self.broker += other.broker;
        self.program += other.program;
        self.busy += other.busy;
        self.pool += other.pool;
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    pub pools: u64,
    pub jobs: u64,
    pub done: u64,
    pub waits: Waits,
    pub longest_wait: Duration,
    pub started: u64,
    pub deaths: u64,
    pub kills: u64,
    pub events: u64,
    pub tended: u64,
    /// More processes than the most.
    pub above_max: Duration,
    /// Fewer processes that are or will be able to take a job than the least.
    pub below_min: Duration,
    /// Of that, while the pool's workers could start at all and nothing of an earlier tender was left.
    pub below_min_unhindered: Duration,
    pub pool_time: Duration,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.pools += 1;
        self.jobs += other.jobs;
        self.done += other.done;
        self.waits.add(&other.waits);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.started += other.started;
        self.deaths += other.deaths;
        self.kills += other.kills;
        self.events += other.events;
        self.tended += other.tended;
        self.above_max += other.above_max;
        self.below_min += other.below_min;
        self.below_min_unhindered += other.below_min_unhindered;
        self.pool_time += other.pool_time;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |time: Duration| time.as_secs_f64() / 3600.0;
        let per_job = |n: u64| n as f64 / self.done.max(1) as f64;
        let share = |time: Duration| {
            100.0 * time.as_secs_f64() / self.pool_time.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        writeln!(f, "pools                    {}", self.pools)?;
        writeln!(f, "time of all pools        {:.0} h", hours(self.pool_time))?;
        writeln!(f, "jobs put, done           {}, {}", self.jobs, self.done)?;
        writeln!(
            f,
            "workers started          {}, {:.4} a job",
            self.started,
            per_job(self.started)
        )?;
        writeln!(
            f,
            "deaths, kills by tender  {}, {}",
            self.deaths, self.kills
        )?;
        writeln!(
            f,
            "time above max           {:.3} s",
            self.above_max.as_secs_f64()
        )?;
        writeln!(f, "time below min           {:.4} %", share(self.below_min))?;
        writeln!(
            f,
            "  with workers that start  {:.4} %",
            share(self.below_min_unhindered)
        )?;
        let mean = |time: Duration| 1000.0 * time.as_secs_f64() / self.done.max(1) as f64;
        let Waits {
            broker,
            program,
            busy,
            pool,
        } = self.waits;
        for (what, time) in [
            ("mean wait for a worker  ", self.waits.all()),
            ("  while all were busy   ", busy),
            ("  without a broker      ", broker),
            ("  while they crashed    ", program),
            ("  for the pool to grow  ", pool),
        ] {
            writeln!(f, "{what} {:.1} ms", mean(time))?;
        }
        writeln!(
            f,
            "longest wait             {:.1} s",
            self.longest_wait.as_secs_f64()
        )?;
        write!(
            f,
            "events, decisions        {}, {}",
            self.events, self.tended
        )
    }
}
