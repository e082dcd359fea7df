//! Tasks that wait for others.

use std::collections::HashSet;

use taskqueue::ledger::Claim;
use taskqueue::ledger::after::SOME;
use taskqueue::ledger::announce::{Again, LATER, NEVER};
use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::cleanup::{Old, SoFar};
use taskqueue::ledger::delete::Delete;
use taskqueue::ledger::edit::{Due, Edit};
use taskqueue::ledger::put::{Added, NewTask, NotAfter, WaitsFor};
use taskqueue::ledger::read::Key;
use taskqueue::ledger::unique::Taken;
use taskqueue::ledger::{Entry, Jobless, Ledger, Millis, TaskRef};
use taskqueue::task::after::{After, IfParentFails, Terms};
use taskqueue::task::command::Content;
use taskqueue::task::id::TaskId;
use taskqueue::task::retry::Next;
use taskqueue::task::state::{Outcome, Status};
use taskqueue::task::unique::Unique;
use uuid::Uuid;

use super::{NOW, New, Stage, begun, call, enter, foreign, job_ref, nth_put, put, settlement};
use crate::support::tube;

use IfParentFails::{Cancel, Hold, Run};

pub fn new_task(after: Option<WaitsFor>, due: Millis) -> NewTask {
    NewTask {
        own: None,
        uuid: Uuid::now_v7(),
        tube: tube("t"),
        content: Content::Call(call("1")),
        priority: 5,
        ttr: 60,
        due,
        tags: Vec::new(),
        unique: None,
        after,
    }
}

fn terms(any: bool, if_parent_fails: IfParentFails) -> Terms {
    Terms {
        any,
        if_parent_fails,
    }
}

fn behind(ids: &[TaskId], terms: Terms) -> Option<WaitsFor> {
    Some(WaitsFor {
        ids: ids.to_vec(),
        beside: Vec::new(),
        terms,
    })
}

/// Puts a task that waits for others; whether it goes at once.
fn child(db: &mut Ledger, parents: &[TaskId], terms: Terms) -> (TaskId, bool) {
    let added = db.add(&[new_task(behind(parents, terms), NOW)], NOW);
    match added.unwrap().as_slice() {
        [Added::New { id }] => (*id, true),
        [Added::Later { id }] => (*id, false),
        other => panic!("{other:?}"),
    }
}

/// The ways in which a task that others wait for may end.
const ENDS: [&str; 4] = ["done", "failed", "cancelled", "deleted"];

/// Ends a task so. What is to be put then.
fn end(ledger: &mut Stage, (task, uuid): (TaskId, Uuid), how: &str) -> Vec<Again> {
    let job = job_ref(1, TaskRef::Pointer(uuid));
    let call_off = CallOff::default();
    match how {
        "done" | "failed" => {
            let attempt = ledger.begin(&job);
            let (outcome, next) = match how {
                "done" => (Outcome::Exited(0), Next::Done),
                _ => {
                    let reason = "exit code 1".into();
                    (Outcome::Exited(1), Next::Failed { reason })
                }
            };
            let settle = vec![settlement(&attempt, outcome, next).into()];
            let entry = Entry {
                settle,
                ..Entry::default()
            };
            let entered = enter(&mut ledger.db, &ledger.me, entry).unwrap();
            assert!(!entered.unheard);
            return entered.puts;
        }
        "cancelled" => {
            let off = ledger.db.change_one(&call_off, task, NOW).unwrap();
            assert!(off.is_ok());
        }
        _ => {
            let deleted = ledger.db.change_one(&Delete, task, NOW).unwrap();
            assert!(deleted.is_ok());
        }
    }
    told(&mut ledger.db, NOW)
}

/// Has all hear who have not. What is to be put then.
fn told(db: &mut Ledger, now: Millis) -> Vec<Again> {
    let mut puts = Vec::new();
    while db.has_unheard().unwrap() {
        puts.extend(db.tell_children(now).unwrap().puts);
    }
    puts
}

