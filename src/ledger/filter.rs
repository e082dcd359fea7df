//! Which tasks are meant: one filter, for whoever lists some or does something to many.

use super::read::DisplayedStatus;
use crate::task::Millis;
use crate::task::id::TaskId;
use crate::task::state::Status;
use crate::task::tag::Tag;
use crate::tube::TubeName;

/// Which tasks are meant: all of them, unless it is told less. A task has to pass all that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Those of these numbers; where it is said that they have one of none, there is no such task.
    pub ids: Option<Vec<TaskId>>,
    /// Those that stand in one of these; anywhere, where there is none.
    pub statuses: Vec<DisplayedStatus>,
    /// Those of this tube.
    pub tube: Option<String>,
    /// Those of this command.
    pub command: Option<String>,
    /// Those that were recorded then or later.
    pub since: Option<Millis>,
    /// Those that were recorded before.
    pub until: Option<Millis>,
    /// Those that have all of these tags; by a name alone, whatever its value is.
    pub tags: Vec<Tag>,
    /// Those whose reason has this text in it, letter for letter.
    pub reason: Option<String>,
}

/// A task, as far as a filter looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its number.
    pub id: TaskId,
    /// Where it stands, as it is recorded.
    pub status: Status,
    /// Its tube.
    pub tube: &'a str,
    /// Its command, where that is known.
    pub command: Option<&'a str>,
    /// When it was recorded.
    pub created: Millis,
    /// What its producer calls it.
    pub tags: &'a [Tag],
    /// Why it failed, or waits.
    pub reason: Option<&'a str>,
}

impl Filter {
    /// Only those of these numbers, and of those that were named before.
    #[must_use]
    pub fn ids(mut self, ids: impl IntoIterator<Item = impl Into<TaskId>>) -> Filter {
        let ids = ids.into_iter().map(Into::into);
        self.ids.get_or_insert_default().extend(ids);
        self
    }

    /// Only those that stand there, or where was said before.
    #[must_use]
    pub fn status(mut self, status: DisplayedStatus) -> Filter {
        self.statuses.push(status);
        self
    }

    /// Only those that were recorded then or later, in milliseconds since 1970.
    #[must_use]
    pub fn since(self, since: Millis) -> Filter {
        let since = Some(since);
        Filter { since, ..self }
    }

    /// Only those that were recorded before, in milliseconds since 1970.
    #[must_use]
    pub fn until(self, until: Millis) -> Filter {
        let until = Some(until);
        Filter { until, ..self }
    }

    /// Only those of this tube.
    #[must_use]
    pub fn tube(self, tube: &TubeName) -> Filter {
        let tube = Some(tube.to_string());
        Filter { tube, ..self }
    }

    /// Only those of this command.
    #[must_use]
    pub fn command(self, command: impl Into<String>) -> Filter {
        let command = Some(command.into());
        Filter { command, ..self }
    }

    /// Only those that have this tag, beside those that were named before; by a name alone, whatever its value is.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Filter {
        self.tags.push(tag);
        self
    }

    /// Only those whose reason, why they failed or wait, has this text in it, letter for letter.
    #[must_use]
    pub fn reason(self, reason: impl Into<String>) -> Filter {
        let reason = Some(reason.into());
        Filter { reason, ..self }
    }

    /// Nothing is said: all tasks are meant.
    pub fn is_all(&self) -> bool {
        *self == Filter::default()
    }

    /// The numbers, where nothing is said but them.
    pub fn only_ids(&self) -> Option<&[TaskId]> {
        let others = Filter {
            ids: None,
            ..self.clone()
        };
        self.ids.as_deref().filter(|_| others.is_all())
    }

    /// The recorded statuses that it lets through, each once; all, where there is none.
    pub(crate) fn recorded(&self) -> Vec<Status> {
        let mut recorded: Vec<Status> = Vec::new();
        for status in &self.statuses {
            let status = status.recorded();
            if !recorded.contains(&status) {
                recorded.push(status);
            }
        }
        recorded
    }

    /// Whether it lets this one through, once it is known who lives.
    pub(crate) fn shows(&self, status: DisplayedStatus) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// Whether that asks who lives: of tasks that run it wants those whose workers live, or those whose are dead.
    pub(crate) fn asks_who_lives(&self) -> bool {
        let has = |status| self.statuses.contains(&status);
        has(DisplayedStatus::Running) != has(DisplayedStatus::Stalled)
    }

    /// Whether it lets a task through, as far as the task's row tells. What adapters say in their own words.
    pub(crate) fn passes(&self, task: &Seen<'_>) -> bool {
        let recorded = self.recorded();
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == value
        };
        (recorded.is_empty() || recorded.contains(&task.status))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&task.id))
            && is(&self.tube, Some(task.tube))
            && is(&self.command, task.command)
            && self.since.is_none_or(|since| task.created >= since)
            && self.until.is_none_or(|until| task.created < until)
            && self
                .tags
                .iter()
                .all(|tag| task.tags.iter().any(|has| tag.means(has)))
            && self.reason.as_deref().is_none_or(|text| {
                let reason = task.reason;
                reason.is_some_and(|reason| reason.contains(text))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_passes_all_that_is_said() {
        let task = Seen {
            id: TaskId(5),
            status: Status::Failed,
            tube: "t",
            command: Some("c"),
            created: 100,
            tags: &["k=v".parse().unwrap(), "l".parse().unwrap()],
            reason: Some("exit code 1, in the last of 2 attempts"),
        };
        let all = Filter::default();
        let failed = all.clone().status(DisplayedStatus::Failed);
        let table = [
            (all.clone(), true),
            (failed.clone(), true),
            (failed.clone().status(DisplayedStatus::Done), true),
            (all.clone().status(DisplayedStatus::Done), false),
            (all.clone().ids([4, 5]), true),
            (all.clone().ids([4]), false),
            (all.clone().ids([0; 0]), false),
            (failed.clone().command("c").since(100).until(101), true),
            (failed.clone().since(101), false),
            (failed.clone().until(100), false),
            (failed.clone().command("d"), false),
            (
                all.clone()
                    .tag("k".parse().unwrap())
                    .tag("l".parse().unwrap()),
                true,
            ),
            (all.clone().tag("k=v".parse().unwrap()), true),
            (all.clone().tag("k=w".parse().unwrap()), false),
            (
                all.clone()
                    .tag("k".parse().unwrap())
                    .tag("m".parse().unwrap()),
                false,
            ),
            (failed.clone().reason("code 1,"), true),
            (failed.clone().reason("%"), false),
            (failed.clone().reason("Exit"), false),
        ];
        for (filter, passes) in table {
            assert_eq!(filter.passes(&task), passes, "{filter:?}");
        }
        assert!(all.is_all() && !failed.is_all());
        assert_eq!(
            all.clone().ids([4, 5]).only_ids(),
            Some(&[TaskId(4), TaskId(5)][..])
        );
        assert_eq!(failed.ids([4]).only_ids(), None);
        assert_eq!(all.only_ids(), None);
    }

    #[test]
    fn who_lives_is_asked_only_where_that_matters() {
        use DisplayedStatus::{Failed, Running, Stalled};
        for (statuses, asks) in [
            (vec![], false),
            (vec![Failed], false),
            (vec![Running], true),
            (vec![Stalled, Failed], true),
            (vec![Stalled, Running], false),
        ] {
            let filter = Filter {
                statuses,
                ..Filter::default()
            };
            assert_eq!(filter.asks_who_lives(), asks, "{filter:?}");
        }
    }
}
