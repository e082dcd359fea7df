//! What has happened is recorded with it, and hooks are made with it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::cleanup::{Old, SoFar};
use taskqueue::ledger::delete::Delete;
use taskqueue::ledger::events::{EventFilter, EventRow};
use taskqueue::ledger::put::{NewTask, Regenerate};
use taskqueue::ledger::schedules::NewSchedule;
use taskqueue::ledger::worker::NewWorker;
use taskqueue::ledger::{AfterLoss, Claim, DeadAttempt, Entry, Ledger, Millis, TaskRef};
use taskqueue::lives::Holder;
use taskqueue::task::command::{Command, Commands, Content};
use taskqueue::task::event::What;
use taskqueue::task::hooks::{Hook, Hooks, Keeping, Of, Telling};
use taskqueue::task::id::{TaskId, WorkerId};
use taskqueue::task::payload::Call;
use taskqueue::task::retry::Next;
use taskqueue::task::state::{Exit, Loss, Outcome, Status};
use uuid::Uuid;

use super::{NOW, New, Stage, begun, enter, foreign, job_ref, nth, put, settlement, taken_over};
use crate::support::tube;

fn all(db: &Ledger) -> Vec<EventRow> {
    db.events_after(0, &EventFilter::default(), 5000)
        .unwrap()
        .rows
}

/// What has happened since the event of that number, and the number of the newest.
fn since(db: &Ledger, number: &mut i64) -> Vec<(&'static str, Option<i64>, Option<i64>)> {
    let rows = all(db);
    let new = rows.iter().filter(|row| row.number > *number);
    let told = new.map(|row| {
        let what = What::from_number(row.what).unwrap();
        (what.as_str(), row.task, row.attempt)
    });
    let told = told.collect();
    *number = rows.last().map_or(0, |row| row.number);
    told
}

pub fn each_change_of_a_task_is_one_event_with_the_next_number(new: New) {
    let mut ledger = new();
    let mut seen = 0;
    let (task, job) = put(&mut ledger.db, NOW);
    let id = Some(task.0);
    assert_eq!(since(&ledger.db, &mut seen), [("put", id, None)]);
    let ways = [
        (Outcome::Exited(1), "retried"),
        (Outcome::TimedOut(Exit::Signal(15)), "retried"),
        (Outcome::Interrupted(Exit::Code(0)), "interrupted"),
        (Outcome::CutOff, "interrupted"),
        (Outcome::Lost(Loss::WorkerDied), "lost"),
        (
            Outcome::Deferred {
                code: 0,
                wait: Duration::ZERO,
            },
            "deferred",
        ),
    ];
    for (number, (outcome, what)) in (1..).zip(ways) {
        let attempt = begun(ledger.claim_cleared(&job, number - 1));
        assert_eq!(
            since(&ledger.db, &mut seen),
            [("started", id, Some(number))],
            "{what}"
        );
        ledger.settle(&attempt, outcome, Next::Wait(Duration::ZERO));
        assert_eq!(since(&ledger.db, &mut seen), [(what, id, Some(number))]);
        // What is settled twice has happened once.
        let again = settlement(&attempt, Outcome::Exited(0), Next::Done);
        assert!(!super::settled(&mut ledger.db, again, &ledger.me));
        assert_eq!(since(&ledger.db, &mut seen), []);
    }
    let attempt = begun(ledger.claim_cleared(&job, 6));
    ledger.failed(attempt);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [("started", id, Some(7)), ("failed", id, Some(7))]
    );
    ledger.db.regenerate(task, None, NOW).unwrap().unwrap();
    assert_eq!(since(&ledger.db, &mut seen), [("regenerated", id, None)]);
    let attempt = begun(ledger.claim_cleared(&job, 7));
    ledger.done(attempt);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [("started", id, Some(8)), ("done", id, Some(8))]
    );
    let rows = all(&ledger.db);
    let numbers: Vec<i64> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=rows.len() as i64).collect::<Vec<_>>());
    let failed = rows.iter().find(|row| row.what == What::Failed.number());
    let failed = failed.unwrap();
    assert_eq!(failed.tube.as_deref(), Some("t"));
    assert_eq!(failed.command.as_deref(), Some("work"));
    assert_eq!(failed.outcome.as_deref(), Some("exited"));
    assert_eq!((failed.exit_code, failed.at), (Some(1), NOW));
    assert_eq!(failed.worker.as_deref(), Some("me"));
    assert!(failed.uuid.is_some() && failed.schedule.is_none());
}