fn uuid_of(ledger: &Stage, task: TaskId) -> (TaskId, Uuid) {
    (task, ledger.task(task).uuid)
}

/// Where a child stands, in a word: `goes` where it has a job, or needs one.
fn stands(ledger: &Stage, task: TaskId) -> &'static str {
    let shown = ledger.task(task);
    assert!(shown.due.is_none_or(|due| due < NEVER), "{shown:?}");
    match (shown.status.as_str(), &shown.waits_for) {
        ("waiting", None) => "goes",
        ("waiting", Some(waits)) if waits.held.is_some() => "held",
        (status, _) => status,
    }
}

/// What of two parents the first one's end means, and then, with the second one done, all.
pub fn what_becomes_of_a_child_when_its_parents_end(new: New) {
    let bad = |rule: IfParentFails, any: bool| match (rule, any) {
        (Cancel, false) => ("cancelled", "cancelled"),
        (Run, false) => ("waiting", "goes"),
        (Hold, false) => ("held", "held"),
        (_, true) => ("waiting", "goes"),
    };
    for how in ENDS {
        for rule in [Cancel, Run, Hold] {
            for any in [false, true] {
                let expected = match (how, any) {
                    ("done", false) => ("waiting", "goes"),
                    ("done", true) => ("goes", "goes"),
                    _ => bad(rule, any),
                };
                let mut ledger = new();
                let [one, two] = [0; 2].map(|_| put(&mut ledger.db, NOW).0);
                let (waits, goes) = child(&mut ledger.db, &[one, two], terms(any, rule));
                assert!(!goes);
                let shown = ledger.task(waits).waits_for.unwrap();
                assert_eq!(shown.parents, [one, two]);
                let mut puts = Vec::new();
                let mut seen = Vec::new();
                for (parent, how) in [(one, how), (two, "done")] {
                    let parent = uuid_of(&ledger, parent);
                    puts.extend(end(&mut ledger, parent, how));
                    seen.push(stands(&ledger, waits));
                }
                let what = format!("{how} {rule} any: {any}");
                assert_eq!((seen[0], seen[1]), expected, "{what}");
                let goes = usize::from(expected.1 == "goes");
                assert_eq!(puts.len(), goes, "{what}");
                if goes == 1 {
                    let job = job_ref(9, TaskRef::Pointer(puts[0].uuid));
                    let attempt = ledger.begin(&job);
                    assert_eq!(attempt.id.task, waits);
                    assert_eq!(attempt.parents, [one, two]);
                }
                if expected.1 == "cancelled" {
                    let past = match how {
                        "failed" => "failed".into(),
                        how => format!("was {how}"),
                    };
                    let reason = format!("task {one}, which it waits for, {past}");
                    assert_eq!(ledger.task(waits).reason, Some(reason), "{what}");
                }
            }
        }
    }
}

/// The same where none of the parents ends well, and where they had ended before.
pub fn what_had_ended_before_counts_at_once(new: New) {
    for how in ENDS {
        for rule in [Cancel, Run, Hold] {
            for any in [false, true] {
                let expected = match (how, rule) {
                    ("done", _) | (_, Run) => "goes",
                    (_, Cancel) => "cancelled",
                    (_, Hold) => "held",
                };
                let mut ledger = new();
                let [one, two] = [0; 2].map(|_| put(&mut ledger.db, NOW).0);
                let (before, _) = child(&mut ledger.db, &[one, two], terms(any, rule));
                for parent in [one, two] {
                    let parent = uuid_of(&ledger, parent);
                    end(&mut ledger, parent, how);
                }
                let what = format!("{how} {rule} any: {any}");
                assert_eq!(stands(&ledger, before), expected, "{what}");
                let after = behind(&[one, two], terms(any, rule));
                let added = ledger.db.add(&[new_task(after, NOW)], NOW).unwrap();
                if how == "deleted" {
                    let refused = NotAfter::NoParent { parent: one };
                    assert_eq!(added, [Added::NotAfter(refused)]);
                    continue;
                }
                let id = match (added.as_slice(), expected) {
                    ([Added::New { id }], "goes") => *id,
                    ([Added::Later { id }], "held" | "cancelled") => *id,
                    (other, _) => panic!("{what}: {other:?}"),
                };
                assert_eq!(stands(&ledger, id), expected, "{what}");
            }
        }
    }
}

