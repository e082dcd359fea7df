//! Schedules: rows that say when tasks are to be made.

use taskqueue::ledger::events::EventFilter;
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::schedules::{Made, Move, Moved, NameTaken, NewSchedule, SeenAt, Set};
use taskqueue::ledger::unique::Taken;
use taskqueue::ledger::{Claim, ForeignJob, Millis, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::event::What;
use taskqueue::task::id::TaskId;
use taskqueue::task::unique::{IfExists, Key, Scope, Unique};
use uuid::Uuid;

use super::{NOW, New, Stage, call, foreign, job_ref};
use crate::support::tube;

fn new_schedule(name: &str, timing: &str) -> NewSchedule {
    NewSchedule {
        name: name.into(),
        timing: timing.into(),
        rules: "rules".into(),
        template: "task".into(),
        decided: NOW,
    }
}

pub fn made(nominal: Option<Millis>) -> Made {
    Made {
        task: NewTask {
            unique: None,
            own: None,
            after: None,
            uuid: Uuid::now_v7(),
            tube: tube("t"),
            content: Content::Call(call("1")),
            priority: 5,
            ttr: 60,
            due: NOW,
            tags: Vec::new(),
        },
        nominal,
        scheduled_for: nominal.map(|at| format!("at {at}")),
        backfilled: nominal.is_some_and(|at| at < NOW),
    }
}

fn at(nominal: Millis) -> SeenAt {
    SeenAt {
        nominal,
        held: None,
    }
}

fn fire(nominal: Millis) -> Move {
    Move {
        to: at(nominal),
        make: Some(made(Some(nominal))),
    }
}

fn with_schedule(new: New) -> Stage {
    let mut ledger = new();
    let set = ledger.db.set_schedule(&new_schedule("a", "daily"), NOW);
    assert_eq!(set.unwrap(), Ok(Set::New));
    ledger
}

fn standing(ledger: &Stage) -> (SeenAt, Vec<(Option<Millis>, bool)>) {
    let (row, fires) = ledger.db.schedule("a").unwrap().unwrap();
    let at = SeenAt {
        nominal: row.nominal,
        held: row.held,
    };
    let fires = fires.iter().map(|fire| (fire.nominal, fire.is_open));
    (at, fires.collect())
}

pub fn a_step_is_done_by_one_of_those_who_try(new: New) {
    let mut ledger = with_schedule(new);
    let mut other = ledger.another();
    let (one, two) = (fire(NOW + 1), fire(NOW + 1));
    let one = ledger.db.move_schedule("a", at(NOW), &one, NOW + 5);
    let two = other.move_schedule("a", at(NOW), &two, NOW + 5);
    let Moved::Made(first) = one.unwrap() else {
        panic!("it was not made");
    };
    assert_eq!((first.put.generation, first.has_job), (1, false));
    assert_eq!(two.unwrap(), Moved::NotOurs);
    assert_eq!(
        standing(&ledger),
        (at(NOW + 1), vec![(Some(NOW + 1), true)])
    );
    // What is held is compared too, and who passes over makes nothing.
    let hold = Move {
        to: SeenAt {
            nominal: NOW + 2,
            held: Some(NOW + 2),
        },
        make: None,
    };
    let held = ledger.db.move_schedule("a", at(NOW + 1), &hold, NOW + 5);
    assert_eq!(held.unwrap(), Moved::Done);
    let again = other.move_schedule("a", at(NOW + 2), &fire(NOW + 3), NOW + 5);
    assert_eq!(again.unwrap(), Moved::NotOurs);
    assert_eq!(standing(&ledger).0, hold.to);
    let gone = ledger.db.move_schedule("b", at(NOW), &fire(NOW + 1), NOW);
    assert_eq!(gone.unwrap(), Moved::NotOurs);
    assert_eq!(ledger.tasks().len(), 1);
    let shown = ledger.db.show(first.put.task.into()).unwrap().unwrap();
    assert_eq!((shown.schedule.as_deref(), shown.key), (Some("a"), None));
}

pub fn no_time_has_two_tasks(new: New) {
    let mut ledger = with_schedule(new);
    let moved = ledger.db.move_schedule("a", at(NOW), &fire(NOW + 1), NOW);
    assert!(matches!(moved.unwrap(), Moved::Made(_)));
    // It comes at other times now, and its clock was set back.
    let set = ledger
        .db
        .set_schedule(&new_schedule("a", "hourly"), NOW - 9);
    assert_eq!(set.unwrap(), Ok(Set::Changed));
    let moved = ledger.db.move_schedule("a", at(NOW), &fire(NOW + 1), NOW);
    assert_eq!(moved.unwrap(), Moved::Done);
    assert_eq!(ledger.tasks().len(), 1);
    // By hand there may be any number.
    for _ in 0..2 {
        let moved = ledger.db.run_schedule("a", &made(None), NOW).unwrap();
        assert!(matches!(moved, Moved::Made(_)));
    }
    assert_eq!(
        ledger.db.run_schedule("b", &made(None), NOW).unwrap(),
        Moved::NotOurs
    );
    let fires = [(None, true), (None, true), (Some(NOW + 1), true)];
    assert_eq!(standing(&ledger).1, fires);
    // What is deleted takes along that it came of a schedule.
    let delete = taskqueue::ledger::delete::Delete;
    for task in 1..=3 {
        let deleted = ledger.db.change_one(&delete, TaskId(task), NOW).unwrap();
        assert!(deleted.is_ok());
    }
    assert_eq!(standing(&ledger).1, []);
}

pub fn the_schedules_of_a_configuration_go_with_it(new: New) {
    let mut ledger = with_schedule(new);
    let db = &mut ledger.db;
    let all = [
        new_schedule("a", "x"),
        new_schedule("b", "x"),
        new_schedule("c", "x"),
    ];
    let kept = db.keep_schedules("one", &all, NOW).unwrap();
    let taken = |by: Option<&str>| NameTaken {
        name: "a".into(),
        by: by.map(str::to_owned),
    };
    assert_eq!(kept.set, ["b", "c"]);
    assert_eq!(kept.taken, [taken(None)]);
    let kept = db.keep_schedules("two", &all[1..2], NOW).unwrap();
    assert_eq!(kept.taken[0].by.as_deref(), Some("one"));
    assert_eq!((kept.set.len(), kept.removed.len()), (0, 0));
    let by_command = db.set_schedule(&all[1], NOW).unwrap();
    assert!(by_command.is_err());

    // What says the same stays where it stands; what comes at other times begins anew.
    let moved = db.move_schedule("b", at(NOW), &fire(NOW + 7), NOW);
    assert!(matches!(moved.unwrap(), Moved::Made(_)));
    let kept = db.keep_schedules("one", &all[1..], NOW + 9).unwrap();
    assert_eq!(kept, Default::default());
    let rules = NewSchedule {
        rules: "others".into(),
        ..new_schedule("b", "x")
    };
    let kept = db.keep_schedules("one", &[rules], NOW + 9).unwrap();
    assert_eq!(
        (kept.set, kept.removed),
        (vec!["b".into()], vec!["c".into()])
    );
    let row = |db: &taskqueue::ledger::Ledger| db.schedule("b").unwrap().unwrap().0;
    assert_eq!((row(db).nominal, row(db).made), (NOW + 7, NOW));
    let timing = NewSchedule {
        decided: NOW + 20,
        ..new_schedule("b", "y")
    };
    db.keep_schedules("one", &[timing], NOW + 21).unwrap();
    assert_eq!((row(db).nominal, row(db).made), (NOW + 20, NOW + 21));
    db.keep_schedules("one", &[], NOW).unwrap();
    let left = db.schedules().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].0.name.as_str(), &left[0].0.source), ("a", &None));
    assert_eq!(db.remove_schedule("a").unwrap().unwrap().name, "a");
    assert_eq!(db.remove_schedule("a").unwrap(), None);
    assert_eq!(ledger.tasks().len(), 1, "its task stays");
}

