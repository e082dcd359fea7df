//! What a server says about itself, its jobs and its tubes.
//!
//! The protocol calls it YAML; what is sent is one `key: value` a line. It is read as just that: a YAML library would
//! take `os: #1 SMP` for a comment, and some values for numbers. Version 1.13 puts quotes around strings, 1.12 only
//! around its version.

use std::collections::BTreeMap;
use std::time::Duration;

use super::wire::{self, Malformed, excerpt};
use crate::broker::{Instance, JobState, JobStats, TubeStats};

/// What a server said about something: names and values, both as they were sent, but without quotes.
///
/// The names are in the protocol's sections on "stats", "stats-job" and "stats-tube".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dictionary(BTreeMap<String, String>);

impl Dictionary {
    /// Reads a dictionary as it is sent. A name that comes twice has its last value.
    pub(super) fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let entry = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), unquoted(value).to_owned()))
        };
        let entries: Option<BTreeMap<_, _>> = lines(data)?.map(entry).collect();
        entries.map(Self).ok_or_else(|| Malformed(excerpt(data)))
    }

    /// The value of a name, if the server sent one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &str) -> Result<&str, Malformed> {
        let missing = || Malformed(format!("no value for {name}"));
        self.get(name).ok_or_else(missing)
    }

    fn read<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Malformed> {
        let text = self.text(name)?;
        let wrong = || Malformed(format!("{name}: {}", excerpt(text.as_bytes())));
        read(text).ok_or_else(wrong)
    }

    fn count(&self, name: &str) -> Result<u64, Malformed> {
        self.read(name, wire::number)
    }

    /// Whole seconds; what ran out an instant ago may be sent as a negative number.
    fn time(&self, name: &str) -> Result<Duration, Malformed> {
        let seconds = self.read(name, |text| text.parse::<i64>().ok())?;
        Ok(Duration::from_secs(seconds.max(0).unsigned_abs()))
    }
}

/// The lines that say something.
fn lines(data: &[u8]) -> Result<impl Iterator<Item = &str>, Malformed> {
    let text = std::str::from_utf8(data).map_err(|_| Malformed(excerpt(data)))?;
    let says_something = |line: &&str| !line.trim().is_empty() && line.trim_end() != "---";
    Ok(text.lines().filter(says_something))
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inside = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    inside.unwrap_or(value)
}

impl TryFrom<&Dictionary> for Instance {
    type Error = Malformed;

    fn try_from(stats: &Dictionary) -> Result<Self, Malformed> {
        Ok(Self {
            id: stats.text("id")?.to_owned(),
            version: stats.text("version")?.to_owned(),
            max_job_size: stats.count("max-job-size")?,
            draining: stats.read("draining", |text| text.parse().ok())?,
        })
    }
}

impl TryFrom<&Dictionary> for JobStats {
    type Error = Malformed;

    fn try_from(stats: &Dictionary) -> Result<Self, Malformed> {
        let state = |text: &str| match text {
            "ready" => Some(JobState::Ready),
            "delayed" => Some(JobState::Delayed),
            "reserved" => Some(JobState::Reserved),
            "buried" => Some(JobState::Buried),
            _ => None,
        };
        let priority = |text: &str| u32::try_from(wire::number(text)?).ok();
        Ok(Self {
            tube: stats.read("tube", |text| text.parse().ok())?,
            state: stats.read("state", state)?,
            priority: stats.read("pri", priority)?,
            age: stats.time("age")?,
            ttr: stats.time("ttr")?,
            time_left: stats.time("time-left")?,
            reserves: stats.count("reserves")?,
            timeouts: stats.count("timeouts")?,
            releases: stats.count("releases")?,
            buries: stats.count("buries")?,
            kicks: stats.count("kicks")?,
        })
    }
}

impl TryFrom<&Dictionary> for TubeStats {
    type Error = Malformed;

