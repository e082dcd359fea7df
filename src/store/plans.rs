//! Every query that could meet a million rows has an index to go by.

use super::cleanup::{Old, idle_workers};
use super::read::{DisplayedStatus, Filter};
use super::{Db, Durability, Millis, counts, ledger, reconcile};
use crate::task::state::Status;

/// How SQLite goes about a query, a step a line.
fn plan(db: &Db, sql: &str) -> String {
    let mut explain = db
        .database
        .connection()
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3));
    steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n")
}

#[test]
fn queries_go_by_their_indices() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
    let list = |status: Option<&str>, tube: Option<&str>, command: Option<&str>| {
        let filter = Filter {
            status: status.and_then(DisplayedStatus::from_word),
            tube: tube.map(String::from),
            command: command.map(String::from),
        };
        filter.query().0
    };
    let old = Old {
        statuses: vec![Status::Done, Status::Failed],
        before: Millis::MAX,
    };
    let table = [
        (ledger::by_uuid(), "USING INDEX sqlite_autoindex_tasks_1"),
        (ledger::by_foreign_job(), "USING INDEX tasks_foreign_job"),
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
        (old.select(), "USING INDEX tasks_finished"),
        (reconcile::MISSING.into(), "INDEX tasks_unannounced"),
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
    let counts = [counts::AT_REST, counts::OWNED].map(String::from);
    for sql in reconcile::queries().into_iter().chain(counts) {
        let plan = plan(&db, &sql);
        assert!(plan.contains("USING INDEX tasks_status"), "{sql}\n{plan}");
    }
    let plan = plan(&db, &idle_workers());
    assert!(plan.contains("USING INDEX tasks_status"), "{plan}");
}
