//! What `--watch` shows: as much as the terminal has room for, and how much more there is.

use std::collections::BTreeMap;

use super::frame::{Frame, Room, Row};
use super::seen::Seen;
use super::table::{bytes, cut, lines_of};
use super::tubes::short;
use super::why;
use crate::api::TaskReport;
use crate::broker::TubeStats;
use crate::cli::print::span;
use crate::control::words::{Pool, Status, Worker};
use crate::tube::TubeName;

/// So many columns a number has.
const NUMBER: usize = 6;
/// So many columns the memory of a worker has.
const MEMORY: usize = 9;
/// The columns between and beside the names.
const BESIDE: usize = 65;
/// No name gets more.
const LONGEST_NAME: usize = 60;
/// So many tenders are named.
const TENDERS: usize = 2;

/// The last line is for what there is no room for, and how to leave.
pub(super) fn overview(seen: &Seen, room: Room) -> Frame {
    let mut frame = Frame::default();
    heads(&mut frame, seen, room);
    let tubes = ranked(seen);
    let troubles = troubles(seen, room);
    let below = room.rows.saturating_sub(frame.0.len()).saturating_sub(2);
    // Trouble has a third, and what else the tubes leave.
    let for_trouble = troubles.len().min(below / 3);
    let shown = tubes.len().min(below.saturating_sub(for_trouble));
    frame.0.push(Row::plain(cut(&names(room), room.columns)));
    let rows = tubes.iter().take(shown);
    frame.0.extend(rows.map(|tube| tube_row(seen, tube, room)));
    let mut more = vec![left(tubes.len() - shown, "tube")];
    let left_over = below.saturating_sub(shown);
    let cut_off = troubles.len().saturating_sub(left_over);
    frame.0.extend(troubles.into_iter().take(left_over));
    if cut_off > 0 {
        more.push("more to say of these".to_owned());
    }
    let rows = room.rows.saturating_sub(frame.0.len()).saturating_sub(1);
    more.push(workers(&mut frame, seen, room, rows));
    more.retain(|part| !part.is_empty());
    while frame.0.len() + 1 < room.rows {
        frame.0.push(Row::plain(""));
    }
    frame.0.truncate(room.rows.saturating_sub(1));
    let hidden = tubes.len() > shown || cut_off > 0;
    let last = [
        "q to leave".to_owned(),
        more.join(", "),
        (if hidden {
            "--use-tube TUBE for one"
        } else {
            ""
        })
        .to_owned(),
    ];
    let last: Vec<String> = last.into_iter().filter(|part| !part.is_empty()).collect();
    frame.0.push(Row::plain(last.join("; ")));
    frame.cut(room.columns);
    frame
}

fn left(count: usize, what: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("1 more {what}"),
        n => format!("{n} more {what}s"),
    }
}

fn heads(frame: &mut Frame, seen: &Seen, room: Room) {
    for tender in seen.tenders.iter().take(TENDERS) {
        frame.0.push(Row::plain(cut(&head(tender), room.columns)));
    }
    if seen.tenders.len() > TENDERS {
        let more = left(seen.tenders.len() - TENDERS, "tender");
        frame.0.push(Row::plain(cut(&more, room.columns)));
    }
    if seen.tenders.is_empty() {
        let none = match seen.silent.is_empty() {
            true => format!("no tender is up for the store {}", seen.store),
            false => "no tender answers".to_owned(),
        };
        frame.0.push(Row::plain(cut(&none, room.columns)));
    }
    if let Some(store) = seen.tenders.first().map(|_| &seen.store) {
        let store = format!("store {store}");
        frame.0.push(Row::plain(cut(&store, room.columns)));
    }
}

fn head(tender: &Status) -> String {
    let all = tender.pools.iter().map(|pool| pool.workers.len());
    let busy = tender.pools.iter().map(|pool| u64::from(pool.census.busy));
    let (all, busy): (usize, u64) = (all.sum(), busy.sum());
    format!(
        "tender {}, version {}, up {}: {} tubes, {all} workers, {busy} busy",
        tender.pid,
        tender.version,
        span(tender.age),
        tender.pools.len(),
    )
}

