//! The tables, as Markdown and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, json};

use super::figures::{Samples, Summary};
use super::machine::Machine;

/// How a figure comes of what was measured.
enum From {
    /// One to another.
    Ratio(&'static str, &'static str),
    /// One less another.
    Difference(&'static str, &'static str),
    /// One as it is.
    Itself(&'static str),
}

/// What is promised: the words, where the figure comes from, what it should reach, and its unit.
const PROMISED: &[(&str, From, &str, &str)] = &[
    (
        "drain, 4 workers, beanstalkd ÷ floor, 4 processes",
        From::Ratio("drain", "floor.4"),
        "≥ 0.70",
        "",
    ),
    (
        "CPU a job above a bare spawn, broker included",
        From::Difference("drain.cpu", "floor.4.cpu"),
        "≤ 200",
        " µs",
    ),
    (
        "put → first instruction, idle, p50 ÷ one spawn",
        From::Ratio("latency.put.p50", "latency.spawn.p50"),
        "≤ 2.5",
        "",
    ),
    (
        "the same by the library, its durable row included",
        From::Ratio("latency.library.p50", "latency.spawn.p50"),
        "",
        "",
    ),
    (
        "put → first instruction, half load, p50 ÷ one spawn, idle",
        From::Ratio("latency.loaded.p50", "latency.spawn.p50"),
        "",
        "",
    ),
    (
        "drain, embedded broker ÷ floor",
        From::Ratio("drain.embedded", "floor.4"),
        "",
        "",
    ),
    (
        "drain, foreign jobs ÷ floor",
        From::Ratio("drain.foreign", "floor.4"),
        "",
        "",
    ),
    (
        "drain, 10 KB printed ÷ its floor",
        From::Ratio("drain.print", "floor.print"),
        "",
        "",
    ),
    (
        "drain, 1 worker ÷ floor, 1 process",
        From::Ratio("drain.1", "floor.1"),
        "",
        "",
    ),
    (
        "drain, 2 workers ÷ floor",
        From::Ratio("drain.2", "floor.4"),
        "",
        "",
    ),
    (
        "drain, 8 workers ÷ floor",
        From::Ratio("drain.8", "floor.4"),
        "",
        "",
    ),
    (
        "drain, 16 workers ÷ floor",
        From::Ratio("drain.16", "floor.4"),
        "",
        "",
    ),
    ("floor, 4 processes", From::Itself("floor.4"), "", " jobs/s"),
    ("drain, 4 workers", From::Itself("drain"), "", " jobs/s"),
    (
        "a bare spawn, p50",
        From::Itself("latency.spawn.p50"),
        "",
        " µs",
    ),
    (
        "put → first instruction, idle, p50",
        From::Itself("latency.put.p50"),
        "",
        " µs",
    ),
    (
        "put → first instruction, idle, p99",
        From::Itself("latency.put.p99"),
        "",
        " µs",
    ),
    (
        "put → first instruction, half load, p99",
        From::Itself("latency.loaded.p99"),
        "",
        " µs",
    ),
];

/// Whose CPU a job costs.
const PARTS: &[(&str, &str)] = &[
    ("workers", "workers"),
    ("commands", "commands"),
    ("tender", "tender"),
    ("beanstalkd", "broker"),
];

/// Prints the tables, and writes them where they are wanted.
pub fn print(samples: &Samples, rounds: usize, quick: bool, folder: Option<&Path>) {
    let machine = Machine::look();
    let tables = markdown(samples, &machine, rounds, quick);
    println!("{tables}");
    if let Some(folder) = folder {
        let json =
            serde_json::to_string_pretty(&as_json(samples, &machine, rounds, quick)).unwrap();
        fs::write(folder.join("results.json"), json + "\n").unwrap();
        write_between_marks(&folder.join("RESULTS.md"), &tables);
    }
}

fn markdown(samples: &Samples, machine: &Machine, rounds: usize, quick: bool) -> String {
    let mut out = String::new();
    let size = if quick { ", quick" } else { "" };
    writeln!(
        out,
        "{}, {} cores, Linux {}; {}; SQLite {}, WAL, commits of workers `synchronous=NORMAL`, of producers `FULL`; \
         {rounds} rounds{size}.\n",
        machine.cpu, machine.cores, machine.kernel, machine.beanstalkd, machine.sqlite
    )
    .unwrap();
    out += "| figure | median | lowest – highest | to reach |\n|---|---|---|---|\n";
    for (words, from, reach, unit) in PROMISED {
        let summary = match from {
            From::Ratio(of, to) => samples.ratio(of, to),
            From::Difference(of, to) => samples.difference(of, to),
            From::Itself(of) => samples.of(of),
        };
        if let Some(Summary { low, median, high }) = summary {
            let [low, median, high] = [low, median, high].map(number);
            writeln!(
                out,
                "| {words} | {median}{unit} | {low} – {high} | {reach} |"
            )
            .unwrap();
        }
    }
    out += &cpu(samples);
    out
}

/// Who uses how much of a processor for a job.
fn cpu(samples: &Samples) -> String {
    let mut out = String::new();
    let of = |name: &str| samples.of(name).map(|summary| summary.median);
    if let (Some(all), Some(floor)) = (of("drain.cpu"), of("floor.4.cpu")) {
        out += "\n| CPU a job, µs | user | kernel |\n|---|---|---|\n";
        for (words, part) in PARTS {
            let [user, system] =
                ["user", "system"].map(|mode| of(&format!("drain.cpu.{part}.{mode}")).unwrap());
            writeln!(out, "| {words} | {} | {} |", number(user), number(system)).unwrap();
        }
        writeln!(out, "| all | {} | |", number(all)).unwrap();
        writeln!(out, "| floor: spawner and command | {} | |", number(floor)).unwrap();
    }
    out
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn as_json(samples: &Samples, machine: &Machine, rounds: usize, quick: bool) -> serde_json::Value {
    let figures: Map<_, _> = samples
        .all()
        .iter()
        .map(|(name, values)| {
            let Summary { low, median, high } = samples.of(name).unwrap();
            let figure = json!({ "rounds": values, "low": low, "median": median, "high": high });
            (name.clone(), figure)
        })
        .collect();
    json!({
        "machine": { "cpu": machine.cpu, "cores": machine.cores, "kernel": machine.kernel },
        "beanstalkd": machine.beanstalkd,
        "sqlite": machine.sqlite,
        "rounds": rounds,
        "quick": quick,
        "figures": figures,
    })
}

/// What people wrote around the tables stays.
fn write_between_marks(path: &Path, tables: &str) {
    const BEGIN: &str = "<!-- measured -->\n";
    const END: &str = "<!-- end -->\n";
    let old = fs::read_to_string(path).unwrap_or_else(|_| format!("{BEGIN}{END}"));
    let (before, rest) = old.split_once(BEGIN).expect("RESULTS.md has its marks");
    let (_, after) = rest.split_once(END).expect("RESULTS.md has its marks");
    fs::write(path, format!("{before}{BEGIN}\n{tables}\n{END}{after}")).unwrap();
}
