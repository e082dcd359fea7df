//! What the table says, in its order.

/// How a figure comes of what was measured.
pub enum From {
    /// One to another.
    Ratio(&'static str, &'static str),
    /// One less another.
    Difference(&'static str, &'static str),
    /// One as it is.
    Itself(&'static str),
}

/// What is promised: the words, where the figure comes from, what it should reach, and its unit.
pub const PROMISED: &[(&str, From, &str, &str)] = &[
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
    (
        "`put --batch`, row and job ÷ single-row inserts",
        From::Ratio("put.batch", "put.insert"),
        "≥ 1",
        "",
    ),
    (
        "put by the library, one at a time ÷ single-row inserts",
        From::Ratio("put.single", "put.insert"),
        "",
        "",
    ),
    (
        "the same, embedded broker",
        From::Ratio("put.single.embedded", "put.insert"),
        "",
        "",
    ),
    ("`put --batch`", From::Itself("put.batch"), "", " tasks/s"),
    (
        "`put --batch`, embedded broker",
        From::Itself("put.batch.embedded"),
        "",
        " tasks/s",
    ),
    (
        "put by the library, one at a time",
        From::Itself("put.single"),
        "",
        " tasks/s",
    ),
    (
        "single-row inserts into plain SQLite, `FULL`",
        From::Itself("put.insert"),
        "",
        " rows/s",
    ),
    (
        "kill -9 of an idle worker → its successor has reserved, p50",
        From::Itself("replace.idle.p50"),
        "≤ 25",
        " ms",
    ),
    (
        "the same of a busy one, what it ran ended, p50",
        From::Itself("replace.busy.p50"),
        "≤ 25",
        " ms",
    ),
    (
        "the longest of an idle one",
        From::Itself("replace.idle.max"),
        "",
        " ms",
    ),
    (
        "memory (PSS) of an idle worker in a pool of 8",
        From::Itself("idle.memory.worker"),
        "≤ 2560",
        " KB",
    ),
    (
        "memory (PSS) of its tender",
        From::Itself("idle.memory.tender"),
        "",
        " KB",
    ),
    (
        "memory (PSS) of its guard",
        From::Itself("idle.memory.guard"),
        "",
        " KB",
    ),
    (
        "CPU of 8 idle workers, tender and guard, of a core",
        From::Itself("idle.cpu"),
        "≤ 0.1",
        " %",
    ),
    (
        "wake-ups of an idle worker, a minute",
        From::Itself("idle.wakes.workers"),
        "",
        "",
    ),
    (
        "wake-ups of tender and guard, a minute and process",
        From::Itself("idle.wakes.tender"),
        "",
        "",
    ),
    (
        "workers' memory after {many} jobs ÷ after {few}",
        From::Ratio("memory.many", "memory.few"),
        "≤ 1.05",
        "",
    ),
];
