//! Doing what is planned to go wrong, and undoing it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal};

use super::ask::Questions;
use super::disk::Disk;
use super::journal::Moment;
use super::plan::{Fault, Kind};
use super::producers::Shared;
use super::proxy::Proxy;
use super::random::Random;
use super::server::Server;
use super::somebody::Resource;
use super::store;
use super::tap::Tap;
use super::tended::Tended;
use super::world::{Process, Role};

mod change;
mod kill;
mod lack;

use change::Change;
use kill::Draining;
use lack::Limited;

/// What cannot be undone yet is tried again after so long.
const SOON: Duration = Duration::from_millis(100);

/// Everything that can be broken.
pub struct Stage {
    pub shared: Arc<Shared>,
    pub server: Option<Server>,
    pub proxy: Option<Proxy>,
    pub disk: Option<Disk>,
    /// That of a log file.
    pub log_disk: Option<Disk>,
    pub tended: Vec<Tended>,
    pub random: Random,
    /// How often each was done.
    pub done: BTreeMap<Kind, u64>,
    /// Commands that were told to end with all around them, and when.
    pub cut: Vec<(i32, Moment)>,
    /// Commands that were killed by themselves.
    killed: BTreeSet<i32>,
    pub questions: Questions,
    /// How often a configuration was accepted that is wrong.
    pub accepted: u64,
    undos: Vec<(Instant, Undo)>,
}

/// What ends a fault that lasts.
enum Undo {
    StartServer,
    Continue(Process),
    ContinueServer,
    Empty,
    EmptyLog,
    Unlock(Connection),
    Limit(Limited),
    Read(Tap),
    /// Who has no log any more gets another one.
    StartAgain(usize, Pid),
    Configure(Change, Vec<Child>),
    KillDraining(Draining),
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
            log_disk: None,
            tended,
            random,
            done: BTreeMap::new(),
            cut: Vec::new(),
            killed: BTreeSet::new(),
            questions: Questions::default(),
            accepted: 0,
            undos: Vec::new(),
        }
    }

    /// What is to be done all the time.
    pub fn tend(&mut self) {
        for tended in &mut self.tended {
            tended.tend(&self.shared.world);
        }
        self.questions.tend(&self.shared.world);
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.undos.drain(..).partition(|(at, _)| *at <= now);
        self.undos = later;
        for (_, undo) in due {
            if let Some(undo) = self.undo(undo) {
                self.later(now + SOON, undo);
            }
        }
    }

    /// Ends every fault now, and asks how the tenders are.
    pub fn calm(&mut self) {
        while !self.undos.is_empty() {
            for (_, undo) in std::mem::take(&mut self.undos) {
                if let Some(undo) = self.undo(undo) {
                    self.later(Instant::now(), undo);
                }
            }
            std::thread::sleep(SOON);
        }
        self.questions.ask(&["status"]);
        self.questions.ask(&["reload"]);
        if let Some(proxy) = &self.proxy {
            proxy.calm();
            self.done.insert(Kind::Cut, proxy.made());
        }
    }

    fn later(&mut self, at: Instant, undo: Undo) {
        self.undos.push((at, undo));
    }

    /// What has to be put off.
    fn undo(&mut self, undo: Undo) -> Option<Undo> {
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
            Undo::Empty => {
                if let Some(disk) = &self.disk {
                    disk.empty().unwrap();
                }
            }
            Undo::EmptyLog => {
                if let Some(disk) = &self.log_disk {
                    disk.empty().unwrap();
                }
            }
            // Its transaction is rolled back.
            Undo::Unlock(connection) => drop(connection),
            Undo::Limit(limited) => self.unlimit(&limited),
            Undo::Read(tap) => tap.wake(),
            Undo::StartAgain(at, pid) => {
                let tended = self.tended.get_mut(at);
                if let Some(tended) = tended.filter(|tended| tended.pid() == Some(pid)) {
                    tended.terminate();
                }
            }
            Undo::Configure(how, asking) => return self.change_back(how, asking),
            Undo::KillDraining(draining) => self.kill_draining(&draining),
        }
        None
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
            Kind::KillWorker => self.kill_any(Role::Worker),
            Kind::KillGuard => self.kill_any(Role::Guard),
            Kind::KillCommand => self.kill_any(Role::Command),
            Kind::KillPut => self.kill_any(Role::Put),
            Kind::KillTender => {
                let at = self.any_tender()?;
                let tended = self.tended.get_mut(at)?;
                let pid = tended.pid();
                tended.kill(fault.lasts);
                Some(format!("{pid:?}"))
            }
            Kind::KillTogether => {
                let tender = self.any_tender()?;
                Some(self.kill_with_workers(&[tender], fault.lasts))
            }
            Kind::KillEverything => Some(self.kill_everything(fault.lasts)),
            Kind::KillDrain => self.drain_and_kill(until),
            Kind::KillBroker => {
                self.server.as_mut().filter(|server| server.is_up())?.kill();
                self.later(until, Undo::StartServer);
                Some(String::new())
            }
            Kind::ForgetBroker => self.forget(until),
            Kind::StopWorker => {
                let worker = self.any(&[Role::Worker]);
                self.stop(worker, until)
            }
            Kind::StopCommand => {
                let command = self.any(&[Role::Command]);
                self.stop(command, until)
            }
            Kind::StopTender => {
                let at = self.any_tender()?;
                let pid = self.tended.get(at)?.pid()?;
                let tender = self.shared.world.process(pid);
                self.stop(tender, until)
            }
            Kind::StopBroker => {
                let server = self.server.as_ref().filter(|server| server.is_up())?;
                server.signal(Signal::STOP);
                self.later(until, Undo::ContinueServer);
                Some(String::new())
            }
            Kind::Restart => {
                // It ends in its own time; what ended by itself is started again at once.
                let at = self.any_tender()?;
                let tended = self.tended.get_mut(at)?;
                tended.terminate();
                Some(format!("{:?}", tended.pid()))
            }
            Kind::HandOver => {
                let at = self.any_tender()?;
                let tended = self.tended.get_mut(at)?;
                let pid = tended.pid();
                tended.hand_over();
                Some(format!("{pid:?}"))
            }
            Kind::TermEverything => self.term_everything(),
            Kind::Cut => {
                self.proxy.as_ref()?.cut();
                Some(String::new())
            }
            Kind::Disk => self.fill(until),
            Kind::Lock => self.lock(until),
            Kind::NoProcess => self.limit(Resource::Processes, until),
            Kind::NoDescriptor => self.limit(Resource::Descriptors, until),
            Kind::LogGone => self.deafen(true, until),
            Kind::LogHung => self.deafen(false, until),
            Kind::LogFull => self.fill_log(until),
            Kind::SweepSocket => self.sweep(),
            Kind::ReplaceProgram => self.replace(),
            Kind::ChangeConfig => self.change(Change::Read, until),
            Kind::BreakConfig => self.change(Change::Refused, until),
            Kind::SaveConfig => self.change(Change::Saved, until),
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

    fn any(&mut self, roles: &[Role]) -> Option<Process> {
        let mut all = self.shared.world.processes();
        all.retain(|process| roles.contains(&process.role));
        self.random.pick(&all).cloned()
    }

    fn forget(&mut self, until: Instant) -> Option<String> {
        let store = store::open(&self.shared.world.store()).ok()?;
        let server = self.server.as_mut().filter(|server| server.is_up())?;
        server.kill();
        server.forget();
        self.later(until, Undo::StartServer);
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