/// The tubes: first those in trouble, then those in which there is something to do, each by name.
fn ranked(seen: &Seen) -> Vec<&TubeName> {
    let pools = by_tube(seen);
    let rank = |tube: &&TubeName| {
        let name = tube.as_str();
        let pool = pools.get(name);
        let is_troubled = pool.is_some_and(|pool| !why::trouble(pool).is_empty());
        let waits = seen.tubes.jobs(name).is_some_and(|jobs| jobs.ready > 0);
        let is_busy = waits || pool.is_some_and(|pool| pool.census.busy > 0);
        (!is_troubled, !is_busy)
    };
    let mut tubes: Vec<&TubeName> = seen.named.iter().collect();
    tubes.sort_by_key(rank);
    tubes
}

fn by_tube(seen: &Seen) -> BTreeMap<&str, &Pool> {
    let pools = seen.tenders.iter().flat_map(|tender| &tender.pools);
    pools.map(|pool| (pool.tube.as_str(), pool)).collect()
}

/// As wide as the terminal lets names be.
fn name_width(room: Room) -> usize {
    room.columns.saturating_sub(BESIDE).clamp(8, LONGEST_NAME)
}

fn names(room: Room) -> String {
    let width = name_width(room);
    let numbers = [
        "READY", "DELAY", "BURIED", "OLDEST", "DONE/M", "FAIL/M", "WAITED", "RAN",
    ];
    let numbers = numbers.map(|name| format!(" {name:>NUMBER$}"));
    // The workers have one column more.
    format!("{:<width$} {:>8}{}", "TUBE", "BUSY/ALL", numbers.concat())
}

fn tube_row(seen: &Seen, tube: &TubeName, room: Room) -> Row {
    let name = tube.as_str();
    let width = name_width(room);
    let pools = seen.tenders.iter().flat_map(|tender| &tender.pools);
    let pools: Vec<&Pool> = pools.filter(|pool| pool.tube == name).collect();
    let jobs = seen.tubes.jobs(name);
    let ends = seen.tubes.ends(name);
    let workers = match pools.as_slice() {
        [] => "-".to_owned(),
        some => {
            let busy = some.iter().map(|pool| u64::from(pool.census.busy)).sum();
            let all = some.iter().map(|pool| pool.workers.len() as u64).sum();
            format!("{}/{}", count(busy), count(all))
        }
    };
    let is_paused = jobs.is_some_and(|jobs| !jobs.pause_left.is_zero());
    let ready = match (jobs, is_paused) {
        (Some(_), true) => "paused".to_owned(),
        (jobs, _) => number(jobs, |jobs| jobs.ready),
    };
    let cell = |text: String| format!(" {text:>NUMBER$}");
    let dash = || "-".to_owned();
    let oldest = seen.tubes.oldest(name).map_or_else(dash, short);
    let percentile = |of: Option<u64>| cell(of.map_or_else(dash, short));
    let a_minute = |n: fn(&crate::ledger::rows::Ends) -> u64| {
        cell(ends.map_or_else(dash, |ends| seen.tubes.a_minute(n(ends))))
    };
    Row::about(format!("tube {name}"))
        .unwatched(format!("{:<width$}", cut(name, width)))
        .cell(format!(" {workers:>8}"))
        .cell(cell(ready))
        .cell(cell(number(jobs, |jobs| jobs.delayed)))
        .cell(cell(number(jobs, |jobs| jobs.buried)))
        .unwatched(cell(oldest))
        .cell(a_minute(|ends| ends.done))
        .cell(a_minute(|ends| ends.failed))
        .cell(percentile(ends.and_then(|ends| ends.waited.percentile(95))))
        .cell(percentile(ends.and_then(|ends| ends.ran.percentile(95))))
}

fn number(jobs: Option<&TubeStats>, of: fn(&TubeStats) -> u64) -> String {
    jobs.map_or_else(|| "-".to_owned(), |jobs| count(of(jobs)))
}

/// In at most six columns.
fn count(n: u64) -> String {
    match n {
        0..=99_999 => n.to_string(),
        100_000..=99_999_999 => format!("{}k", n / 1000),
        100_000_000..=99_999_999_999 => format!("{}M", n / 1_000_000),
        _ => "many".to_owned(),
    }
}

