//! Looking for the jobs of tasks that wait, and putting those that the broker has forgotten.

use std::collections::HashSet;

use crate::broker::{self, JobStats};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::Millis;
use crate::ledger::recover::{Fingerprint, UnverifiedJob};
use crate::task::fingerprint::fingerprint;
use crate::task::id::TaskId;
use crate::task::payload::{self, Body, Pointer};

use super::{Error, Pass, SOME, announce};

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
        let (mut found, mut missing, mut deleted) = (Vec::new(), Vec::new(), HashSet::new());
        for some in jobs_in_question.chunks(AT_ONCE) {
            let jobs: Vec<broker::JobId> = some
                .iter()
                .filter_map(|unverified| unverified.job)
                .collect();
            let is_of_today =
                |unverified: &UnverifiedJob| unverified.instance.as_deref() == Some(today);
            let mut bodies = self.broker.peek_all(&jobs).await?.into_iter();
            // A number that today's instance has given to a job is nobody else's.
            let stats = match some.iter().all(is_of_today) {
                true => Vec::new(),
                false => self.broker.stats_jobs(&jobs).await?,
            };
            let mut stats = stats.into_iter();
            for unverified in some {
                let (body, stats) = match unverified.job {
                    Some(_) => (bodies.next().flatten(), stats.next().flatten()),
                    None => (None, None),
                };
                let is_its = body.is_some_and(|body| self.has_body(unverified, &body));
                let is_there = is_its
                    && (is_of_today(unverified)
                        || stats.is_some_and(|stats| self.is_it(unverified, &stats)));
                match is_there {
                    true if is_of_today(unverified) => {}
                    true => found.push(unverified.put),
                    false => {
                        // The broker is the same one, and has it no more: nobody of ours deletes the job of what waits.
                        if unverified.job.is_some() && is_of_today(unverified) {
                            deleted.insert(unverified.put.task);
                        }
                        missing.push(unverified.put);
                    }
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
        if self.dry_run || missing.is_empty() {
            return Ok(missing.len() as u64);
        }
        let again = self.begin_again(missing).await?;
        // Of the others the tasks have run since they were looked up.
        let jobs = again
            .iter()
            .filter(|again| deleted.contains(&again.put.task));
        let jobs = jobs.count();
        if jobs > 0 {
            tracing::warn!(
                tube = %self.tube,
                jobs,
                "puts jobs again that somebody deleted at the broker: their tasks wait all the same"
            );
        }
        Ok(announce(self.broker, self.store, &again).await?)
    }

    /// Whether the job that is looked for has this body.
    fn has_body(&self, unverified: &UnverifiedJob, body: &[u8]) -> bool {
        match &unverified.fingerprint {
            Fingerprint::Pointer => {
                let pointer = Pointer {
                    uuid: unverified.uuid,
                    store: self.store.id(),
                };
                // Whatever else it says to people.
                payload::read(body) == Body::Pointer(pointer)
            }
            Fingerprint::Foreign { hash, .. } => fingerprint(body) == *hash,
        }
    }

    /// Whether a job with the number and the body of one of another instance is that job, by what the broker knows.
    fn is_it(&self, unverified: &UnverifiedJob, stats: &JobStats) -> bool {
        match &unverified.fingerprint {
            // In another tube a pointer is somebody's copy, and no worker heeds it there.
            Fingerprint::Pointer => stats.tube == *self.tube,
            Fingerprint::Foreign { birth, .. } => {
                let age = Millis::try_from(stats.age.as_millis()).unwrap_or(Millis::MAX);
                let seems = now().saturating_sub(age);
                seems.saturating_sub(*birth).saturating_abs() <= SAME_BIRTH
            }
        }
    }
}
