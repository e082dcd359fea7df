//! Tasks that wait for others: what the ends of these mean to them.
//!
//! A task that waits is a child, and those that it waits for are its parents. What is decided here depends on how many
//! parents stand where, and not on the order in which they ended.

use std::fmt;
use std::str::FromStr;

use super::id::TaskId;
use super::state::Status;

mod graph;

pub use graph::{Graph, ordered};

/// So many parents a task has at the most.
pub const MOST_PARENTS: usize = 10_000;

/// On what terms a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// The first parent that ends well lets the task go; else all have to.
    pub any: bool,
    /// What becomes of the task where its parents do not.
    pub if_parent_fails: IfParentFails,
}

/// What becomes of a task when a parent has failed, was cancelled or deleted; where any one of them will do: when all
/// have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfParentFails {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It runs all the same.
    Run,
    /// It waits until somebody says, or the parent has ended well after all.
    Hold,
}

impl IfParentFails {
    /// Every one.
    pub const ALL: [IfParentFails; 3] = [
        IfParentFails::Cancel,
        IfParentFails::Run,
        IfParentFails::Hold,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            IfParentFails::Cancel => "cancel",
            IfParentFails::Run => "run",
            IfParentFails::Hold => "hold",
        }
    }
}

impl FromStr for IfParentFails {
    type Err = String;

    fn from_str(word: &str) -> Result<IfParentFails, String> {
        let mut all = IfParentFails::ALL.into_iter();
        all.find(|rule| rule.as_str() == word)
            .ok_or_else(|| "this is none of: cancel, run or hold".into())
    }
}

impl fmt::Display for IfParentFails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which tasks a task waits for, and on what terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct After {
    /// These.
    pub parents: Vec<TaskId>,
    /// On these terms.
    pub terms: Terms,
}

/// What a task that is to be put says of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// What those call it that are put with it.
    pub reference: Option<String>,
    /// What it waits for.
    pub parents: Vec<Parent>,
    /// On what terms.
    pub terms: Terms,
}

/// A task that another waits for, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// One that is recorded.
    Id(TaskId),
    /// One that is put with it, by its reference.
    Reference(String),
}

/// The longest reference, in bytes.
pub const LONGEST_REFERENCE: usize = 100;

impl Links {
    /// Whether it speaks of others that are put with it.
    pub fn is_of_a_batch(&self) -> bool {
        let by_reference = |parent: &Parent| match parent {
            Parent::Id(_) => false,
            Parent::Reference(_) => true,
        };
        self.reference.is_some() || self.parents.iter().any(by_reference)
    }

    /// What it waits for that is recorded; `None`: nothing.
    pub fn after(&self) -> Option<After> {
        let id = |parent: &Parent| match parent {
            Parent::Id(id) => Some(*id),
            Parent::Reference(_) => None,
        };
        let parents: Vec<TaskId> = self.parents.iter().filter_map(id).collect();
        (!parents.is_empty()).then_some(After {
            parents,
            terms: self.terms,
        })
    }
}

/// Why a text is no reference, if it is none.
pub fn bad_reference(text: &str) -> Option<&'static str> {
    match text.len() {
        0 => Some("a reference has a byte at least"),
        1..=LONGEST_REFERENCE if text.chars().any(char::is_control) => {
            Some("a reference has no control characters")
        }
        1..=LONGEST_REFERENCE => None,
        _ => Some("a reference has at most 100 bytes"),
    }
}

/// How a parent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentEnd {
    /// Well.
    Done,
    /// It will not be tried again.
    Failed,
    /// It was called off.
    Cancelled,
    /// It was deleted before it had ended.
    Deleted,
}

impl ParentEnd {
    /// The end of a task that stands there, if it has ended.
    pub fn of(status: Status) -> Option<ParentEnd> {
        match status {
            Status::Waiting | Status::Running => None,
            Status::Done => Some(ParentEnd::Done),
            Status::Failed => Some(ParentEnd::Failed),
            Status::Cancelled => Some(ParentEnd::Cancelled),
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ParentEnd::Done => "done",
            ParentEnd::Failed => "failed",
            ParentEnd::Cancelled => "cancelled",
            ParentEnd::Deleted => "deleted",
        }
    }