pub fn an_attempt_that_is_tried_again_is_no_end(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let (waits, _) = child(&mut ledger.db, &[parent], Terms::default());
    let attempt = ledger.begin(&job);
    let again = Next::Wait(std::time::Duration::ZERO);
    ledger.settle(&attempt, Outcome::Exited(75), again);
    assert_eq!(stands(&ledger, waits), "waiting");
    let cleared = ledger.claim_cleared(&job, 1);
    ledger.failed(begun(cleared));
    assert_eq!(stands(&ledger, waits), "cancelled");
}

pub fn who_waits_has_no_job_and_nobody_looks_for_one(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    ledger
        .db
        .note_puts("one", &[(nth_put(parent, 1), Some(1))])
        .unwrap();
    let (waits, _) = child(&mut ledger.db, &[parent], Terms::default());
    let far = NOW + 1000 * LATER;
    let at = |db: &Ledger| db.missing(&tube("t"), TaskId(0), 9, far).unwrap();
    assert_eq!(at(&ledger.db), []);
    let near = ledger.db.near(&tube("t"), (0, TaskId(0)), 9, far).unwrap();
    assert_eq!(near, []);
    // A job too many begins nothing.
    let stray = job_ref(7, TaskRef::Pointer(ledger.task(waits).uuid));
    let claim = ledger.claim_at(&stray, far);
    assert!(
        matches!(claim, Claim::DeleteJob { task: None }),
        "{claim:?}"
    );
    // Whoever is killed before the put leaves it to reconciliation, and it runs once.
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let missing = at(&ledger.db);
    assert_eq!(
        missing.iter().map(|put| put.task).collect::<Vec<_>>(),
        [waits]
    );
    let again = ledger.db.put_again(&missing, far).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(ledger.db.put_again(&missing, far).unwrap(), []);
    let job = job_ref(8, TaskRef::Pointer(again[0].uuid));
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    assert!(matches!(ledger.claim(&job), Claim::DeleteJob { .. }));
}

pub fn a_child_keeps_its_due_time_and_priority(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let later = |db: &mut Ledger, due| {
        let added = db.add(&[new_task(behind(&[parent], Terms::default()), due)], NOW);
        let added = added.unwrap();
        let [Added::Later { id }] = added.as_slice() else {
            panic!("{added:?}");
        };
        *id
    };
    let soon = later(&mut ledger.db, NOW + 60_000);
    let far = later(&mut ledger.db, NOW + 9 * LATER);
    let edited = later(&mut ledger.db, NOW);
    assert_eq!(ledger.task(soon).due, Some(NOW + 60_000));
    let edit = Edit {
        due: Some(Due::At(NOW + 5_000)),
        priority: Some(3),
        ..Edit::default()
    };
    let changed = ledger.db.change_one(&edit, edited, NOW).unwrap().unwrap();
    assert_eq!((changed.again, stands(&ledger, edited)), (None, "waiting"));
    let attempt = ledger.begin(&job);
    let settle = vec![settlement(&attempt, Outcome::Exited(0), Next::Done).into()];
    let entry = Entry {
        settle,
        ..Entry::default()
    };
    let puts = enter(&mut ledger.db, &ledger.me, entry).unwrap().puts;
    let put: Vec<_> = puts
        .iter()
        .map(|one| (one.put.task, one.due_in, one.has_job, one.priority))
        .collect();
    // What is due much later needs no job yet.
    let expected = [
        (soon, 60_000, false, 5),
        (far, 9 * LATER, true, 5),
        (edited, 5_000, false, 3),
    ];
    assert_eq!(put, expected);
    assert_eq!(ledger.task(far).due, Some(NOW + 9 * LATER));
}

