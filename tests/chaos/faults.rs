//! Doing what is planned to go wrong, and undoing it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use super::disk::Disk;
use super::journal::Moment;
use super::plan::{Fault, Kind};
use super::producers::Shared;
use super::proxy::Proxy;
use super::random::Random;
use super::server::Server;
use super::store;
use super::tended::Tended;
use super::world::{Process, Role};

/// Everything that can be broken.
pub struct Stage {
    pub shared: Arc<Shared>,
    pub server: Option<Server>,
    pub proxy: Option<Proxy>,
    pub disk: Option<Disk>,
    pub tended: Vec<Tended>,
    pub random: Random,
    /// How often each was done.
    pub done: BTreeMap<Kind, u64>,
    undos: Vec<(Instant, Undo)>,
}

/// What ends a fault that lasts.
enum Undo {
    StartServer,
    Continue(Process),
    ContinueTended(Pid),
    ContinueServer,
    Empty,
    Unlock(Connection),
}

/// What cannot be done now may be possible in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Yes,
    NotNow,
}

impl Stage {
    pub fn new(shared: Arc<Shared>, random: Random, tended: Vec<Tended>) -> Stage {
        Stage {
            shared,
            server: None,
            proxy: None,
            disk: None,
            tended,
            random,
            done: BTreeMap::new(),
            undos: Vec::new(),
        }
    }

    /// What is to be done all the time.
    pub fn tend(&mut self) {
        for tended in &mut self.tended {
            tended.tend(&self.shared.world);
        }
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.undos.drain(..).partition(|(at, _)| *at <= now);
        self.undos = later;
        for (_, undo) in due {
            self.undo(undo);
        }
    }

    /// Ends every fault now.
    pub fn calm(&mut self) {
        for (_, undo) in std::mem::take(&mut self.undos) {
            self.undo(undo);
        }
        if let Some(proxy) = &self.proxy {
            proxy.calm();
            self.done.insert(Kind::Cut, proxy.made());
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::StartServer => {
                if let Some(server) = &mut self.server {
                    server.start_again();
                }
            }
            Undo::ContinueServer => {
                if let Some(server) = &self.server {
                    server.signal(Signal::CONT);
                }
            }
            Undo::Continue(process) => {
                process.signal(Signal::CONT);
            }
            Undo::ContinueTended(pid) => {
                // Not reaped before it was seen to have ended, and then nobody else has its number yet.
                if self.tended.iter().any(|t| t.pid() == Some(pid)) {
                    let _ = kill_process(pid, Signal::CONT);
                }
            }
            Undo::Empty => {
                if let Some(disk) = &self.disk {
                    disk.empty().unwrap();
                }
            }
            // Its transaction is rolled back.
            Undo::Unlock(connection) => drop(connection),
        }
    }

    /// Does it, counts it, and notes when it was.
    pub fn perform(&mut self, fault: Fault) -> Done {
        let at = Moment::now();
        let Some(what) = self.try_to(fault) else {
            return Done::NotNow;
        };
        if fault.kind != Kind::Cut {
            *self.done.entry(fault.kind).or_default() += 1;
        }
        let (kind, lasts) = (fault.kind.name(), fault.lasts.as_millis());
        let line = format!("{} {kind} for {lasts} ms: {what}\n", at.wall);
        let mut log = self.shared.world.log("faults");
        log.write_all(line.as_bytes()).unwrap();
        Done::Yes
    }