pub fn who_is_paused_makes_nothing_and_is_decided_up_to_its_resumption(new: New) {
    let mut ledger = with_schedule(new);
    let db = &mut ledger.db;
    assert_eq!(db.pause_schedule("b", NOW).unwrap(), None);
    assert_eq!(db.pause_schedule("a", NOW).unwrap(), Some(true));
    assert_eq!(db.pause_schedule("a", NOW + 1).unwrap(), Some(false));
    assert_eq!(db.schedule("a").unwrap().unwrap().0.paused, Some(NOW));
    let moved = db.move_schedule("a", at(NOW), &fire(NOW + 1), NOW + 5);
    assert_eq!(moved.unwrap(), Moved::NotOurs);
    let by_hand = db.run_schedule("a", &made(None), NOW).unwrap();
    assert!(matches!(by_hand, Moved::Made(_)));
    assert_eq!(db.resume_schedule("a", NOW + 9).unwrap(), Some(true));
    assert_eq!(db.resume_schedule("a", NOW + 10).unwrap(), Some(false));
    assert_eq!(standing(&ledger).0, at(NOW + 9));
}

pub fn a_command_learns_of_which_time_it_came(new: New) {
    let mut ledger = with_schedule(new);
    let step = fire(NOW - 1);
    let uuid = step.make.as_ref().unwrap().task.uuid;
    let moved = ledger.db.move_schedule("a", at(NOW), &step, NOW).unwrap();
    assert!(matches!(moved, Moved::Made(_)));
    let claim = ledger.claim(&job_ref(1, TaskRef::Pointer(uuid)));
    let Claim::Begun(attempt) = claim else {
        panic!("{claim:?}");
    };
    let scheduled = attempt.scheduled.clone().unwrap();
    assert_eq!(scheduled.schedule, "a");
    assert_eq!(scheduled.scheduled_for, Some(format!("at {}", NOW - 1)));
    assert!(scheduled.backfilled);
    assert_eq!(standing(&ledger).1, [(Some(NOW - 1), true)]);
    ledger.done(attempt);
    assert_eq!(standing(&ledger).1, [(Some(NOW - 1), false)]);
    let (_, job) = super::put(&mut ledger.db, NOW);
    assert_eq!(ledger.begin(&job).scheduled, None);
}