/// With its children, and theirs: those alone that its failure had cancelled.
pub fn a_regenerated_parent_has_its_children_wait_again(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let (one, _) = child(&mut ledger.db, &[parent], Terms::default());
    let (below, _) = child(&mut ledger.db, &[one], Terms::default());
    let (by_hand, _) = child(&mut ledger.db, &[parent], Terms::default());
    let (held, _) = child(&mut ledger.db, &[parent], terms(false, Hold));
    let (ran, _) = child(&mut ledger.db, &[parent], terms(false, Run));
    let off = CallOff {
        now: false,
        reason: Some("by hand".into()),
    };
    ledger.db.change_one(&off, by_hand, NOW).unwrap().unwrap();
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let all = [one, below, by_hand, held, ran];
    let now = |ledger: &Stage| all.map(|task| stands(ledger, task));
    assert_eq!(
        now(&ledger),
        ["cancelled", "cancelled", "cancelled", "held", "goes"]
    );
    let reason = format!("task {one}, which it waits for, was cancelled");
    assert_eq!(ledger.task(below).reason, Some(reason));
    ledger.db.regenerate(parent, None, NOW).unwrap().unwrap();
    assert_eq!(told(&mut ledger.db, NOW), []);
    assert_eq!(
        now(&ledger),
        ["waiting", "waiting", "cancelled", "waiting", "goes"]
    );
    assert_eq!(ledger.task(by_hand).reason.as_deref(), Some("by hand"));
    let job = job_ref(3, TaskRef::Pointer(ledger.task(parent).uuid));
    let attempt = begun(ledger.claim_cleared(&job, 1));
    ledger.done(attempt);
    assert_eq!(
        now(&ledger),
        ["goes", "waiting", "cancelled", "goes", "goes"]
    );
}

/// A person who regenerates a child, or has it run now, has decided.
pub fn a_person_is_asked_for_nothing_more(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let (held, _) = child(&mut ledger.db, &[parent], terms(false, Hold));
    let (cancelled, _) = child(&mut ledger.db, &[parent], Terms::default());
    let (early, _) = child(&mut ledger.db, &[parent], Terms::default());
    let run_now = |ledger: &mut Stage, task| {
        let edited = ledger.db.change_one(&Edit::run_now(), task, NOW + 5);
        edited.unwrap().unwrap().again.unwrap()
    };
    assert_eq!(run_now(&mut ledger, early).due_in, 0);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    assert_eq!(stands(&ledger, early), "goes");
    assert_eq!(run_now(&mut ledger, held).put.task, held);
    let again = ledger.db.regenerate(cancelled, None, NOW).unwrap();
    assert_eq!(again.unwrap().put.task, cancelled);
    // Whatever becomes of the parent: they are done with it.
    ledger.db.regenerate(parent, None, NOW).unwrap().unwrap();
    assert_eq!(told(&mut ledger.db, NOW), []);
    let off = CallOff::default();
    ledger.db.change_one(&off, parent, NOW).unwrap().unwrap();
    assert_eq!(told(&mut ledger.db, NOW), []);
    for task in [early, held, cancelled] {
        assert_eq!(stands(&ledger, task), "goes");
    }
}