    /// What that word means.
    pub fn from_word(word: &str) -> Option<ParentEnd> {
        use ParentEnd::{Cancelled, Deleted, Done, Failed};
        let mut all = [Done, Failed, Cancelled, Deleted].into_iter();
        all.find(|end| end.as_str() == word)
    }

    /// What happened to it, for people.
    fn past(self) -> &'static str {
        match self {
            ParentEnd::Done => "is done",
            ParentEnd::Failed => "failed",
            ParentEnd::Cancelled => "was cancelled",
            ParentEnd::Deleted => "was deleted",
        }
    }
}

/// Why a task is cancelled, or held: "task 4, which it waits for, failed".
pub fn reason(parent: TaskId, end: ParentEnd) -> String {
    format!("task {parent}, which it waits for, {}", end.past())
}

/// How many parents stand where, as far as their child knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// They have not ended.
    pub open: u32,
    /// They are done.
    pub well: u32,
    /// They have ended otherwise.
    pub badly: u32,
}

impl Counts {
    /// One parent more that stands so.
    pub fn add(&mut self, end: Option<ParentEnd>) {
        let count = self.of(end);
        *count = count.saturating_add(1);
    }

    /// A parent stands otherwise than it did.
    pub fn moved(&mut self, from: Option<ParentEnd>, to: Option<ParentEnd>) {
        let count = self.of(from);
        *count = count.saturating_sub(1);
        self.add(to);
    }

    fn of(&mut self, end: Option<ParentEnd>) -> &mut u32 {
        match end {
            None => &mut self.open,
            Some(ParentEnd::Done) => &mut self.well,
            Some(ParentEnd::Failed | ParentEnd::Cancelled | ParentEnd::Deleted) => &mut self.badly,
        }
    }
}

/// What the parents mean to a task that waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for those that have not ended.
    Waits,
    /// It may go.
    Goes,
    /// It is to be cancelled.
    Cancelled,
    /// It waits for a person, or for a parent that has another try.
    Held,
}

/// What the parents of a task mean to it.
pub fn judge(terms: Terms, counts: Counts) -> Verdict {
    let Counts { open, well, badly } = counts;
    let otherwise = match terms.if_parent_fails {
        IfParentFails::Cancel => Verdict::Cancelled,
        IfParentFails::Hold => Verdict::Held,
        IfParentFails::Run if open > 0 => Verdict::Waits,
        IfParentFails::Run => Verdict::Goes,
    };
    match terms.any {
        true if well > 0 => Verdict::Goes,
        true if open > 0 => Verdict::Waits,
        true => otherwise,
        false if badly > 0 => otherwise,
        false if open > 0 => Verdict::Waits,
        false => Verdict::Goes,
    }
}

/// What has become of a task's waiting for its parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// It waits for them.
    Waits,
    /// It was cancelled for them: it waits again if the parent that did it does.
    Cancelled,
    /// They matter to it no more: it went, or a person has decided.
    Over,
}

impl Stands {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stands::Waits => "waits",
            Stands::Cancelled => "cancelled",
            Stands::Over => "over",
        }
    }

    /// What that word means.
    pub fn from_word(word: &str) -> Option<Stands> {
        let mut all = [Stands::Waits, Stands::Cancelled, Stands::Over].into_iter();
        all.find(|stands| stands.as_str() == word)
    }
}

/// What is done to a task when its parents mean that to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Its job is put.
    Go,
    /// It is cancelled.
    Cancel,
    /// It waits for its parents again.
    Revive,
    /// It waits again, and its job is put.
    ReviveAndGo,
}

