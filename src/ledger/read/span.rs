//! Which tasks can be of a time at all. They are recorded nearly in the order of their numbers: a search in that order
//! finds where a time begins and where it ends, and there need be no index, to which each put would have to write.
//!
//! Nearly, for a clock may be set back, and a put may wait before it is recorded. So a day is left on both sides, and
//! what is within is looked at task by task, as all tasks of a small store are. Where a clock was wrong by more than a
//! day, a task may not be found by its time; none is ever found by another's.

use std::ops::Range;

use super::Filter;
use crate::ledger::Millis;
use crate::ledger::error::Failed;
use crate::ledger::rows::Reads;
use crate::task::id::TaskId;

/// By so much a clock may have been wrong.
const WRONG: Millis = 24 * 60 * 60 * 1000;

/// So many numbers are not worth a search.
const FEW: i64 = 10_000;

/// Knows of a number, or of the next that a task has, when that task was recorded.
type Recorded<'a> = dyn FnMut(TaskId) -> Result<Option<(TaskId, Millis)>, Failed> + 'a;

/// Those of some numbers whose tasks can be of the time that the filter names.
pub(super) fn narrowed(
    rows: &dyn Reads,
    filter: &Filter,
    within: Range<TaskId>,
) -> Result<Range<TaskId>, Failed> {
    match filter.ids {
        Some(_) => Ok(within),
        None => of(filter.since, filter.until, within, &mut |from| {
            rows.recorded_from(from)
        }),
    }
}

fn of(
    since: Option<Millis>,
    until: Option<Millis>,
    mut within: Range<TaskId>,
    recorded: &mut Recorded<'_>,
) -> Result<Range<TaskId>, Failed> {
    if let Some(since) = since {
        let begins = since.saturating_sub(WRONG);
        within.start = around(begins, within.clone(), recorded)?.start;
    }
    if let Some(until) = until {
        let ends = until.saturating_add(WRONG);
        within.end = around(ends, within.clone(), recorded)?.end;
    }
    Ok(within)
}

/// The few numbers among which those begin whose tasks were recorded then or later.
fn around(
    then: Millis,
    mut within: Range<TaskId>,
    recorded: &mut Recorded<'_>,
) -> Result<Range<TaskId>, Failed> {
    while within.end.0.saturating_sub(within.start.0) > FEW {
        let middle = TaskId(within.start.0.midpoint(within.end.0));
        match recorded(middle)? {
            Some((task, at)) if at < then && task < within.end => {
                within.start = task.next();
            }
            Some(_) | None => within.end = middle,
        }
    }
    Ok(within)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const HOUR: Millis = 60 * 60 * 1000;

    /// What is left of all numbers, and how often a row was read for that.
    fn narrowed(
        tasks: &BTreeMap<TaskId, Millis>,
        since: Option<Millis>,
        until: Option<Millis>,
    ) -> (Range<TaskId>, usize) {
        let mut reads = 0;
        let all = TaskId::BEFORE_ALL..TaskId::AFTER_ALL;
        let found = of(since, until, all, &mut |from| {
            reads += 1;
            Ok(tasks.range(from..).next().map(|(id, at)| (*id, *at)))
        });
        (found.unwrap(), reads)
    }

    /// One each 50 seconds; some numbers have none, as after a cleanup.
    fn tasks() -> BTreeMap<TaskId, Millis> {
        let ids = (1..200_000).filter(|id| id % 7 != 0 && !(60_000..100_000).contains(id));
        ids.map(|id| (TaskId(id), id * 50_000)).collect()
    }

    #[test]
    fn a_time_is_found_and_little_beside_it() {
        let mut tasks = tasks();
        // For an hour the clock was half a day ahead, and once half a day behind.
        for (first, wrong) in [(140_000, 12 * HOUR), (144_000, -12 * HOUR)] {
            for (_, at) in tasks.range_mut(TaskId(first)..TaskId(first + 72)) {
                *at += wrong;
            }
        }
        let times = (0..200_000).step_by(6_997);
        let near = (138_000..147_000).step_by(397);
        for since in times.chain(near).map(|id| id * 50_000) {
            let until = since + 5 * HOUR;
            for (since, until) in [
                (Some(since), None),
                (None, Some(until)),
                (Some(since), Some(until)),
            ] {
                let (found, reads) = narrowed(&tasks, since, until);
                let is_of = |at: Millis| {
                    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
                };
                let lost = tasks
                    .iter()
                    .find(|(id, at)| is_of(**at) && !found.contains(id));
                assert_eq!(lost, None, "{since:?} {until:?} {found:?}");
                assert!(reads < 130, "{reads}");
                if let (Some(_), Some(_)) = (since, until) {
                    let within = tasks.range(found).count();
                    assert!(within < 2 * 1728 + 360 + 2 * 10_000, "{within}");
                }
            }
        }
    }

    #[test]
    fn of_a_small_store_all_is_looked_at() {
        let tasks = (1..5000).map(|id| (TaskId(id), -id * 24 * HOUR));
        let tasks: BTreeMap<_, _> = tasks.collect();
        for since in [-5000, -2000, 0].map(|day| day * 24 * HOUR) {
            let (found, _) = narrowed(&tasks, Some(since), Some(since + HOUR));
            assert!(tasks.keys().all(|id| found.contains(id)), "{found:?}");
        }
    }
}
