//! From a job to the row of its task, which is made where another producer has put the job.

use uuid::Uuid;

use super::after;
use super::claim::Writing;
use super::entry::{Claim, ForeignJob, JobRef, TaskRef};
use super::error::Failed;
use super::rows::{NewRow, Origin, TaskRow};
use super::transition;
use super::unique;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::made_key;
use crate::task::unique::IfExists;

impl Writing<'_> {
    pub(super) fn find_or_add(&self, job: &JobRef) -> Result<Option<TaskRow>, Failed> {
        match &job.task {
            TaskRef::Pointer(uuid) => self.rows.task(uuid),
            TaskRef::Named(uuid, foreign) => {
                if let Some(row) = self.rows.task(uuid)? {
                    if self.rows.same_task(uuid, &foreign.content)?.is_some() {
                        return Ok(Some(row));
                    }
                    // Somebody else's uuid: the job becomes a task of its own, to be refused.
                    let body = Content::Unread(foreign.body.clone());
                    return self.nameless(job, foreign, &body);
                }
                self.add(*uuid, job, foreign, &foreign.content)
            }
            TaskRef::Nameless(foreign) => self.nameless(job, foreign, &foreign.content),
        }
    }

    /// The row of a job that has no uuid we can use: known by its number, its bytes and its birth.
    fn nameless(
        &self,
        job: &JobRef,
        foreign: &ForeignJob,
        content: &Content,
    ) -> Result<Option<TaskRow>, Failed> {
        match self.rows.foreign_task(job.id, foreign)? {
            Some(row) => Ok(Some(row)),
            None => self.add(Uuid::now_v7(), job, foreign, content),
        }
    }

    /// `None` if another task has its key.
    fn add(
        &self,
        uuid: Uuid,
        job: &JobRef,
        foreign: &ForeignJob,
        content: &Content,
    ) -> Result<Option<TaskRow>, Failed> {
        let unique = match content {
            // Of a body that may not become its task nothing is known.
            Content::Unread(_) => None,
            Content::Call(_) | Content::Raw(_) => foreign.unique.as_ref(),
        };
        let own = match content {
            // The same.
            Content::Unread(_) => None,
            Content::Call(_) | Content::Raw(_) => foreign.own.as_deref(),
        };
        let hold = |unique| made_key::hold(unique, content, own, &job.tube, self.now);
        let hold = unique.map(hold);
        if let Some(hold) = &hold
            && self.rows.holder(&hold.key, self.now)?.is_some()
        {
            return Ok(None);
        }
        let row = NewRow {
            uuid,
            tube: &job.tube,
            content,
            priority: foreign.priority,
            ttr: foreign.ttr.max(1),
            due: match content {
                Content::Unread(_) => self.now,
                Content::Call(_) | Content::Raw(_) => foreign.at.unwrap_or(self.now).max(self.now),
            },
            created: self.now,
            tags: match content {
                // Of a body that may not become its task nothing is known.
                Content::Unread(_) => &[],
                Content::Call(_) | Content::Raw(_) => &foreign.tags,
            },
            hold: hold.as_ref(),
            own,
            origin: Origin::Foreign {
                job: job.id,
                foreign,
                kicks: job.kicks.unwrap_or(0),
            },
        };
        let id = transition::record(self.rows, &row)?;
        let after = match content {
            Content::Unread(_) => None,
            Content::Call(_) | Content::Raw(_) => foreign.after.as_ref(),
        };
        if let (Some(id), Some(after)) = (id, after) {
            after::begin_to_wait(self.rows, id, row.due, after, self.now)?;
        }
        self.written(&uuid).map(Some)
    }

    /// The row of a task that this transaction has written.
    pub(super) fn written(&self, uuid: &Uuid) -> Result<TaskRow, Failed> {
        let row = self.rows.task(uuid)?;
        row.ok_or_else(|| Failed::row(None, "a row vanished in its own transaction"))
    }

    /// What becomes of a job whose task has no row. Who recorded the task did that before there was a job, and a uuid
    /// of ours says when.
    pub(super) fn without_row(&self, job: &JobRef) -> Result<Claim, Failed> {
        let uuid = match &job.task {
            TaskRef::Pointer(uuid) => *uuid,
            TaskRef::Named(_, foreign) | TaskRef::Nameless(foreign) => {
                return self.without_key(job, foreign);
            }
        };
        let missing = match recorded_at(&uuid) {
            Some(recorded) => self.rows.may_lack(recorded)?,
            None => false,
        };
        Ok(Claim::NoRow { uuid, missing })
    }

    /// What becomes of another producer's job that has no task, for another task has its key: nobody needs the job.
    fn without_key(&self, job: &JobRef, foreign: &ForeignJob) -> Result<Claim, Failed> {
        let ForeignJob {
            content,
            tags,
            at,
            own,
            ..
        } = foreign;
        let Some(unique) = &foreign.unique else {
            return Ok(Claim::DeleteJob { task: None });
        };
        let hold = made_key::hold(unique, content, own.as_deref(), &job.tube, self.now);
        let Some(row) = unique::taken(self.rows, &hold.key, self.now)? else {
            return Ok(Claim::DeleteJob { task: None });
        };
        let (holder, key) = (unique::Holder::of(&row), hold.key);
        let refusal = match unique.if_exists {
            IfExists::Keep | IfExists::Refuse => None,
            IfExists::Replace => {
                // The task keeps its own job: only a time that the body names counts, and the job's priority does not.
                let given = unique::Given {
                    tube: &job.tube,
                    content,
                    tags,
                    own: own.as_deref(),
                    priority: None,
                    due: at.map(|at| at.max(self.now)),
                };
                unique::give(self.rows, &row, &given)?.err()
            }
        };
        let (job, tube) = (job.id, &job.tube);
        match (unique.if_exists, refusal) {
            (IfExists::Replace, None) => {
                tracing::info!(
                    job, %tube, %key,
                    "no task is made of the job, for {holder}; what the job says is given to it"
                );
            }
            (IfExists::Replace, Some(refusal)) => {
                tracing::info!(
                    job, %tube, %key,
                    "no task is made of the job, for {refusal}"
                );
            }
            (IfExists::Keep | IfExists::Refuse, _) => {
                tracing::info!(
                    job, %tube, %key,
                    "no task is made of the job, for {holder}"
                );
            }
        }
        Ok(Claim::DeleteJob { task: None })
    }
}

/// When a task was recorded that we have given its uuid.
fn recorded_at(uuid: &Uuid) -> Option<Millis> {
    let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
    let millis = seconds
        .checked_mul(1000)?
        .checked_add(u64::from(nanos / 1_000_000))?;
    Millis::try_from(millis).ok()
}
