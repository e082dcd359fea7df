//! A ledger that answers whatever it may.

use super::*;

impl World {
    pub(super) fn is_told(&mut self, entry: Arc<Entry>, haste: Haste) {
        assert!(
            self.pending.is_none() && !self.proving,
            "two entries at once"
        );
        self.is_all_that_is_deleted(&entry.deleted);
        if let Some((id, _)) = &entry.progress {
            assert!(self.claimed.contains(id), "says how far another's is");
        }
        for settlement in &entry.settle {
            assert!(
                settlement.report.is_none() || !self.journal.contains(&settlement.id),
                "waits in the journal, which has no room for what it said"
            );
            assert!(
                self.has_ended.contains(&settlement.id),
                "settled before it has ended"
            );
            let (id, outcome) = (settlement.id, &settlement.outcome);
            assert_eq!(
                self.cleaned.contains(&id),
                World::has_cleanup(id) && outcome.is_cut_short(),
                "{outcome:?} of attempt {id}: cleaned up after, or not"
            );
            assert!(
                !self.is_worker_s_trouble(settlement.id),
                "spent for what the worker lacks: {settlement:?}"
            );
        }
        self.pending = Some(entry);
        match haste {
            Haste::AtOnce => {
                let event = self.enter_pending();
                self.ready.push_back(event);
            }
            Haste::Patient => {
                if self.tape.pick(2) == 0 {
                    let event = self.enter_pending();
                    self.ready.push_back(event);
                }
            }
        }
    }

    /// What is known goes with the next entry, or with the sign-off. What a note said for whose answer nobody waited,
    /// since the worker was told to go, may be said again.
    pub(super) fn is_all_that_is_deleted(&self, said: &[TaskId]) {
        let said = counted(said);
        match self.told {
            Mode::Working => assert_eq!(said, self.deleted_since),
            Mode::Draining { .. } | Mode::Stopping => {
                for (task, count) in &self.deleted_since {
                    assert!(said.get(task) >= Some(count), "{task} is not named");
                }
            }
        }
    }

