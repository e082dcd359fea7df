//! A broker without a binlog is restarted: every job that waited is gone, and has to be put again.

use std::time::Instant;

use super::figures::Samples;
use super::world::{Size, TUBE, World};

pub fn measure(size: &Size, samples: &mut Samples) {
    let mut world = World::with_beanstalkd();
    world.put("true", size.forgotten);
    let server = world.server.as_mut().unwrap();
    server.forget();
    let mut session = server.connect();
    assert_eq!(session.jobs(TUBE), 0);
    let begun = Instant::now();
    let put = world.taskqueue(&["reconcile"]).status().unwrap();
    samples.add("forgotten", begun.elapsed().as_secs_f64());
    assert!(put.success());
    // Each of them once.
    assert_eq!(session.jobs(TUBE), size.forgotten as u64);
    let again = "SELECT count(*) FROM tasks JOIN task_jobs ON task = id
        WHERE status = 'waiting' AND generation = 2 AND NOT EXISTS (SELECT 1 FROM puts)";
    assert_eq!(world.ask(again), size.forgotten as i64);
}
