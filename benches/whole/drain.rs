//! Jobs that wait, workers that run them until none is left.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::figures::Samples;
use super::processes::Cpu;
use super::server::Server;
use super::world::{Size, TUBE, World};

/// Who puts the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    /// We: a row is there, the job points to it.
    Ours,
    /// Any client of beanstalkd: the row is made when the job is reserved.
    Foreign,
}

/// The one that counts.
pub fn measure(size: &Size, samples: &mut Samples) {
    drain(
        World::with_beanstalkd(),
        "drain",
        4,
        Put::Ours,
        "true",
        size.jobs,
        samples,
    );
}

/// Those beside it, each with something else about it.
pub fn measure_others(size: &Size, samples: &mut Samples) {
    let mut few = |world, name: &str, workers, put, command| {
        drain(world, name, workers, put, command, size.few, samples)
    };
    let beanstalkd = World::with_beanstalkd;
    few(World::embedded(), "drain.embedded", 4, Put::Ours, "true");
    few(beanstalkd(), "drain.foreign", 4, Put::Foreign, "true");
    few(beanstalkd(), "drain.print", 4, Put::Ours, "print");
    for workers in [1, 2, 8, 16] {
        few(
            beanstalkd(),
            &format!("drain.{workers}"),
            workers,
            Put::Ours,
            "true",
        );
    }
}

/// Our own jobs, wherever.
pub fn drain_ours(world: World, name: &str, count: usize, samples: &mut Samples) {
    drain(world, name, 4, Put::Ours, "true", count, samples);
}

fn drain(
    mut world: World,
    name: &str,
    workers: usize,
    put: Put,
    command: &str,
    count: usize,
    samples: &mut Samples,
) {
    world.tend(workers);
    let run = Run::of(&world, count, || match put {
        Put::Ours => {
            world.put(command, count);
        }
        Put::Foreign => put_foreign(&world, command, count),
    });
    world.stop();
    world.check(count);
    if command == "print" {
        assert_eq!(world.printed(), 10_240 * count as i64);
    }
    run.note(name, samples);
}

/// What it took to run a number of jobs.
pub struct Run {
    jobs: f64,
    took: Duration,
    used: Used,
}

impl Run {
    /// Has the workers of a world begin in the same instant, with every job there, and waits until none is left.
    pub fn of(world: &World, jobs: usize, put: impl FnOnce()) -> Run {
        world.signal_workers(Signal::STOP);
        put();
        let before = Used::by(world);
        let begun = Instant::now();
        world.signal_workers(Signal::CONT);
        world.drain();
        Run {
            jobs: jobs as f64,
            took: begun.elapsed(),
            used: Used::by(world).since(&before),
        }
    }

    /// Jobs a second.
    pub fn rate(&self) -> f64 {
        self.jobs / self.took.as_secs_f64()
    }

    /// How many cores all of them together kept busy.
    pub fn cores(&self) -> f64 {
        self.used.all().micros() / 1e6 / self.took.as_secs_f64()
    }

    /// Jobs a second, and whose CPU a job cost, in microseconds.
    pub fn note(&self, name: &str, samples: &mut Samples) {
        samples.add(name, self.rate());
        let used = &self.used;
        for (part, cpu) in [
            ("workers", used.workers),
            ("tender", used.tender),
            ("broker", used.broker),
            ("commands", used.commands),
        ] {
            for (mode, micros) in [("user", cpu.user_micros()), ("system", cpu.system_micros())] {
                samples.add(&format!("{name}.cpu.{part}.{mode}"), micros / self.jobs);
            }
        }
        samples.add(&format!("{name}.cpu"), used.all().micros() / self.jobs);
    }
}

fn put_foreign(world: &World, command: &str, count: usize) {
    let mut session = world.server.as_ref().unwrap().connect();
    session.use_tube(TUBE);
    for _ in 0..count {
        session.put(&format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}"));
    }
}

/// What everybody has used up so far.
struct Used {
    workers: Cpu,
    tender: Cpu,
    broker: Cpu,
    commands: Cpu,
}

impl Used {
    fn by(world: &World) -> Used {
        let workers = world.workers();
        Used {
            workers: workers.iter().map(|pid| Cpu::of(*pid)).sum(),
            tender: Cpu::of(world.tender()),
            broker: world
                .server
                .as_ref()
                .map_or(Cpu::default(), |server: &Server| Cpu::of(server.pid())),
            commands: workers
                .iter()
                .map(|pid| Cpu::of_those_waited_for(*pid))
                .sum(),
        }
    }

    fn since(self, before: &Used) -> Used {
        Used {
            workers: self.workers - before.workers,
            tender: self.tender - before.tender,
            broker: self.broker - before.broker,
            commands: self.commands - before.commands,
        }
    }

    fn all(&self) -> Cpu {
        self.workers + self.tender + self.broker + self.commands
    }
}
