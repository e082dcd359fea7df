//! What is said where a task was asked for that is not there.

use std::fmt::Display;

use super::{Failure, log};
use crate::address::StoreUrl;
use crate::ledger::read::Key;
use crate::task::id::TaskId;

/// Where it was looked for, after the words that it is not there.
pub fn absent(said: impl Display, is_store_there: bool, store: &StoreUrl) -> Failure {
    match is_store_there {
        true => Failure::new(format!(
            "{said} in the store {store}: it never was there, or it was deleted"
        ))
        .next("see those that are there with: taskqueue list"),
        false => Failure::new(format!("{said}: there is no store {store} yet"))
            .next("name another with --store PATH or TASKQUEUE_STORE"),
    }
}

/// The same of a number, in the words of the system that this one succeeds, which people know.
pub fn no_such_task(id: TaskId, is_store_there: bool, store: &StoreUrl) -> Failure {
    absent(format_args!("No such task :{id}"), is_store_there, store)
}

/// The same of the one task that was asked for.
pub fn no_task(key: &Key, is_store_there: bool, store: &StoreUrl) -> Failure {
    absent(
        format_args!("there is no task {key}"),
        is_store_there,
        store,
    )
}

/// Says so, beside what is printed.
pub fn say_absent(key: &Key, is_store_there: bool, store: &StoreUrl) {
    let failure = no_task(key, is_store_there, store);
    log::say(format_args!("taskqueue: {failure}"));
}
