//! Asking the tenders, until they have answered.

use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::world::World;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Asks once; what comes of it can be waited for.
pub fn ask(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.taskqueue(arguments);
    command
        .stdout(world.log("asked"))
        .stderr(world.log("asked"));
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// What is asked until all tenders have answered: one may be away, or stopped, but not for ever.
pub struct Question {
    arguments: &'static [&'static str],
    since: Instant,
    asking: Option<Child>,
    again_at: Instant,
}

/// Questions, and how long their answers took.
#[derive(Default)]
pub struct Questions {
    open: Vec<Question>,
    pub answered: u64,
    pub longest: Duration,
}

impl Questions {
    pub fn ask(&mut self, arguments: &'static [&'static str]) {
        self.open.push(Question {
            arguments,
            since: Instant::now(),
            asking: None,
            again_at: Instant::now(),
        });
    }

    /// Hears answers, and asks again whoever gave none.
    pub fn tend(&mut self, world: &World) {
        let (answered, longest) = (&mut self.answered, &mut self.longest);
        self.open.retain_mut(|question| {
            let heard = question.hear(world).is_some_and(|status| status.success());
            if heard {
                *answered += 1;
                *longest = question.since.elapsed().max(*longest);
            }
            !heard
        });
    }

    /// What nobody has answered yet.
    pub fn open(&self) -> Vec<String> {
        let open = self.open.iter();
        open.map(|question| {
            let seconds = question.since.elapsed().as_secs();
            format!("{}, asked for {seconds} s", question.arguments.join(" "))
        })
        .collect()
    }
}

impl Question {
    fn hear(&mut self, world: &World) -> Option<ExitStatus> {
        let Some(asking) = &mut self.asking else {
            if self.again_at <= Instant::now() {
                self.asking = Some(ask(world, self.arguments));
            }
            return None;
        };
        let status = asking.try_wait().unwrap()?;
        self.asking = None;
        self.again_at = Instant::now() + AGAIN;
        Some(status)
    }
}
