//! Every state and every event, one function a state.

use std::time::Duration;

use super::{
    Effect, Ended, Event, IDLE_PATIENCE, Illegal, KILLED_PATIENCE, MARGIN, NEVER_AGAIN, PROVING,
    Rules, Running, State, TERM_TO_KILL, Unready, Why, Worker,
};

type Stepped = Result<Vec<Effect>, Illegal>;

impl Worker {
    pub(super) fn spawning(&mut self, rules: &Rules, event: Event, now: Duration) -> Stepped {
        match event {
            Event::Spawned { jitter } => {
                let (ready_by, presume_at) = match rules.unready {
                    Unready::Waits => (None, None),
                    Unready::Killed(patience) => (Some(now.saturating_add(patience)), None),
                    Unready::Presumed(moment) => (None, Some(now.saturating_add(moment))),
                };
                self.state = State::Starting { ready_by };
                self.presume_at = presume_at;
                self.jitter = Some(jitter);
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
            | Event::Troubled { .. }
            | Event::Watched { .. }
            | Event::Answered
            | Event::Looked { .. }
            | Event::Measured { .. }
            | Event::LinkClosed
            | Event::Ended(_) => self.illegal(event),
        }
    }

    pub(super) fn starting(
        &mut self,
        event: Event,
        now: Duration,
        ready_by: Option<Duration>,
    ) -> Stepped {
        match event {
            Event::Ready => {
                self.ready_at = Some(now);
                self.spoke = true;
                self.state = State::Idle { since: now };
                Ok(vec![])
            }
            Event::Busy { .. } | Event::Idle { .. } | Event::Troubled { .. } => {
                self.ready_at = Some(now);
                self.working(event, now)
            }
            Event::Measured { memory, printed } => self.measured(memory, printed),
            Event::Watched { .. } | Event::Answered | Event::Looked { .. } => Ok(vec![]),
            Event::Retire { why } => Ok(self.retire(why, None, now)),
            Event::Drain { grace } => Ok(self.drain(None, grace, now)),
            Event::Stop => Ok(self.stop(Why::Shutdown, None, None, now)),
            Event::Due if ready_by.is_some_and(|at| now >= at) => {
                self.state = State::Killed {
                    why: Why::NotReady,
                    running: None,
                    leave_at: None,
                };
                Ok(vec![Effect::Kill, Effect::Crashed])
            }
            Event::Due if self.presume_at.is_some_and(|at| now >= at) => {
                // From its first moment on, as far as anybody can say: it has outlived the presumption.
                self.ready_at = Some(self.born);
                self.state = State::Idle { since: now };
                Ok(self.prove(true))
            }
            Event::Due => Ok(vec![]),
            Event::LinkClosed => {
                // One that has promised no word perhaps works, and did not know what it closed.
                let patience = self.idles(None).then_some(IDLE_PATIENCE);
                Ok(self.link_closed(None, patience, now))
            }
            Event::Ended(ended) => Ok(self.ended(ended, now)),
            Event::Spawned { .. } | Event::CouldNotSpawn => self.illegal(event),
        }
    }

    /// Idle or busy: what may happen is the same.
    pub(super) fn working(&mut self, event: Event, now: Duration) -> Stepped {
        let running = self.running();
        match event {
            // It counted as ready before it said so.
            Event::Ready if self.presume_at.is_some() => {
                self.spoke = true;
                Ok(vec![])
            }
            Event::Busy { task, group } => {
                self.spoke = true;
                self.state = State::Busy {
                    since: now,
                    task,
                    group,
                };
                Ok(vec![])
            }
            Event::Troubled { task } => {
                self.spoke = true;
                self.troubled = true;
                // Its 'busy' may have been left out for this.
                if running.is_none() {
                    self.state = State::Busy {
                        since: now,
                        task,
                        group: 0,
                    };
                }
                Ok(vec![])
            }
            Event::Measured { memory, printed } => self.measured(memory, printed),
            Event::Watched { .. } | Event::Answered | Event::Looked { .. } => Ok(vec![]),
            Event::Idle { jobs, output } => {
                self.count(jobs, output);
                let since = match self.state {
                    State::Idle { since } => since,
                    State::Spawning
                    | State::Starting { .. }
                    | State::Busy { .. }
                    | State::Stopping { .. }
                    | State::Killed { .. }
                    | State::Gone => now,
                };
                self.state = State::Idle { since };
                Ok(self.prove(self.jobs > 0))
            }
            Event::Retire { why } => Ok(self.retire(why, running, now)),
            Event::Drain { grace } => Ok(self.drain(running, grace, now)),
            Event::Stop => Ok(self.stop(Why::Shutdown, running, None, now)),
            Event::Due => {
                let lasted = self.ready_at.map(|at| now.saturating_sub(at));
                Ok(self.prove(lasted.is_some_and(|lasted| lasted >= PROVING)))
            }
            Event::LinkClosed => {
                let patience = self.idles(running).then_some(IDLE_PATIENCE);
                Ok(self.link_closed(running, patience, now))
            }
            Event::Ended(ended) => Ok(self.ended(ended, now)),
            Event::Spawned { .. } | Event::CouldNotSpawn | Event::Ready => self.illegal(event),
        }
    }

    pub(super) fn stopping(
        &mut self,
        event: Event,
        now: Duration,
        (why, running, kill_at): (Why, Option<Running>, Option<Duration>),
    ) -> Stepped {
        match event {
            // It had not read the order when it wrote this.
            Event::Ready => Ok(vec![]),
            Event::Busy { task, group } => {
                self.run_on(Running { task, group }, why, kill_at);
                Ok(vec![])
            }
            Event::Troubled { task } => {
                self.troubled = true;
                let running = running.unwrap_or(Running { task, group: 0 });
                self.run_on(running, why, kill_at);
                Ok(vec![])
            }
            Event::Measured { memory, printed } => self.measured(memory, printed),
            Event::Watched { .. } | Event::Answered | Event::Looked { .. } => Ok(vec![]),
            Event::Idle { jobs, output } => {
                self.count(jobs, output);
                let kill_at = match running {
                    Some(_) if unhurried(why) => Some(now.saturating_add(IDLE_PATIENCE)),
                    Some(_) | None => kill_at,
                };
                self.state = State::Stopping {
                    why,
                    running: None,
                    kill_at,
                };
                Ok(self.prove(self.jobs > 0))
            }
            // It goes already.
            Event::Retire { .. } => Ok(vec![]),
            Event::Drain { grace } => Ok(self.drain(running, grace, now)),
            // In a hurry from now on, whatever it was to go for.
            Event::Stop => Ok(self.stop(Why::Shutdown, running, kill_at, now)),
            Event::Due if kill_at.is_some_and(|at| now >= at) => {
                let leave_at = (why == Why::Shutdown).then(|| now.saturating_add(KILLED_PATIENCE));
                self.state = State::Killed {
                    why,
                    running,
                    leave_at,
                };
                Ok(vec![Effect::Kill])
            }
            Event::Due => Ok(vec![]),
            Event::LinkClosed => Ok(vec![]),
            Event::Ended(ended) => Ok(self.ended(ended, now)),
            Event::Spawned { .. } | Event::CouldNotSpawn => self.illegal(event),
        }
    }

    pub(super) fn killed(
        &mut self,
        event: Event,
        now: Duration,
        (why, running, leave_at): (Why, Option<Running>, Option<Duration>),
    ) -> Stepped {
        match event {
            Event::Ended(_) => {
                self.state = State::Gone;
                Ok(vec![])
            }
            Event::Drain { .. } | Event::Stop => {
                let patience = || now.saturating_add(KILLED_PATIENCE);
                self.state = State::Killed {
                    why,
                    running,
                    leave_at: Some(leave_at.unwrap_or_else(patience)),
                };
                Ok(vec![])
            }
            Event::Due if leave_at.is_some_and(|at| now >= at) => {
                self.state = State::Gone;
                Ok(vec![Effect::Leave])
            }
            // Lines that were on their way, and orders that come too late.
            Event::Ready
            | Event::Busy { .. }
            | Event::Idle { .. }
            | Event::Troubled { .. }
            | Event::Watched { .. }
            | Event::Answered
            | Event::Looked { .. }
            | Event::Measured { .. }
            | Event::Retire { .. }
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
            | Event::Troubled { .. }
            | Event::Watched { .. }
            | Event::Answered
            | Event::Looked { .. }
            | Event::Measured { .. }
            | Event::Retire { .. }
            | Event::Drain { .. }
            | Event::Stop
            | Event::Due
            | Event::LinkClosed => Ok(vec![]),
            Event::Spawned { .. } | Event::CouldNotSpawn | Event::Ended(_) => self.illegal(event),
        }
    }

    /// Both only grow: a worker that says less than before has forgotten, not undone. And it has recorded
    /// what it had to.
    fn count(&mut self, jobs: u64, output: u64) {
        self.jobs = self.jobs.max(jobs);
        self.output = self.output.max(output);
        self.troubled = false;
        self.spoke = true;
    }

    fn measured(&mut self, memory: u64, printed: u64) -> Stepped {
        self.memory = memory;
        self.printed = self.printed.max(printed);
        Ok(vec![])
    }

    /// It took a job before it read the order to go, or said so only now.
    fn run_on(&mut self, running: Running, why: Why, kill_at: Option<Duration>) {
        self.state = State::Stopping {
            why,
            running: Some(running),
            kill_at: kill_at.filter(|_| !unhurried(why)),
        };
    }

    fn prove(&mut self, works: bool) -> Vec<Effect> {
        if self.proved || !works {
            return vec![];
        }
        self.proved = true;
        vec![Effect::Proved]
    }

    /// Surely it runs no command: it has said so, or has yet to say what it promised to say before its first.
    fn idles(&self, running: Option<Running>) -> bool {
        let has_promised = matches!(self.state, State::Starting { ready_by: Some(_) });
        running.is_none() && (self.spoke || has_promised)
    }

    fn retire(&mut self, why: Why, running: Option<Running>, now: Duration) -> Vec<Effect> {
        let idles = self.idles(running);
        self.state = State::Stopping {
            why,
            running,
            kill_at: idles.then(|| now.saturating_add(IDLE_PATIENCE)),
        };
        vec![Effect::Drain { grace: None, why }]
    }

    fn drain(&mut self, running: Option<Running>, grace: Duration, now: Duration) -> Vec<Effect> {
        let why = Why::Shutdown;
        let patience = grace.saturating_add(self.kill_after).saturating_add(MARGIN);
        self.state = State::Stopping {
            why,
            running,
            kill_at: Some(now.saturating_add(patience)),
        };
        let grace = Some(grace);
        vec![Effect::Drain { grace, why }]
    }

    fn stop(
        &mut self,
        why: Why,
        running: Option<Running>,
        kill_at: Option<Duration>,
        now: Duration,
    ) -> Vec<Effect> {
        let soon = now.saturating_add(TERM_TO_KILL).saturating_add(MARGIN);
        self.state = State::Stopping {
            why,
            running,
            kill_at: Some(kill_at.map_or(soon, |at| at.min(soon))),
        };
        vec![Effect::Stop]
    }

    /// It is ending, or it shut its tender out. The first is a matter of milliseconds, or of what a foreign
    /// worker tidies up; in the second case it will finish its command and go, as it does when its tender
    /// has died.
    fn link_closed(
        &mut self,
        running: Option<Running>,
        patience: Option<Duration>,
        now: Duration,
    ) -> Vec<Effect> {
        self.state = State::Stopping {
            why: Why::LinkClosed,
            running,
            kill_at: patience.map(|patience| now.saturating_add(patience)),
        };
        vec![]
    }

    fn ended(&mut self, ended: Ended, now: Duration) -> Vec<Effect> {
        let effect = if ended == Ended::Exited(NEVER_AGAIN) && self.spoke {
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

/// Whether a worker may take its time while it runs a command, and [`IDLE_PATIENCE`] when it runs none.
pub(super) fn unhurried(why: Why) -> bool {
    match why {
        Why::Surplus
        | Why::Yields
        | Why::Aged
        | Why::Output
        | Why::Jobs
        | Why::Memory
        | Why::Outdated
        | Why::LinkClosed => true,
        Why::Shutdown | Why::NotReady | Why::Unresponsive => false,
    }
}
