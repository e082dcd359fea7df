//! What a model wants of a ledger in memory: to copy it, to fail it, and to kill whoever uses it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use taskqueue::ledger::backend::Patience;
use taskqueue::ledger::memory::Memory;
use taskqueue::ledger::{Durability, Error, Ledger, Store};
use taskqueue::task::id::TaskId;
use uuid::Uuid;

use super::{NOW, nth, put};

fn waiting(ledger: &Ledger) -> usize {
    let counts = ledger.counts().unwrap();
    counts.get("t").map_or(0, |of| of.waiting as usize)
}

#[test]
fn a_copy_goes_its_own_way() {
    let memory = Memory::new(Uuid::now_v7());
    let mut one = memory.alone();
    put(&mut one, NOW);
    let copy = memory.copied();
    let mut other = copy.alone();
    assert_eq!((waiting(&one), waiting(&other)), (1, 1));
    put(&mut one, NOW);
    assert_eq!((waiting(&one), waiting(&other)), (2, 1));
    let (next, _) = put(&mut other, NOW);
    assert_eq!(next, TaskId(2), "numbers are its own, too");
    assert_eq!(memory.alone().id(), copy.alone().id());
    assert_eq!(waiting(&memory.alone()), 2, "of any connection");
}

#[test]
fn trouble_is_what_was_asked_for_until_it_is_over() {
    let memory = Memory::new(Uuid::now_v7());
    let mut ledger = memory.alone();
    put(&mut ledger, NOW);
    let locked = Error::Locked {
        what: "somebody else has it".into(),
    };
    for trouble in [locked, Error::trouble("the disk is full")] {
        memory.set_trouble(Some(trouble.clone()));
        let failed = ledger.note_deleted(&[TaskId(1)]);
        assert_eq!(failed, Err(trouble.clone()));
        assert_eq!(ledger.counts().unwrap_err(), trouble);
        memory.set_trouble(None);
        assert_eq!(waiting(&ledger), 1);
    }
}

#[test]
fn who_dies_in_a_transaction_leaves_nothing() {
    let memory = Memory::new(Uuid::now_v7());
    let mut ledger = memory.alone();
    let (task, _) = put(&mut ledger, NOW);
    let mut backend = memory.connect();
    let dies = catch_unwind(AssertUnwindSafe(|| {
        backend.change(Durability::ProcessDeath, Patience::Long, &mut |rows| {
            rows.set_due(task, NOW + 1)?;
            rows.set_due(nth(task, 1).task, NOW + 2)?;
            panic!("killed");
        })
    }));
    assert!(dies.is_err());
    let shown = ledger.show(task.into()).unwrap().unwrap();
    assert_eq!(shown.due, Some(NOW));
}

#[tokio::test]
async fn one_that_is_far_away_is_asked_on_a_thread() {
    for (is_near, memory) in [
        (true, Memory::new(Uuid::now_v7())),
        (false, Memory::new(Uuid::now_v7()).remote()),
    ] {
        let store = Store::over(memory.alone());
        let here = store.at_once(|ledger| ledger.counts());
        assert_eq!(here.is_some(), is_near);
        let counts = store.soon(|ledger| ledger.counts()).await;
        assert!(counts.unwrap().is_empty());
    }
}
