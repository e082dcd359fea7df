//! What the world's configuration says, and what else it may say for a while.

use std::path::Path;

use super::beside::LIMITED;
use super::random::Random;
use super::task::{Kind, SCHEDULED};
use super::world::{CALLS, RAW, SPARE};

/// What may differ from one time to another. Nothing of it may cost a task its end.
#[derive(Debug, Clone)]
pub struct Settings {
    most_for_calls: u64,
    most_for_raw: u64,
    /// Whether the third tube is tended.
    spare: bool,
    /// As many workers it has together with the second, if they share a pool.
    most_shared: Option<u64>,
    /// How long a command may run that takes too long.
    timeout: u64,
    /// A line that makes no sense.
    wrong: Option<&'static str>,
}

/// It makes a task each second, and none of its times may be without one.
pub const SCHEDULE: &str = "ticks";

/// Lines for which a configuration is refused: what is no table, no key, no time and no command.
const WRONG: [&str; 4] = [
    "[tubes\n",
    "wrokers = 3\n",
    "grace_period = \"soon\"\n",
    "[commands.nothing]\nrun = []\n",
];

impl Settings {
    /// As it is at first, and in the end.
    pub fn usual() -> Settings {
        Settings {
            most_for_calls: 4,
            most_for_raw: 2,
            spare: true,
            most_shared: Some(2),
            timeout: 1,
            wrong: None,
        }
    }

    /// Others that are as good.
    pub fn others(random: &mut Random) -> Settings {
        Settings {
            most_for_calls: 2 + random.below(5),
            most_for_raw: 1 + random.below(3),
            spare: random.percent(30),
            most_shared: random.percent(50).then(|| 2 + random.below(2)),
            timeout: 1 + random.below(2),
            wrong: None,
        }
    }

    /// Others that nobody may go by.
    pub fn wrong(random: &mut Random) -> Settings {
        let others = Settings::others(random);
        if random.percent(20) {
            // Fewer at the most than at the least.
            return Settings {
                most_for_calls: 1,
                most_for_raw: 0,
                ..others
            };
        }
        Settings {
            wrong: random.pick(&WRONG).copied(),
            ..others
        }
    }

    /// That of the tube of calls, and of whoever puts.
    pub fn calls(&self, command: &Path) -> String {
        let most = self.most_for_calls;
        let tube = format!(
            "[tubes.{CALLS}]\nmin_workers = 2\nmax_workers = {most}\nmax_worker_age = 10\n"
        );
        let schedule = format!(
            "[schedules.{SCHEDULE}]\nevery = \"1s\"\nmissed = \"all\"\nlimit = 1000\noverlap = \"allow\"\n\
             tube = \"{CALLS}\"\ncommand = {:?}\narguments = [\"{SCHEDULED}\"]\n",
            SCHEDULED.kind.command()
        );
        self.text(tube + &schedule, command)
    }

    /// That of a tender that tends whatever its configuration names.
    pub fn raw(&self, command: &Path) -> String {
        self.text(String::new(), command)
    }

    fn text(&self, mut text: String, command: &Path) -> String {
        let most = self.most_for_raw;
        text +=
            &format!("[tubes.{RAW}]\ncommand = \"raw\"\nmin_workers = 1\nmax_workers = {most}\n");
        if self.spare {
            text +=
                &format!("[tubes.{SPARE}]\ncommand = \"raw\"\nmin_workers = 0\nmax_workers = 1\n");
            if let Some(most) = self.most_shared {
                text += &format!(
                    "[pools.shared]\nmax = {most}\ntubes = {{ {RAW} = 8, {SPARE} = 1 }}\n"
                );
            }
        }
        let run = format!("run = [{command:?}, \"--task\"]\n");
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Refused) {
            let name = kind.command();
            text += &format!("[commands.{name:?}]\n{run}{}", kind.settings());
            if let Some(timeout) = kind.takes_too_long().then_some(self.timeout) {
                text += &format!("timeout = {timeout}\n");
            }
        }
        let (kind, most) = LIMITED;
        text += &format!(
            "[limits.few]\nconcurrency = {most}\ncommands = [{:?}]\n",
            kind.command()
        );
        text += &format!("[commands.raw]\n{run}{}", Kind::Quick.settings());
        // Whatever comes first belongs to no table.
        match self.wrong {
            Some(wrong) if wrong.starts_with('[') => text + wrong,
            Some(wrong) => wrong.to_owned() + &text,
            None => text,
        }
    }
}
