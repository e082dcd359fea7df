//! What is to be said of a pool in words.

use crate::cli::print::span;
use crate::control::words::{BackingOff, Pool, SharedPool};

/// What was decided last and why, and all that is out of the ordinary.
pub(super) fn of(pool: &Pool) -> String {
    let decided = match (&pool.decision, &pool.reason) {
        (Some(decision), Some(reason)) => format!("{decision}: {reason}"),
        (_, _) => "-".to_owned(),
    };
    let mut parts = vec![decided];
    parts.extend(pool.shared_pool.as_ref().map(|shared| {
        let SharedPool {
            name,
            max,
            workers,
            weight,
            outside_max,
        } = shared;
        let outside = match outside_max {
            0 => String::new(),
            n => format!(", {n} outside"),
        };
        format!("in the pool {name} with weight {weight}{outside}: {workers} of {max}")
    }));
    parts.extend(trouble(pool));
    if pool.restarts > 0 {
        parts.push(format!("{} died of {}", pool.restarts, pool.started));
    }
    parts.join("; ")
}

/// What somebody should see to.
pub(super) fn trouble(pool: &Pool) -> Vec<String> {
    let mut parts = Vec::new();
    match pool.census.before {
        Some(0) => {}
        Some(n) => parts.push(format!("{n} left draining by an earlier tender")),
        None => parts.push("those left by an earlier tender cannot be counted".to_owned()),
    }
    let alive = pool.workers.iter().filter(|w| w.state == "alive").count();
    if alive > 0 {
        parts.push(format!("{alive} do not say whether they work"));
    }
    if pool.census.troubled > 0 {
        parts.push(format!("{} in trouble", pool.census.troubled));
    }
    if let Some(lack) = &pool.lack {
        parts.push(format!("cannot start a worker: {lack}"));
    }
    match (&pool.backing_off, &pool.back_off) {
        (Some(known), _) => parts.push(backing_off(known, pool.lack.as_ref())),
        (None, Some(told)) => parts.push(told.clone()),
        (None, None) => {}
    }
    parts
}

fn backing_off(known: &BackingOff, lack: Option<&String>) -> String {
    let BackingOff {
        failures,
        reason,
        since,
        next,
    } = known;
    let since = span(*since);
    // What keeps workers from being started has been said.
    let reason = reason.as_ref().filter(|reason| Some(*reason) != lack);
    let last = reason.map_or_else(String::new, |reason| format!(", the last so: {reason}"));
    match next {
        Some(next) if *next > 0.0 => {
            let next = span(next.ceil());
            format!(
                "backs off for {since}, {failures} failed in a row{last}; tries again in {next}"
            )
        }
        Some(_) => {
            format!(
                "backs off for {since}, {failures} failed in a row{last}; tries one at a time now"
            )
        }
        None => {
            let since =
                format!("starts none for {since}, since a worker said so with exit code 125{last}");
            format!("{since}; once that is mended: taskqueue reload")
        }
    }
}
