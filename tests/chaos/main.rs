//! Chaos: everything that can break is broken, for a while and by a seed, and then every task is accounted for.
//!
//! ```text
//! producers ─▶ broker and store ◀─ tenders, workers ─▶ commands ─▶ their own journals
//!                    ▲                    ▲                                │
//!                    └────── faults ──────┘            store ─▶ judge ◀────┘
//! ```
//!
//! `plan` lists the faults, and `faults/` does and undoes them: processes that are killed, stopped or told to end
//! (`kill`), what is lacking for a while (`lack`), what is changed under those that use it (`change`).
//!
//! Whether two attempts of a task overlapped is said by the commands themselves, which know nothing of our
//! store. `judge`, `called_off`, `beside`, `ledger` and `plan` are pure; `tests/it/chaos.rs` tests them.

#![allow(
    unsafe_code,
    reason = "processes that die with the run, and mounts of its own"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a run that cannot go on must not pass for one that went well"
)]

mod ask;
mod beside;
mod called_off;
mod canceller;
mod command;
mod configuration;
mod disk;
mod faults;
mod history;
mod journal;
mod judge;
mod ledger;
mod options;
mod plan;
mod producers;
mod proxy;
mod random;
mod run;
mod server;
mod somebody;
mod store;
mod tap;
mod task;
mod tended;
mod world;

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use clap::Parser;

use options::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.as_slice() {
        // We are one of the commands.
        ["--task"] => std::process::exit(command::run(None)),
        ["--task", key] => std::process::exit(command::run(Some(key))),
        ["--child", descriptor, time] => std::process::exit(command::child(descriptor, time)),
        // Whoever runs all tests asks which there are: none, this takes a while.
        [] => return ExitCode::SUCCESS,
        some if some.contains(&"--list") => return ExitCode::SUCCESS,
        _ => {}
    }
    let options = Options::parse();
    let seed = options
        .seed
        .unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
    match run::run(&options, seed) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