pub fn what_is_called_off_refused_given_back_or_deleted_is_an_event(new: New) {
    let mut ledger = new();
    let mut seen = 0;
    let (task, _) = put(&mut ledger.db, NOW);
    let why = CallOff {
        now: false,
        reason: Some("by hand".into()),
    };
    ledger.db.change_one(&why, task, NOW).unwrap().unwrap();
    // There is nothing more to be called off.
    ledger.db.change_one(&why, task, NOW).unwrap().unwrap_err();
    let id = Some(task.0);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [("put", id, None), ("cancelled", id, None)]
    );
    assert_eq!(all(&ledger.db)[1].reason.as_deref(), Some("by hand"));

    // What runs is cancelled when its attempt ends, and not before.
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    since(&ledger.db, &mut seen);
    ledger.db.change_one(&why, task, NOW).unwrap().unwrap();
    assert_eq!(since(&ledger.db, &mut seen), []);
    ledger.failed(attempt);
    let id = Some(task.0);
    assert_eq!(since(&ledger.db, &mut seen), [("cancelled", id, Some(1))]);

    // Nothing has started of what may not run.
    let job = job_ref(
        9,
        TaskRef::Nameless(foreign(r#"{"taskqueue":1,"command":"@on_done"}"#)),
    );
    assert!(matches!(ledger.claim(&job), Claim::Refused { .. }));
    let refused = ledger.tasks()[0].id;
    let id = Some(refused.0);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [("put", id, None), ("failed", id, Some(1))]
    );

    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let entry = Entry {
        unclaim: vec![attempt.id],
        ..Entry::default()
    };
    drop(attempt);
    enter(&mut ledger.db, &ledger.me, entry).unwrap();
    let id = Some(task.0);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [
            ("put", id, None),
            ("started", id, Some(1)),
            ("withdrawn", id, Some(1))
        ]
    );
    let uuid = ledger.task(task).uuid;
    ledger.db.change_one(&Delete, task, NOW).unwrap().unwrap();
    assert_eq!(since(&ledger.db, &mut seen), [("deleted", id, None)]);
    let gone = all(&ledger.db).pop().unwrap();
    let detail: Value = serde_json::from_str(&gone.detail.unwrap()).unwrap();
    assert_eq!(detail["uuid"], uuid.to_string());
    assert_eq!(
        (&detail["tube"], &detail["command"]),
        (&"t".into(), &"work".into())
    );
    // It is still found by its tube.
    let of_tube = EventFilter {
        tube: Some("t".into()),
        what: vec![What::Deleted],
        ..EventFilter::default()
    };
    let found = ledger.db.newest_events(&of_tube, 10).unwrap().rows;
    assert_eq!(found.len(), 1);
}

pub fn what_a_dead_worker_ran_is_lost_once(new: New) {
    let mut ledger = new();
    let mut seen = 0;
    let (task, job) = put(&mut ledger.db, NOW);
    drop(begun(ledger.claim_of_another(&job, NOW)));
    since(&ledger.db, &mut seen);
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!("it is not dead");
    };
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    let dead = DeadAttempt {
        owner: Some(ledger.me.id),
        ..dead
    };
    assert_eq!(since(&ledger.db, &mut seen), []);
    let losing = Entry {
        lose: Some(dead),
        ..Entry::default()
    };
    let lost = enter(&mut ledger.db, &ledger.me, losing).unwrap().lost;
    assert_eq!(lost, Some(AfterLoss::Waits));
    assert_eq!(
        since(&ledger.db, &mut seen),
        [
            ("lost", Some(task.0), Some(1)),
            ("worker_finished", None, None)
        ]
    );
}