/// What somebody should see to.
fn troubles(seen: &Seen, room: Room) -> Vec<Row> {
    let mut said: Vec<String> = Vec::new();
    said.extend(seen.silent.iter().map(|(_, _, reason)| reason.clone()));
    said.extend(seen.tubes.unknown.clone());
    let pools = seen.tenders.iter().flat_map(|tender| &tender.pools);
    for pool in pools {
        let trouble = why::trouble(pool);
        if !trouble.is_empty() {
            said.push(format!("{}: {}", pool.tube, trouble.join("; ")));
        }
    }
    said.extend(seen.tenders.iter().flat_map(shared));
    let lines = said.iter().flat_map(|said| lines_of(said, room.columns));
    lines.map(Row::plain).collect()
}

/// The pools that several tubes share.
fn shared(tender: &Status) -> Vec<String> {
    let mut shared: BTreeMap<&str, (String, Vec<String>)> = BTreeMap::new();
    for pool in &tender.pools {
        if let Some(of) = &pool.shared_pool {
            let head = format!("pool {}: {} of {}", of.name, of.workers, of.max);
            let (_, tubes) = shared.entry(&of.name).or_insert((head, Vec::new()));
            tubes.push(format!("{} ({})", pool.tube, of.weight));
        }
    }
    let said = shared.into_values();
    said.map(|(head, tubes)| format!("{head}, for {}", tubes.join(", ")))
        .collect()
}

/// The workers, those first that run something; how many there was no room for.
fn workers(frame: &mut Frame, seen: &Seen, room: Room, rows: usize) -> String {
    let pools = seen.tenders.iter().flat_map(|tender| &tender.pools);
    let mut all: Vec<&Worker> = pools.flat_map(|pool| &pool.workers).collect();
    // An empty line and the names of the columns come first.
    let shown = rows.saturating_sub(2).min(all.len());
    if shown == 0 {
        return String::new();
    }
    all.sort_by_key(|worker| (!worker.troubled, worker.task.is_none()));
    let width = match seen.reports.is_empty() {
        true => name_width(room),
        // What commands say has the rest.
        false => {
            let names = all.iter().map(|worker| worker.name.chars().count());
            names.max().unwrap_or_default().clamp(8, name_width(room))
        }
    };
    frame.0.push(Row::plain(""));
    let names = format!(
        "{:<width$} {:>8} {:<9} {:>10} {:>8}  {}",
        "WORKER", "PID", "STATE", "TASK", "AGE", "MEMORY"
    );
    let names = match seen.reports.is_empty() {
        true => names,
        false => format!("{names}     PROGRESS"),
    };
    frame.0.push(Row::plain(cut(&names, room.columns)));
    for worker in all.iter().take(shown) {
        let said = seen.said(worker).and_then(TaskReport::words);
        frame
            .0
            .push(worker_row(worker, said.as_deref(), width, room));
    }
    left(all.len() - shown, "worker")
}

fn worker_row(worker: &Worker, said: Option<&str>, width: usize, room: Room) -> Row {
    let dash = || "-".to_owned();
    let pid = worker.pid.map_or_else(dash, |pid| pid.to_string());
    let task = worker.task.map_or_else(dash, |task| task.to_string());
    let memory = worker.memory.map_or_else(dash, bytes);
    let left = room.columns.saturating_sub(width + 40);
    let (memory, said) = match said {
        None => (cut(&memory, left), String::new()),
        Some(said) => {
            let said = cut(said, left.saturating_sub(MEMORY + 3));
            (format!("{memory:<MEMORY$}"), format!("  {said}"))
        }
    };
    Row::about(format!("worker {}", worker.name))
        .unwatched(format!("{:<width$}", cut(&worker.name, width)))
        .cell(format!(" {pid:>8}"))
        .cell(format!(" {:<9}", cut(&worker.state, 9)))
        .cell(format!(" {task:>10}"))
        .unwatched(format!(" {:>8}", span(worker.age)))
        .unwatched(format!("  {memory}"))
        // It changes with nearly every look.
        .unwatched(said)
}

#[cfg(test)]
mod tests;
