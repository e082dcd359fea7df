//! The tables, as Markdown and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, json};

use super::figures::{Samples, Summary};
use super::machine::Machine;
use super::promised::{From, PROMISED};
use super::world::Size;

/// Whose CPU a job costs.
const PARTS: &[(&str, &str)] = &[
    ("workers", "workers"),
    ("commands", "commands"),
    ("tender", "tender"),
    ("beanstalkd", "broker"),
];

/// Prints the tables, and writes them where they are wanted.
pub fn print(samples: &Samples, size: &Size, rounds: usize, folder: Option<&Path>) {
    let machine = Machine::look();
    let tables = markdown(samples, &machine, rounds, size);
    println!("{tables}");
    if let Some(folder) = folder {
        let json = serde_json::to_string_pretty(&as_json(samples, &machine, rounds, size)).unwrap();
        fs::write(folder.join("results.json"), json + "\n").unwrap();
        write_between_marks(&folder.join("RESULTS.md"), &tables);
    }
}

fn markdown(samples: &Samples, machine: &Machine, rounds: usize, size: &Size) -> String {
    let mut out = String::new();
    let quick = if size.quick { ", quick" } else { "" };
    writeln!(
        out,
        "{}, {} cores, Linux {}; {}; SQLite {}, WAL, commits of workers `synchronous=NORMAL`, of producers `FULL`; \
         {rounds} rounds{quick}.\n",
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
            let words = size.fill_in(words);
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

/// About three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.05 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn as_json(samples: &Samples, machine: &Machine, rounds: usize, size: &Size) -> serde_json::Value {
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
        "quick": size.quick,
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