/// What events of workers say of their ends, since the event of that number.
fn ends(db: &Ledger, seen: &mut i64) -> Vec<(String, Option<String>)> {
    let rows = all(db);
    let new = rows.iter().filter(|row| row.number > *seen);
    let ends = new.filter(|row| row.what == What::WorkerFinished.number());
    let ends = ends.map(|row| {
        let detail: Value = serde_json::from_str(row.detail.as_deref().unwrap()).unwrap();
        let text = |key: &str| detail[key].as_str().map(str::to_owned);
        (text("worker").unwrap(), text("reason"))
    });
    let ends = ends.collect();
    *seen = rows.last().map_or(0, |row| row.number);
    ends
}

pub fn a_worker_that_died_without_a_word_is_told_of_once(new: New) {
    let mut ledger = new();
    let mut seen = 0;
    let worker = |name: &str, tube: &str, pid: u32| NewWorker {
        name: name.into(),
        tube: tube.into(),
        host: "here".into(),
        pid,
    };
    let leaves = worker("leaves", "t", 2);
    let left = ledger.db.introduce(&leaves, NOW).unwrap();
    ledger.db.take_leave(left.me.id, &[], &leaves, NOW).unwrap();
    drop(left);
    let idle = ledger.db.introduce(&worker("idle", "t", 3), NOW).unwrap();
    let hangs = ledger.db.introduce(&worker("hangs", "t", 4), NOW).unwrap();
    // Who only puts things right is of no tube, and nothing was told of its beginning.
    let newcomer = ledger.db.register(&worker("newcomer", "", 5), NOW).unwrap();
    let lives = ledger.db.introduce(&worker("lives", "t", 6), NOW).unwrap();
    let newest = ledger.db.introduce(&worker("newest", "t", 7), NOW).unwrap();
    let end = |name: &str, reason: &str| (name.to_owned(), Some(reason.to_owned()));
    assert_eq!(ends(&ledger.db, &mut seen), [("leaves".into(), None)]);
    let look = |ledger: &mut Stage| ledger.db.forget_workers(WorkerId::NOBODY, NOW).unwrap();
    look(&mut ledger);
    assert_eq!(ends(&ledger.db, &mut seen), [], "they live");
    ledger.db.note_hung("hangs", 4, NOW).unwrap();
    drop((idle, hangs, newcomer, newest));
    look(&mut ledger);
    // The row of the newest stays, and says that this is told.
    let told = [
        end("idle", "it died"),
        end("hangs", "it hung, and was killed"),
        end("newest", "it died"),
    ];
    assert_eq!(ends(&ledger.db, &mut seen), told);
    look(&mut ledger);
    assert_eq!(ends(&ledger.db, &mut seen), []);

    // One that ran something is told of by whoever records what is lost.
    let (_, job) = put(&mut ledger.db, NOW);
    let dies = ledger.db.introduce(&worker("dies", "t", 8), NOW).unwrap();
    let claimed = super::claim(&mut ledger.db, &dies.me, &ledger.commands, &job, NOW);
    drop((begun(claimed.unwrap()), dies));
    look(&mut ledger);
    assert_eq!(ends(&ledger.db, &mut seen), [end("dies", "it died")]);
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!("it is not dead");
    };
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    ledger.lose_and_claim(&dead, &job, NOW);
    look(&mut ledger);
    assert_eq!(ends(&ledger.db, &mut seen), [], "it is told once");
    drop(lives);
}

/// An earlier version has told of none that was killed, and a store may be years old.
pub fn ends_that_nobody_has_told_of_are_told_some_at_a_time(new: New) {
    let mut ledger = new();
    let dead: Vec<_> = (1..=1100)
        .map(|pid| {
            let worker = NewWorker {
                name: "dead".into(),
                tube: "t".into(),
                host: "here".into(),
                pid,
            };
            ledger.db.introduce(&worker, NOW).unwrap()
        })
        .collect();
    drop(dead);
    let mut seen = 0;
    let told: Vec<usize> = (0..4)
        .map(|_| {
            let beyond_all = WorkerId(i64::MAX);
            ledger.db.forget_workers(beyond_all, NOW).unwrap();
            ends(&ledger.db, &mut seen).len()
        })
        .collect();
    assert_eq!(told, [500, 500, 100, 0]);
}