/// What is done to a task.
pub fn act(stands: Stands, verdict: Verdict) -> Act {
    match (stands, verdict) {
        (Stands::Over, _) => Act::Nothing,
        (Stands::Waits, Verdict::Waits | Verdict::Held) => Act::Nothing,
        (Stands::Waits, Verdict::Goes) => Act::Go,
        (Stands::Waits, Verdict::Cancelled) => Act::Cancel,
        (Stands::Cancelled, Verdict::Cancelled) => Act::Nothing,
        (Stands::Cancelled, Verdict::Waits | Verdict::Held) => Act::Revive,
        (Stands::Cancelled, Verdict::Goes) => Act::ReviveAndGo,
    }
}

#[cfg(test)]
mod tests {
    use super::IfParentFails::{Cancel, Hold, Run};
    use super::Verdict::{Cancelled, Goes, Held, Waits};
    use super::*;

    #[test]
    fn what_the_ends_of_parents_mean_to_their_child() {
        // All of them have to end well, or any one: open, well, badly.
        let table = [
            ((1, 0, 0), (Waits, Waits, Waits), (Waits, Waits, Waits)),
            ((0, 1, 0), (Goes, Goes, Goes), (Goes, Goes, Goes)),
            ((0, 0, 1), (Cancelled, Goes, Held), (Cancelled, Goes, Held)),
            ((1, 1, 0), (Waits, Waits, Waits), (Goes, Goes, Goes)),
            ((1, 0, 1), (Cancelled, Waits, Held), (Waits, Waits, Waits)),
            ((0, 1, 1), (Cancelled, Goes, Held), (Goes, Goes, Goes)),
            ((1, 1, 1), (Cancelled, Waits, Held), (Goes, Goes, Goes)),
            ((0, 2, 0), (Goes, Goes, Goes), (Goes, Goes, Goes)),
            ((0, 0, 2), (Cancelled, Goes, Held), (Cancelled, Goes, Held)),
            ((2, 0, 0), (Waits, Waits, Waits), (Waits, Waits, Waits)),
        ];
        for ((open, well, badly), all, any) in table {
            let counts = Counts { open, well, badly };
            for (is_any, (cancel, run, hold)) in [(false, all), (true, any)] {
                for (if_parent_fails, expected) in [(Cancel, cancel), (Run, run), (Hold, hold)] {
                    let terms = Terms {
                        any: is_any,
                        if_parent_fails,
                    };
                    assert_eq!(judge(terms, counts), expected, "{terms:?} {counts:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_over_stays_so_and_what_was_cancelled_for_its_parents_alone_waits_again() {
        use Act::{Go, Nothing, Revive, ReviveAndGo};
        let verdicts = [Waits, Goes, Cancelled, Held];
        let table = [
            (Stands::Waits, [Nothing, Go, Act::Cancel, Nothing]),
            (Stands::Cancelled, [Revive, ReviveAndGo, Nothing, Revive]),
            (Stands::Over, [Nothing; 4]),
        ];
        for (stands, expected) in table {
            assert_eq!(verdicts.map(|verdict| act(stands, verdict)), expected);
        }
    }

    #[test]
    fn a_parent_is_counted_where_it_stands() {
        let mut counts = Counts::default();
        let ends = [None, Some(ParentEnd::Done), Some(ParentEnd::Deleted), None];
        ends.into_iter().for_each(|end| counts.add(end));
        assert_eq!((counts.open, counts.well, counts.badly), (2, 1, 1));
        counts.moved(None, Some(ParentEnd::Failed));
        counts.moved(Some(ParentEnd::Failed), None);
        counts.moved(None, Some(ParentEnd::Done));
        assert_eq!((counts.open, counts.well, counts.badly), (1, 2, 1));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for rule in IfParentFails::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        for stands in [Stands::Waits, Stands::Cancelled, Stands::Over] {
            assert_eq!(Stands::from_word(stands.as_str()), Some(stands));
        }
        for end in Status::ALL.into_iter().filter_map(ParentEnd::of) {
            assert_eq!(ParentEnd::from_word(end.as_str()), Some(end));
        }
        assert!("fail".parse::<IfParentFails>().is_err());
        let said = reason(TaskId(4), ParentEnd::Failed);
        assert_eq!(said, "task 4, which it waits for, failed");
    }
}
