//! The pure parts of the chaos run: what it plans, and how it judges. A judge that finds nothing proves nothing.

#![allow(dead_code, reason = "the rest of them is for the run itself")]

#[path = "../chaos/beside.rs"]
mod beside;
#[path = "../chaos/called_off.rs"]
mod called_off;
#[path = "../chaos/journal.rs"]
mod journal;
#[path = "../chaos/judge.rs"]
mod judge;
#[path = "../chaos/ledger.rs"]
mod ledger;
#[path = "../chaos/plan.rs"]
mod plan;
#[path = "../chaos/proxy.rs"]
pub(crate) mod proxy;
#[path = "../chaos/random.rs"]
pub(crate) mod random;
#[path = "../chaos/task.rs"]
mod task;

mod judging;
mod planning;
