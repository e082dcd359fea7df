//! Every state and every event, one function a state.

use std::time::Duration;

use super::{
    Effect, Ended, Event, IDLE_PATIENCE, Illegal, MARGIN, NEVER_AGAIN, PROVING, Rules, State,
    TERM_TO_KILL, Why, Worker,
};

type Stepped = Result<Vec<Effect>, Illegal>;

impl Worker {
    pub(super) fn spawning(&mut self, rules: &Rules, event: Event, now: Duration) -> Stepped {
        match event {
            Event::Spawned { jitter } => {
                self.state = State::Starting;
                self.recycle_at = rules
                    .age_limit(jitter)
                    .map(|limit| now.saturating_add(limit));
                Ok(vec![])
            }
            Event::CouldNotSpawn => {
                self.state = State::Gone;
                Ok(vec![Effect::Crashed])
            }
            Event::Due => Ok(vec![]),
            // Spawning takes no time: whoever wants it to go asks once there is a process.
            Event::Retire { .. }
            | Event::Drain { .. }
            | Event::Stop
            | Event::Ready
            | Event::Busy { .. }
            | Event::Idle { .. }
            | Event::LinkClosed
            | Event::Ended(_) => self.illegal(event),
        }
    }

    pub(super) fn starting(&mut self, event: Event, now: Duration) -> Stepped {
        match event {
            Event::Ready => {
                self.ready_at = Some(now);
                self.state = State::Idle { since: now };
                Ok(vec![])
            }
            Event::Busy { .. } | Event::Idle { .. } => {
                self.ready_at = Some(now);
                self.working(event, now)
            }
            Event::Retire { why } => Ok(self.retire(why, false, now)),
            Event::Drain { grace } => Ok(self.drain(false, grace, now)),
            Event::Stop => Ok(self.stop(Why::Shutdown, false, None, now)),
            Event::Due => Ok(vec![]),
            Event::LinkClosed => Ok(self.link_closed(false, now)),
            Event::Ended(ended) => Ok(self.ended(ended, now)),
            Event::Spawned { .. } | Event::CouldNotSpawn => self.illegal(event),
        }
    }

    /// Idle or busy: what may happen is the same.
    pub(super) fn working(&mut self, event: Event, now: Duration) -> Stepped {
        let busy = matches!(self.state, State::Busy { .. });
        match event {
            Event::Busy { task, group } => {
                self.state = State::Busy {
                    since: now,
                    task,
                    group,
                };
                Ok(vec![])
            }
            Event::Idle { jobs, output } => {
                self.count(jobs, output);
                let since = match self.state {
                    State::Idle { since } => since,
                    State::Spawning
                    | State::Starting
                    | State::Busy { .. }
                    | State::Stopping { .. }
                    | State::Killed { .. }
                    | State::Gone => now,
                };
                self.state = State::Idle { since };
                Ok(self.prove(self.jobs > 0))
            }
            Event::Retire { why } => Ok(self.retire(why, busy, now)),
            Event::Drain { grace } => Ok(self.drain(busy, grace, now)),
            Event::Stop => Ok(self.stop(Why::Shutdown, busy, None, now)),
            Event::Due => {
                let lasted = self.ready_at.map(|at| now.saturating_sub(at));
                Ok(self.prove(lasted.is_some_and(|lasted| lasted >= PROVING)))
            }
            Event::LinkClosed => Ok(self.link_closed(busy, now)),
            Event::Ended(ended) => Ok(self.ended(ended, now)),
            Event::Spawned { .. } | Event::CouldNotSpawn | Event::Ready => self.illegal(event),
        }
    }

    pub(super) fn stopping(
        &mut self,
        event: Event,
        now: Duration,
        (why, busy, kill_at): (Why, bool, Option<Duration>),
    ) -> Stepped {
        match event {
            // It had not read the order when it wrote this.
            Event::Ready => Ok(vec![]),
            Event::Busy { .. } => {
                let kill_at = unhurried(why).map_or(kill_at, |_| None);
                self.state = State::Stopping {
                    why,
                    busy: true,
                    kill_at,
                };
                Ok(vec![])
            }
            Event::Idle { jobs, output } => {
                self.count(jobs, output);
                let kill_at = match unhurried(why) {
                    Some(patience) if busy => Some(now.saturating_add(patience)),
                    Some(_) | None => kill_at,
                };
                self.state = State::Stopping {
                    why,
                    busy: false,
                    kill_at,
                };
                Ok(self.prove(self.jobs > 0))
            }
            // It goes already.
            Event::Retire { .. } => Ok(vec![]),
            Event::Drain { grace } => Ok(self.drain(busy, grace, now)),
            Event::Stop => Ok(self.stop(why, busy, kill_at, now)),
            Event::Due if kill_at.is_some_and(|at| now >= at) => {
                self.state = State::Killed { why };
                Ok(vec![Effect::Kill])
            }
            Event::Due => Ok(vec![]),
            Event::LinkClosed => Ok(vec![]),
            Event::Ended(ended) => Ok(self.ended(ended, now)),
            Event::Spawned { .. } | Event::CouldNotSpawn => self.illegal(event),
        }
    }

