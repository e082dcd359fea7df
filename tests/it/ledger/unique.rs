//! Keys that no two tasks have at a time.

use std::time::Duration;

use taskqueue::ledger::edit::Edit;
use taskqueue::ledger::put::{Added, NewTask, NotRegenerated};
use taskqueue::ledger::unique::Taken;
use taskqueue::ledger::{Claim, ForeignJob, Ledger, Millis, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::id::TaskId;
use taskqueue::task::payload::Argument;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use taskqueue::task::unique::{IfExists, Scope, Unique};
use uuid::Uuid;

use super::{NOW, New, Stage, call, foreign, job_ref};
use crate::support::tube;

fn unique(key: &str, scope: Scope, if_exists: IfExists) -> Unique {
    Unique {
        key: (!key.is_empty()).then(|| key.parse().unwrap()),
        scope,
        if_exists,
    }
}

fn task(argument: &str, unique: Unique) -> NewTask {
    NewTask {
        unique: Some(unique),
        own: None,
        tags: Vec::new(),
        uuid: Uuid::now_v7(),
        tube: tube("t"),
        content: Content::Call(call(argument)),
        priority: 5,
        ttr: 60,
        due: NOW,
        after: None,
    }
}

fn add(db: &mut Ledger, task: NewTask, now: Millis) -> Added {
    let mut added = db.add(&[task], now).unwrap();
    added.pop().unwrap()
}

/// Puts a task with the key `k`; the new task, or the one that has the key.
fn put(db: &mut Ledger, scope: Scope, now: Millis) -> Result<(TaskId, Uuid), TaskId> {
    let task = task("1", unique("k", scope, IfExists::Keep));
    let uuid = task.uuid;
    match add(db, task, now) {
        Added::New { id } => Ok((id, uuid)),
        Added::Taken(Taken::Kept { id, because, .. }) => {
            assert_eq!(because, None);
            Err(id)
        }
        other => panic!("{other:?}"),
    }
}

/// Runs it, and has it end so.
fn run(ledger: &mut Stage, job: Uuid, next: Next) {
    run_again(ledger, job, 0, next);
}

/// The same after so many attempts, of which nothing is left.
fn run_again(ledger: &mut Stage, job: Uuid, after: i64, next: Next) {
    let job = job_ref(1, TaskRef::Pointer(job));
    let Claim::Begun(attempt) = ledger.claim_at_cleared(&job, after, NOW + 90_000) else {
        panic!("it did not begin");
    };
    let outcome = match next {
        Next::Done => Outcome::Exited(0),
        Next::Wait(_) | Next::Failed { .. } | Next::Cancelled => Outcome::Exited(1),
    };
    ledger.settle(&attempt, outcome, next);
}

fn failed() -> Next {
    Next::Failed {
        reason: "why".into(),
    }
}

pub fn a_key_is_its_task_s_until_that_has_ended(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    assert_eq!(put(&mut ledger.db, Scope::Unfinished, NOW), Err(first));
    let shown = ledger.db.show(first.into()).unwrap().unwrap();
    assert_eq!((shown.key.as_deref(), shown.schedule), (Some("k"), None));
    let Claim::Begun(attempt) = ledger.claim(&job_ref(1, TaskRef::Pointer(job))) else {
        panic!("it did not begin");
    };
    assert_eq!(
        put(&mut ledger.db, Scope::Unfinished, NOW),
        Err(first),
        "it runs"
    );
    assert_eq!(
        put(&mut ledger.db, Scope::Waiting, NOW),
        Err(first),
        "it runs"
    );
    ledger.settle(&attempt, Outcome::Exited(1), Next::Wait(Duration::ZERO));
    assert_eq!(
        put(&mut ledger.db, Scope::Unfinished, NOW),
        Err(first),
        "a retry"
    );
    run_again(&mut ledger, job, 1, Next::Done);
    let (second, _) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    assert_ne!(second, first);
}

pub fn a_key_of_what_waits_is_free_while_it_runs_and_a_retry_goes_on_without(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, Scope::Waiting, NOW).unwrap();
    assert_eq!(put(&mut ledger.db, Scope::Waiting, NOW), Err(first));
    let Claim::Begun(attempt) = ledger.claim(&job_ref(1, TaskRef::Pointer(job))) else {
        panic!("it did not begin");
    };
    let (second, _) = put(&mut ledger.db, Scope::Waiting, NOW).unwrap();
    ledger.settle(&attempt, Outcome::Exited(1), Next::Wait(Duration::ZERO));
    assert_eq!(ledger.status(first), "waiting", "the retry is not lost");
    assert_eq!(put(&mut ledger.db, Scope::Waiting, NOW), Err(second));
    run_again(&mut ledger, job, 1, Next::Done);
    assert_eq!(put(&mut ledger.db, Scope::Waiting, NOW), Err(second));
}

