//! How much a job costs, in whole processes, beside what the machine charges for the process alone.
//!
//! ```text
//! floor ──▶ drain ──▶ latency ──▶ …        one round; every case once
//!   └───────────── again, in the same order ─────────────┘
//! samples ──▶ medians, spreads, ratios within a round ──▶ RESULTS.md, results.json
//! ```
//!
//! Absolute figures mean nothing on a machine that others use too; what a round's figures are to each other does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a figure that could not be measured must not pass for one that was"
)]

mod drain;
mod figures;
mod floor;
mod latency;
mod machine;
mod processes;
mod report;
mod server;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use figures::Samples;
use world::Size;

/// What is run where nothing is to be done.
const TRUE: &str = "/bin/true";

/// Measure what a job costs
#[derive(Debug, Parser)]
struct Options {
    /// Fewer rounds of fewer jobs
    #[arg(long)]
    quick: bool,
    /// So many rounds [default: 5, or 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these parts
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Write RESULTS.md and results.json into this folder
    #[arg(long)]
    write: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

type Part = fn(&Size, &mut Samples);

/// What a round consists of, in order.
const PARTS: &[(&str, Part)] = &[
    ("floor", floor::measure),
    ("drain", drain::measure),
    ("drains", drain::measure_others),
    ("latency", latency::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.as_slice() {
        // We are the floor.
        ["--spawn", count, argv @ ..] => return floor::spawn_so_many(count, argv),
        // Whoever runs all tests asks which there are: none, this takes a while.
        some if some.contains(&"--list") => return ExitCode::SUCCESS,
        _ => {}
    }
    let options = Options::parse();
    let size = if options.quick {
        Size::QUICK
    } else {
        Size::FULL
    };
    let rounds = options.rounds.unwrap_or(size.rounds);
    let mut samples = Samples::default();
    for round in 1..=rounds {
        for (name, part) in PARTS {
            if options.only.is_empty() || options.only.iter().any(|only| only == name) {
                eprintln!("bench: round {round} of {rounds}: {name}");
                part(&size, &mut samples);
            }
        }
    }
    report::print(&samples, rounds, options.quick, options.write.as_deref());
    ExitCode::SUCCESS
}
