//! Every query that could meet a million rows has an index to go by.

use super::{cleanup, read, recover, tasks, workers};
use crate::ledger::read::{DisplayedStatus, Filter};
use crate::ledger::rows::Old;
use crate::sqlite::{Database, Durability};
use crate::task::Millis;
use crate::task::state::Status;

/// How SQLite goes about a query, a step a line.
fn plan(db: &Database, sql: &str) -> String {
    let mut explain = db
        .connection()
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3));
    steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n")
}

#[test]
fn queries_go_by_their_indices() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
    let list = |status: Option<&str>, tube: Option<&str>, command: Option<&str>| {
        let filter = Filter {
            status: status.and_then(DisplayedStatus::from_word),
            tube: tube.map(String::from),
            command: command.map(String::from),
        };
        read::query(&filter).0
    };
    let old = Old {
        statuses: vec![Status::Done, Status::Failed],
        before: Millis::MAX,
    };
    let table = [
        (tasks::by_uuid(), "USING INDEX sqlite_autoindex_tasks_1"),
        (tasks::by_foreign_job(), "USING INDEX tasks_foreign_job"),
        (list(None, Some("t"), None), "USING INDEX tasks_tube"),
        (list(None, None, Some("c")), "USING INDEX tasks_command"),
        (list(Some("failed"), None, None), "USING INDEX tasks_status"),
        (
            list(Some("running"), None, None),
            "USING INDEX tasks_status",
        ),
        (
            list(Some("stalled"), None, None),
            "USING INDEX tasks_status",
        ),
        (
            list(Some("waiting"), None, None),
            "USING INDEX tasks_status",
        ),
        (cleanup::old_sql(&old), "USING INDEX tasks_finished"),
        (recover::MISSING.into(), "INDEX tasks_unannounced"),
    ];
    for (sql, index) in table {
        let plan = plan(&db, &sql);
        assert!(plan.contains(index), "{sql}\n{plan}");
        for costly in ["SCAN", "TEMP B-TREE"] {
            assert!(!plan.contains(costly), "{sql}\n{plan}");
        }
    }
    // Whatever is filtered for, nothing is sorted: a list comes from the newest on, and stops.
    for status in [None, Some("done"), Some("failed")] {
        for tube in [None, Some("t")] {
            for command in [None, Some("c")] {
                let sql = list(status, tube, command);
                let plan = plan(&db, &sql);
                assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
            }
        }
    }
    for sql in recover::queries() {
        let plan = plan(&db, &sql);
        assert!(plan.contains("USING INDEX tasks_status"), "{sql}\n{plan}");
    }
    let plan = plan(&db, &workers::idle_sql());
    assert!(plan.contains("USING INDEX tasks_status"), "{plan}");
}
