//! Whether the kernel has killed for memory where we run.
//!
//! The kernel tells nobody why a process got its KILL, but it counts: for each memory cgroup, and otherwise for the
//! whole machine. A count that grew while a command ran, or just before, is as near as one can come.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// More than any of the files takes up.
const MOST: usize = 32 * 1024;

/// For so long a count is new enough: where commands are short, asking each time is part of what one costs.
const FRESH: Duration = Duration::from_secs(1);

/// The newest count, and when it was asked for.
static NEWEST: Mutex<Option<(Instant, Option<u64>)>> = Mutex::new(None);

/// How often the kernel has killed for memory in our cgroup, or on the machine where there is no telling for the
/// cgroup; `None` where it does not count.
pub fn kills() -> Option<u64> {
    let count = ask();
    *NEWEST.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), count));
    count
}

/// The same as of a second ago or later.
pub fn kills_lately() -> Option<u64> {
    let newest = *NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    match newest {
        Some((asked, count)) if asked.elapsed() < FRESH => count,
        Some(_) | None => kills(),
    }
}

fn ask() -> Option<u64> {
    static COUNTER: OnceLock<Option<File>> = OnceLock::new();
    let file = COUNTER.get_or_init(open).as_ref()?;
    let mut text = [0; MOST];
    let mut length = 0;
    // A file of the kernel's may come in pieces.
    while let Ok(more @ 1..) = file.read_at(text.get_mut(length..)?, length as u64) {
        length += more;
    }
    count(&String::from_utf8_lossy(text.get(..length)?))
}

fn open() -> Option<File> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    counters(&cgroups)
        .into_iter()
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| count(&text).is_some()))
        .find_map(|path| File::open(path).ok())
}

/// Where to look, the most telling first: version 2, version 1, the machine.
fn counters(cgroups: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for line in cgroups.lines() {
        // ID:CONTROLLERS:PATH
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.events"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.oom_control"),
            _ => continue,
        };
        let root = PathBuf::from(root);
        paths.push(root.join(path.trim_start_matches('/')).join(file));
        // In a container our own cgroup may be the root of what is mounted.
        paths.push(root.join(file));
    }
    paths.push("/proc/vmstat".into());
    paths
}

fn count(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_each_kind_of_file() {
        for (text, expected) in [
            (
                "low 0\nhigh 0\nmax 7\noom 7\noom_kill 3\noom_group_kill 0\n",
                Some(3),
            ),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n", Some(12)),
            ("nr_free_pages 3006629\noom_kill 1\n", Some(1)),
            ("oom_kill_disable 0\nunder_oom 0\n", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn our_own_cgroup_comes_first_and_the_machine_last() {
        let two = "0::/system.slice/taskqueue.service\n";
        let one = "4:memory:/user\n3:cpuset:/\n0::/\n";
        let paths = |text| {
            counters(text)
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            paths(two),
            [
                "/sys/fs/cgroup/system.slice/taskqueue.service/memory.events",
                "/sys/fs/cgroup/memory.events",
                "/proc/vmstat",
            ]
        );
        assert_eq!(
            paths(one).first().map(String::as_str),
            Some("/sys/fs/cgroup/memory/user/memory.oom_control")
        );
        assert_eq!(paths("")[..], ["/proc/vmstat"]);
    }
}
