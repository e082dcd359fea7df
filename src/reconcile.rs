//! Reconciliation: what crashes, outages and restarted brokers have put out of joint is put right.
//!
//! One [`Pass`] over a tube does three things. Attempts whose workers are dead are taken over, ended and recorded
//! as lost. Tasks that were never announced are announced. And tasks that wait, but whose jobs a broker that was
//! restarted may have forgotten, are looked for and put again if they are not there.
//!
//! Any number of processes may do this at once, and any of them may die in the middle. An attempt is taken over by
//! compare-and-swap of its owner, and a job is put after compare-and-swap of its put generation, so that each is
//! done by one of them.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::{self, Broker};
use crate::clock::now;
use crate::ledger::announce::Again;
use crate::ledger::pace::PAUSE;
use crate::ledger::worker::{Me, NewWorker, Registered};
use crate::ledger::{self, Ledger, Millis, Store};
use crate::ledger::{AfterLoss, DeadAttempt, Entered, Entry, Remains};
use crate::process::environment::Environment;
use crate::task::command::Commands;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::tube::TubeName;

mod announce;
mod backlog;
mod clean_up;
mod old;
mod refused;
mod remains;
mod service;
mod sweep;
mod tubes;
mod upkeep;
mod verify;
mod whose;

pub use announce::announce;
pub use clean_up::{clean_up, run_after};
pub use old::{Asking, Kept};
pub use refused::{gone_or_buried, keep_some, remove_foreign};
pub use remains::{end_remains, end_what_is_left, look_for_remains};
pub use service::{OpenLedger, Reconciler, Scope, opened, tell};
pub use sweep::{Looked, Looks, Sweep, Sweeper, sweep};
pub use tubes::{Passed, Trouble, Tubes};
pub use upkeep::{TakeTurn, Upkeep};

/// Between two passes.
pub const EVERY: Duration = Duration::from_secs(30);

/// The same while limits hold tasks of the tubes: whoever had let one go, and was killed before it could ring for that,
/// keeps the others waiting for no longer.
pub const EVERY_WHILE_HELD: Duration = Duration::from_secs(10);

/// Tasks looked up at a time, and put in one transaction.
const SOME: u32 = 512;

/// After so many passes, jobs are looked for though the broker is the same: a producer that was slow may have
/// noted, after the last look, a job of the instance before.
const LOOK_EVERY: u32 = 20;

/// What kept a pass from its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] ledger::Error),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}

impl Error {
    /// Passes over other tubes would only wait for the same.
    fn is_of_all_tubes(&self) -> bool {
        match self {
            Error::Store(error) => !error.is_of_one_row(),
            Error::Broker(error) => error.is_of_no_answer(),
        }
    }
}

/// What a pass did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Attempts recorded as lost.
    pub lost: u64,
    /// Of these tasks, how many have failed, having lost too many.
    pub failed: u64,
    /// Attempts whose processes could not be ended; their tasks stay as they are.
    pub stuck: u64,
    /// Jobs put.
    pub put: u64,
}

impl Summary {
    /// Adds another's figures.
    pub fn add(&mut self, other: Summary) {
        self.lost += other.lost;
        self.failed += other.failed;
        self.stuck += other.stuck;
        self.put += other.put;
    }
}

/// On whose behalf attempts are taken over.
#[derive(Debug)]
pub enum Standing {
    /// A worker's that runs nothing now.
    Worker(Me),
    /// Somebody's who is made known to the store when there is something to take over.
    Newcomer {
        /// Who that is.
        identity: NewWorker,
        /// Once it is known; the lock is held from then on.
        registered: Option<Registered>,
    },
}

impl Standing {
    /// Somebody whom the store need not know before there is something to do.
    pub fn newcomer(identity: NewWorker) -> Standing {
        Standing::Newcomer {
            identity,
            registered: None,
        }
    }

