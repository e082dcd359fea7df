//! Everything that is known, for people, however long that is. No line is longer than a narrow terminal.

use super::seen::Seen;
use super::table::{bytes, line, paragraph, wrapped};
use super::why;
use crate::api::TaskReport;
use crate::cli::print::span;
use crate::control::words::{Pool, Status, Worker};
use crate::ledger::counts::COUNTED;

/// The width of each column; the last one is as wide as it is.
const TASKS: [usize; 6] = [24, 9, 9, 9, 9, 0];
const POOL: [usize; 7] = [20, 9, 10, 7, 6, 6, 0];
const WORKER: [usize; 7] = [20, 9, 9, 8, 8, 7, 0];

pub(super) fn full(seen: &Seen) -> String {
    let mut text = String::new();
    for tender in &seen.tenders {
        tender_text(&mut text, tender, seen);
    }
    for (_, _, reason) in &seen.silent {
        paragraph(&mut text, reason);
    }
    if seen.tenders.is_empty() && seen.silent.is_empty() {
        let none = format!("no tender is up for the store {}", seen.store);
        paragraph(&mut text, &none);
    }
    if let Some(said) = seen.of_schedules() {
        paragraph(&mut text, &said);
    }
    for said in seen.of_limits() {
        paragraph(&mut text, &said);
    }
    line(
        &mut text,
        TASKS,
        [
            "TASKS OF",
            "WAITING",
            "RUNNING",
            "STALLED",
            "FAILED",
            "CANCELLED",
        ],
    );
    for (tube, counts) in &seen.counts {
        let numbers = [
            counts.waiting,
            counts.running,
            counts.stalled,
            counts.failed,
            counts.cancelled,
        ];
        let [waiting, running, stalled, failed, cancelled] = numbers.map(number);
        line(
            &mut text,
            TASKS,
            [tube, &waiting, &running, &stalled, &failed, &cancelled],
        );
        if counts.waiting_for_others > 0 {
            let others = number(counts.waiting_for_others);
            wrapped(
                &mut text,
                &format!("of those that wait, {others} wait for others"),
            );
        }
    }
    seen.tubes.text(&mut text, &seen.named);
    text
}

/// As far as it is counted.
fn number(tasks: u64) -> String {
    match tasks {
        0..=COUNTED => tasks.to_string(),
        _ => format!(">{COUNTED}"),
    }
}

fn tender_text(text: &mut String, tender: &Status, seen: &Seen) {
    let Status {
        pid,
        host,
        version,
        age,
        pools,
    } = tender;
    let up = span(*age);
    let who = format!("tender, process {pid} on {host}, version {version}, up {up}");
    paragraph(text, &who);
    let heads = ["POOL", "STATE", "SIZE", "TARGET", "BUSY", "IDLE", "READY"];
    line(text, POOL, heads);
    pools.iter().for_each(|pool| pool_text(text, pool));
    text.push('\n');
    let heads = ["WORKER", "PID", "STATE", "AGE", "TASK", "JOBS", "MEMORY"];
    line(text, WORKER, heads);
    let workers = pools.iter().flat_map(|pool| &pool.workers);
    workers.for_each(|worker| worker_text(text, worker, seen));
    text.push('\n');
}

fn pool_text(text: &mut String, pool: &Pool) {
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let ready = match pool.paused {
        true => "paused".to_owned(),
        false => number(pool.ready),
    };
    line(
        text,
        POOL,
        [
            &pool.tube,
            &pool.state,
            &format!("{}..{}+{}", pool.min, pool.max, pool.spare),
            &number(pool.target.map(u64::from)),
            &pool.census.busy.to_string(),
            &pool.census.idle.to_string(),
            &ready,
        ],
    );
    wrapped(text, &why::of(pool));
}

fn worker_text(text: &mut String, worker: &Worker, seen: &Seen) {
    let dash = || "-".to_owned();
    let trouble = match (worker.troubled, &worker.trouble, &worker.reason) {
        (true, Some(trouble), _) => Some(format!("in trouble: {trouble}")),
        (true, None, _) => Some("in trouble".to_owned()),
        (false, _, reason) => reason.clone(),
    };
    let progress = seen.said(worker).and_then(TaskReport::words);
    let all = [trouble, worker.notice.clone(), progress];
    let remarks: Vec<String> = all.into_iter().flatten().collect();
    line(
        text,
        WORKER,
        [
            &worker.name,
            &worker.pid.map_or_else(dash, |pid| pid.to_string()),
            &worker.state,
            &span(worker.age),
            &worker.task.map_or_else(dash, |task| task.to_string()),
            &worker.jobs.to_string(),
            &worker.memory.map_or_else(dash, bytes),
        ],
    );
    if !remarks.is_empty() {
        wrapped(text, &remarks.join("; "));
    }
}
