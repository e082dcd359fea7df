//! Every test that needs real servers, real processes or real files.

#![allow(
    unsafe_code,
    reason = "processes that die with their tests, mounts, and descriptors as the program gets them"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml exempts only what is itself marked as a test"
)]

mod api;
mod backup;
mod beanstalkd;
mod chaos;
mod cli;
mod conformance;
mod control;
mod corpus;
mod crosscheck;
mod demo;
mod documents;
mod embedded;
mod fake_server;
mod foreign;
mod fuzz;
mod ledger;
mod lives;
mod log;
mod man;
mod ownership;
mod php;
mod producers;
mod schedule;
mod services;
mod signals;
mod store;
mod structure;
mod support;
mod tender;
mod trust;
mod work;