    fn try_from(stats: &Dictionary) -> Result<Self, Malformed> {
        // The server rounds what is left down to 0 while the tube is still paused.
        let pause_left = match stats.time("pause")? {
            Duration::ZERO => Duration::ZERO,
            _ => stats.time("pause-time-left")?.max(Duration::from_secs(1)),
        };
        Ok(Self {
            ready: stats.count("current-jobs-ready")?,
            reserved: stats.count("current-jobs-reserved")?,
            delayed: stats.count("current-jobs-delayed")?,
            buried: stats.count("current-jobs-buried")?,
            waiting: stats.count("current-waiting")?,
            watching: Some(stats.count("current-watching")?),
            pause_left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_of_both_versions_are_read() {
        let old = b"---\nversion: \"1.12\"\nid: f56\nos: #1 SMP @0\nmax-job-size: 65535\ndraining: false\n";
        let new =
            b"---\nversion: \"1.13\"\nid: \"f56\"\nos: \"#1 SMP @0\"\nmax-job-size: 65535\ndraining: false\n";
        for (data, version) in [(&old[..], "1.12"), (&new[..], "1.13")] {
            let stats = Dictionary::parse(data).unwrap();
            assert_eq!(stats.get("os"), Some("#1 SMP @0"));
            assert_eq!(stats.0.len(), 5);
            let instance = Instance {
                id: "f56".into(),
                version: version.into(),
                max_job_size: 65535,
                draining: false,
            };
            assert_eq!(Instance::try_from(&stats), Ok(instance));
        }
    }

    const JOB: &str = "---\nid: 2\ntube: a.b\nstate: delayed\npri: 4294967295\nage: 3\ndelay: 9\nttr: 60\n\
        time-left: 6\nfile: 0\nreserves: 1\ntimeouts: 2\nreleases: 3\nburies: 4\nkicks: 5\n";

    #[test]
    fn a_job_is_described() {
        let stats = JobStats::try_from(&Dictionary::parse(JOB.as_bytes()).unwrap()).unwrap();
        let expected = JobStats {
            tube: "a.b".parse().unwrap(),
            state: JobState::Delayed,
            priority: u32::MAX,
            age: Duration::from_secs(3),
            ttr: Duration::from_secs(60),
            time_left: Duration::from_secs(6),
            reserves: 1,
            timeouts: 2,
            releases: 3,
            buries: 4,
            kicks: 5,
        };
        assert_eq!(stats, expected);
    }

    #[test]
    fn a_job_wrongly_described_is_refused() {
        let table = [
            ("tube: a.b", "tube: a b"),
            ("state: delayed", "state: lost"),
            ("state: delayed\n", ""),
            ("pri: 4294967295", "pri: 4294967296"),
            ("age: 3", "age: x"),
            ("reserves: 1", "reserves: -1"),
        ];
        for (right, wrong) in table {
            let data = JOB.replace(right, wrong);
            let stats = Dictionary::parse(data.as_bytes()).unwrap();
            assert!(JobStats::try_from(&stats).is_err(), "{wrong}");
        }
        let overdue = JOB.replace("time-left: 6", "time-left: -1");
        let stats = JobStats::try_from(&Dictionary::parse(overdue.as_bytes()).unwrap()).unwrap();
        assert_eq!(stats.time_left, Duration::ZERO);
    }

    #[test]
    fn a_pause_lasts_until_its_end() {
        let table = [((0, 0), 0), ((0, 7), 0), ((5, 4), 4), ((5, 0), 1)];
        for ((pause, left), expected) in table {
            let data = format!(
                "---\ncurrent-jobs-ready: 1\ncurrent-jobs-reserved: 2\ncurrent-jobs-delayed: 3\n\
                 current-jobs-buried: 4\ncurrent-waiting: 5\ncurrent-watching: 6\npause: {pause}\n\
                 pause-time-left: {left}\n"
            );
            let stats = TubeStats::try_from(&Dictionary::parse(data.as_bytes()).unwrap()).unwrap();
            let expected = TubeStats {
                ready: 1,
                reserved: 2,
                delayed: 3,
                buried: 4,
                waiting: 5,
                watching: Some(6),
                pause_left: Duration::from_secs(expected),
            };
            assert_eq!(stats, expected, "pause {pause}, left {left}");
        }
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for bad in [&b"---\nnothing\n"[..], b"\xff: 1\n"] {
            assert!(Dictionary::parse(bad).is_err(), "{}", excerpt(bad));
        }
    }
}