pub fn what_is_cleaned_up_is_told_with_it(new: New) {
    let mut ledger = new();
    let mut seen = 0;
    for _ in 0..3 {
        let (_, job) = put(&mut ledger.db, NOW);
        let attempt = ledger.begin(&job);
        ledger.done(attempt);
    }
    since(&ledger.db, &mut seen);
    let old = Old {
        statuses: vec![Status::Done],
        before: Millis::MAX,
    };
    // The step that deletes them tells it: whoever is killed after that has told it.
    let so_far = ledger
        .db
        .clean_up_some(&old, SoFar::default(), NOW)
        .unwrap();
    assert!(!so_far.is_over());
    assert_eq!(since(&ledger.db, &mut seen), [("cleaned_up", None, None)]);
    let told = all(&ledger.db).pop().unwrap();
    let detail: Value = serde_json::from_str(&told.detail.unwrap()).unwrap();
    assert_eq!(detail, json!({ "tasks": 3, "status": "done" }));
    ledger.db.cleanup(&old, NOW, |_| true).unwrap();
    assert_eq!(since(&ledger.db, &mut seen), [], "there was nothing more");
}

pub fn what_is_undone_is_no_event(new: New) {
    let mut ledger = with_hooks(new, vec![(What::Done, Of::All)]);
    let mut seen = 0;
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let (next, other) = put(&mut ledger.db, NOW);
    since(&ledger.db, &mut seen);
    // The claim with the settlement fails: somebody holds the byte that its attempt would lock. So nothing is settled.
    let held = ledger.lives.hold(Holder::Attempt(nth(next, 1))).unwrap();
    let entry = Entry {
        settle: vec![settlement(&attempt, Outcome::Exited(0), Next::Done).into()],
        claim: Some(other),
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &ledger.commands, &ledger.me, NOW);
    assert!(entered.is_err(), "{entered:?}");
    assert_eq!(since(&ledger.db, &mut seen), []);
    assert_eq!(hooks_made(&ledger), []);
    assert_eq!(ledger.db.take_fired().len(), 0);
    drop(held);
    let entered = ledger.db.enter(&entry, &ledger.commands, &ledger.me, NOW);
    assert_eq!(entered.unwrap().puts.len(), 1);
    let told: Vec<_> = since(&ledger.db, &mut seen).iter().map(|of| of.0).collect();
    assert_eq!(told, ["done", "put", "started"]);
    assert_eq!(hooks_made(&ledger).len(), 1);
}

pub fn workers_and_schedules_are_told_of(new: New) {
    let mut ledger = new();
    let mut seen = 0;
    let worker = NewWorker {
        name: "w".into(),
        tube: "mail".into(),
        host: "here".into(),
        pid: 7,
    };
    let known = ledger.db.introduce(&worker, NOW).unwrap();
    ledger.db.note_hung("w", 7, NOW).unwrap();
    ledger
        .db
        .take_leave(known.me.id, &[], &worker, NOW)
        .unwrap();
    let rows = all(&ledger.db);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [
            ("worker_start", None, None),
            ("worker_killed", None, None),
            ("worker_finished", None, None)
        ]
    );
    let detail: Value = serde_json::from_str(rows[0].detail.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&detail["worker"], &detail["tube"]),
        (&"w".into(), &"mail".into())
    );
    let schedule = NewSchedule {
        name: "a".into(),
        timing: "daily".into(),
        rules: "rules".into(),
        template: "task".into(),
        decided: NOW,
    };
    ledger.db.set_schedule(&schedule, NOW).unwrap().unwrap();
    let made = super::schedules::made(Some(NOW + 1));
    ledger.db.run_schedule("a", &made, NOW).unwrap();
    let task = Some(ledger.tasks()[0].id.0);
    assert_eq!(
        since(&ledger.db, &mut seen),
        [("put", task, None), ("fired", task, None)]
    );
    assert_eq!(
        all(&ledger.db).pop().unwrap().schedule.as_deref(),
        Some("a")
    );
}