/// Some hear with the end, the others from whoever comes next; each once.
pub fn of_many_children_some_hear_at_once_and_the_others_soon(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let tasks: Vec<NewTask> = (0..2 * SOME + 50)
        .map(|_| new_task(behind(&[parent], Terms::default()), NOW))
        .collect();
    ledger.db.add(&tasks, NOW).unwrap();
    let attempt = ledger.begin(&job);
    let settle = vec![settlement(&attempt, Outcome::Exited(0), Next::Done).into()];
    let entry = Entry {
        settle,
        ..Entry::default()
    };
    let entered = enter(&mut ledger.db, &ledger.me, entry).unwrap();
    assert_eq!((entered.puts.len(), entered.unheard), (SOME, true));
    // Its worker goes on.
    let entry = Entry {
        again: vec![Jobless::Children],
        ..Entry::default()
    };
    let next = enter(&mut ledger.db, &ledger.me, entry).unwrap();
    assert_eq!((next.puts.len(), next.unheard), (SOME, true));
    // Or is killed: then whoever reconciles does.
    let mut other = ledger.another();
    let rest = told(&mut other, NOW);
    assert_eq!(rest.len(), 50);
    let all = entered.puts.iter().chain(&next.puts).chain(&rest);
    let tasks: HashSet<TaskId> = all.map(|one| one.put.task).collect();
    assert_eq!(tasks.len(), 2 * SOME + 50);
    assert_eq!(told(&mut ledger.db, NOW), []);
}

pub fn what_is_put_together_waits_for_each_other(new: New) {
    let mut ledger = new();
    let beside = |beside: &[usize]| {
        let beside = beside.to_vec();
        let waits = WaitsFor {
            beside,
            ..WaitsFor::default()
        };
        new_task(Some(waits), NOW)
    };
    // The last one is the first.
    let tasks = [
        beside(&[1, 2]),
        beside(&[3]),
        beside(&[3]),
        new_task(None, NOW),
    ];
    let added = ledger.db.add(&tasks, NOW).unwrap();
    let kinds: Vec<bool> = added
        .iter()
        .map(|one| matches!(one, Added::New { .. }))
        .collect();
    assert_eq!(kinds, [false, false, false, true]);
    assert_eq!(ledger.tasks().len(), 4);
    let circle = ledger.db.add(&[beside(&[1]), beside(&[0])], NOW);
    assert!(circle.is_err());
    // All or nothing.
    let missing = new_task(behind(&[TaskId(99)], Terms::default()), NOW);
    let added = ledger
        .db
        .add(&[missing, beside(&[0]), new_task(None, NOW)], NOW);
    let parent = TaskId(99);
    let other = Added::NotAfter(NotAfter::OtherRefused { parent });
    let expected = [
        Added::NotAfter(NotAfter::NoParent { parent }),
        other.clone(),
        other,
    ];
    assert_eq!(added.unwrap(), expected);
    assert_eq!(ledger.tasks().len(), 4);
}

pub fn who_has_a_key_waits_with_it(new: New) {
    let mut ledger = new();
    let (parent, _) = put(&mut ledger.db, NOW);
    let unique = || {
        let mut task = new_task(behind(&[parent], Terms::default()), NOW);
        task.unique = Some(Unique {
            key: Some("k".parse().unwrap()),
            if_exists: taskqueue::task::unique::IfExists::Replace,
            ..Unique::default()
        });
        task
    };
    let added = ledger.db.add(&[unique()], NOW).unwrap();
    let [Added::Later { id }] = added.as_slice() else {
        panic!("{added:?}");
    };
    let added = ledger.db.add(&[unique()], NOW).unwrap();
    assert!(
        matches!(&added[..], [Added::Taken(Taken::Replaced { id: same, again: None, .. })] if same == id)
    );
    assert_eq!(stands(&ledger, *id), "waiting");
}

pub fn a_parent_stays_while_somebody_waits_for_it(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let (waits, _) = child(&mut ledger.db, &[parent], Terms::default());
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let old = Old {
        statuses: vec![Status::Done],
        before: NOW + 1,
    };
    let clean = |ledger: &mut Stage| {
        let mut so_far = SoFar::default();
        while !so_far.is_over() {
            so_far = ledger.db.clean_up_some(&old, so_far, NOW).unwrap();
        }
        so_far.deleted
    };
    assert_eq!(clean(&mut ledger), 0);
    let job = job_ref(2, TaskRef::Pointer(ledger.task(waits).uuid));
    let attempt = ledger.begin(&job);
    assert_eq!(clean(&mut ledger), 0);
    ledger.done(attempt);
    assert_eq!(clean(&mut ledger), 2);
}