    /// What was done to whom; None if there was nobody to do it to.
    fn try_to(&mut self, fault: Fault) -> Option<String> {
        let until = Instant::now() + fault.lasts;
        match fault.kind {
            Kind::KillWorker => self.signal_any(Role::Worker, Signal::KILL),
            Kind::KillGuard => self.signal_any(Role::Guard, Signal::KILL),
            Kind::KillCommand => self.signal_any(Role::Command, Signal::KILL),
            Kind::KillPut => self.signal_any(Role::Put, Signal::KILL),
            Kind::KillTender => {
                let tender = self.any_tender()?;
                let pid = self.tended.get(tender)?.pid();
                self.tended.get_mut(tender)?.kill(fault.lasts);
                Some(format!("{pid:?}"))
            }
            Kind::KillTogether => {
                let tender = self.any_tender()?;
                Some(self.kill_with_workers(&[tender], fault.lasts))
            }
            Kind::KillEverything => {
                // Without a guard it is for those that start afterwards to end what was left.
                for guard in self.shared.world.all(Role::Guard) {
                    guard.signal(Signal::KILL);
                }
                let all: Vec<usize> = (0..self.tended.len()).collect();
                let killed = self.kill_with_workers(&all, fault.lasts);
                if let Some(server) = self.server.as_mut().filter(|server| server.is_up()) {
                    server.kill();
                    self.undos.push((until, Undo::StartServer));
                }
                Some(killed)
            }
            Kind::KillBroker => {
                self.server.as_mut().filter(|server| server.is_up())?.kill();
                self.undos.push((until, Undo::StartServer));
                Some(String::new())
            }
            Kind::ForgetBroker => self.forget(until),
            Kind::StopWorker => self.stop(Role::Worker, until),
            Kind::StopCommand => self.stop(Role::Command, until),
            Kind::StopTender => {
                let tender = self.any_tender()?;
                let pid = self.tended.get(tender)?.pid()?;
                kill_process(pid, Signal::STOP).unwrap();
                self.undos.push((until, Undo::ContinueTended(pid)));
                Some(format!("{pid:?}"))
            }
            Kind::StopBroker => {
                let server = self.server.as_ref().filter(|server| server.is_up())?;
                server.signal(Signal::STOP);
                self.undos.push((until, Undo::ContinueServer));
                Some(String::new())
            }
            Kind::Restart => {
                // It ends in its own time; what ended by itself is started again at once.
                let tender = self.any_tender()?;
                let tender = self.tended.get_mut(tender)?;
                tender.terminate();
                Some(format!("{:?}", tender.pid()))
            }
            Kind::Cut => {
                self.proxy.as_ref()?.cut();
                Some(String::new())
            }
            Kind::Disk => {
                let but = self.random.below(64 * 1024);
                self.disk.as_ref()?.fill(but).ok()?;
                self.undos.push((until, Undo::Empty));
                Some(format!("{but} bytes are left"))
            }
            Kind::Lock => {
                let connection = store::open(&self.shared.world.store()).ok()?;
                connection.busy_timeout(Duration::from_secs(1)).ok()?;
                connection.execute_batch("BEGIN IMMEDIATE").ok()?;
                self.undos.push((until, Undo::Unlock(connection)));
                Some(String::new())
            }
        }
    }

    fn any_tender(&mut self) -> Option<usize> {
        let tenders: Vec<usize> = (0..self.tended.len())
            .filter(|at| {
                let tended = self.tended.get(*at);
                tended.is_some_and(|tended| tended.is_tender() && tended.pid().is_some())
            })
            .collect();
        self.random.pick(&tenders).copied()
    }

    fn any(&mut self, role: Role) -> Option<Process> {
        let all = self.shared.world.all(role);
        self.random.pick(&all).cloned()
    }

    fn signal_any(&mut self, role: Role, signal: Signal) -> Option<String> {
        let process = self.any(role)?;
        let line = format!("{:?} {}", process.pid, process.line);
        process.signal(signal).then_some(line)
    }

    fn stop(&mut self, role: Role, until: Instant) -> Option<String> {
        let process = self.any(role)?;
        let line = format!("{:?} {}", process.pid, process.line);
        if !process.signal(Signal::STOP) {
            return None;
        }
        self.undos.push((until, Undo::Continue(process)));
        Some(line)
    }

    /// All in the same instant, or as near as one process can: the tenders first, so that they replace nobody.
    fn kill_with_workers(&mut self, which: &[usize], away: Duration) -> String {
        let world = &self.shared.world;
        let pids: Vec<i32> = which
            .iter()
            .filter_map(|at| self.tended.get(*at)?.pid())
            .map(|pid| pid.as_raw_nonzero().get())
            .collect();
        let mut workers = world.all(Role::Worker);
        workers.retain(|worker| pids.contains(&worker.parent));
        for at in which {
            if let Some(tended) = self.tended.get_mut(*at) {
                tended.kill(away);
            }
        }
        for worker in &workers {
            worker.signal(Signal::KILL);
        }
        format!("{pids:?} with {} workers", workers.len())
    }

    fn forget(&mut self, until: Instant) -> Option<String> {
        let store = store::open(&self.shared.world.store()).ok()?;
        let server = self.server.as_mut().filter(|server| server.is_up())?;
        server.kill();
        server.forget();
        self.undos.push((until, Undo::StartServer));
        let known = loop {
            if let Ok(known) = store::foreign_keys(&store) {
                break known;
            }
            // Where the disk is full and nobody else lives, nobody but us would ever give it room.
            if let Some(disk) = &self.disk {
                disk.empty().unwrap();
            }
        };
        self.shared.forget(&known);
        Some(format!("{} tasks of others are known", known.len()))
    }
}