    /// Takes the entry, or refuses it. The event is to be handed in next.
    pub(super) fn enter_pending(&mut self) -> Event {
        let entry = Arc::clone(self.pending.as_ref().unwrap());
        let refusal = match self.tape.pick(24) {
            23 => Some(Unentered::Busy),
            22 => Some(Unentered::Trouble("the disk is full".into())),
            21 if entry.claim.is_some() => Some(Unentered::OfOneRow("nonsense".into())),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Event::Entered(Err(refusal));
        }
        // What has been deleted since the entry was begun goes with the next.
        for (task, count) in counted(&entry.deleted) {
            // None where it is said again.
            let since = self.deleted_since.remove(&task).unwrap_or_default();
            if since > count {
                self.deleted_since.insert(task, since - count);
            }
        }
        let mut entered = Entered::default();
        for settlement in &entry.settle {
            let is_wished = self.wished.contains(&settlement.id);
            let next = match &settlement.next {
                Next::Done => Next::Done,
                Next::Failed { .. } | Next::Wait(_) if is_wished => Next::Cancelled,
                other => other.clone(),
            };
            assert!(
                is_wished || next != Next::Cancelled,
                "cancelled, and nobody wanted it"
            );
            let is_ours = self.settle(settlement.id, &next);
            if is_ours && next == Next::Cancelled {
                entered.called_off.push(settlement.id.task);
            }
            entered.ours.push(is_ours);
        }
        for id in &entry.unclaim {
            assert!(
                !self.has_ended.contains(id) || self.unstarted.contains_key(id),
                "has run, and was not to begin"
            );
            assert_ne!(
                self.unstarted.get(id),
                Some(&Lack::Sense),
                "waits again for what can never be started"
            );
            assert!(
                !self.locks.holds(*id),
                "its lock is to be free before it waits"
            );
            if self.rows[&id.task.0] == Row::Ours(*id) {
                let attempts = id.number;
                let row = match self.wished.contains(id) {
                    true => Row::Ended {
                        attempts,
                        failed: false,
                    },
                    false => Row::Waiting { attempts },
                };
                self.rows.insert(id.task.0, row);
            }
        }
        for jobless in &entry.again {
            let put = match jobless {
                Jobless::Put(put) => *put,
                Jobless::Job(job) => PutId {
                    task: TaskId(World::task_of(job)),
                    generation: 1,
                },
                Jobless::Children => {
                    entered.unheard |= self.tape.one_in(3);
                    PutId {
                        task: TaskId(1_000_000),
                        generation: 1,
                    }
                }
            };
            entered.puts.extend(self.again(put));
        }
        entered.taken = entry.take_over.as_ref().is_some_and(|dead| {
            let taken = self.rows[&dead.id.task.0] == Row::Theirs(dead.id) && !self.tape.one_in(4);
            if taken {
                self.rows.insert(dead.id.task.0, Row::Ours(dead.id));
                self.has_ended.insert(dead.id);
            }
            taken
        });
        entered.cleanup = entry
            .take_over
            .as_ref()
            .filter(|dead| entered.taken && World::has_cleanup(dead.id))
            .filter(|dead| dead.remains == Remains::Unknown)
            .map(|dead| stage::cleanup(dead.id));
        if let Some(dead) = &entry.lose {
            assert!(
                !World::has_cleanup(dead.id)
                    || dead.remains != Remains::Unknown
                    || self.cleaned.contains(&dead.id),
                "lost, and not cleaned up after"
            );
            assert_eq!(
                self.rows[&dead.id.task.0],
                Row::Ours(dead.id),
                "not taken over"
            );
            self.rows.insert(
                dead.id.task.0,
                Row::Waiting {
                    attempts: dead.id.number,
                },
            );
        }
        if let Some(job) = &entry.claim {
            let claim = self.claim(job, false);
            let begins = matches!(claim, Claim::Begun(_));
            entered.claim = Some(claim);
            for job in &entry.prefetch {
                let attempt = match begins && !self.tape.one_in(6) {
                    true => match self.claim(job, true) {
                        Claim::Begun(attempt) => Some(attempt),
                        _ => None,
                    },
                    false => None,
                };
                entered.prefetch.push(attempt);
            }
        }
        for job in &entry.sift {
            let task = World::task_of(job);
            let row = self
                .rows
                .entry(task)
                .or_insert(Row::Waiting { attempts: 0 });
            if !matches!(row, Row::Waiting { attempts: 0 }) || self.tape.one_in(4) {
                break;
            }
            self.is_over.insert(job.id);
            entered.sifted.push(TaskId(task));
        }
        Event::Entered(Ok(Box::new(entered)))
    }

    pub(super) fn again(&mut self, put: PutId) -> Option<Again> {
        (!self.tape.one_in(3)).then(|| Again {
            put,
            uuid: Uuid::from_u128(put.task.0.unsigned_abs().into()),
            about: None,
            tube: "t".parse().unwrap(),
            priority: 1024,
            ttr: 60,
            due_in: 0,
            old_job: None,
            has_job: false,
        })
    }

    pub(super) fn settle(&mut self, id: AttemptId, next: &Next) -> bool {
        let row = self.rows[&id.task.0];
        assert_ne!(
            row,
            Row::Waiting {
                attempts: id.number
            },
            "recorded twice"
        );
        if row != Row::Ours(id) {
            return false;
        }
        // Now and then somebody has taken it over: this worker was stopped for long.
        if self.tape.one_in(30) {
            let attempts = id.number;
            self.rows.insert(id.task.0, Row::Waiting { attempts });
            return false;
        }
        let job = self.of_job[&id];
        let attempts = id.number;
        let (row, is_over) = match next {
            Next::Done | Next::Cancelled => (
                Row::Ended {
                    attempts,
                    failed: false,
                },
                true,
            ),
            Next::Failed { .. } => (
                Row::Ended {
                    attempts,
                    failed: true,
                },
                true,
            ),
            Next::Wait(_) => (Row::Waiting { attempts }, false),
        };
        self.rows.insert(id.task.0, row);
        if is_over {
            self.is_over.insert(job);
        }
        self.may_go.insert(job);
        true
    }

    /// What a claim may come to.
    fn task_of(job: &JobRef) -> i64 {
        let task = match &job.task {
            TaskRef::Pointer(uuid) | TaskRef::Named(uuid, _) => uuid.as_u128(),
            TaskRef::Nameless(_) => u128::from(job.id) + 1_000_000,
        };
        i64::try_from(task).unwrap()
    }