    fn known(&self) -> WorkerId {
        match self {
            Standing::Worker(me) => me.id,
            Standing::Newcomer { registered, .. } => registered
                .as_ref()
                .map_or(WorkerId::NOBODY, |known| known.me.id),
        }
    }

    async fn me(&mut self, store: &Store) -> Result<Me, ledger::Error> {
        match self {
            Standing::Worker(me) => Ok(me.clone()),
            Standing::Newcomer {
                registered: Some(known),
                ..
            } => Ok(known.me.clone()),
            Standing::Newcomer {
                identity,
                registered,
            } => {
                let identity = identity.clone();
                let known = store.call(move |db| db.register(&identity, now())).await?;
                Ok(registered.insert(known).me.clone())
            }
        }
    }
}

/// What is remembered of a tube from pass to pass.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The first look is at every job, not only at those of other instances.
    thorough: bool,
    /// The broker's instance at the last pass.
    instance: Option<String>,
    /// Looks that are still to be made without another reason.
    looks: u32,
    /// Passes since the last look.
    passes: u32,
}

/// Which jobs a pass looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// None.
    None,
    /// Those that another instance of the broker numbered.
    Displaced,
    /// Every task's that waits.
    All,
}

impl Memory {
    /// Nothing yet. `thorough`: the first pass is to look for every job.
    pub fn new(thorough: bool) -> Memory {
        Memory {
            thorough,
            instance: None,
            looks: 0,
            passes: 0,
        }
    }

    /// What a pass looks for, and what is to be remembered if it comes through: one that fails, or is dropped in the
    /// middle, has looked for nothing.
    fn next(&self, instance: &str) -> (Look, Memory) {
        let first = self.instance.is_none();
        let mut after = self.clone();
        if self.instance.as_deref() != Some(instance) {
            after.instance = Some(instance.into());
            // And once more at the next pass: somebody may note a job of the old instance only then.
            after.looks = 2;
        }
        after.passes = self.passes.saturating_add(1);
        if after.looks == 0 && after.passes < LOOK_EVERY {
            return (Look::None, after);
        }
        after.looks = after.looks.saturating_sub(1);
        after.passes = 0;
        let look = if first && self.thorough {
            Look::All
        } else {
            Look::Displaced
        };
        (look, after)
    }
}

/// One pass over one tube.
pub struct Pass<'a> {
    /// A session to look and put with.
    pub broker: &'a mut dyn Broker,
    /// The ledger.
    pub store: &'a Store,
    /// What may run: it says how often a task may be lost.
    pub commands: &'a Arc<Commands>,
    /// What cleanups have in their environment, beside what is their own.
    pub environment: &'a Environment,
    /// Who takes over.
    pub standing: &'a mut Standing,
    /// The tube.
    pub tube: &'a TubeName,
    /// Only count.
    pub dry_run: bool,
}

