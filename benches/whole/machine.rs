//! What the figures were measured on.

use std::fs;
use std::process::Command;

pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub beanstalkd: String,
    pub sqlite: &'static str,
}

impl Machine {
    pub fn look() -> Machine {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            cpu: model
                .map_or("unknown", |(_, model)| model)
                .trim()
                .to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            beanstalkd: version(Command::new("beanstalkd").arg("-v")),
            sqlite: rusqlite::version(),
        }
    }
}

fn version(command: &mut Command) -> String {
    let said = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}