pub fn old_events_go_and_their_numbers_never_come_again(new: New) {
    let mut ledger = new();
    for _ in 0..10 {
        put(&mut ledger.db, NOW);
    }
    let keeping = Keeping {
        keep: Duration::from_secs(60),
        most: 4,
    };
    assert!(ledger.db.has_old_events(keeping, NOW).unwrap());
    assert_eq!(ledger.db.forget_events(keeping, NOW).unwrap(), 6);
    assert!(!ledger.db.has_old_events(keeping, NOW).unwrap());
    let events = ledger
        .db
        .events_after(0, &EventFilter::default(), 100)
        .unwrap();
    assert_eq!(events.kept, Some((7, 10)));
    assert_eq!(events.rows.len(), 4);
    // All of it is old, and the newest stays for its number.
    let later = NOW + 60_001;
    assert_eq!(ledger.db.forget_events(keeping, later).unwrap(), 3);
    assert_eq!(ledger.db.forget_events(keeping, later).unwrap(), 0);
    let off = Keeping {
        keep: Duration::ZERO,
        most: 4,
    };
    assert_eq!(ledger.db.forget_events(off, later).unwrap(), 0);
    put(&mut ledger.db, NOW);
    let numbers: Vec<i64> = all(&ledger.db).iter().map(|row| row.number).collect();
    assert_eq!(numbers, [10, 11]);
}

pub fn where_events_are_off_there_are_none(new: New) {
    let mut ledger = new();
    let telling = Telling {
        events: false,
        hooks: Hooks::default(),
    };
    ledger.db.tell_by(&Arc::new(telling));
    put(&mut ledger.db, NOW);
    assert_eq!(all(&ledger.db), []);
}

/// A ledger with these hooks.
fn with_hooks(new: New, hooks: Vec<(What, Of)>) -> Stage {
    let mut ledger = new();
    let mut commands = Commands::default();
    commands.add("work", Command::new(vec!["/bin/true".into()]));
    let hooks: Vec<Hook> = hooks
        .into_iter()
        .map(|(what, of)| Hook { what, of })
        .collect();
    let command = || Command::new(vec!["./page".into(), "-v".into()]);
    let run = hooks.iter().map(|hook| (hook.name(), command())).collect();
    let telling = Telling {
        events: true,
        hooks: Hooks::new(tube("hooks"), hooks),
    };
    commands.set_telling(telling, run);
    ledger.db.tell_by(commands.telling());
    ledger.commands = Arc::new(commands);
    ledger
}

/// The hooks' tasks: what they are called, and what they read.
fn hooks_made(ledger: &Stage) -> Vec<(TaskId, String, Value)> {
    let mut made: Vec<_> = ledger
        .tasks()
        .into_iter()
        .filter(|task| task.tube == "hooks")
        .map(|task| {
            let arguments: Vec<String> = serde_json::from_str(&task.arguments).unwrap();
            let event = serde_json::from_str(&arguments[0]).unwrap();
            (task.id, task.command.unwrap(), event)
        })
        .collect();
    made.reverse();
    made
}

fn settle(
    ledger: &mut Stage,
    attempt: &taskqueue::ledger::Attempt,
    outcome: Outcome,
    next: Next,
) -> usize {
    let entry = Entry {
        settle: vec![settlement(attempt, outcome, next).into()],
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &ledger.commands, &ledger.me, NOW);
    let entered = entered.unwrap();
    assert_eq!(entered.ours, [true]);
    entered.puts.len()
}