    pub(super) fn claim(&mut self, job: &JobRef, ahead: bool) -> Claim {
        let (task, foreign) = (World::task_of(job), !job.is_pointer());
        let row = *self
            .rows
            .entry(task)
            .or_insert(Row::Waiting { attempts: 0 });
        let (id, priority) = (TaskId(task), 1024);
        match row {
            Row::Waiting { attempts } if ahead && attempts > 0 => Claim::DeleteJob { task: None },
            // Somebody else may be let go before this one comes again.
            Row::Waiting { attempts: 0 } if self.tape.one_in(if ahead { 1_000 } else { 8 }) => {
                self.is_over.insert(job.id);
                Claim::Held { task: id }
            }
            Row::Waiting { attempts } => {
                let number = attempts + 1;
                if attempts > 0 && job.cleared != Some(attempts) && self.tape.one_in(2) {
                    let before = AttemptId {
                        task: id,
                        number: attempts,
                    };
                    return Claim::Remains(dead(before, Remains::Unknown));
                }
                match self.tape.pick(12) {
                    0 if !ahead => {
                        let put = PutId {
                            task: id,
                            generation: 1,
                        };
                        let delay = Duration::from_secs(self.tape.pick(3));
                        return Claim::Later {
                            put,
                            delay,
                            priority,
                        };
                    }
                    1 if !ahead => {
                        let failed = Row::Ended {
                            attempts: number,
                            failed: true,
                        };
                        self.rows.insert(task, failed);
                        let reason = "no".into();
                        return Claim::Refused {
                            task: id,
                            reason,
                            priority,
                        };
                    }
                    2 if !ahead => {
                        let theirs = AttemptId { task: id, number };
                        self.rows.insert(task, Row::Theirs(theirs));
                        return Claim::Dead(dead(theirs, Remains::Unknown));
                    }
                    _ => {}
                }
                let attempt_id = AttemptId { task: id, number };
                self.rows.insert(task, Row::Ours(attempt_id));
                self.claimed.insert(attempt_id);
                let mut command = match World::has_cleanup(attempt_id) {
                    true => stage::client(),
                    false => Command::new(vec!["job".into()]),
                };
                command.retry.max_attempts = (1 + u32::try_from(self.tape.pick(3)).unwrap()).into();
                command.on_failure = match self.tape.pick(2) {
                    0 => OnFailure::Delete,
                    _ => OnFailure::Bury,
                };
                command.timeout = (self.tape.pick(5) == 0).then_some(Duration::from_millis(30));
                let alive = self.locks.take(attempt_id);
                Claim::Begun(attempt(attempt_id, command, foreign, ahead, alive))
            }
            Row::Ours(_) | Row::Ended { .. } if ahead => Claim::DeleteJob { task: None },
            Row::Ours(mine) if !self.has_ended.contains(&mine) || self.running == Some(mine) => {
                Claim::Later {
                    put: PutId {
                        task: id,
                        generation: 1,
                    },
                    delay: Duration::from_secs(1),
                    priority,
                }
            }
            Row::Ours(mine) | Row::Theirs(mine) => match ahead {
                true => Claim::DeleteJob { task: None },
                false => {
                    self.rows.insert(task, Row::Theirs(mine));
                    let remains = match self.tape.pick(3) {
                        0 => Remains::Unbegun,
                        1 => Remains::Done,
                        _ => Remains::Unknown,
                    };
                    Claim::Dead(dead(mine, remains))
                }
            },
            Row::Ended { failed: true, .. } if job.kicks.is_none() => Claim::AskForKicks,
            Row::Ended {
                attempts,
                failed: true,
            } if job.kicks > Some(0) && self.tape.one_in(2) => {
                self.rows.insert(task, Row::Waiting { attempts });
                self.claim(job, ahead)
            }
            Row::Ended { failed: true, .. } if self.tape.one_in(2) => {
                Claim::BuryJob { task: id, priority }
            }
            Row::Ended { .. } => {
                self.is_over.insert(job.id);
                Claim::DeleteJob { task: Some(id) }
            }
        }
    }
}

/// How often each is there.
pub fn counted(tasks: &[TaskId]) -> BTreeMap<TaskId, usize> {
    let mut counted = BTreeMap::new();
    for task in tasks {
        *counted.entry(*task).or_default() += 1;
    }
    counted
}
