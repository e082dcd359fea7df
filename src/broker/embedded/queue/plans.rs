//! However many jobs there are, a look at a tube goes by its index.

use super::{Queue, Setup, look, survey};
use crate::broker::embedded::Settings;

#[test]
fn looks_go_by_their_indices() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::at(&dir.path().join("t.db"), Settings::default());
    let queue = Queue::open(&setup).unwrap();
    let table = [
        (survey::FIRST_READY, "INDEX jobs_ready"),
        (survey::FIRST_DELAYED, "INDEX jobs_delayed"),
        (look::NEXT_READY, "COVERING INDEX jobs_ready"),
        (look::NEXT_DELAYED, "COVERING INDEX jobs_delayed"),
        (look::NEXT_BURIED, "COVERING INDEX jobs_buried"),
        (survey::RESERVED, "COVERING INDEX jobs_reserved"),
    ];
    for (sql, index) in table {
        let mut explain = queue
            .database
            .connection()
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3));
        let plan = steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n");
        assert!(plan.contains(index), "{sql}\n{plan}");
        for costly in ["SCAN jobs", "TEMP B-TREE"] {
            assert!(!plan.contains(costly), "{sql}\n{plan}");
        }
    }
}
