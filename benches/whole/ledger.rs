//! The ledger and the broker alone: what a job costs that starts no process.

use super::drain::Run;
use super::figures::Samples;
use super::world::{Size, World};

/// What no configuration here names.
const NOT_CONFIGURED: &str = "nothing";

/// Jobs that are refused: each is reserved, claimed, recorded and buried, and that is all.
pub fn measure(size: &Size, samples: &mut Samples) {
    let mut world = World::with_beanstalkd();
    world.tend(4);
    let run = Run::of(&world, size.jobs, || {
        world.put(NOT_CONFIGURED, size.jobs);
    });
    world.stop();
    world.check_each(size.jobs, "failed", "outcome = 'refused'");
    run.note("ledger", samples);
    samples.add("ledger.cores", run.cores());
}
