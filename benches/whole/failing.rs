//! What it costs that a command fails, on a machine where much else lives.
//!
//! Whoever looks for what an attempt left running looks at every process there is. Beside a few that costs little, so
//! there are a thousand here.

use std::io::{PipeWriter, pipe};
use std::process::{Child, Stdio};

use super::drain::Run;
use super::figures::Samples;
use super::world::{Size, World, bare};

/// How many processes there are besides.
const BYSTANDERS: usize = 1_000;

/// What succeeds and what fails, run by the same workers, one after the other.
pub fn measure(size: &Size, samples: &mut Samples) {
    let mut world = World::with_beanstalkd();
    world.tend(4);
    let bystanders = Bystanders::start(BYSTANDERS);
    for (command, status, code) in [("true", "done", 0), ("false", "failed", 1)] {
        let run = Run::of(&world, size.few, || {
            world.put(command, size.few);
        });
        let ended = format!("outcome = 'exited' AND exit_code = {code}");
        world.check_each(size.few, status, &ended);
        world.pass_over();
        run.note(&format!("failing.{command}"), samples);
    }
    bystanders.end();
    world.stop();
}

/// Processes that do nothing until we let them go. If we die, they end as well: each reads from a pipe that only we can
/// write to.
struct Bystanders {
    hold: PipeWriter,
    sleepers: Vec<Child>,
}

impl Bystanders {
    fn start(count: usize) -> Bystanders {
        let (input, hold) = pipe().unwrap();
        let sleepers = (0..count)
            .map(|_| {
                let mut sleeper = bare("/bin/cat".as_ref());
                sleeper.stdin(input.try_clone().unwrap());
                sleeper.stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        Bystanders { hold, sleepers }
    }

    /// Lets them go, each of which must still be there.
    fn end(mut self) {
        for sleeper in &mut self.sleepers {
            assert!(sleeper.try_wait().unwrap().is_none(), "a bystander left");
        }
        drop(self.hold);
        for mut sleeper in self.sleepers {
            assert!(sleeper.wait().unwrap().success());
        }
    }
}