/// The job is given up, and another is put when the task may go.
pub fn another_producers_job_may_wait_for_others(new: New) {
    let mut ledger = new();
    let (parent, job) = put(&mut ledger.db, NOW);
    let mut theirs = foreign("theirs");
    theirs.content = Content::Call(call("1"));
    theirs.after = Some(After {
        parents: vec![parent],
        terms: Terms::default(),
    });
    let theirs = job_ref(5, TaskRef::Nameless(theirs));
    let claim = ledger.claim(&theirs);
    let Claim::DeleteJob { task: Some(waits) } = claim else {
        panic!("{claim:?}");
    };
    let entry = Entry {
        deleted: vec![waits],
        ..Entry::default()
    };
    enter(&mut ledger.db, &ledger.me, entry).unwrap();
    assert_eq!(stands(&ledger, waits), "waiting");
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    assert_eq!(stands(&ledger, waits), "goes");
    let job = job_ref(6, TaskRef::Pointer(ledger.task(waits).uuid));
    assert_eq!(ledger.begin(&job).id.task, waits);
}

pub fn what_is_drawn_has_each_task_below_what_it_waits_for(new: New) {
    let mut ledger = new();
    let (top, _) = put(&mut ledger.db, NOW);
    let [left, right] = [0; 2].map(|_| child(&mut ledger.db, &[top], Terms::default()).0);
    let (bottom, _) = child(&mut ledger.db, &[left, right], Terms::default());
    let (other, _) = put(&mut ledger.db, NOW);
    child(&mut ledger.db, &[other], Terms::default());
    let tree = ledger.db.tree(Key::Id(bottom)).unwrap().unwrap();
    let expected = "1 waiting work\n├─ 2 waiting work\n│  └─ 4 waiting work ◀\n└─ 3 waiting work\n   \
                    └─ 4 waiting work ◀ (see above)\n";
    assert_eq!(tree.to_string(), expected);
    assert_eq!(ledger.db.tree(Key::Id(TaskId(99))).unwrap(), None);
    // Of a long chain what is near.
    let mut last = put(&mut ledger.db, NOW).0;
    let first = last.0;
    for _ in 0..100 {
        last = child(&mut ledger.db, &[last], Terms::default()).0;
    }
    let tree = ledger
        .db
        .tree(Key::Id(TaskId(first + 50)))
        .unwrap()
        .unwrap();
    let drawn: Vec<i64> = tree.leaves.iter().map(|leaf| leaf.id.0 - first).collect();
    assert_eq!(drawn, (30..=70).collect::<Vec<i64>>());
    assert!(tree.is_cut);
    let kin = ledger.task(left).kin.unwrap();
    assert_eq!(kin.parents[0].id, top);
    assert_eq!((kin.children[0].id, kin.more_children), (bottom, false));
}

pub fn those_that_wait_for_others_are_counted(new: New) {
    let mut ledger = new();
    let counted = |ledger: &Stage| {
        let counts = ledger.db.counts().unwrap();
        let of = counts.get("t").copied().unwrap_or_default();
        (of.waiting, of.waiting_for_others)
    };
    let (parent, job) = put(&mut ledger.db, NOW);
    assert_eq!(counted(&ledger), (1, 0));
    for _ in 0..2 {
        child(&mut ledger.db, &[parent], Terms::default());
    }
    // What is only due much later waits for nobody.
    ledger
        .db
        .add(&[new_task(None, NOW + 9 * LATER)], NOW)
        .unwrap();
    assert_eq!(counted(&ledger), (4, 2));
    let few = ledger.db.counts_up_to(1).unwrap()["t"];
    assert_eq!((few.waiting, few.waiting_for_others), (1, 1));
    let attempt = ledger.begin(&job);
    assert_eq!(counted(&ledger), (3, 2));
    ledger.done(attempt);
    told(&mut ledger.db, NOW);
    assert_eq!(counted(&ledger), (3, 0));
}
