//! What every adapter does with rows, below the protocol and as people see it.

use std::time::Duration;

use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::edit::{Due, Edit};
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::read::{DisplayedStatus, Filter, LISTED, Task};
use taskqueue::ledger::rows::{Beginning, EndedAttempt, Ending, NewRow, Origin, Rows, Wants};
use taskqueue::ledger::worker::NewWorker;
use taskqueue::ledger::{Durability, Failed, Millis, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::id::{AttemptId, PutId, TaskId};
use taskqueue::task::output::{Captured, KEPT};
use taskqueue::task::retry::{Budget, Next};
use taskqueue::task::state::{Outcome, Status};
use uuid::Uuid;

use super::{NOW, New, Stage, call, foreign, job_ref, nth, nth_put, put, put_at, register, took};
use crate::support::tube;

/// Changes rows as the protocol would not.
fn change(
    ledger: &mut Stage,
    mut change: impl FnMut(&dyn Rows) -> Result<(), Failed>,
) -> Result<(), taskqueue::ledger::Error> {
    let patience = taskqueue::ledger::backend::Patience::Long;
    let backend = ledger.db.backend();
    backend.change(Durability::ProcessDeath, patience, &mut change)
}

/// A change with a name.
type Named<'a> = (&'a str, &'a dyn Fn(&dyn Rows) -> Result<(), Failed>);

/// Tries changes one by one, each of which must be refused and leave nothing.
fn all_refused(ledger: &mut Stage, changes: &[Named<'_>]) {
    let before = format!("{:?}", ledger.tasks());
    for (which, refused) in changes {
        match change(ledger, |rows| refused(rows)) {
            Ok(()) => panic!("was taken: {which}"),
            Err(error) => assert!(error.is_of_one_row(), "{which}: {error:?}"),
        }
        assert_eq!(format!("{:?}", ledger.tasks()), before, "{which}");
    }
}

pub fn a_transaction_that_fails_leaves_nothing(new: New) {
    let mut ledger = new();
    let (first, _) = put(&mut ledger.db, NOW);
    let before = format!("{:?}", ledger.tasks());
    let content = Content::Call(call("1"));
    let row = NewRow {
        tags: &[],
        hold: None,
        own: None,
        uuid: Uuid::now_v7(),
        tube: &tube("t"),
        content: &content,
        priority: 5,
        ttr: 60,
        due: NOW,
        created: NOW,
        origin: Origin::Ours { put_until: NOW },
    };
    let failed = change(&mut ledger, |rows| {
        assert!(rows.insert(&row)?.is_some());
        assert_eq!(rows.insert(&row)?, None, "the same uuid");
        rows.set_due(first, NOW + 1)?;
        Err(Failed::Trouble {
            what: "enough".into(),
        })
    });
    let error = failed.unwrap_err();
    assert!(error.to_string().contains("enough"), "{error}");
    assert!(!error.is_of_one_row() && !error.is_locked());
    assert_eq!(format!("{:?}", ledger.tasks()), before);
}

pub fn a_part_of_a_transaction_that_fails_leaves_nothing_and_the_rest_stays(new: New) {
    let mut ledger = new();
    let [first, second, third] = [0, 1, 2].map(|_| put(&mut ledger.db, NOW).0);
    let changed = change(&mut ledger, |rows| {
        rows.set_due(first, NOW + 1)?;
        let failed = rows.part(&mut || {
            rows.set_due(first, NOW + 2)?;
            rows.set_due(second, NOW + 2)?;
            Err(Failed::row(None, "enough"))
        });
        assert_eq!(failed, Err(Failed::row(None, "enough")));
        let refused = rows.part(&mut || {
            rows.set_due(second, NOW + 3)?;
            rows.begin(&beginning(nth(second, 1), 2))
        });
        assert!(refused.unwrap_err().of_one_row().is_ok());
        rows.part(&mut || rows.set_due(third, NOW + 4))
    });
    changed.unwrap();
    let due = [first, second, third].map(|id| ledger.task(id).due.unwrap() - NOW);
    assert_eq!(due, [1, 0, 4]);
}

fn beginning(id: AttemptId, spent: u32) -> Beginning {
    Beginning {
        id,
        worker: taskqueue::task::id::WorkerId(1),
        started: NOW,
        budget: Budget {
            spent,
            ..Budget::default()
        },
        ahead: false,
    }
}

fn ending(id: AttemptId, status: Status) -> Ending<'static> {
    Ending {
        id,
        owner: taskqueue::task::id::WorkerId(1),
        status,
        due: None,
        reason: None,
        finished: None,
        budget: Budget::default(),
        kicks: None,
        started: None,
    }
}

pub fn no_impossible_task_is_written(new: New) {
    let mut ledger = new();
    let (waits, _) = put(&mut ledger.db, NOW);
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let runs = attempt.id;
    let end = |ending: Ending<'static>| move |rows: &dyn Rows| rows.end(&ending).map(drop);
    let begin = |beginning: Beginning| move |rows: &dyn Rows| rows.begin(&beginning);
    let spent = Budget {
        spent: 1,
        lost: 1,
        deferred: 0,
    };
    all_refused(
        &mut ledger,
        &[
            (
                "waits, and is due never",
                &end(ending(runs, Status::Waiting)),
            ),
            (
                "done, and has never ended",
                &end(ending(runs, Status::Done)),
            ),
            (
                "done, and due",
                &end(Ending {
                    due: Some(NOW),
                    finished: Some(NOW),
                    ..ending(runs, Status::Done)
                }),
            ),
            (
                "runs, and nobody answers for it",
                &end(ending(runs, Status::Running)),
            ),
            (
                "has spent more than it has tried",
                &end(Ending {
                    finished: Some(NOW),
                    budget: spent,
                    ..ending(runs, Status::Failed)
                }),
            ),
            ("attempt 0", &begin(beginning(nth(waits, 0), 0))),
            ("more spent than tried", &begin(beginning(nth(waits, 1), 2))),
            ("due while it runs", &|rows| rows.set_due(runs.task, NOW)),
        ],
    );
}

pub fn no_impossible_attempt_output_or_worker_is_written(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let done = ledger.begin(&job);
    let done = nth(ledger.done(done), 1);
    let (_, job) = put(&mut ledger.db, NOW);
    let running = ledger.begin(&job);
    let runs = running.id;
    let attempt = |id: AttemptId, worker: &'static str, outcome: Outcome| {
        move |rows: &dyn Rows| {
            rows.add_attempt(&EndedAttempt {
                id,
                worker,
                finished: NOW,
                outcome: &outcome,
                took: None,
            })
        }
    };
    let output = |id: AttemptId, head: usize, tail: usize, dropped: u64| {
        move |rows: &dyn Rows| {
            let (head, tail) = (vec![0; head], vec![0; tail]);
            let captured = Captured {
                head,
                tail,
                dropped,
            };
            rows.add_output(id, &captured)
        }
    };
    let worker = |name: &'static str, pid: u32| {
        move |rows: &dyn Rows| {
            let worker = NewWorker {
                name: name.into(),
                tube: "t".into(),
                host: "here".into(),
                pid,
            };
            rows.insert_worker(&worker, "boot", NOW).map(drop)
        }
    };
    // Its row there, and then what it printed.
    let printed = |head, tail, dropped| {
        move |rows: &dyn Rows| {
            attempt(runs, "w", Outcome::Exited(1))(rows)?;
            output(runs, head, tail, dropped)(rows)
        }
    };
    all_refused(
        &mut ledger,
        &[
            ("twice", &attempt(done, "w", Outcome::Exited(0))),
            ("by nobody", &attempt(runs, "", Outcome::Exited(0))),
            (
                "an exit code of 256",
                &attempt(runs, "w", Outcome::Exited(256)),
            ),
            (
                "an exit code of -1",
                &attempt(runs, "w", Outcome::Exited(-1)),
            ),
            ("signal 0", &attempt(runs, "w", Outcome::Signalled(0))),
            ("printed twice", &output(done, 1, 0, 0)),
            ("printed before its end", &output(runs, 1, 0, 0)),
            ("too long a head", &printed(KEPT + 1, 0, 0)),
            ("a tail without a head", &printed(1, 1, 0)),
            ("too long a tail", &printed(KEPT, KEPT + 1, 0)),
            ("dropped from nowhere", &printed(KEPT, KEPT - 1, 1)),
            ("a worker without a name", &worker("", 1)),
            ("a worker without a process", &worker("w", 0)),
        ],
    );
    change(&mut ledger, printed(KEPT, KEPT, 1)).unwrap();
}