    pub(super) fn killed(&mut self, event: Event) -> Stepped {
        match event {
            Event::Ended(_) => {
                self.state = State::Gone;
                Ok(vec![])
            }
            // Lines that were on their way, and orders that come too late.
            Event::Ready
            | Event::Busy { .. }
            | Event::Idle { .. }
            | Event::Retire { .. }
            | Event::Drain { .. }
            | Event::Stop
            | Event::Due
            | Event::LinkClosed => Ok(vec![]),
            Event::Spawned { .. } | Event::CouldNotSpawn => self.illegal(event),
        }
    }

    pub(super) fn gone(&mut self, event: Event) -> Stepped {
        match event {
            // Lines that were on their way, and orders that come too late.
            Event::Ready
            | Event::Busy { .. }
            | Event::Idle { .. }
            | Event::Retire { .. }
            | Event::Drain { .. }
            | Event::Stop
            | Event::Due
            | Event::LinkClosed => Ok(vec![]),
            Event::Spawned { .. } | Event::CouldNotSpawn | Event::Ended(_) => self.illegal(event),
        }
    }

    /// Both only grow: a worker that says less than before has forgotten, not undone.
    fn count(&mut self, jobs: u64, output: u64) {
        self.jobs = self.jobs.max(jobs);
        self.output = self.output.max(output);
    }

    fn prove(&mut self, works: bool) -> Vec<Effect> {
        if self.proved || !works {
            return vec![];
        }
        self.proved = true;
        vec![Effect::Proved]
    }

    fn retire(&mut self, why: Why, busy: bool, now: Duration) -> Vec<Effect> {
        self.state = State::Stopping {
            why,
            busy,
            kill_at: (!busy).then(|| now.saturating_add(IDLE_PATIENCE)),
        };
        vec![Effect::Drain { grace: None, why }]
    }

    fn drain(&mut self, busy: bool, grace: Duration, now: Duration) -> Vec<Effect> {
        let why = Why::Shutdown;
        let patience = grace.saturating_add(TERM_TO_KILL).saturating_add(MARGIN);
        self.state = State::Stopping {
            why,
            busy,
            kill_at: Some(now.saturating_add(patience)),
        };
        let grace = Some(grace);
        vec![Effect::Drain { grace, why }]
    }

    fn stop(
        &mut self,
        why: Why,
        busy: bool,
        kill_at: Option<Duration>,
        now: Duration,
    ) -> Vec<Effect> {
        let soon = now.saturating_add(TERM_TO_KILL).saturating_add(MARGIN);
        self.state = State::Stopping {
            why,
            busy,
            kill_at: Some(kill_at.map_or(soon, |at| at.min(soon))),
        };
        vec![Effect::Stop]
    }

    /// It is ending, or it shut its tender out. The first is a matter of milliseconds; in the second
    /// case it will finish its command and go, as it does when its tender has died.
    fn link_closed(&mut self, busy: bool, now: Duration) -> Vec<Effect> {
        self.state = State::Stopping {
            why: Why::LinkClosed,
            busy,
            kill_at: (!busy).then(|| now.saturating_add(TERM_TO_KILL).saturating_add(MARGIN)),
        };
        vec![]
    }

    fn ended(&mut self, ended: Ended, now: Duration) -> Vec<Effect> {
        let effect = if ended == Ended::Exited(NEVER_AGAIN) {
            Some(Effect::Refused)
        } else {
            self.crashed(ended, now).then_some(Effect::Crashed)
        };
        self.state = State::Gone;
        effect.into_iter().collect()
    }

    /// Whether an end speaks against starting another at once.
    fn crashed(&self, ended: Ended, now: Duration) -> bool {
        if let State::Stopping { why, .. } = self.state
            && why != Why::LinkClosed
        {
            return false;
        }
        let Some(ready_at) = self.ready_at else {
            return true;
        };
        let brief = now.saturating_sub(ready_at) < PROVING;
        // One that did its job and went, as some workers do after every job, did not crash.
        let satisfied = ended == Ended::Exited(0) && self.jobs > 0;
        brief && !satisfied && !ended.killed_from_outside()
    }
}

/// The patience with a worker that may take its time while it runs a command.
fn unhurried(why: Why) -> Option<Duration> {
    match why {
        Why::Surplus | Why::Aged | Why::Output => Some(IDLE_PATIENCE),
        Why::LinkClosed => Some(TERM_TO_KILL.saturating_add(MARGIN)),
        Why::Shutdown => None,
    }
}
