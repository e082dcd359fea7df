//! From a job to what is to be done: a claim, or several, with what each asks for first.

use std::sync::Arc;

use super::fate::{Fate, LEAVE_ALONE};
use super::serve::Server;
use crate::broker;
use crate::clock::now;
use crate::ledger::{self};
use crate::ledger::{Attempt, Claim, DeadAttempt, Entered, Entry, JobRef};
use crate::reconcile::end_what_is_left;

/// A claim leads to a claim at most so often: ask for kicks, take over, end remains.
const MOST_CLAIMS: u32 = 8;

/// What a series of claims came to.
pub(super) enum Decided {
    Run(Box<Attempt>),
    Refused { priority: u32 },
    Fate(Fate),
}

impl Server<'_> {
    /// Claims, does what the claim asks for first, and claims again.
    pub(super) async fn decide(
        &mut self,
        mut job: JobRef,
        mut claimed: Option<Claim>,
    ) -> Result<Decided, ledger::Error> {
        let mut ours: Option<DeadAttempt> = None;
        for _ in 0..MOST_CLAIMS {
            let claim = match claimed.take() {
                Some(claim) => claim,
                None => self.claim(&job, ours.take()).await?,
            };
            match claim {
                Claim::Begun(attempt) => return Ok(Decided::Run(attempt)),
                Claim::Refused {
                    task,
                    reason,
                    priority,
                } => {
                    tracing::warn!(task = task.0, reason, "refused a task and buried its job");
                    return Ok(Decided::Refused { priority });
                }
                Claim::Later {
                    put,
                    delay,
                    priority,
                } => {
                    return Ok(Decided::Fate(Fate::Release {
                        priority,
                        delay,
                        waiting: Some(put),
                    }));
                }
                Claim::DeleteJob { task } => {
                    let task = task.filter(|_| !job.is_pointer());
                    return Ok(Decided::Fate(Fate::Delete { task }));
                }
                Claim::GivenUp {
                    task,
                    reason,
                    priority,
                } => {
                    tracing::error!(task = task.0, reason, "gave up a task and buried its job");
                    return Ok(Decided::Fate(Fate::Bury { priority }));
                }
                Claim::BuryJob { task, priority } => {
                    tracing::warn!(task = task.0, "buried the job of a task that had failed");
                    return Ok(Decided::Fate(Fate::Bury { priority }));
                }
                Claim::AskForKicks => {
                    job.kicks = Some(self.kicks(job.id).await.unwrap_or(0));
                }
                Claim::Dead(dead) => {
                    let taking = Entry {
                        take_over: Some(dead.clone()),
                        ..Entry::default()
                    };
                    if !self.enter(taking).await?.taken {
                        return Ok(Decided::Fate(Fate::leave_alone(&dead)));
                    }
                    tracing::warn!(
                        task = dead.id.task.0,
                        attempt = dead.id.number,
                        "took over a dead worker's attempt"
                    );
                    if !self.end_what_is_left(&dead).await {
                        return Ok(Decided::Fate(Fate::leave_alone(&dead)));
                    }
                    ours = Some(dead);
                }
                Claim::Remains(dead) => {
                    if !self.end_what_is_left(&dead).await {
                        return Ok(Decided::Fate(Fate::leave_alone(&dead)));
                    }
                    job.cleared = Some(dead.id.number);
                }
            }
        }
        Ok(Decided::Fate(Fate::leave(
            broker::DEFAULT_PRIORITY,
            LEAVE_ALONE,
        )))
    }

    async fn claim(
        &mut self,
        job: &JobRef,
        ours: Option<DeadAttempt>,
    ) -> Result<Claim, ledger::Error> {
        let entry = Entry {
            deleted: self.gone.clone(),
            lose: ours,
            claim: Some(job.clone()),
            ..Entry::default()
        };
        let entered = self.enter(entry).await?;
        // Noted twice is noted once; what was not committed is still here.
        self.gone.clear();
        // It was asked for.
        entered.claim.ok_or(ledger::Error::closed())
    }

    pub(super) async fn enter(&self, entry: Entry) -> Result<Entered, ledger::Error> {
        let (commands, me) = (Arc::clone(self.commands), self.me.clone());
        self.store
            .soon(move |db| db.enter(&entry, &commands, &me, now()))
            .await
    }

    /// Ends what an attempt left running. False if something could not be ended.
    async fn end_what_is_left(&self, dead: &DeadAttempt) -> bool {
        let ended = end_what_is_left(self.store, dead).await;
        if !ended {
            tracing::error!(
                task = dead.id.task.0,
                attempt = dead.id.number,
                "could not end what an attempt left running; did not run its task again"
            );
        }
        ended
    }

    /// How often a job was kicked, as far as the broker tells.
    pub(super) async fn kicks(&mut self, job: broker::JobId) -> Option<u64> {
        let stats = self.broker.stats_job(job).await;
        stats.ok().flatten().map(|stats| stats.kicks)
    }
}
