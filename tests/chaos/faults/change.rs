//! What is changed under those that use it: the folder of sockets, the program, the configuration.

use std::fs;
use std::process::Child;
use std::time::Instant;

use super::super::ask::ask;
use super::super::configuration::Settings;
use super::super::world::{CALLS, RAW, Role};
use super::{Stage, Undo};

/// How a configuration is changed for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is read again.
    Read,
    /// It is refused.
    Refused,
    /// Only those that are started meanwhile read it.
    Saved,
}

impl Stage {
    /// Whoever asks then may have to wait until the tenders have noticed.
    pub(super) fn sweep(&mut self) -> Option<String> {
        fs::remove_dir_all(self.shared.world.sockets()).ok()?;
        self.questions.ask(&["status"]);
        self.questions.ask(&["reload"]);
        Some(String::new())
    }

    /// Those that run go on; those that are started next, by tenders of before, are of the new one.
    pub(super) fn replace(&mut self) -> Option<String> {
        self.shared.world.replace_programs();
        let next = match self.random.below(3) {
            0 => {
                self.questions.ask(&["reload"]);
                "reload".to_owned()
            }
            1 => self.kill_any(Role::Worker).unwrap_or_default(),
            _ => "its workers are recycled in their time".to_owned(),
        };
        Some(next)
    }

    pub(super) fn change(&mut self, how: Change, until: Instant) -> Option<String> {
        let is_changed = |undo: &Undo| matches!(undo, Undo::Configure(..));
        if self.undos.iter().any(|(_, undo)| is_changed(undo)) {
            return None;
        }
        let world = &self.shared.world;
        let random = &mut self.random;
        let wrong = how == Change::Refused || (how == Change::Saved && random.percent(50));
        let settings = match wrong {
            true => Settings::wrong(random),
            false => Settings::others(random),
        };
        world.configure(&settings);
        // Each by itself: one that refuses does not speak for the other.
        let tubes = if how == Change::Saved {
            &[][..]
        } else {
            &[CALLS, RAW]
        };
        let asking = tubes
            .iter()
            .map(|tube| ask(world, &["reload", "--use-tube", tube]));
        let asking = asking.collect();
        self.later(until, Undo::Configure(how, asking));
        Some(format!("{settings:?}"))
    }

    /// Puts it right, once nobody reads it any more; so long it is put off.
    pub(super) fn change_back(&mut self, how: Change, mut asking: Vec<Child>) -> Option<Undo> {
        let mut ended = Vec::new();
        for child in &mut asking {
            ended.extend(child.try_wait().unwrap());
        }
        if ended.len() < asking.len() {
            return Some(Undo::Configure(how, asking));
        }
        // Whoever could not be asked has not refused it, but accepted it neither.
        if how == Change::Refused {
            self.accepted += ended.iter().filter(|status| status.success()).count() as u64;
        }
        self.shared.world.configure(&Settings::usual());
        self.questions.ask(&["reload"]);
        None
    }
}
