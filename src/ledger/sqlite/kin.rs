//! Tasks that wait for others.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Connected;
use super::columns::some_text;
use super::error::nonsense;
use crate::ledger::announce::NEVER;
use crate::ledger::error::Failed;
use crate::ledger::rows::{Awaiting, Edge, Kin, KinReads, KinRows};
use crate::task::after::{Counts, IfParentFails, ParentEnd, Stands, Terms};
use crate::task::id::TaskId;

/// What a statement that changes a task's row returns of its kin.
pub(super) const KIN: &str = "children IS NOT NULL, parents IS NOT NULL";

/// The two columns from that one on.
pub(super) fn kin(row: &Row<'_>, from: usize) -> rusqlite::Result<Kin> {
    Ok(Kin {
        has_children: row.get(from)?,
        has_parents: row.get(from.saturating_add(1))?,
    })
}

pub(super) const PARENTS: &str =
    "SELECT parent, ended FROM edges WHERE child = ?1 AND parent > ?2 ORDER BY parent LIMIT ?3";

pub(super) const CHILDREN: &str =
    "SELECT child, ended FROM edges WHERE parent = ?1 AND child > ?2 ORDER BY child LIMIT ?3";

/// As the index `tasks_later` has it. Beside these only what a limit holds is never due.
pub(super) const AWAITING: &str = "SELECT count(*) FROM (SELECT 1 FROM tasks
    WHERE later IS NOT NULL AND tube = ?1 AND due = ?2
        AND EXISTS (SELECT 1 FROM awaiting WHERE task = tasks.id AND stands = 'waits') LIMIT ?3)";

/// A file of an earlier version, which is only put into, cannot say it.
fn has_edges(look: &Connection) -> Result<(), Failed> {
    let has_table = look
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'edges'")?
        .exists([])?;
    match has_table {
        true => Ok(()),
        false => Err(Failed::Trouble {
            what: "it is of an earlier version, which knows no tasks that wait for others: --after needs it up to \
                   date, and what is started next without that a worker of the earlier version lives brings it up to \
                   date"
                .into(),
        }),
    }
}

fn edges(
    look: &Connection,
    sql: &str,
    of: TaskId,
    behind: TaskId,
    limit: usize,
) -> Result<Vec<Edge>, Failed> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = look.prepare_cached(sql)?;
    let mut rows = statement.query(params![of, behind, limit])?;
    let mut edges = Vec::new();
    while let Some(row) = rows.next()? {
        let ended = match row.get_ref(1)?.as_str_or_null().unwrap_or(Some("")) {
            None => None,
            Some(word) => Some(ParentEnd::from_word(word).ok_or_else(|| {
                Failed::row(
                    of,
                    nonsense(&format!("a task beside {of} has ended as '{word}'")),
                )
            })?),
        };
        edges.push(Edge {
            task: row.get(0)?,
            ended,
        });
    }
    Ok(edges)
}