pub fn a_hook_is_a_task_that_is_made_with_what_it_is_for(new: New) {
    let tag = || Of::Tag("urgent".parse().unwrap());
    let mut ledger = with_hooks(
        new,
        vec![
            (What::Failed, Of::All),
            (What::Failed, Of::Command("wo*".into())),
            (What::Failed, Of::Tube(tube("other"))),
            (What::Failed, tag()),
            (What::Done, Of::Tube(tube("t"))),
        ],
    );
    let (task, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    assert_eq!(hooks_made(&ledger), []);
    let next = Next::Failed {
        reason: "exit code 3".into(),
    };
    // Whoever settles puts their jobs.
    assert_eq!(settle(&mut ledger, &attempt, Outcome::Exited(3), next), 2);
    let made = hooks_made(&ledger);
    let names: Vec<&str> = made.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names, ["@on_failed", "@commands.wo*.on_failed"]);
    let event = &made[0].2;
    let number = all(&ledger.db)
        .iter()
        .find(|row| row.what == What::Failed.number())
        .map(|row| row.number);
    assert_eq!(event["number"].as_i64(), number);
    assert_eq!(event["what"], "failed");
    assert_eq!(event["task"].as_i64(), Some(task.0));
    assert_eq!(
        (&event["tube"], &event["command"]),
        (&"t".into(), &"work".into())
    );
    assert_eq!(
        (&event["attempt"], &event["exit_code"]),
        (&1.into(), &3.into())
    );
    assert_eq!(
        (&event["outcome"], &event["worker"]),
        (&"exited".into(), &"me".into())
    );
    assert_eq!(event["reason"], "exit code 3");

    // It is claimed as any other task, runs what is configured, reads the event, and fires nothing.
    let (hook, ..) = made[0];
    let uuid = ledger.task(hook).uuid;
    let job = taskqueue::ledger::JobRef {
        tube: tube("hooks"),
        ..job_ref(3, TaskRef::Pointer(uuid))
    };
    let attempt = ledger.begin(&job);
    assert_eq!(attempt.plan.argv, ["./page", "-v"]);
    let read: Value = serde_json::from_slice(attempt.plan.stdin.as_deref().unwrap()).unwrap();
    assert_eq!(read, made[0].2);
    let next = Next::Failed {
        reason: "exit code 1".into(),
    };
    assert_eq!(settle(&mut ledger, &attempt, Outcome::Exited(1), next), 0);
    assert_eq!(hooks_made(&ledger).len(), 2);
}

pub fn a_hook_is_for_what_it_is_for_and_made_once(new: New) {
    let urgent = Of::Tag("urgent".parse().unwrap());
    let mut ledger = with_hooks(
        new,
        vec![
            (What::Put, Of::All),
            (What::Cancelled, urgent),
            (What::Started, Of::All),
        ],
    );
    let task = |tags: &[&str]| NewTask {
        own: None,
        after: None,
        uuid: Uuid::now_v7(),
        tube: tube("t"),
        content: Content::Call(Call {
            command: "work".parse().unwrap(),
            arguments: Vec::new(),
            options: Vec::new(),
        }),
        priority: 5,
        ttr: 60,
        due: NOW,
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        unique: None,
    };
    let tasks = [task(&["urgent=very"]), task(&["urgently"])];
    ledger.db.add(&tasks, NOW).unwrap();
    // Of what was put before nothing is made.
    ledger.db.add(&tasks, NOW).unwrap();
    assert_eq!(ledger.db.take_fired().len(), 2);
    assert_eq!(ledger.db.take_fired().len(), 0);
    let names = |ledger: &Stage| -> Vec<String> {
        hooks_made(ledger)
            .into_iter()
            .map(|(_, name, _)| name)
            .collect()
    };
    assert_eq!(names(&ledger), ["@on_put", "@on_put"]);
    let ours: Vec<_> = ledger
        .tasks()
        .into_iter()
        .filter(|task| task.tube == "t")
        .collect();
    for task in &ours {
        let how = CallOff::default();
        ledger.db.change_one(&how, task.id, NOW).unwrap().unwrap();
    }
    assert_eq!(
        names(&ledger),
        ["@on_put", "@on_put", "@tags.urgent.on_cancelled"]
    );
    let regenerate = Regenerate { tube: None };
    ledger
        .db
        .change_one(&regenerate, ours[0].id, NOW)
        .unwrap()
        .unwrap();
    let job = job_ref(3, TaskRef::Pointer(ours[0].uuid));
    drop(ledger.begin(&job));
    assert_eq!(names(&ledger).pop().as_deref(), Some("@on_started"));
    assert_eq!(names(&ledger).len(), 4);
}

pub fn no_body_names_a_hook(new: New) {
    let mut ledger = with_hooks(new, vec![(What::Done, Of::All)]);
    for (id, body) in (9..).zip([
        r#"{"taskqueue":1,"command":"@on_done","arguments":["{\"what\":\"done\"}"]}"#,
        r#"{"taskqueue":1,"uuid":"018f9c0e-7b1a-7def-8000-0123456789ab","command":"@on_done"}"#,
    ]) {
        let mut job = job_ref(id, TaskRef::Nameless(foreign(body)));
        job.tube = tube("hooks");
        let claim = ledger.claim(&job);
        assert!(matches!(claim, Claim::Refused { .. }), "{claim:?}");
    }
}