pub fn another_producers_job_may_say_when_it_is_to_run(new: New) {
    let mut ledger = new();
    let mut named = |at: Millis| {
        let foreign = ForeignJob {
            at: Some(at),
            content: Content::Call(call("1")),
            ..foreign("body")
        };
        let job = job_ref(1, TaskRef::Named(Uuid::now_v7(), foreign));
        ledger.claim(&job)
    };
    assert!(
        matches!(named(NOW - 9), Claim::Begun(_)),
        "what is past is now"
    );
    let claim = named(NOW + 7000);
    let Claim::Later { delay, .. } = claim else {
        panic!("{claim:?}");
    };
    assert_eq!(delay.as_secs(), 7);
    let due: Vec<_> = ledger.tasks().iter().filter_map(|task| task.due).collect();
    assert_eq!(due, [NOW + 7000]);
}

/// A task with the key `k`, to be made for that time, or by hand.
fn with_key(nominal: Option<Millis>, if_exists: IfExists) -> Made {
    let mut made = made(nominal);
    made.task.unique = Some(Unique {
        key: Some("k".parse().unwrap()),
        scope: Scope::Unfinished,
        if_exists,
    });
    made
}

/// Puts a task that has the key.
fn put_holder(ledger: &mut Stage) -> (TaskId, Uuid) {
    let task = with_key(None, IfExists::Keep).task;
    let uuid = task.uuid;
    match ledger.db.add(&[task], NOW).unwrap().pop() {
        Some(Added::New { id }) => (id, uuid),
        other => panic!("{other:?}"),
    }
}

fn told(ledger: &Stage, what: What) -> Vec<(Option<i64>, Option<String>)> {
    let filter = EventFilter {
        what: vec![what],
        ..EventFilter::default()
    };
    let rows = ledger.db.newest_events(&filter, 10).unwrap().rows;
    rows.into_iter().map(|row| (row.task, row.detail)).collect()
}