pub fn a_retry_has_its_key_again_if_nobody_has_got_it(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, Scope::Waiting, NOW).unwrap();
    run(&mut ledger, job, Next::Wait(Duration::ZERO));
    assert_eq!(put(&mut ledger.db, Scope::Waiting, NOW), Err(first));
}

pub fn a_key_for_a_time_is_its_task_s_for_that_time_wherever_it_stands(new: New) {
    let mut ledger = new();
    let minute = Scope::For(60_000);
    let (first, job) = put(&mut ledger.db, minute, NOW).unwrap();
    run(&mut ledger, job, Next::Done);
    assert_eq!(put(&mut ledger.db, minute, NOW + 59_999), Err(first));
    let (second, _) = put(&mut ledger.db, minute, NOW + 60_000).unwrap();
    // It waits still.
    let (third, _) = put(&mut ledger.db, minute, NOW + 120_000).unwrap();
    assert_eq!(
        put(&mut ledger.db, Scope::Unfinished, NOW + 120_000),
        Err(third)
    );
    assert_eq!(ledger.tasks().len(), 3);
    assert_ne!(second, third);
}

pub fn what_was_put_and_is_put_again_by_its_uuid_is_known(new: New) {
    let mut ledger = new();
    let one = task("1", unique("k", Scope::Unfinished, IfExists::Refuse));
    let again = one.clone();
    let Added::New { id } = add(&mut ledger.db, one, NOW) else {
        panic!("it is not new");
    };
    assert_eq!(add(&mut ledger.db, again, NOW), Added::Known { id });
}

pub fn of_two_with_one_key_in_a_transaction_the_first_counts(new: New) {
    let mut ledger = new();
    let keep = || unique("", Scope::Unfinished, IfExists::Keep);
    let tasks = [task("1", keep()), task("1", keep()), task("2", keep())];
    let added = ledger.db.add(&tasks, NOW).unwrap();
    let [
        Added::New { id: first },
        Added::Taken(Taken::Kept { id: second, .. }),
        Added::New { .. },
    ] = added.as_slice()
    else {
        panic!("{added:?}");
    };
    assert_eq!(first, second);
}

pub fn what_is_to_be_refused_is_and_names_the_task(new: New) {
    let mut ledger = new();
    let (first, _) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    let second = task("2", unique("k", Scope::Unfinished, IfExists::Refuse));
    let Added::Taken(Taken::Refused(holder)) = add(&mut ledger.db, second, NOW) else {
        panic!("it was taken");
    };
    assert_eq!(
        holder.to_string(),
        format!("task {first} has this key and waits")
    );
}