impl KinReads for Connected<'_> {
    fn count_awaiting(&self, tube: &str, most: u64) -> Result<u64, Failed> {
        // A file of an earlier version knows none.
        if has_edges(self.0).is_err() {
            return Ok(0);
        }
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let count: i64 = self
            .0
            .prepare_cached(AWAITING)?
            .query_row(params![tube, NEVER, most], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    fn awaiting(&self, child: TaskId) -> Result<Option<Awaiting>, Failed> {
        let read = |row: &Row<'_>| {
            let (any, rule, due): (bool, _, _) = (row.get(0)?, some_text(row, 1)?, row.get(2)?);
            let counts = Counts {
                open: row.get(4)?,
                well: row.get(5)?,
                badly: row.get(6)?,
            };
            Ok((any, rule, due, some_text(row, 3)?, counts))
        };
        let found = self
            .0
            .prepare_cached(
                "SELECT any, rule, due, stands, open, well, badly FROM awaiting WHERE task = ?1",
            )?
            .query_row([child], read)
            .optional()?;
        let Some((any, rule, due, stands, counts)) = found else {
            return Ok(None);
        };
        let wrong =
            |word: &str| Failed::row(child, nonsense(&format!("task {child} waits by '{word}'")));
        Ok(Some(Awaiting {
            terms: Terms {
                any,
                if_parent_fails: rule.parse::<IfParentFails>().map_err(|_| wrong(&rule))?,
            },
            due,
            stands: Stands::from_word(&stands).ok_or_else(|| wrong(&stands))?,
            counts,
        }))
    }

    fn parents(&self, child: TaskId, behind: TaskId, limit: usize) -> Result<Vec<Edge>, Failed> {
        edges(self.0, PARENTS, child, behind, limit)
    }

    fn children(&self, parent: TaskId, behind: TaskId, limit: usize) -> Result<Vec<Edge>, Failed> {
        edges(self.0, CHILDREN, parent, behind, limit)
    }

    fn count_kin(&self, task: TaskId, most: usize) -> Result<(usize, usize), Failed> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM edges WHERE child = ?1 LIMIT ?2)),
                          (SELECT count(*) FROM (SELECT 1 FROM edges WHERE parent = ?1 LIMIT ?2))";
        Ok(self
            .0
            .prepare_cached(sql)?
            .query_row(params![task, most], |row| {
                let count = |at| {
                    row.get::<_, i64>(at)
                        .map(|n| usize::try_from(n).unwrap_or(0))
                };
                Ok((count(0)?, count(1)?))
            })?)
    }

    fn unheard(&self) -> Result<Option<(TaskId, TaskId)>, Failed> {
        Ok(self
            .0
            .prepare_cached("SELECT parent, behind FROM unheard ORDER BY parent LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }
}

impl KinRows for Connected<'_> {
    fn set_awaiting(&self, child: TaskId, awaiting: &Awaiting) -> Result<(), Failed> {
        let Awaiting {
            terms,
            due,
            stands,
            counts,
        } = awaiting;
        let changed = self
            .0
            .prepare_cached(
                "UPDATE awaiting SET any = ?2, rule = ?3, due = ?4, stands = ?5, open = ?6, well = ?7, badly = ?8
                 WHERE task = ?1",
            )?
            .execute(params![
                child,
                terms.any,
                terms.if_parent_fails.as_str(),
                due,
                stands.as_str(),
                counts.open,
                counts.well,
                counts.badly,
            ])?;
        if changed > 0 {
            return Ok(());
        }
        has_edges(self.0)?;
        self.0
            .prepare_cached(
                "INSERT INTO awaiting (task, any, rule, due, stands, open, well, badly)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                child,
                terms.any,
                terms.if_parent_fails.as_str(),
                due,
                stands.as_str(),
                counts.open,
                counts.well,
                counts.badly,
            ])?;
        self.0
            .prepare_cached("UPDATE tasks SET parents = 1 WHERE id = ?1")?
            .execute([child])?;
        Ok(())
    }

    fn add_edge(
        &self,
        parent: TaskId,
        child: TaskId,
        ended: Option<ParentEnd>,
    ) -> Result<bool, Failed> {
        has_edges(self.0)?;
        let added = self
            .0
            .prepare_cached(
                "INSERT INTO edges (parent, child, ended) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![parent, child, ended.map(ParentEnd::as_str)])?;
        if added > 0 {
            self.0
                .prepare_cached("UPDATE tasks SET children = 1 WHERE id = ?1 AND children IS NULL")?
                .execute([parent])?;
        }
        Ok(added > 0)
    }

    fn set_edge(
        &self,
        parent: TaskId,
        child: TaskId,
        ended: Option<ParentEnd>,
    ) -> Result<(), Failed> {
        self.0
            .prepare_cached("UPDATE edges SET ended = ?3 WHERE parent = ?1 AND child = ?2")?
            .execute(params![parent, child, ended.map(ParentEnd::as_str)])?;
        Ok(())
    }

    fn set_unheard(&self, parent: TaskId, behind: Option<TaskId>) -> Result<(), Failed> {
        match behind {
            Some(behind) => self
                .0
                .prepare_cached(
                    "INSERT INTO unheard (parent, behind) VALUES (?1, ?2)
                     ON CONFLICT (parent) DO UPDATE SET behind = excluded.behind",
                )?
                .execute(params![parent, behind])?,
            None => self
                .0
                .prepare_cached("DELETE FROM unheard WHERE parent = ?1")?
                .execute([parent])?,
        };
        Ok(())
    }
}
