//! Workers that are hired, take their steps, and are killed.

use super::*;
use crate::process::leftover::Cleared;

impl Model {
    pub(super) fn hire(&mut self) {
        self.named += 1;
        let mut ledger = self.rows.open(
            Arc::new(self.lives.clone()),
            Arc::new(self.journals.clone()),
        );
        let wall = self.wall();
        let Ok(Registered { me, alive }) =
            ledger.register(&new_worker(&format!("w{}", self.named)), wall)
        else {
            // The ledger is in trouble: the tender tries again later.
            self.named -= 1;
            return;
        };
        let rules = Rules {
            has_tender: true,
            ledger_is_local: self.kind.is_local,
            ..stage::rules()
        };
        let connection = self.broker.connect();
        let machine = Machine::new(rules, Arc::clone(&self.commands), self.instant());
        self.workers.push(Worker {
            machine,
            ledger,
            me,
            _alive: alive,
            connection,
            asked: None,
            told: None,
            proves: false,
            run: None,
            clears: None,
            cleans: None,
            journal: None,
            ready: VecDeque::from([Event::Due]),
        });
    }

    /// Kill -9: everything goes at once but the command, which the guard ends a little later.
    pub(super) fn kill(&mut self, at: usize) {
        self.tally.kills += 1;
        let mut worker = self.workers.swap_remove(at);
        // What was on its way to the ledger may have been recorded.
        if let Some(entry) = worker.told.take()
            && self.dice.one_in(2)
        {
            let wall = self.wall();
            if let Ok(entered) = worker
                .ledger
                .enter(&entry, &self.commands, &worker.me, wall)
            {
                self.note_done(&entry, &entered.ours);
            }
        }
        self.broker.disconnect(worker.connection);
        if let Some(run) = worker.run.take() {
            let gone_at = self.now + self.dice.below(200_000);
            self.orphans.push(Orphan {
                attempt: run.attempt,
                gone_at,
            });
        }
        drop(worker);
        self.hire();
    }

    /// Lets one of the workers take a step. False if none has anything to do now.
    pub(super) fn somebody_acts(&mut self) -> bool {
        while self.workers.len() < self.kind.workers && self.trouble_until.is_none() {
            self.hire();
        }
        let count = self.workers.len();
        let first = self.dice.below(count.max(1) as u64) as usize;
        for offset in 0..count {
            let at = (first + offset) % count;
            if let Some(event) = self.next(at) {
                self.step(at, event);
                return true;
            }
        }
        false
    }

    pub(super) fn next(&mut self, at: usize) -> Option<Event> {
        if let Some(event) = self.workers[at].ready.pop_front() {
            return Some(event);
        }
        let worker = &self.workers[at];
        if worker
            .run
            .as_ref()
            .is_some_and(|run| run.ends_at <= self.now)
        {
            return Some(self.command_ends(at, false));
        }
        if worker
            .machine
            .deadline()
            .is_some_and(|due| due <= Duration::from_micros(self.now))
        {
            return Some(Event::Due);
        }
        let kinds = [
            worker.asked.is_some(),
            worker.told.is_some(),
            worker.proves,
            worker.clears.is_some(),
            worker.cleans.is_some(),
        ];
        let first = self.dice.below(5) as usize;
        for offset in 0..5 {
            let kind = (first + offset) % 5;
            let event = match (kind, kinds[kind]) {
                (_, false) => None,
                (0, true) => self.answer(at).map(Event::Answered),
                (1, true) => self.workers[at]
                    .told
                    .take()
                    .map(|entry| self.enter(at, &entry)),
                (2, true) => {
                    let worker = &mut self.workers[at];
                    worker.proves = false;
                    let id = worker.me.id;
                    Some(Event::Proved(worker.ledger.prove(id).is_ok()))
                }
                (3, true) => self.workers[at].clears.take().map(|dead| {
                    self.end_orphans(dead.id);
                    Event::Cleared(Cleared::Gone)
                }),
                (_, true) => self.workers[at].cleans.take().map(|cleanup| {
                    self.clean_up(&cleanup);
                    Event::CleanedUp(Vec::new())
                }),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    pub(super) fn step(&mut self, at: usize, event: Event) {
        let now = self.instant();
        let name = self.workers[at].me.name.clone();
        let effects = match self.workers[at].machine.step(event, now) {
            Ok(effects) => effects,
            Err(illegal) => panic!("{illegal}"),
        };
        for effect in effects {
            if self.dice.one_in(self.kind.kills) && self.to_put != (0, 0) {
                self.kill(at);
                return;
            }
            self.perform(at, effect);
            if self
                .workers
                .get(at)
                .is_none_or(|worker| worker.me.name != name)
            {
                return;
            }
        }
    }
}
