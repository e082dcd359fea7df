//! To which tasks something was not done, and why.

use super::deed::Deed;
use crate::address::StoreUrl;
use crate::api::{Error, NotCancelled, NotDeleted, NotEdited, NotRegenerated};
use crate::cli::absent::absent;
use crate::cli::{Failure, log};
use crate::task::id::TaskId;

/// As many refusals are told of tasks that nobody has named.
const TOLD: u64 = 10;

/// Those to whom it was not done, each said as it comes; of tasks that nobody has named only some.
pub struct Refusals<'a> {
    deed: Deed,
    store: &'a StoreUrl,
    are_named: bool,
    is_store_there: bool,
    count: u64,
}

impl<'a> Refusals<'a> {
    pub fn of(
        deed: Deed,
        store: &'a StoreUrl,
        are_named: bool,
        is_store_there: bool,
    ) -> Refusals<'a> {
        Refusals {
            deed,
            store,
            are_named,
            is_store_there,
            count: 0,
        }
    }

    pub fn say(&mut self, id: TaskId, why: &Error) {
        self.count = self.count.saturating_add(1);
        if self.count <= TOLD || self.are_named {
            let failure = self.refusal(id, why);
            log::say(format_args!("taskqueue: {failure}"));
        }
    }

    /// Says how many there were that were not told.
    pub fn end(&self) {
        let others = self.count.saturating_sub(TOLD);
        if others > 0 && !self.are_named {
            let done = self.deed.done;
            log::say(format_args!(
                "taskqueue: and {others} others were not {done}"
            ));
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Why it was not done with one. `why` has the words of the system that this one succeeds, which people know.
    fn refusal(&self, id: TaskId, why: &Error) -> Failure {
        let (store, is_there) = (self.store, self.is_store_there);
        if matches!(why, Error::Store(_)) {
            return Failure::new(format!("task {id}: {why}"));
        }
        match (is_of_no_task(why), is_there) {
            (true, false) => absent(why, false, store),
            (true, true) => {
                let of = self.deed.of.iter();
                let flags: Vec<_> = of.map(|status| format!(" --status {status}")).collect();
                let done = self.deed.done;
                absent(why, true, store).next(format!(
                    "see those that can be {done} with: taskqueue list{}",
                    flags.concat()
                ))
            }
            (false, _) => {
                let why = why.to_string();
                // Most say it themselves.
                let why = match why.starts_with("task ") {
                    true => why,
                    false => format!("task {id}: {why}"),
                };
                Failure::new(why).next(format!("see how it stands with: taskqueue show {id}"))
            }
        }
    }
}

fn is_of_no_task(why: &Error) -> bool {
    match why {
        Error::NotRegenerated(why) => matches!(why, NotRegenerated::NoSuchTask { .. }),
        Error::NotDeleted(why) => matches!(why, NotDeleted::NoSuchTask { .. }),
        Error::NotEdited(why) => matches!(why, NotEdited::NoSuchTask { .. }),
        Error::NotCancelled(why) => matches!(why, NotCancelled::NoSuchTask { .. }),
        Error::NoSuchTask { .. } => true,
        Error::NoSuchAttempt { .. }
        | Error::NoSchedule { .. }
        | Error::NotAfter(_)
        | Error::NoSuchReference { .. }
        | Error::SameReference { .. }
        | Error::Circle(_)
        | Error::Links(_)
        | Error::ScheduleTaken(_)
        | Error::ScheduleWrong { .. }
        | Error::Refused(_)
        | Error::Raw
        | Error::KeyTaken(_)
        | Error::Tag(_)
        | Error::Own(_)
        | Error::Store(_) => false,
    }
}
