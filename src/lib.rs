//! `taskqueue`: worker processes for beanstalkd, and a record of what became of every job.
//!
//! A program that puts tasks, or asks what became of them, begins at [`Queue`]; [`api`] has the rest of it. Everything
//! else is the program's own and may change at any time. Without the feature `cli` there is no command line.
//!
//! A program's puts, cancels and deletions fire the hooks of the configuration that [`Queue::configured`] is given, and
//! else none; what workers and tenders do fires those of their own.
//!
//! Imports point one way, from the top of this list to the bottom:
//!
//! | layer | modules | what it may do |
//! |---|---|---|
//! | edge | [`cli`], [`config`] | flags, environment, files, printing |
//! | edge | [`connect`], [`address`] | which adapter is meant by which name |
//! | shell | [`tender`], [`worker`] | loops: wait for an event, ask the core, tell the ports |
//! | shell | [`api`] | what a producer does, in this program or in another |
//! | shell | [`guard`] | cleans up after a tender and its workers when they are killed together |
//! | shell | [`scheduler`] | makes the tasks of schedules when their times come |
//! | shell | [`reconcile`] | what tender, worker and people do to put right what went wrong |
//! | ports | [`broker`], [`ledger`], [`process`], [`link`], [`control`], [`signals`], [`ownership`], [`lives`], [`clock`], [`zone`], and [`jitter`], [`sqlite`], [`thread`], [`service`], [`beside`], [`sealed`], [`duration`], [`fd`], [`file_id`], [`trust`] and [`ofd`] below some of them | one kind of I/O each |
//! | tests | [`crash`] | where a process can be made to die; nothing in a release |
//! | core | [`tube`], [`seconds`], [`grace`], [`task`], [`pool`], [`lifecycle`], [`backoff`], [`crew`], [`schedule`], [`harmless`] | decisions: no clock, no files, no runtime |

pub mod address;
pub mod api;
pub mod backoff;
pub mod beside;
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
#[cfg(feature = "cli")]
pub mod config;
pub mod connect;
pub mod control;
pub mod crash;
pub mod crew;
pub mod duration;
pub mod errno;
pub mod fd;
pub mod file_id;
pub mod grace;
pub mod guard;
pub mod harmless;
pub mod jitter;
pub mod ledger;
pub mod lifecycle;
pub mod link;
pub mod lives;
pub mod ofd;
pub mod ownership;
pub mod pool;
pub mod process;
pub mod reconcile;
pub mod schedule;
pub mod scheduler;
pub mod sealed;
pub mod seconds;
pub mod service;
pub mod signals;
pub mod sqlite;
pub mod task;
pub mod tender;
pub mod thread;
pub mod trust;
pub mod tube;
pub mod worker;
pub mod zone;

pub use address::{BrokerUrl, StoreUrl};
pub use api::{
    Attempts, Cancel, Cancelled, Cleanup, Edit, Ended, Error, Filter, IfParentFails, Logged, Put,
    Queue, Receipt, Status, Tag, Task, Unique, Waited,
};
pub use task::id::TaskId;
pub use tube::TubeName;
pub use uuid::Uuid;
