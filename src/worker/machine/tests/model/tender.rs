//! What a tender does beside its workers.

use super::*;

impl Model {
    /// The tender's: dead attempts, tasks without a job, jobs that the broker has forgotten.
    pub(super) fn pass(&mut self) {
        let (tube, me, wall) = (self.tube.clone(), self.tender_is.clone(), self.wall());
        for dead in self.tender.dead_attempts(&tube, me.id).unwrap() {
            let taking = Entry {
                take_over: Some(dead.clone()),
                ..Entry::default()
            };
            let entered = self
                .tender
                .enter(&taking, &self.commands, &me, wall)
                .unwrap();
            if entered.taken {
                self.end_orphans(dead.id);
                let lose = Some(DeadAttempt {
                    owner: Some(me.id),
                    ..dead
                });
                let losing = Entry {
                    lose,
                    ..Entry::default()
                };
                let entered = self
                    .tender
                    .enter(&losing, &self.commands, &me, wall)
                    .unwrap();
                assert_ne!(entered.lost, Some(AfterLoss::NotOurs));
            }
        }
        let missing = self
            .tender
            .missing(&tube, TaskId::BEFORE_ALL, 10_000, wall)
            .unwrap();
        let again = self.tender.put_again(&missing, wall).unwrap();
        self.announce(again);
        let (instance, mut forgotten) = (self.broker.instance(), Vec::new());
        for job in self
            .tender
            .unverified(&tube, None, TaskId::BEFORE_ALL, 10_000)
            .unwrap()
        {
            let body = job.job.and_then(|id| self.broker.peek(id));
            let is_there = match job.fingerprint {
                Fingerprint::Pointer => body == Some(pointer(job.uuid)),
                // Where the broker keeps its jobs, its number is enough.
                Fingerprint::Foreign { .. } => body.is_some(),
            };
            match is_there {
                true => self.tender.note_found(&instance, &[job.put]).unwrap(),
                false => forgotten.push(job.put),
            }
        }
        let again = self.tender.put_again(&forgotten, wall).unwrap();
        self.announce(again);
    }

    pub(super) fn announce(&mut self, puts: Vec<Again>) {
        let instance = self.broker.instance();
        for again in puts {
            let delay = u64::try_from(again.due_in.max(0)).unwrap() * 1000;
            let job = self.broker.put(pointer(again.uuid), TTR, delay, self.now);
            let _ = self.tender.note_puts(&instance, &[(again.put, Some(job))]);
        }
    }
}
