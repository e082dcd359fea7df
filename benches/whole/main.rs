//! How much a job costs, in whole processes, beside what the machine charges for the process alone.
//!
//! ```text
//! floor ──▶ drain ──▶ latency ──▶ …        one round; every case once
//!   └───────────── again, in the same order ─────────────┘
//! samples ──▶ medians, spreads, ratios within a round ──▶ RESULTS.md, results.json
//! ```
//!
//! Absolute figures mean nothing on a machine that others use too; what a round's figures are to each other does.

#![allow(unsafe_code, reason = "processes started as barely as can be")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a figure that could not be measured must not pass for one that was"
)]

mod cleanup;
mod drain;
mod failing;
mod figures;
mod floor;
mod forgotten;
mod growth;
mod history;
mod idle;
mod latency;
mod ledger;
mod machine;
mod peers;
mod processes;
mod promised;
mod put;
mod replace;
mod report;
mod server;
mod start;
mod world;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use figures::Samples;
use growth::Growth;
use world::Size;

/// What is run where nothing is to be done.
const TRUE: &str = "/bin/true";

/// The same where it fails.
const FALSE: &str = "/bin/false";

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

type Measure = Box<dyn FnMut(&Size, &mut Samples)>;

/// Something to measure.
struct Part {
    name: &'static str,
    /// In each round, or in the first only: it takes long, or is a mean over a long time by itself.
    once: bool,
    measure: Measure,
}

/// What a round consists of, in order.
fn parts() -> Vec<Part> {
    fn each(name: &'static str, measure: impl FnMut(&Size, &mut Samples) + 'static) -> Part {
        Part {
            name,
            once: false,
            measure: Box::new(measure),
        }
    }
    let once = |name, measure: fn(&Size, &mut Samples)| Part {
        once: true,
        ..each(name, measure)
    };
    let mut growth = Growth::default();
    vec![
        each("floor", floor::measure),
        each("drain", drain::measure),
        each("drains", drain::measure_others),
        each("failing", failing::measure),
        each("ledger", ledger::measure),
        each("latency", latency::measure),
        each("put", put::measure),
        each("start", start::measure),
        each("replace", replace::measure),
        each("growth", move |size, samples| growth.measure(size, samples)),
        once("cleanup", cleanup::measure),
        once("forgotten", forgotten::measure),
        once("idle", idle::measure),
        once("memory", idle::measure_growth),
        once("peers", peers::measure),
    ]
}

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
    let mut parts = parts();
    for only in &options.only {
        if !parts.iter().any(|part| part.name == only) {
            let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
            eprintln!("bench: no part is named {only}: {}", names.join(", "));
            return ExitCode::FAILURE;
        }
    }
    parts.retain(|part| options.only.is_empty() || options.only.iter().any(|o| o == part.name));
    let mut samples = Samples::default();
    for round in 1..=rounds {
        for part in parts.iter_mut().filter(|part| round == 1 || !part.once) {
            let begun = Instant::now();
            (part.measure)(&size, &mut samples);
            let (name, took) = (part.name, begun.elapsed().as_secs_f64());
            eprintln!("bench: round {round} of {rounds}: {name}, {took:.1} s");
        }
    }
    report::print(&samples, &size, rounds, options.write.as_deref());
    ExitCode::SUCCESS
}