pub fn a_time_whose_key_is_taken_is_passed_over(new: New) {
    let mut ledger = with_schedule(new);
    let (holder, uuid) = put_holder(&mut ledger);
    let key: Key = "k".parse().unwrap();
    assert_eq!(ledger.db.key_holder(&key, NOW).unwrap(), Some(holder));
    let step = |nominal: Millis, if_exists| Move {
        to: at(nominal),
        make: Some(with_key(Some(nominal), if_exists)),
    };
    let keep = step(NOW + 1, IfExists::Keep);
    let moved = ledger.db.move_schedule("a", at(NOW), &keep, NOW + 1);
    let because = None;
    let exists = Moved::Taken(Taken::Kept {
        id: holder,
        uuid,
        because,
    });
    assert_eq!(moved.unwrap(), exists);
    let refuse = step(NOW + 2, IfExists::Refuse);
    let moved = ledger.db.move_schedule("a", at(NOW + 1), &refuse, NOW + 2);
    assert!(matches!(moved.unwrap(), Moved::Taken(Taken::Refused(by)) if by.id == holder));
    // Both are decided, and nothing came of them.
    assert_eq!(standing(&ledger), (at(NOW + 2), vec![]));
    assert_eq!(ledger.tasks().len(), 1);
    let detail = |n: i64| format!(r#"{{"schedule":"a","scheduled_for":"at {}"}}"#, NOW + n);
    let passed_over = [
        (Some(holder.0), Some(detail(1))),
        (Some(holder.0), Some(detail(2))),
    ];
    assert_eq!(told(&ledger, What::PassedOver), passed_over);
    // Whoever does it by hand hears it, and nobody else.
    let by_hand = with_key(None, IfExists::Keep);
    let moved = ledger.db.run_schedule("a", &by_hand, NOW).unwrap();
    assert_eq!(moved, exists);
    let by_hand = with_key(None, IfExists::Refuse);
    let moved = ledger.db.run_schedule("a", &by_hand, NOW).unwrap();
    assert!(matches!(moved, Moved::Taken(Taken::Refused(_))));
    assert_eq!(told(&ledger, What::PassedOver).len(), 2);

    // Once it has ended, the next time makes a task, which has the key itself.
    let Claim::Begun(attempt) = ledger.claim(&job_ref(1, TaskRef::Pointer(uuid))) else {
        panic!("it did not begin");
    };
    ledger.done(attempt);
    assert_eq!(ledger.db.key_holder(&key, NOW).unwrap(), None);
    let next = step(NOW + 3, IfExists::Keep);
    let moved = ledger.db.move_schedule("a", at(NOW + 2), &next, NOW + 3);
    let Moved::Made(again) = moved.unwrap() else {
        panic!("it was not made");
    };
    assert_eq!(
        standing(&ledger),
        (at(NOW + 3), vec![(Some(NOW + 3), true)])
    );
    let (_, shown) = (again, ledger.db.show(TaskId(2).into()).unwrap().unwrap());
    assert_eq!(shown.key.as_deref(), Some(key.as_str()));
}

pub fn a_task_that_waits_may_be_given_what_comes_of_a_time(new: New) {
    let mut ledger = with_schedule(new);
    let (holder, uuid) = put_holder(&mut ledger);
    for nominal in [NOW + 1, NOW + 2] {
        let mut made = with_key(Some(nominal), IfExists::Replace);
        made.task.content = Content::Call(call(&format!("{nominal}")));
        let step = Move {
            to: at(nominal),
            make: Some(made),
        };
        let moved = ledger
            .db
            .move_schedule("a", at(nominal - 1), &step, nominal);
        let Moved::Taken(Taken::Replaced {
            id,
            uuid: same,
            again: Some(again),
        }) = moved.unwrap()
        else {
            panic!("it was not replaced");
        };
        assert_eq!((id, same, again.put.task), (holder, uuid, holder));
        // It comes of the newest of them, and counts as a task of the schedule.
        assert_eq!(
            standing(&ledger),
            (at(nominal), vec![(Some(nominal), true)])
        );
    }
    assert_eq!(told(&ledger, What::Fired).len(), 2);
    assert_eq!(ledger.tasks().len(), 1);
    let Claim::Begun(attempt) = ledger.claim(&job_ref(1, TaskRef::Pointer(uuid))) else {
        panic!("it did not begin");
    };
    let shown = ledger.db.show(holder.into()).unwrap().unwrap();
    assert!(
        shown.arguments.contains(&format!("{}", NOW + 2)),
        "{shown:?}"
    );
    // What runs stays as it is.
    let step = Move {
        to: at(NOW + 3),
        make: Some(with_key(Some(NOW + 3), IfExists::Replace)),
    };
    let moved = ledger.db.move_schedule("a", at(NOW + 2), &step, NOW + 3);
    assert!(matches!(
        moved.unwrap(),
        Moved::Taken(Taken::Kept {
            because: Some(_),
            ..
        })
    ));
    assert_eq!(standing(&ledger).0, at(NOW + 3));
    ledger.done(attempt);
}
