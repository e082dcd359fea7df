//! What a command costs that only asks, or only puts: from its start to its end, beside one that does nothing.

use std::path::Path;
use std::process::Stdio;

use taskqueue::ledger::{Durability, sqlite};

use super::figures::{Samples, median};
use super::world::{Size, World, bare, millis};

/// In memory: what is measured is not how long a disk takes.
const MEMORY: &str = "/dev/shm";

const PUT: &[&str] = &["put", "--use-tube", "nobody-s", "true"];

pub fn measure(size: &Size, samples: &mut Samples) {
    let folder = tempfile::tempdir_in(MEMORY).unwrap();
    let store = folder.path().join("start.db");
    drop(sqlite::open(&store, Durability::ProcessDeath).unwrap());
    let mut world = World::embedded().over(store);
    take("start.alone", &world, size, samples);
    world.tend(1);
    take("start", &world, size, samples);
    world.stop();
}

/// By turns, so that all have the same of whatever else goes on.
fn take(name: &str, world: &World, size: &Size, samples: &mut Samples) {
    let show = || world.taskqueue(&["show", "1"]);
    // Nobody works on that tube, and each is told so.
    let put = || {
        let mut put = world.taskqueue(PUT);
        put.stderr(Stdio::null());
        put
    };
    millis(put());
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..size.puts {
        let programs = [bare(Path::new(super::TRUE)), show(), put()];
        for (took, program) in took.iter_mut().zip(programs) {
            took.push(millis(program));
        }
    }
    for (what, mut took) in ["true", "show", "put"].into_iter().zip(took) {
        samples.add(&format!("{name}.{what}"), median(&mut took));
    }
}