impl Pass<'_> {
    /// Does all there is to do. May be dropped in the middle: what was begun is finished by whoever is next.
    pub async fn run(&mut self, memory: &mut Memory) -> Result<Summary, Error> {
        let mut done = Summary::default();
        // Needs no broker.
        let waiting = self.recover(&mut done).await?;
        self.see_to_jobs(waiting, memory, &mut done).await?;
        Ok(done)
    }

    /// The jobs of tasks that wait, those that were recovered just now among them.
    async fn see_to_jobs(
        &mut self,
        recovered: Vec<TaskId>,
        memory: &mut Memory,
        done: &mut Summary,
    ) -> Result<(), Error> {
        done.put += self.put_children().await?;
        done.put += self.let_held_go().await?;
        done.put += self.put_near().await?;
        let tube = self.tube.clone();
        if !self.store.call(move |db| db.anything_waits(&tube)).await? {
            return Ok(());
        }
        let instance = self.broker.instance().await?;
        done.put += self.put_missing().await?;
        done.put += self.verify_these(recovered, &instance).await?;
        let (mut look, after) = memory.next(&instance);
        if look == Look::None && self.looks_forgotten().await? {
            look = Look::All;
        }
        done.put += match look {
            Look::None => 0,
            Look::Displaced => self.verify(&instance, Some(&instance)).await?,
            Look::All => self.verify(&instance, None).await?,
        };
        *memory = after;
        Ok(())
    }

    /// Attempts whose workers are dead. Returns the tasks that wait now. An attempt that cannot be recorded keeps no
    /// other from being recovered; the first such error is returned after all.
    async fn recover(&mut self, done: &mut Summary) -> Result<Vec<TaskId>, ledger::Error> {
        let (tube, asks) = (self.tube.clone(), self.standing.known());
        let dead = self
            .store
            .call(move |db| db.dead_attempts(&tube, asks))
            .await?;
        if self.dry_run {
            let is_lost = |dead: &&DeadAttempt| dead.remains == Remains::Unknown;
            done.lost += dead.iter().filter(is_lost).count() as u64;
            return Ok(Vec::new());
        }
        let (mut waiting, mut trouble) = (Vec::new(), None);
        for dead in dead {
            match self.recover_one(dead, done).await {
                Ok(task) => waiting.extend(task),
                Err(error) if error.is_of_one_row() => trouble = trouble.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        trouble.map_or(Ok(waiting), Err)
    }

    async fn recover_one(
        &mut self,
        dead: DeadAttempt,
        done: &mut Summary,
    ) -> Result<Option<TaskId>, ledger::Error> {
        let me = self.standing.me(self.store).await?;
        let AttemptId { task, number } = dead.id;
        let taking = Entry {
            take_over: Some(dead.clone()),
            ..Entry::default()
        };
        let Entered { taken, cleanup, .. } = self.enter(taking, &me).await?;
        if !taken {
            return Ok(None);
        }
        tracing::warn!(task = task.0, attempt = number, tube = %self.tube, "took over a dead worker's attempt");
        if let Some(reason) = end_what_is_left(self.store, &dead).await.reason() {
            tracing::error!(
                task = task.0,
                attempt = number,
                reason,
                "could not end what an attempt left running; did not run its task again"
            );
            done.stuck += 1;
            return Ok(None);
        }
        if let Some(cleanup) = cleanup {
            clean_up(&cleanup, self.store.id(), self.environment).await;
        }
        let taken = DeadAttempt {
            owner: Some(me.id),
            ..dead
        };
        let losing = Entry {
            lose: Some(taken),
            ..Entry::default()
        };
        let entered = self.enter(losing, &me).await?;
        for (task, times) in entered.often {
            often_interrupted(task, times);
        }
        // Of hooks; those that cannot be put are there for the next pass.
        if !entered.puts.is_empty()
            && let Err(error) = announce(self.broker, self.store, &entered.puts).await
        {
            tracing::debug!(%error, "could not put the jobs of hooks");
        }
        match entered.lost {
            None | Some(AfterLoss::NotOurs | AfterLoss::Done) => return Ok(None),
            Some(AfterLoss::Unbegun) => return Ok(Some(task)),
            Some(AfterLoss::CalledOff) => {
                tracing::info!(task = task.0, attempt = number, "cancelled a task");
                done.lost += 1;
                return Ok(None);
            }
            Some(AfterLoss::Waits) => {}
            Some(AfterLoss::Failed { reason }) => {
                tracing::error!(task = task.0, attempt = number, reason, "gave up a task");
                done.failed += 1;
                done.lost += 1;
                return Ok(None);
            }
        }
        done.lost += 1;
        Ok(Some(task))
    }

    async fn enter(&mut self, entry: Entry, me: &Me) -> Result<Entered, ledger::Error> {
        let (commands, me) = (Arc::clone(self.commands), me.clone());
        let entering = self
            .store
            .call(move |db| db.enter(&entry, &commands, &me, now()));
        entering.await
    }

    /// Tasks of whose job nothing is known.
    async fn put_missing(&mut self) -> Result<u64, Error> {
        let (mut put, mut after) = (0, TaskId::BEFORE_ALL);
        loop {
            let tube = self.tube.clone();
            let missing = self
                .store
                .call(move |db| db.missing(&tube, after, SOME, now()))
                .await?;
            let Some(last) = missing.last() else {
                return Ok(put);
            };
            after = last.task;
            put += self.put(missing).await?;
        }
    }

    /// Tasks of any tube that wait for others, and have not heard that these have ended: whoever ended them died, or
    /// has left that to us.
    async fn put_children(&mut self) -> Result<u64, Error> {
        let mut put = 0;
        while !self.dry_run && self.store.call(|db| db.has_unheard()).await? {
            let heard = self.store.call(|db| db.tell_children(now())).await?;
            put += announce(self.broker, self.store, &heard.puts).await?;
            if !heard.more {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(put)
    }

    /// Tasks that had no job yet, since they were due much later.
    async fn put_near(&mut self) -> Result<u64, Error> {
        let (mut put, mut after) = (0, (Millis::MIN, TaskId::BEFORE_ALL));
        loop {
            let tube = self.tube.clone();
            let near = self
                .store
                .call(move |db| db.near(&tube, after, SOME, now()))
                .await?;
            let Some((due, last)) = near.last() else {
                return Ok(put);
            };
            after = (*due, last.task);
            put += self
                .put(near.into_iter().map(|(_, put)| put).collect())
                .await?;
        }
    }

    /// Tasks that are held by a limit and need not be. Returns how many were let go.
    async fn let_held_go(&mut self) -> Result<u64, Error> {
        let (mut put, mut after) = (0, None);
        if self.dry_run {
            return Ok(put);
        }
        loop {
            let (tube, commands) = (self.tube.clone(), Arc::clone(self.commands));
            let letting =
                move |db: &mut Ledger| db.let_held_go(&tube, after.as_ref(), &commands, now());
            let Some((again, last)) = self.store.call(letting).await? else {
                return Ok(put);
            };
            // Of one line there may be more.
            let is_all = again.is_empty();
            put += announce(self.broker, self.store, &again).await?;
            after = Some(last).filter(|_| is_all);
        }
    }

    /// Puts the jobs of tasks again that nobody else has put since. Returns how many.
    async fn put(&mut self, puts: Vec<PutId>) -> Result<u64, Error> {
        if self.dry_run || puts.is_empty() {
            return Ok(puts.len() as u64);
        }
        let again = self.begin_again(puts).await?;
        Ok(announce(self.broker, self.store, &again).await?)
    }

    /// Those that are still to be put: others may have done it meanwhile, and their tasks may have run.
    async fn begin_again(&mut self, puts: Vec<PutId>) -> Result<Vec<Again>, Error> {
        let begun = self.store.call(move |db| db.put_again(&puts, now()));
        Ok(begun.await?)
    }
}

/// Nothing else says so: an interruption counts against no task.
pub fn often_interrupted(task: TaskId, times: u32) {
    tracing::warn!(
        %task,
        times,
        "interrupted a task again; its command takes longer than workers are given to go (grace_period, or less)"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_looked_for_when_the_broker_is_another_and_now_and_then() {
        let mut memory = Memory::new(true);
        let mut next = |instance| {
            let (look, after) = memory.next(instance);
            assert_eq!(
                memory.next(instance).0,
                look,
                "only what comes through counts"
            );
            memory = after;
            look
        };
        let looks: Vec<Look> = ["a", "a", "a", "b", "b", "b"].map(&mut next).into();
        use Look::{All, Displaced, None};
        assert_eq!(looks, [All, Displaced, None, Displaced, Displaced, None]);
        let later: Vec<Look> = (0..LOOK_EVERY).map(|_| next("b")).collect();
        assert_eq!(later.iter().filter(|look| **look == Displaced).count(), 1);
        assert_eq!(Memory::new(false).next("a").0, Displaced);
    }
}
