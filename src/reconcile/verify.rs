//! Looking for the jobs of tasks that wait, and putting those that the broker has forgotten.

use crate::broker;
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::Millis;
use crate::ledger::recover::{Fingerprint, UnverifiedJob};
use crate::task::fingerprint::fingerprint;
use crate::task::id::TaskId;
use crate::task::payload::Pointer;

use super::{Error, Pass, SOME};

/// Bodies asked for and held at once.
const AT_ONCE: usize = 64;

/// How far apart two births of one job may seem: ages come in whole seconds.
const SAME_BIRTH: Millis = 2000;

impl Pass<'_> {
    /// The tube is empty, and yet a task is due that was announced.
    pub(super) async fn looks_forgotten(&mut self) -> Result<bool, Error> {
        let tube = self.tube.clone();
        if !self
            .store
            .call(move |db| db.anything_due(&tube, now()))
            .await?
        {
            return Ok(false);
        }
        Ok(match self.broker.stats_tube(self.tube).await? {
            Some(tube) => tube.ready + tube.delayed + tube.buried == 0,
            None => true,
        })
    }

    /// Looks for the jobs of all tasks that wait, or of those that `but` did not number. Returns how many were put.
    pub(super) async fn verify(&mut self, today: &str, but: Option<&str>) -> Result<u64, Error> {
        let (mut put, mut after) = (0, TaskId::BEFORE_ALL);
        loop {
            let (tube, but) = (self.tube.clone(), but.map(str::to_owned));
            let jobs_in_question = self
                .store
                .call(move |db| db.unverified(&tube, but.as_deref(), after, SOME))
                .await?;
            let Some(last) = jobs_in_question.last() else {
                return Ok(put);
            };
            after = last.put.task;
            put += self.look_for(jobs_in_question, today).await?;
        }
    }

    /// The same of certain tasks.
    pub(super) async fn verify_these(
        &mut self,
        tasks: Vec<TaskId>,
        today: &str,
    ) -> Result<u64, Error> {
        if tasks.is_empty() {
            return Ok(0);
        }
        let jobs_in_question = self.store.call(move |db| db.unverified_of(&tasks)).await?;
        self.look_for(jobs_in_question, today).await
    }

    async fn look_for(
        &mut self,
        jobs_in_question: Vec<UnverifiedJob>,
        today: &str,
    ) -> Result<u64, Error> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for some in jobs_in_question.chunks(AT_ONCE) {
            let jobs: Vec<broker::JobId> = some
                .iter()
                .filter_map(|unverified| unverified.job)
                .collect();
            let mut bodies = self.broker.peek_all(&jobs).await?.into_iter();
            for unverified in some {
                let body = unverified.job.and_then(|_| bodies.next().flatten());
                let is_there = match body {
                    Some(body) => self.is_it(unverified, &body, today).await?,
                    None => false,
                };
                match is_there {
                    true if unverified.instance.as_deref() == Some(today) => {}
                    true => found.push(unverified.put),
                    false => missing.push(unverified.put),
                }
            }
        }
        if !found.is_empty() && !self.dry_run {
            crash::here(Point::JobsFound);
            let today = today.to_owned();
            self.store
                .call(move |db| db.note_found(&today, &found))
                .await?;
        }
        self.put(missing).await
    }

    /// Whether the job with this body is the one that is looked for.
    async fn is_it(
        &mut self,
        unverified: &UnverifiedJob,
        body: &[u8],
        today: &str,
    ) -> Result<bool, Error> {
        match &unverified.fingerprint {
            Fingerprint::Pointer => {
                let pointer = Pointer {
                    uuid: unverified.uuid,
                    store: self.store.id(),
                };
                if body != pointer.to_body().as_slice() {
                    return Ok(false);
                }
                // A number that this instance has given to the job is nobody else's.
                if unverified.instance.as_deref() == Some(today) {
                    return Ok(true);
                }
                let Some(job) = unverified.job else {
                    return Ok(false);
                };
                // In another tube the pointer is somebody's copy, and no worker heeds it there.
                let stats = self.broker.stats_job(job).await?;
                Ok(stats.is_some_and(|stats| stats.tube == *self.tube))
            }
            Fingerprint::Foreign { hash, birth } => {
                if fingerprint(body) != *hash {
                    return Ok(false);
                }
                if unverified.instance.as_deref() == Some(today) {
                    return Ok(true);
                }
                let Some(job) = unverified.job else {
                    return Ok(false);
                };
                Ok(self.broker.stats_job(job).await?.is_some_and(|stats| {
                    let age = Millis::try_from(stats.age.as_millis()).unwrap_or(Millis::MAX);
                    let seems = now().saturating_sub(age);
                    seems.saturating_sub(*birth).saturating_abs() <= SAME_BIRTH
                }))
            }
        }
    }
}