pub fn lists_are_of_the_newest_that_pass_the_filter(new: New) {
    let mut ledger = new();
    let ids: Vec<TaskId> = (0..5).map(|_| put(&mut ledger.db, NOW).0).collect();
    let raw = ledger.begin(&job_ref(1, TaskRef::Nameless(foreign("raw"))));
    let raw = ledger.done(raw);
    let all = |filter: &Filter| -> Vec<TaskId> {
        let tasks = ledger.filtered(filter).into_iter();
        tasks.map(|task| task.id).collect()
    };
    let newest: Vec<TaskId> = [raw].into_iter().chain(ids.iter().rev().copied()).collect();
    assert_eq!(all(&Filter::default()), newest);
    let status = |word| Filter::default().status(DisplayedStatus::from_word(word).unwrap());
    assert_eq!(all(&status("done")), [raw]);
    assert_eq!(all(&status("waiting")), newest[1..]);
    assert_eq!(all(&status("stalled")), []);
    let of = |name: &str| Filter::default().tube(&tube(name));
    assert_eq!(all(&of("t")), newest);
    assert_eq!(all(&of("u")), []);
    let named = Filter::default().command("work");
    assert_eq!(all(&named), newest, "what ran is known by then");
    let mut seen = Vec::new();
    let each = |task: taskqueue::ledger::read::Task| {
        seen.push(task.id);
        seen.len() < 3
    };
    ledger.db.list(&Filter::default(), 9, each).unwrap();
    assert_eq!(seen, newest[..3]);
    let whole = ledger.task(raw);
    assert_eq!(whole.body.as_deref(), Some(&b"raw"[..]));
    assert_eq!((whole.body_size, whole.job), (Some(3), Some(1)));
    let output = whole.attempts[0].output.as_ref().unwrap();
    assert_eq!(output.head, b"said");
    assert_eq!(whole.attempts[0].took, Some(took()));
}

