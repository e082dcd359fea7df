//! What commands print while they run, and what is left of that when their workers die.

use taskqueue::ledger::read::{DisplayedStatus, Key};
use taskqueue::ledger::spool::{Looked, Reader, Writer};
use taskqueue::ledger::{AfterLoss, Claim, Entry, JobRef};
use taskqueue::task::id::{AttemptId, WorkerId};
use taskqueue::task::output::{Capture, Captured, KEPT};
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;

use super::{NOW, New, Stage, begun, claim, nth, put, register, taken_over};

/// Spools that a command of a worker has printed this.
fn spool(ledger: &Stage, worker: WorkerId, attempt: AttemptId, printed: &[u8]) -> Writer {
    let medium = ledger.db.spools().make(worker).unwrap();
    let mut writer = Writer::begin(medium, attempt, &Captured::default()).unwrap();
    writer.push(printed).unwrap();
    writer.flush().unwrap();
    writer
}

/// A task whose worker has died over its first attempt, having spooled that; the job of the task.
fn dies(ledger: &mut Stage, printed: &[u8]) -> (AttemptId, WorkerId, JobRef) {
    let (task, job) = put(&mut ledger.db, NOW);
    let them = register(&mut ledger.db, "them");
    let commands = ledger.commands.clone();
    begun(claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap());
    spool(ledger, them.me.id, nth(task, 1), printed);
    (nth(task, 1), them.me.id, job)
}

fn output(ledger: &Stage, attempt: AttemptId) -> Option<Captured> {
    let standing = ledger
        .db
        .standing(Key::Id(attempt.task), Some(attempt.number));
    standing.unwrap().unwrap().ended.unwrap().output
}

pub fn what_a_dead_worker_s_command_had_printed_is_recorded(new: New) {
    let mut ledger = new();
    let me = ledger.me.clone();
    let long: Vec<u8> = (0..3 * KEPT).map(|at| (at % 251) as u8).collect();
    for printed in [&b"said"[..], &long] {
        let (attempt, _, job) = dies(&mut ledger, printed);
        let Claim::Dead(dead) = ledger.claim(&job) else {
            panic!("it lives");
        };
        assert!(taken_over(&mut ledger.db, &dead, &me));
        let again = begun(ledger.lose_and_claim(&dead, &job, NOW + 10));
        let mut capture = Capture::default();
        capture.push(printed);
        assert_eq!(output(&ledger, attempt), Some(capture.finish()));
        ledger.done(again);
    }
    // Of an attempt that had printed nothing there is nothing, whatever the worker's attempt before has printed.
    let (task, job) = put(&mut ledger.db, NOW);
    let them = register(&mut ledger.db, "them");
    spool(&ledger, them.me.id, nth(task, 7), b"another's");
    let commands = ledger.commands.clone();
    begun(claim(&mut ledger.db, &them.me, &commands, &job, NOW).unwrap());
    drop(them);
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!("it lives");
    };
    assert!(taken_over(&mut ledger.db, &dead, &me));
    let entry = Entry {
        lose: Some(dead),
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &commands, &me, NOW).unwrap();
    assert!(matches!(entered.lost, Some(AfterLoss::Waits)));
    assert_eq!(output(&ledger, nth(task, 1)), None);
}

pub fn whoever_follows_a_task_is_told_where_it_stands(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let standing = |ledger: &Stage, number| {
        let standing = ledger.db.standing(Key::Id(task), number).unwrap().unwrap();
        assert_eq!(standing.task, task);
        let ended = standing.ended.map(|ended| (ended.number, ended.outcome));
        (standing.status, standing.newest, standing.runs, ended)
    };
    let waits = (DisplayedStatus::Waiting, 0, None, None);
    assert_eq!(standing(&ledger, None), waits);
    assert_eq!(standing(&ledger, Some(1)), waits);
    let attempt = ledger.begin(&job);
    let uuid = Key::Uuid(ledger.task(task).uuid);
    assert_eq!(ledger.db.standing(uuid, None).unwrap().unwrap().newest, 1);
    let runs = (DisplayedStatus::Running, 1, Some(ledger.me.id), None);
    assert_eq!(standing(&ledger, None), runs);
    let again = Next::Wait(std::time::Duration::from_secs(9));
    ledger.settle(&attempt, Outcome::Exited(75), again);
    drop(attempt);
    let first = Some((1, Some("exited".into())));
    assert_eq!(
        standing(&ledger, None),
        (DisplayedStatus::Waiting, 1, None, first.clone())
    );
    let due = ledger.db.standing(Key::Id(task), None).unwrap().unwrap();
    assert_eq!(due.due, Some(NOW + 9_000));
    assert_eq!(due.ended.unwrap().output.unwrap().head, b"said");
    let second = begun(ledger.claim_at_cleared(&job, 1, NOW + 9_000));
    let runs = (DisplayedStatus::Running, 2, Some(ledger.me.id));
    assert_eq!(
        standing(&ledger, Some(1)),
        (runs.0, runs.1, runs.2, first.clone())
    );
    assert_eq!(standing(&ledger, Some(2)), (runs.0, runs.1, runs.2, None));
    ledger.done(second);
    let second = Some((2, Some("exited".into())));
    assert_eq!(
        standing(&ledger, None),
        (DisplayedStatus::Done, 2, None, second)
    );
    assert!(
        ledger
            .db
            .standing(Key::Id(task), Some(3))
            .unwrap()
            .unwrap()
            .ended
            .is_none()
    );
    let nobody = ledger.db.standing(99.into(), None).unwrap();
    assert!(nobody.is_none());
}

pub fn a_worker_that_ends_leaves_only_what_is_not_recorded(new: New) {
    let mut ledger = new();
    let (attempt, them, job) = dies(&mut ledger, b"said");
    let is_spooled = |ledger: &Stage| {
        let medium = ledger.db.spools().open(them)?;
        match Reader::of(medium, attempt).look(0, 100) {
            Looked::Has { bytes, .. } => Some(bytes),
            Looked::Gone => None,
        }
    };
    ledger.db.forget_spool(them, attempt).unwrap();
    assert_eq!(
        is_spooled(&ledger).unwrap(),
        b"said",
        "nobody has recorded it"
    );
    let me = ledger.me.clone();
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!("it lives");
    };
    assert!(taken_over(&mut ledger.db, &dead, &me));
    let again = begun(ledger.lose_and_claim(&dead, &job, NOW));
    ledger.db.forget_spool(them, attempt).unwrap();
    assert_eq!(is_spooled(&ledger), None);
    // One that is killed leaves what it has, until it is forgotten.
    spool(&ledger, them, attempt, b"said");
    ledger.done(again);
    let newest = register(&mut ledger.db, "newest");
    ledger.db.forget_workers(WorkerId::NOBODY, NOW).unwrap();
    assert_eq!(is_spooled(&ledger), None);
    drop(newest);
}