pub fn what_waits_is_replaced_and_what_runs_is_not(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    let mut with = |argument: &str, at: &str, priority| {
        let mut task = task(argument, unique("k", Scope::Unfinished, IfExists::Replace));
        task.priority = priority;
        task.tags = vec![at.parse().unwrap()];
        add(&mut ledger.db, task, NOW)
    };
    let Added::Taken(Taken::Replaced { id, .. }) = with("2", "two", 7) else {
        panic!("it was not replaced");
    };
    assert_eq!(id, first);
    let tasks = ledger.tasks();
    let [task] = tasks.as_slice() else {
        panic!("{tasks:?}");
    };
    assert_eq!((task.arguments.as_str(), task.priority), (r#"["2"]"#, 7));
    assert_eq!(task.tags.len(), 1);
    let Claim::Begun(_) = ledger.claim(&job_ref(1, TaskRef::Pointer(job))) else {
        panic!("it did not begin");
    };
    let third = self::task("3", unique("k", Scope::Unfinished, IfExists::Replace));
    let Added::Taken(Taken::Kept { because, .. }) = add(&mut ledger.db, third, NOW) else {
        panic!("what runs was replaced");
    };
    assert_eq!(
        because.unwrap().to_string(),
        format!(
            "task {first} has this key and runs: it stays as it is, for only what waits is replaced"
        )
    );
    assert_eq!(ledger.tasks()[0].arguments, r#"["2"]"#);
}

pub fn what_failed_does_not_wait_again_while_another_has_its_key(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    run(&mut ledger, job, failed());
    let (second, job) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    let refused = ledger.db.regenerate(first, None, NOW).unwrap().unwrap_err();
    assert!(matches!(refused, NotRegenerated::KeyTaken { .. }));
    assert_eq!(
        refused.to_string(),
        format!("task {first} cannot wait again: task {second} has this key and waits")
    );
    run(&mut ledger, job, Next::Done);
    ledger.db.regenerate(first, None, NOW).unwrap().unwrap();
    assert_eq!(put(&mut ledger.db, Scope::Unfinished, NOW), Err(first));
}

pub fn what_is_edited_has_the_key_of_what_it_is_given_then(new: New) {
    let mut ledger = new();
    let keep = || unique("", Scope::Unfinished, IfExists::Keep);
    let Added::New { id: first } = add(&mut ledger.db, task("1", keep()), NOW) else {
        panic!("it is not new");
    };
    let Added::New { id: second } = add(&mut ledger.db, task("2", keep()), NOW) else {
        panic!("it is not new");
    };
    let edit = |argument: &str| Edit {
        arguments: Some(vec![Argument::of_text(argument.into())]),
        ..Edit::default()
    };
    let refused = ledger.db.change_one(&edit("1"), second, NOW).unwrap();
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!("task {second} cannot be given that: task {first} has this key and waits")
    );
    ledger
        .db
        .change_one(&edit("3"), second, NOW)
        .unwrap()
        .unwrap();
    let Added::Taken(Taken::Kept { id, .. }) = add(&mut ledger.db, task("3", keep()), NOW) else {
        panic!("the key is not the new one");
    };
    assert_eq!(id, second);
    let Added::New { .. } = add(&mut ledger.db, task("2", keep()), NOW) else {
        panic!("the old key is not free");
    };
}

fn by_job(argument: &str, unique: Unique) -> ForeignJob {
    ForeignJob {
        content: Content::Call(call(argument)),
        unique: Some(unique),
        ..foreign(argument)
    }
}

pub fn another_producer_s_job_whose_key_is_taken_is_one_too_many(new: New) {
    let mut ledger = new();
    let keep = || unique("k", Scope::Unfinished, IfExists::Keep);
    let (first, job) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    for reference in [
        TaskRef::Nameless(by_job("2", keep())),
        TaskRef::Named(Uuid::now_v7(), by_job("2", keep())),
    ] {
        let claim = ledger.claim(&job_ref(7, reference));
        assert!(
            matches!(claim, Claim::DeleteJob { task: None }),
            "{claim:?}"
        );
    }
    let replace = unique("k", Scope::Unfinished, IfExists::Replace);
    let claim = ledger.claim(&job_ref(8, TaskRef::Nameless(by_job("3", replace))));
    assert!(
        matches!(claim, Claim::DeleteJob { task: None }),
        "{claim:?}"
    );
    let tasks = ledger.tasks();
    assert_eq!((tasks.len(), tasks[0].id), (1, first));
    assert_eq!(tasks[0].arguments, r#"["3"]"#);
    run(&mut ledger, job, Next::Done);
    let again = job_ref(9, TaskRef::Nameless(by_job("2", keep())));
    let Claim::Begun(attempt) = ledger.claim(&again) else {
        panic!("the key is free");
    };
    assert_eq!(
        put(&mut ledger.db, Scope::Unfinished, NOW),
        Err(attempt.id.task)
    );
    // It comes round again itself.
    ledger.settle(&attempt, Outcome::Exited(1), Next::Wait(Duration::ZERO));
    let claim = ledger.claim_at_cleared(&again, 1, NOW + 90_000);
    assert!(matches!(claim, Claim::Begun(_)), "{claim:?}");
}

pub fn a_key_is_its_task_s_though_its_worker_is_dead(new: New) {
    let mut ledger = new();
    let (first, job) = put(&mut ledger.db, Scope::Unfinished, NOW).unwrap();
    let Claim::Begun(attempt) = ledger.claim(&job_ref(1, TaskRef::Pointer(job))) else {
        panic!("it did not begin");
    };
    drop(attempt);
    assert_eq!(put(&mut ledger.db, Scope::Unfinished, NOW), Err(first));
}
