//! A filter in SQL: the text is made of what is asked for, and never of a value. Whatever a value is, it is bound.

use std::ops::Range;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::ledger::error::Failed;
use crate::ledger::filter::Filter;
use crate::ledger::rows::EachPicked;
use crate::task::id::TaskId;
use crate::task::state::Status;

/// A statement and its values.
#[derive(Debug)]
pub(super) struct Query {
    pub sql: String,
    pub values: Vec<Value>,
}

/// The ids and other columns of the tasks of some numbers, the newest first.
pub(super) fn newest(columns: &str, filter: &Filter, within: &Range<TaskId>) -> Query {
    query(columns, filter, within, "DESC")
}

/// The ids of tasks of some numbers, the oldest first; and who answers for them, where that matters.
pub(super) fn oldest(filter: &Filter, within: &Range<TaskId>) -> Query {
    let columns = match filter.asks_who_lives() {
        true => "owner",
        false => "NULL",
    };
    query(columns, filter, within, "")
}

/// The task has, among its tags, one that is so.
const AMONG: &str = "EXISTS (SELECT 1 FROM tags AS others WHERE others.task = tasks.id AND ";

/// What the words of a filter come to, each bound by its number. The first column is the id.
fn query(columns: &str, filter: &Filter, within: &Range<TaskId>, order: &str) -> Query {
    let mut values: Vec<Value> = vec![within.start.0.into(), within.end.0.into()];
    let mut more = String::new();
    let mut say = |before: &str, value: Value, after: &str| {
        values.push(value);
        more.push_str(&format!(" AND {before}?{}{after}", values.len()));
    };
    if let Some(ids) = &filter.ids {
        let ids = ids.iter().filter(|id| within.contains(id));
        let ids: Vec<String> = ids.map(ToString::to_string).collect();
        let ids = format!("[{}]", ids.join(","));
        say("id IN (SELECT value FROM json_each(", ids.into(), "))");
    }
    let texts = [("tube = ", &filter.tube), ("command = ", &filter.command)];
    for (before, value) in texts {
        if let Some(value) = value {
            say(before, value.clone().into(), "");
        }
    }
    for (before, value) in [("created >= ", filter.since), ("created < ", filter.until)] {
        if let Some(value) = value {
            say(before, value.into(), "");
        }
    }
    let lead = filter.tags.first().filter(|_| filter.ids.is_none());
    for (place, tag) in filter.tags.iter().enumerate() {
        let (begin, table, end) = match lead.is_some() && place == 0 {
            true => ("", "tags", ""),
            false => (AMONG, "others", ")"),
        };
        let name = format!("{begin}{table}.name = ");
        match tag.value() {
            None => say(&name, tag.name().to_owned().into(), end),
            Some(value) => {
                say(&name, tag.name().to_owned().into(), "");
                say(&format!("{table}.value = "), value.to_owned().into(), end);
            }
        }
    }
    if let Some(text) = &filter.reason {
        say("instr(reason, ", text.clone().into(), ") > 0");
    }
    // Then the first tag says which tasks there are at all, in their order.
    let (id, from) = match lead {
        None => ("id", "tasks"),
        Some(_) => ("tags.task", "tags CROSS JOIN tasks ON tasks.id = tags.task"),
    };
    let select = |status: String| {
        format!("SELECT {id}, {columns} FROM {from} WHERE {id} >= ?1 AND {id} < ?2{status}{more}")
    };
    let parts: Vec<String> = statuses(filter).into_iter().map(select).collect();
    // Parts that each come in order are merged, where one of all would be sorted, for each page anew.
    let sql = format!("{} ORDER BY 1 {order}", parts.join(" UNION ALL "));
    Query { sql, values }
}

/// The conditions on the status: of several parts, one each.
fn statuses(filter: &Filter) -> Vec<String> {
    let mut recorded = filter.recorded();
    if recorded.is_empty() && filter.reason.is_some() {
        // What is done has none.
        recorded = Status::ALL
            .into_iter()
            .filter(|status| *status != Status::Done)
            .collect();
    }
    if (filter.ids.is_some() || !filter.tags.is_empty()) && !recorded.is_empty() {
        // By their numbers or a tag, and by no index of statuses.
        let words: Vec<String> = recorded
            .iter()
            .map(|status| format!("'{status}'"))
            .collect();
        return vec![format!(" AND +status IN ({})", words.join(", "))];
    }
    match recorded.as_slice() {
        [] => vec![String::new()],
        several if several.contains(&Status::Done) => {
            let words: Vec<String> = several.iter().map(|status| format!("'{status}'")).collect();
            vec![format!(" AND status IN ({})", words.join(", "))]
        }
        // In the words of the index that leaves out what is done, or it is not used. What waits and has no job yet
        // stands behind the rest of its status there.
        others => {
            let part = |status: &Status| {
                let part = |later: &str| {
                    format!(" AND status = '{status}' AND later {later} AND status <> 'done'")
                };
                match status {
                    Status::Waiting => vec![part("IS NULL"), part("= 1")],
                    Status::Running | Status::Done | Status::Failed | Status::Cancelled => {
                        vec![part("IS NULL")]
                    }
                }
            };
            others.iter().flat_map(part).collect()
        }
    }
}

pub(super) fn pick(
    look: &Connection,
    filter: &Filter,
    within: Range<TaskId>,
    each: &mut EachPicked<'_>,
) -> Result<(), Failed> {
    let Query { sql, values } = oldest(filter, &within);
    let mut statement = look.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if !each(row.get(0)?, row.get(1)?)? {
            return Ok(());
        }
    }
    Ok(())
}
