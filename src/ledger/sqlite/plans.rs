//! Every query that could meet a million rows has an index to go by.

use super::{
    cleanup, events, filter, kin, limits, minutes, puts, read, recover, schedules, tasks, workers,
};
use crate::ledger::read::{DisplayedStatus, Filter};
use crate::ledger::rows::Old;
use crate::sqlite::{Database, Durability};
use crate::task::Millis;
use crate::task::id::TaskId;
use crate::task::state::Status;
use std::ops::Range;

const ALL: Range<TaskId> = TaskId::BEFORE_ALL..TaskId::AFTER_ALL;

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
        let mut filter = Filter::default();
        filter
            .statuses
            .extend(status.and_then(DisplayedStatus::from_word));
        filter.tube = tube.map(String::from);
        filter.command = command.map(String::from);
        filter::newest("reason", &filter, &ALL).sql
    };
    let old = Old {
        statuses: vec![Status::Done, Status::Failed],
        before: Millis::MAX,
    };
    let table = [
        (tasks::by_uuid(), "USING INDEX tasks_uuid"),
        (tasks::by_id(), "tasks USING INTEGER PRIMARY KEY"),
        (puts::HELD.into(), "tasks USING INTEGER PRIMARY KEY"),
        (read::newest_sql("uuid"), "USING INDEX tasks_uuid"),
        (read::newest_sql("id"), "tasks USING INTEGER PRIMARY KEY"),
        (puts::to_put_sql(), "tasks USING INTEGER PRIMARY KEY"),
        (
            puts::NOTED.into(),
            "puts USING PRIMARY KEY (tube=? AND task=? AND broker=?)",
        ),
        (cleanup::delete_sql(&old), "tasks USING INTEGER PRIMARY KEY"),
        (cleanup::unsure_sql(&old), "INDEX tasks_finished"),
        (
            recover::unverified_where("id = ?1"),
            "tasks USING INTEGER PRIMARY KEY",
        ),
        (tasks::by_foreign_job(), "USING INDEX foreign_jobs_job"),
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
        (cleanup::old_sql(&old), "INDEX tasks_finished"),
        (
            read::RECORDED_FROM.into(),
            "tasks USING INTEGER PRIMARY KEY",
        ),
        (
            recover::MISSING.into(),
            "puts USING PRIMARY KEY (tube=? AND task>?)",
        ),
        (schedules::OF.into(), "fires USING INDEX fires_schedule"),
        (schedules::BY_TASK.into(), "fires USING INTEGER PRIMARY KEY"),
        (schedules::HAS_FIRED.into(), "fires USING"),
        (
            limits::PLACES.into(),
            "limit_slots USING PRIMARY KEY (limit_name=? AND limit_key=?)",
        ),
        (
            limits::STARTS.into(),
            "limit_starts USING PRIMARY KEY (limit_name=? AND limit_key=? AND at>?)",
        ),
        (
            limits::let_go_sql(),
            "held USING INDEX held_line (limit_name=? AND limit_key=? AND let_go>?",
        ),
        (
            limits::holds_any_sql(),
            "held USING INDEX held_tube (tube=? AND limit_name=? AND limit_key=?)",
        ),
        (recover::NEAR.into(), "INDEX tasks_later (tube=? AND due"),
        (
            kin::PARENTS.into(),
            "INDEX edges_child (child=? AND parent>?)",
        ),
        (
            kin::CHILDREN.into(),
            "edges USING PRIMARY KEY (parent=? AND child>?)",
        ),
        (
            minutes::ENDS.into(),
            "minutes USING PRIMARY KEY (minute>? AND minute<?)",
        ),
        (
            minutes::OF.into(),
            "minutes USING PRIMARY KEY (minute=? AND tube=? AND command=?)",
        ),
        (
            minutes::COMMANDS.into(),
            "minutes USING PRIMARY KEY (minute=? AND tube=?)",
        ),
        (
            minutes::UPDATE.into(),
            "minutes USING PRIMARY KEY (minute=? AND tube=? AND command=?)",
        ),
        (
            minutes::FORGET.into(),
            "minutes USING PRIMARY KEY (minute=?)",
        ),
        (
            minutes::FORGET_TO_COME.into(),
            "minutes USING PRIMARY KEY (minute=?)",
        ),
    ];
    for (sql, index) in table {
        let plan = plan(&db, &sql);
        assert!(plan.contains(index), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN"), "{sql}\n{plan}");
        // What may be cleaned up but for its job comes in the order of its end, and is wanted in that of its rows.
        let sorts = sql == cleanup::unsure_sql(&old);
        assert_eq!(plan.contains("TEMP B-TREE"), sorts, "{sql}\n{plan}");
    }
    // What is counted is bounded first.
    let awaiting = plan(&db, kin::AWAITING);
    let by = "tasks USING INDEX tasks_later (tube=? AND due=?)";
    assert!(
        awaiting.contains(by) && !awaiting.contains("SCAN tasks"),
        "{awaiting}"
    );
    assert!(
        awaiting.contains("awaiting EXISTS USING INTEGER PRIMARY KEY"),
        "{awaiting}"
    );
    // Those that are late are few, and are counted by their tubes; those that are held come in order.
    let first_held = plan(&db, &limits::first_held_sql());
    let by = "held USING INDEX held_line (limit_name=? AND limit_key=? AND let_go=?)";
    assert!(first_held.contains(by), "{first_held}");
    assert!(
        !first_held.contains("SCAN") && !first_held.contains("FOR ORDER BY"),
        "{first_held}"
    );
    // What failed is looked through from the newest on, as far as is needed.
    let newest = plan(&db, &cleanup::refused_sql());
    assert!(
        newest.contains("tasks USING INDEX tasks_status"),
        "{newest}"
    );
    assert!(
        !newest.contains("TEMP B-TREE") && !newest.contains("MATERIALIZE"),
        "{newest}"
    );
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
    for newest_first in [false, true] {
        let sql = events::select(newest_first);
        let plan = plan(&db, &sql);
        assert!(plan.contains("events USING INTEGER PRIMARY KEY"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        assert_eq!(plan.matches("SCAN").count(), 0, "{sql}\n{plan}");
    }
    for sql in recover::at_rest() {
        let plan = plan(&db, &sql);
        assert!(
            plan.contains("INDEX tasks_at_rest (status=?"),
            "{sql}\n{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN tasks"), "{sql}\n{plan}");
    }
    for sql in recover::queries() {
        let plan = plan(&db, &sql);
        assert!(plan.contains("USING INDEX tasks_status"), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN"), "{sql}\n{plan}");
    }
    let plan = plan(&db, &workers::idle_sql());
    assert!(plan.contains("USING INDEX tasks_status"), "{plan}");
}

/// Whatever is asked for: a page comes in order, so that it ends where it is full, and the next one goes on there.
#[test]
fn no_page_is_sorted_whatever_is_filtered_for() {
    use DisplayedStatus::{Cancelled, Done, Failed, Running, Stalled, Waiting};
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
    let all = Filter::default();
    let ended = all.clone().status(Failed).status(Cancelled);
    let status = "USING INDEX tasks_status (status=? AND later=? AND rowid>? AND rowid<?)";
    let covering =
        "USING COVERING INDEX tasks_status (status=? AND later=? AND rowid>? AND rowid<?)";
    let table = [
        (
            all.clone(),
            "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (all.clone().status(Failed), covering),
        (ended.clone(), covering),
        (
            all.clone().status(Waiting).status(Running).status(Stalled),
            covering,
        ),
        (all.clone().status(Stalled), status),
        (ended.clone().command("c").since(1).until(2), status),
        (all.clone().reason("text"), status),
        (
            all.clone().status(Done).status(Failed),
            "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            all.clone().ids([TaskId(5), TaskId(6)]),
            "tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (ended.clone().ids([TaskId(5)]).command("c"), "rowid=?"),
        (
            all.clone().tag("k".parse().unwrap()),
            "tags USING PRIMARY KEY (name=? AND task>? AND task<?)",
        ),
        (
            ended
                .clone()
                .tag("k=v".parse().unwrap())
                .tag("l".parse().unwrap()),
            "tags USING COVERING INDEX tags_value (name=? AND value=? AND task>? AND task<?)",
        ),
        (
            all.clone().ids([TaskId(5)]).tag("k".parse().unwrap()),
            "rowid=?",
        ),
        (
            all.clone().command("c"),
            "tasks_command (command=? AND rowid>? AND rowid<?)",
        ),
    ];
    for (filter, by) in table {
        let oldest = filter::oldest(&filter, &ALL).sql;
        let newest = filter::newest("reason", &filter, &ALL).sql;
        let (oldest, newest) = (plan(&db, &oldest), plan(&db, &newest));
        assert!(oldest.contains(by), "{filter:?}\n{oldest}");
        for plan in [oldest, newest] {
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}\n{plan}");
            assert!(!plan.contains("SCAN tasks"), "{filter:?}\n{plan}");
        }
    }
}

/// A row that is deleted takes along, or is kept by, those that refer to it: they are found by an index. Words are not
/// deleted.
#[test]
fn what_refers_to_a_row_goes_by_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&dir.path().join("t.db"), Durability::ProcessDeath).unwrap();
    let mut keys = db
        .connection()
        .prepare(
            "SELECT tables.name, group_concat(\"from\" || ' = ?', ' AND '), \"table\"
             FROM sqlite_schema AS tables, pragma_foreign_key_list(tables.name)
             WHERE tables.type = 'table' GROUP BY tables.name, id",
        )
        .unwrap();
    let mut parents = Vec::new();
    let mut rows = keys.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let [child, columns, parent] = [0, 1, 2].map(|n| row.get::<_, String>(n).unwrap());
        let plan = plan(&db, &format!("SELECT 1 FROM {child} WHERE {columns}"));
        let is_word = parent == "statuses" || parent == "outcomes";
        assert!(plan.contains("SEARCH") || is_word, "{child}\n{plan}");
        parents.push(parent);
    }
    parents.sort();
    let expected = [
        "attempts", "jobs", "outcomes", "statuses", "tasks", "tasks", "tasks", "tasks", "tasks",
        "tasks", "tasks", "tasks", "tasks", "tasks", "tasks",
    ];
    assert_eq!(parents, expected);
}
