//! What is done to tasks, in words, and to which of them it can be.

use crate::api::{Filter, Status};
use crate::cli::Failure;

/// What is done, in words.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    /// As the command is called: `regenerate`.
    pub verb: &'static str,
    /// What is said then: `regenerated`.
    pub done: &'static str,
    /// Where tasks must stand for it.
    pub of: &'static [Status],
    /// What is said of others: `only failed tasks are regenerated`.
    pub only: &'static str,
}

impl Deed {
    /// The tasks that are meant, of those with which it can be done. What is named by its number alone is tried
    /// wherever it stands, and says so.
    ///
    /// # Errors
    /// When others are asked for, or nobody said which.
    pub fn narrowed(self, all: bool, filter: Filter) -> Result<Filter, Failure> {
        match (all, filter.is_all()) {
            (false, true) => {
                return Err(Failure::usage(format!(
                    "taskqueue {} was not told which tasks are meant",
                    self.verb
                ))
                .next("name them by their numbers, or by --status, --use-tube and the like; or all of them: --all"));
            }
            (true, false) => {
                return Err(Failure::usage(
                    "--all means all tasks, and something else says that only some are meant",
                )
                .next("leave out one of the two"));
            }
            (true, true) | (false, false) => {}
        }
        if filter.only_ids().is_some() {
            return Ok(filter);
        }
        if let Some(other) = filter
            .statuses
            .iter()
            .find(|status| !self.of.contains(status))
        {
            return Err(
                Failure::usage(format!("--status {other}: {}", self.only)).next(format!(
                    "--status says which tasks are meant, of those with which it can be done: {}",
                    listed(self.of)
                )),
            );
        }
        let statuses = match filter.statuses.as_slice() {
            [] => self.of.to_vec(),
            named => named.to_vec(),
        };
        let mut filter = filter;
        filter.statuses = statuses;
        Ok(filter)
    }
}

fn listed(statuses: &[Status]) -> String {
    let words: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    words.join(", ")
}
