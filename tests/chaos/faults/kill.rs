//! Processes that are killed, stopped, or told to end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::journal::Moment;
use super::super::world::{Process, Role};
use super::{Stage, Undo};

/// Whom to kill amid a drain.
pub struct Draining {
    at: usize,
    tender: Option<Process>,
    workers: Vec<Process>,
}

impl Stage {
    pub(super) fn kill_any(&mut self, role: Role) -> Option<String> {
        let process = self.any(&[role])?;
        if role == Role::Command {
            self.killed.insert(process.pid.as_raw_nonzero().get());
        }
        process.signal(Signal::KILL).then(|| process.to_string())
    }

    pub(super) fn stop(&mut self, process: Option<Process>, until: Instant) -> Option<String> {
        let process = process?;
        let line = process.to_string();
        if !process.signal(Signal::STOP) {
            return None;
        }
        self.later(until, Undo::Continue(process));
        Some(line)
    }

    pub(super) fn kill_everything(&mut self, away: Duration) -> String {
        // Without a guard it is for those that start afterwards to end what was left.
        for guard in self.shared.world.all(Role::Guard) {
            guard.signal(Signal::KILL);
        }
        let all: Vec<usize> = (0..self.tended.len()).collect();
        let killed = self.kill_with_workers(&all, away);
        if let Some(server) = self.server.as_mut().filter(|server| server.is_up()) {
            server.kill();
            self.later(Instant::now() + away, Undo::StartServer);
        }
        killed
    }

    /// All in the same instant, or as near as one process can: the tenders first, so that they replace nobody.
    pub(super) fn kill_with_workers(&mut self, which: &[usize], away: Duration) -> String {
        let pids: Vec<i32> = which
            .iter()
            .filter_map(|at| self.tended.get(*at))
            .flat_map(|tended| tended.pids().map(|pid| pid.as_raw_nonzero().get()))
            .collect();
        let mut workers = self.shared.world.all(Role::Worker);
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

    /// TERM to it and to all that came of it, one after the other in any order: so a service manager does it.
    pub(super) fn term_everything(&mut self) -> Option<String> {
        let up: Vec<usize> = (0..self.tended.len())
            .filter(|at| self.tended.get(*at).is_some_and(|t| t.pid().is_some()))
            .collect();
        let at = *self.random.pick(&up)?;
        let first = self.tended.get(at)?.pid()?;
        let mut all = tree(&self.shared.world.processes(), first.as_raw_nonzero().get());
        self.random.shuffle(&mut all);
        self.tended.get_mut(at)?.is_asked();
        let now = Moment::now();
        let mut commands = 0;
        for process in &all {
            let pid = process.pid.as_raw_nonzero().get();
            if process.signal(Signal::TERM)
                && process.role == Role::Command
                && !self.killed.contains(&pid)
            {
                self.cut.push((pid, now));
                commands += 1;
            }
        }
        Some(format!(
            "{first:?} and all {}, {commands} commands",
            all.len()
        ))
    }

    /// Tells a tender or a worker alone to end, and has it, its workers or all of them killed before they have.
    pub(super) fn drain_and_kill(&mut self, until: Instant) -> Option<String> {
        let at = self.any_tender()?;
        let tended = self.tended.get_mut(at)?;
        let pid = tended.pid()?;
        let mut workers = self.shared.world.all(Role::Worker);
        workers.retain(|worker| worker.parent == pid.as_raw_nonzero().get());
        let tender = self.shared.world.process(pid);
        tended.terminate();
        let whom = self.random.below(3);
        let draining = Draining {
            at,
            tender: tender.filter(|_| whom != 0),
            workers: if whom == 1 { Vec::new() } else { workers },
        };
        let line = format!(
            "{pid:?}, then {} and {} workers",
            draining.tender.as_ref().map_or("not it", |_| "it"),
            draining.workers.len()
        );
        self.later(until, Undo::KillDraining(draining));
        Some(line)
    }

    pub(super) fn kill_draining(&mut self, draining: &Draining) {
        if let Some(tender) = &draining.tender
            && let Some(tended) = self.tended.get_mut(draining.at)
            && tended.pid() == Some(tender.pid)
        {
            tended.kill(Duration::ZERO);
        }
        for worker in &draining.workers {
            worker.signal(Signal::KILL);
        }
    }
}

/// Those that descend from a process, and itself.
fn tree(all: &[Process], root: i32) -> Vec<Process> {
    let mut known = vec![root];
    let mut found = 0;
    while let Some(parent) = known.get(found).copied() {
        found += 1;
        let children = all.iter().filter(|process| process.parent == parent);
        known.extend(children.map(|process| process.pid.as_raw_nonzero().get()));
    }
    let is_known = |process: &&Process| known.contains(&process.pid.as_raw_nonzero().get());
    all.iter().filter(is_known).cloned().collect()
}