pub fn tasks_are_counted_where_they_stand(new: New) {
    let mut ledger = new();
    assert!(ledger.db.counts().unwrap().is_empty());
    assert_eq!(ledger.db.tubes_in_use().unwrap(), []);
    put(&mut ledger.db, NOW);
    let (_, job) = put(&mut ledger.db, NOW);
    let runs = ledger.begin(&job);
    let (_, job) = put(&mut ledger.db, NOW);
    let failed = ledger.begin(&job);
    ledger.failed(failed);
    let (_, job) = put(&mut ledger.db, NOW);
    let done = ledger.begin(&job);
    ledger.done(done);
    let (_, job) = put(&mut ledger.db, NOW);
    // Its worker has died by now.
    ledger.claim_of_another(&job, NOW);
    let counts = ledger.db.counts().unwrap();
    let of = counts["t"];
    assert_eq!(
        (of.waiting, of.running, of.stalled, of.failed),
        (1, 1, 1, 1)
    );
    assert_eq!(counts.len(), 1);
    assert_eq!(ledger.db.tubes_in_use().unwrap(), [tube("t")]);
    drop(runs);
}

pub fn what_waits_is_counted_by_what_it_wants(new: New) {
    let mut ledger = new();
    put(&mut ledger.db, NOW);
    put(&mut ledger.db, NOW);
    let raw = |uuid| NewTask {
        unique: None,
        own: None,
        after: None,
        tags: Vec::new(),
        uuid,
        tube: tube("t"),
        content: Content::Raw("raw".into()),
        priority: 5,
        ttr: 60,
        due: NOW,
    };
    let uuid = Uuid::now_v7();
    ledger
        .db
        .add(&[raw(uuid), raw(Uuid::now_v7())], NOW)
        .unwrap();
    // One that has run is named by its tube's command, and wants what it wanted; another producer's is anybody's guess.
    for task in [TaskRef::Pointer(uuid), TaskRef::Nameless(foreign("raw"))] {
        let attempt = ledger.begin(&job_ref(1, task));
        ledger.settle(&attempt, Outcome::Exited(75), Next::Wait(Duration::ZERO));
    }
    let mut backlog = ledger.db.backlog().unwrap();
    backlog.sort_by(|one, other| one.wants.cmp(&other.wants));
    let found = backlog
        .into_iter()
        .map(|row| (row.tube, row.wants, row.count));
    let expected = [
        (Wants::Command("work".into()), 2),
        (Wants::RawCommand, 2),
        (Wants::Unknown, 1),
    ];
    let expected = expected.map(|(wants, count)| ("t".to_owned(), wants, count));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

pub fn what_may_have_no_job_is_found_a_page_at_a_time(new: New) {
    let mut ledger = new();
    let ids: Vec<TaskId> = (0..3).map(|_| put(&mut ledger.db, NOW).0).collect();
    let first: Vec<_> = ids.iter().map(|id| nth_put(*id, 1)).collect();
    let t = tube("t");
    let missing = |ledger: &Stage, after, limit, now| {
        let missing = ledger.db.missing(&t, after, limit, now);
        missing.unwrap()
    };
    // Whoever has begun them is left to them for a while, and not longer where the clock was set back.
    assert_eq!(missing(&ledger, TaskId::BEFORE_ALL, 9, NOW), []);
    let later = NOW + 3_600_000;
    assert_eq!(missing(&ledger, TaskId::BEFORE_ALL, 9, later), first);
    assert_eq!(
        missing(&ledger, TaskId::BEFORE_ALL, 9, NOW - 3_600_000),
        first
    );
    assert_eq!(missing(&ledger, ids[0], 1, later), first[1..2]);
    let puts = [(first[0], Some(11)), (first[1], Some(12)), (first[2], None)];
    ledger.db.note_puts("one", &puts).unwrap();
    assert_eq!(missing(&ledger, TaskId::BEFORE_ALL, 9, NOW), first[2..]);

    let unverified = |ledger: &Stage, but: Option<&str>| -> Vec<_> {
        let jobs = ledger
            .db
            .unverified(&t, but, TaskId::BEFORE_ALL, 9)
            .unwrap();
        jobs.into_iter()
            .map(|job| (job.put, job.job, job.instance.unwrap()))
            .collect()
    };
    let one = || String::from("one");
    let both = [(first[0], Some(11), one()), (first[1], Some(12), one())];
    assert_eq!(unverified(&ledger, None), both);
    assert_eq!(unverified(&ledger, Some("two")), both);
    assert_eq!(unverified(&ledger, Some("one")), []);
    ledger.db.note_found("two", &first[..1]).unwrap();
    let found = (first[0], Some(11), String::from("two"));
    assert_eq!(unverified(&ledger, Some("one")), [found]);
    let of = ledger
        .db
        .unverified_of(&[ids[1], ids[2], TaskId(99)])
        .unwrap();
    assert_eq!(
        of.iter().map(|job| job.put).collect::<Vec<_>>(),
        first[1..2]
    );
    assert!(ledger.db.anything_waits(&t).unwrap());
    assert!(!ledger.db.anything_waits(&tube("u")).unwrap());
    assert!(ledger.db.anything_due(&t, NOW).unwrap());
    assert!(!ledger.db.anything_due(&t, NOW - 1).unwrap());
}

pub fn workers_are_known_with_what_they_have_done(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let (runs, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let other = register(&mut ledger.db, "other");
    let known: Vec<_> = ledger.db.workers().unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!((known[0].name.as_str(), known[0].ended), ("me", (1, 1)));
    assert_eq!((known[0].task, known[1].task), (Some(runs), None));
    assert_eq!((known[1].name.as_str(), known[1].ended), ("other", (0, 0)));
    ledger.db.prove(other.me.id).unwrap();
    ledger.db.sign_off(other.me.id, &[runs], NOW).unwrap();
    assert_eq!(ledger.db.workers().unwrap().len(), 2, "its row stays");
    drop(attempt);
}

pub fn a_list_of_a_time_has_all_of_that_time_though_the_clock_was_set_back(new: New) {
    let mut ledger = new();
    // The fourth was recorded while the clock was behind, the sixth while it was ahead.
    let at = [0, 10, 20, 5, 30, 90, 40].map(|after| NOW + after);
    let ids = at.map(|at| put_at(&mut ledger.db, at, at).0);
    let of = |filter: &Filter| -> Vec<i64> {
        let tasks = ledger.filtered(filter).into_iter();
        let listed: Vec<_> = tasks.map(|task| task.created - NOW).collect();
        let (from, to) = (TaskId::BEFORE_ALL, TaskId::AFTER_ALL);
        assert_eq!(
            ledger.db.pick(filter, from, to, 9).unwrap().len(),
            listed.len()
        );
        listed
    };
    let all = Filter::default;
    assert_eq!(of(&all().since(NOW + 10)), [40, 90, 30, 20, 10]);
    assert_eq!(of(&all().until(NOW + 20)), [5, 10, 0]);
    assert_eq!(of(&all().since(NOW + 5).until(NOW + 21)), [5, 20, 10]);
    assert_eq!(of(&all().since(NOW + 50).until(NOW + 80)), [0; 0]);
    assert_eq!(of(&all().since(NOW + 91)), [0; 0]);
    assert_eq!(of(&all().since(NOW + 20).tube(&tube("u"))), [0; 0]);
    // Page by page it is the same.
    let filter = all().since(NOW + 5).until(NOW + 21);
    let (mut seen, mut below) = (Vec::new(), Some(TaskId::AFTER_ALL));
    while let Some(id) = below {
        let page = ledger.db.page(&filter, id, 1).unwrap();
        seen.extend(page.tasks.iter().map(|task| task.id));
        below = page.next;
    }
    assert_eq!(seen, [ids[3], ids[2], ids[1]]);
}

pub fn a_worker_of_a_tube_is_known_while_it_lives_and_for_as_long_as_is_asked_then(new: New) {
    let mut ledger = new();
    let (u, v) = (tube("u"), tube("v"));
    let register = |ledger: &mut Stage| {
        let (name, host) = ("one".to_owned(), "here".to_owned());
        let tube = "u".to_owned();
        let pid = 1;
        let worker = NewWorker {
            name,
            tube,
            host,
            pid,
        };
        ledger.db.register(&worker, NOW).unwrap()
    };
    let has = |ledger: &Stage, since| ledger.db.has_worker(&u, since).unwrap();
    assert!(!has(&ledger, NOW));
    let worker = register(&mut ledger);
    assert!(has(&ledger, NOW + 9));
    assert!(!ledger.db.has_worker(&v, NOW).unwrap());
    ledger.db.sign_off(worker.me.id, &[], NOW + 5).unwrap();
    assert!(has(&ledger, NOW + 5));
    assert!(!has(&ledger, NOW + 6));
    let killed = register(&mut ledger);
    assert!(has(&ledger, NOW + 6));
    drop(killed);
    assert!(!has(&ledger, NOW + 6));
}

pub fn what_is_picked_passes_the_filter_oldest_first(new: New) {
    let mut ledger = new();
    let ids: Vec<TaskId> = (0..6).map(|n| put(&mut ledger.db, NOW + n).0).collect();
    let raw = ledger.begin(&job_ref(1, TaskRef::Nameless(foreign("raw"))));
    let pick = |filter: &Filter, after, up_to, most| {
        ledger
            .db
            .pick(filter, TaskId(after), TaskId(up_to), most)
            .unwrap()
    };
    let (all, last) = (Filter::default(), i64::MAX);
    let running = raw.id.task;
    assert_eq!(pick(&all, 0, last, 9), [&ids[..], &[running]].concat());
    assert_eq!(pick(&all, ids[1].0, ids[4].0, 2), ids[2..4]);
    assert_eq!(pick(&all, ids[1].0, ids[2].0, 9), ids[2..3]);
    assert_eq!(pick(&all, ids[3].0, ids[2].0, 9), []);
    assert_eq!(pick(&all, 0, last, 0), []);
    let status = |words: &[&str]| {
        let statuses = words
            .iter()
            .map(|word| DisplayedStatus::from_word(word).unwrap());
        statuses.fold(Filter::default(), Filter::status)
    };
    assert_eq!(pick(&status(&["running", "failed"]), 0, last, 9), [running]);
    assert_eq!(pick(&status(&["stalled"]), 0, last, 9), []);
    assert_eq!(pick(&status(&["stalled", "waiting"]), 0, last, 9), ids);
    assert_eq!(
        pick(&status(&["stalled", "running"]), 0, last, 9),
        [running]
    );
    let named = all.clone().ids([ids[4], running, ids[1], TaskId(99)]);
    assert_eq!(pick(&named, 0, last, 9), [ids[1], ids[4], running]);
    assert_eq!(
        pick(
            &named.clone().status(DisplayedStatus::Waiting),
            ids[1].0,
            last,
            9
        ),
        [ids[4]]
    );
    assert_eq!(pick(&all.clone().ids([TaskId(1); 0]), 0, last, 9), []);
    let recorded = ledger.task(ids[0]).created;
    assert_eq!(
        pick(&all.clone().since(recorded).until(recorded + 1), 0, last, 6),
        ids
    );
    assert_eq!(pick(&all.clone().since(recorded + 1), 0, last, 9), []);
    assert_eq!(pick(&all.clone().until(recorded), 0, last, 9), []);
    assert_eq!(pick(&all.clone().reason("e"), 0, last, 9), []);
}

pub fn of_many_attempts_the_newest_are_shown(new: New) {
    let mut ledger = new();
    let (task, _) = put(&mut ledger.db, NOW);
    let many = i64::from(LISTED) + 5;
    let tried = change(&mut ledger, |rows| {
        for number in 1..=many {
            rows.begin(&beginning(nth(task, number), 0))?;
            rows.end(&Ending {
                due: Some(NOW),
                ..ending(nth(task, number), Status::Waiting)
            })?;
            rows.add_attempt(&EndedAttempt {
                id: nth(task, number),
                worker: "me",
                finished: NOW,
                outcome: &Outcome::Exited(75),
                took: None,
            })?;
        }
        rows.begin(&beginning(nth(task, many + 1), 0))
    });
    tried.unwrap();
    let numbers =
        |task: &Task| -> Vec<i64> { task.attempts.iter().map(|one| one.number).collect() };
    let listed = &ledger.tasks()[0];
    assert_eq!(numbers(listed), Vec::from_iter(7..=many + 1));
    let shown = ledger.task(task);
    assert_eq!(numbers(&shown), Vec::from_iter(1..=many + 1));
    for one in [listed, &shown] {
        assert_eq!(one.attempts_total, 26);
    }
}

pub fn what_is_due_much_later_has_no_job_until_it_is_near(new: New) {
    let mut ledger = new();
    let hour = 3_600_000;
    let t = tube("t");
    let task = |due| NewTask {
        unique: None,
        own: None,
        after: None,
        tags: Vec::new(),
        uuid: Uuid::now_v7(),
        tube: tube("t"),
        content: Content::Raw("raw".into()),
        priority: 5,
        ttr: 60,
        due,
    };
    let added = ledger
        .db
        .add(
            &[
                task(NOW + 3 * hour),
                task(NOW + 2 * hour),
                task(NOW + hour),
                task(NOW + 2 * hour),
            ],
            NOW,
        )
        .unwrap();
    let [
        Added::Later { id: third },
        Added::Later { id: first },
        Added::New { id: soon },
        Added::Later { id: second },
    ] = added[..]
    else {
        panic!("{added:?}");
    };
    let near = |ledger: &Stage, after, limit, now| -> Vec<TaskId> {
        let near = ledger.db.near(&t, after, limit, now).unwrap();
        near.iter().map(|(_, put)| put.task).collect()
    };
    let all = (Millis::MIN, TaskId::BEFORE_ALL);
    assert_eq!(near(&ledger, all, 9, NOW), []);
    assert_eq!(near(&ledger, all, 9, NOW + hour), [first, second]);
    assert_eq!(near(&ledger, all, 1, NOW + 9 * hour), [first]);
    assert_eq!(
        near(&ledger, (NOW + 2 * hour, first), 9, NOW + 9 * hour),
        [second, third]
    );
    // Nobody looks for their jobs, nor waits for them.
    assert!(ledger.db.anything_waits(&t).unwrap());
    let one = |task, generation| PutId { task, generation };
    ledger
        .db
        .note_puts("one", &[(one(soon, 1), Some(1))])
        .unwrap();
    let jobs = |ledger: &Stage| -> Vec<TaskId> {
        let known = ledger.db.unverified(&t, None, TaskId::BEFORE_ALL, 9);
        known.unwrap().iter().map(|job| job.put.task).collect()
    };
    assert_eq!(jobs(&ledger), [soon]);
    let missing = ledger
        .db
        .missing(&t, TaskId::BEFORE_ALL, 9, NOW + 9 * hour)
        .unwrap();
    assert_eq!(missing, []);
    let listed = |ledger: &Stage| {
        let filter = Filter::default().status(DisplayedStatus::Waiting);
        let mut ids = Vec::new();
        ledger
            .db
            .list(&filter, 9, |task| {
                ids.push(task.id);
                true
            })
            .unwrap();
        ids
    };
    assert_eq!(listed(&ledger), [second, soon, first, third]);

    // Who is near gets a job, once.
    let again = ledger
        .db
        .put_again(&[one(first, 0), one(third, 0)], NOW + hour)
        .unwrap();
    let told: Vec<_> = again
        .iter()
        .map(|again| (again.put, again.has_job))
        .collect();
    assert_eq!(told, [(one(first, 1), false), (one(third, 1), true)]);
    assert_eq!(again[0].due_in, hour);
    assert_eq!(
        ledger.db.put_again(&[one(first, 0)], NOW + hour).unwrap(),
        []
    );
    assert_eq!(near(&ledger, all, 9, NOW + 9 * hour), [second, third]);
    // What is put off goes the other way.
    let put_off = Edit {
        due: Some(Due::At(NOW + 9 * hour)),
        ..Edit::default()
    };
    let edited = ledger.db.change_one(&put_off, soon, NOW).unwrap().unwrap();
    let again = edited.again.unwrap();
    assert!(again.has_job);
    assert_eq!(again.old_job.unwrap().id, 1);
    assert_eq!(jobs(&ledger), []);
    assert_eq!(near(&ledger, all, 9, NOW + 9 * hour), [second, third, soon]);
    // What is cancelled, or runs, is no longer among them.
    ledger
        .db
        .change_one(&Edit::run_now(), second, NOW)
        .unwrap()
        .unwrap();
    let call_off = CallOff {
        now: false,
        reason: None,
    };
    ledger
        .db
        .change_one(&call_off, third, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(near(&ledger, all, 9, NOW + 9 * hour), [soon]);
}
