//! Which task a job is, and what it may do to it.

use std::mem;
use std::time::Duration;

use taskqueue::ledger::Millis;
use taskqueue::ledger::cleanup::Old;
use taskqueue::ledger::delete::Delete;
use taskqueue::ledger::put::{Added, NewTask, NotRegenerated};
use taskqueue::ledger::{Claim, ForeignJob, JobRef, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::retry::Next;
use taskqueue::task::state::{Outcome, Status};
use uuid::{NoContext, Timestamp, Uuid};

use super::{
    NOW, New, Stage, TaskId, begun, call, foreign, job_ref, nth, nth_put, put, register, settled,
    settlement,
};
use crate::support::tube;

/// Why a task is not run whose command was taken out of the configuration.
const WAITS_FOR_WORK: &str =
    "waits for its command: the command work is not configured; add [commands.\"work\"] to run it";

/// The job, once the broker has said how often it was kicked.
fn kicked(job: &JobRef, kicks: u64) -> JobRef {
    let kicks = Some(kicks);
    JobRef {
        kicks,
        ..job.clone()
    }
}

pub fn a_task_of_ours_runs_once(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    assert_eq!(attempt.id, nth(id, 1));
    assert_eq!((attempt.priority, attempt.ttr), (5, Some(60)));
    assert_eq!(attempt.plan.argv, ["/bin/true", "1"]);
    assert_eq!(ledger.status(id), "running");

    // The same job again, while it runs and when it is done.
    match ledger.claim_of_another(&job, NOW + 3000) {
        Claim::Later { delay, .. } => assert_eq!(delay, Duration::from_secs(3)),
        other => panic!("{other:?}"),
    }
    ledger.done(attempt);
    let again = ledger.claim(&job);
    assert!(matches!(again, Claim::DeleteJob { task: Some(task) } if task == id));
    assert_eq!(ledger.attempts(), 1);
}

pub fn a_pointer_to_a_row_that_was_cleaned_up_is_deleted(new: New) {
    let mut ledger = new();
    put(&mut ledger.db, NOW);
    let gone = recorded(NOW - 1);
    let claim = ledger.claim(&job_ref(1, TaskRef::Pointer(gone)));
    assert!(
        matches!(claim, Claim::NoRow { uuid, missing: false } if uuid == gone),
        "{claim:?}"
    );
}

/// A uuid of ours that was given at that time.
fn recorded(at: Millis) -> Uuid {
    let (seconds, millis) = (at.unsigned_abs() / 1000, at.unsigned_abs() % 1000);
    let nanos = u32::try_from(millis).unwrap() * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos))
}

/// After a cleanup there may be no row at all.
pub fn a_pointer_to_the_newest_row_is_deleted_if_that_was_cleaned_up(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let old = Old {
        statuses: vec![Status::Done],
        before: Millis::MAX,
    };
    assert_eq!(ledger.db.cleanup(&old, NOW, |_| true).unwrap(), 1);
    let claim = ledger.claim(&job_ref(1, TaskRef::Pointer(recorded(NOW - 1))));
    assert!(
        matches!(claim, Claim::NoRow { missing: false, .. }),
        "{claim:?}"
    );
}

pub fn a_pointer_to_the_newest_row_is_deleted_if_a_person_deleted_that(new: New) {
    let mut ledger = new();
    let (id, _) = put(&mut ledger.db, NOW);
    let deleted = ledger.db.change_one(&Delete, id, NOW);
    assert!(deleted.unwrap().is_ok());
    let claim = ledger.claim(&job_ref(1, TaskRef::Pointer(recorded(NOW - 1))));
    assert!(
        matches!(claim, Claim::NoRow { missing: false, .. }),
        "{claim:?}"
    );
}

/// It was recorded in another file: this one was put in its place.
pub fn a_pointer_to_a_row_that_was_never_here_is_kept(new: New) {
    let mut ledger = new();
    for is_first in [true, false] {
        if !is_first {
            put(&mut ledger.db, NOW);
        }
        let lost = recorded(NOW + 1);
        let claim = ledger.claim(&job_ref(1, TaskRef::Pointer(lost)));
        assert!(
            matches!(claim, Claim::NoRow { uuid, missing: true } if uuid == lost),
            "{claim:?}"
        );
    }
}

pub fn what_is_not_due_waits_for_the_rest_of_its_delay(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW + 90_000);
    assert!(matches!(ledger.claim(&job), Claim::AskForKicks));
    let job = kicked(&job, 0);
    match ledger.claim(&job) {
        Claim::Later {
            delay, priority, ..
        } => assert_eq!((delay, priority), (Duration::from_secs(90), 5)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        ledger.claim_at(&job, NOW + 90_000),
        Claim::Begun(_)
    ));
}

/// Somebody has looked at the delayed jobs, and wants this one to run now.
pub fn what_is_kicked_while_it_waits_runs_before_it_is_due(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW + 90_000);
    let attempt = begun(ledger.claim(&kicked(&job, 1)));
    let next = Next::Wait(Duration::from_secs(3600));
    ledger.settle(&attempt, Outcome::Exited(75), next);
    drop(attempt);
    // That kick is used up, and the retry waits; another one is another.
    match ledger.claim(&kicked(&job, 1)) {
        Claim::Later { delay, .. } => assert_eq!(delay, Duration::from_secs(3600)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(ledger.claim(&kicked(&job, 2)), Claim::Remains(_)));
    let attempt = begun(ledger.claim_cleared(&kicked(&job, 2), 1));
    assert_eq!((attempt.id, attempt.budget.spent), (nth(id, 2), 1));
    ledger.done(attempt);
}

/// Also one whose command is not there: the task is looked at, and waits on as it did.
pub fn a_kick_of_what_waits_for_its_command_runs_nothing(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW + 90_000);
    let configured = mem::take(&mut ledger.commands);
    let parked = ledger.claim(&kicked(&job, 1));
    assert!(matches!(parked, Claim::Later { .. }), "{parked:?}");
    assert_eq!(ledger.task(id).reason.as_deref(), Some(WAITS_FOR_WORK));
    ledger.commands = configured;
    begun(ledger.claim(&job));
}

/// By how much the clock was set back after a put with a delay of 10 s, how long its job waits then, and how long when
/// it has come again.
pub fn a_clock_that_is_set_back_makes_nothing_wait_longer_than_it_was_to(new: New) {
    const HOUR: i64 = 3_600_000;
    for (back, waits, then) in [
        (0, Some(10_000), Some(4000)),
        // It was to wait no longer than from its put on.
        (1, Some(10_000), Some(4000)),
        (HOUR, Some(10_000), Some(4000)),
        (-4000, Some(6000), None),
        (-HOUR, None, None),
    ] {
        let mut ledger = new();
        let (_, job) = put(&mut ledger.db, NOW + 10_000);
        let job = kicked(&job, 0);
        let waited = |claim| match claim {
            Claim::Later { delay, .. } => Some(i64::try_from(delay.as_millis()).unwrap()),
            Claim::Begun(_) => None,
            other => panic!("{other:?}"),
        };
        let first = waited(ledger.claim_at(&job, NOW - back));
        assert_eq!(first, waits, "set back by {back}");
        if first.is_some() {
            let second = waited(ledger.claim_at(&job, NOW - back + 6000));
            assert_eq!(second, then, "6 s after it was set back by {back}");
        }
    }
}

pub fn a_retry_waits_no_longer_than_it_was_to_when_the_clock_is_set_back(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let next = Next::Wait(Duration::from_secs(10));
    ledger.settle(&attempt, Outcome::Exited(75), next);
    drop(attempt);
    let job = kicked(&job, 0);
    let yesterday = NOW - 86_400_000;
    assert!(matches!(
        ledger.claim_at(&job, yesterday),
        Claim::Later { delay, .. } if delay == Duration::from_secs(10)
    ));
    assert_eq!(ledger.task(id).due.unwrap(), yesterday + 10_000);
    // Nor is its job put for tomorrow where it is put again.
    let again = ledger
        .db
        .put_again(&[nth_put(id, 1)], yesterday - 86_400_000)
        .unwrap();
    assert!(again[0].due_in <= 10_000);
    begun(ledger.claim_at_cleared(&job, 1, yesterday + 10_000));
}

pub fn a_failed_task_runs_again_only_when_its_job_is_kicked(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    assert!(matches!(ledger.claim(&job), Claim::AskForKicks));
    let kicked = |kicks| JobRef {
        kicks: Some(kicks),
        ..job.clone()
    };
    let over = ledger.claim(&kicked(0));
    assert!(matches!(over, Claim::DeleteJob { task: Some(task) } if task == id));
    let Claim::Remains(before) = ledger.claim(&kicked(1)) else {
        panic!("it has failed, and may have left something");
    };
    assert_eq!(before.id, nth(id, 1));
    let attempt = begun(ledger.claim_cleared(&kicked(1), 1));
    assert_eq!(attempt.id.number, 2);
    assert_eq!(attempt.budget, Default::default(), "a fresh budget");
    ledger.failed(attempt);
    // The kick that was counted is used up; another one is another.
    assert!(matches!(ledger.claim(&kicked(1)), Claim::DeleteJob { .. }));
    begun(ledger.claim_cleared(&kicked(2), 2));
}

/// The wish to run the task again outlasts that its command is not there.
pub fn a_kick_is_not_used_up_while_the_command_is_not_configured(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let configured = mem::take(&mut ledger.commands);
    let kicked = JobRef {
        kicks: Some(1),
        ..job.clone()
    };
    let parked = ledger.claim_cleared(&kicked, 1);
    assert!(matches!(parked, Claim::Later { .. }), "{parked:?}");
    let task = ledger.task(id);
    assert_eq!(task.status.as_str(), "waiting");
    assert_eq!(task.reason.as_deref(), Some(WAITS_FOR_WORK));

    ledger.commands = configured;
    let attempt = begun(ledger.claim_at_cleared(&job, 1, NOW + 5000));
    assert_eq!(
        (attempt.id, attempt.budget),
        (nth(id, 2), Default::default())
    );
    ledger.failed(attempt);
    assert!(matches!(ledger.claim(&kicked), Claim::DeleteJob { .. }));
}

/// How long a job is put aside whose task waits for its command; `None`: the task was refused.
fn parked(claim: Claim) -> Option<Duration> {
    match claim {
        Claim::Later { delay, .. } => Some(delay),
        Claim::Refused { .. } => None,
        other => panic!("{other:?}"),
    }
}

const DAY: i64 = 86_400_000;

/// The week begins when the command is found missing, and not when the task was put, or failed.
pub fn a_task_waits_a_week_for_its_command_however_old_it_is(new: New) {
    let mut ledger = new();
    let (backlog, old_job) = put(&mut ledger.db, NOW - 30 * DAY);
    let (regenerated, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let then = NOW + 30 * DAY;
    let again = ledger.db.regenerate(regenerated, None, then).unwrap();
    assert_eq!(again.unwrap().due_in, NOW - then);
    ledger.commands = Default::default();

    let seconds = Duration::from_secs;
    for (id, job) in [(backlog, old_job), (regenerated, job)] {
        let mut waits = |after| parked(ledger.claim_at_cleared(&job, 1, then + after));
        assert_eq!(waits(0), Some(seconds(5)));
        assert_eq!(waits(60_000), Some(seconds(30)), "half as long again");
        assert_eq!(waits(7 * DAY - 1), Some(seconds(300)));
        let task = ledger.task(id);
        assert_eq!(task.due, Some(then), "since it was found missing");
        assert_eq!(task.reason.as_deref(), Some(WAITS_FOR_WORK));
        let mut waits = |after| parked(ledger.claim_at_cleared(&job, 1, then + after));
        assert_eq!(waits(7 * DAY), None);
        assert_eq!(ledger.status(id), "failed");
    }
}

/// What is parked was due, so that a clock that is set back keeps it from nothing.
pub fn a_parked_task_runs_at_once_when_its_command_is_back_whatever_the_clock_says(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let configured = mem::take(&mut ledger.commands);
    let (later, yesterday) = (NOW + 3 * DAY, NOW + 2 * DAY);
    assert!(parked(ledger.claim_at(&job, later)).is_some());
    let again = ledger.db.put_again(&[nth_put(id, 1)], yesterday).unwrap();
    assert_eq!(again[0].due_in.max(0), 0);
    let delay = parked(ledger.claim_at(&job, yesterday));
    assert_eq!(delay, Some(Duration::from_secs(5)));
    ledger.commands = configured;
    begun(ledger.claim_at(&job, yesterday - DAY));
}

/// Of the bodies that others put, nobody ever knew a command.
pub fn only_raw_tasks_of_ours_wait_for_the_command_of_their_tube(new: New) {
    let mut ledger = new();
    let uuid = Uuid::now_v7();
    let task = NewTask {
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
    ledger.db.add(&[task], NOW).unwrap();
    let pointer = job_ref(1, TaskRef::Pointer(uuid));
    let configured = mem::take(&mut ledger.commands);
    assert!(parked(ledger.claim(&pointer)).is_some());
    let tasks = ledger.tasks();
    assert_eq!(
        tasks[0].reason.as_deref(),
        Some("waits for its command: tube t has no command for raw bodies")
    );
    let theirs = job_ref(2, TaskRef::Nameless(foreign("raw")));
    assert_eq!(parked(ledger.claim(&theirs)), None);
    ledger.commands = configured;
    let attempt = begun(ledger.claim(&pointer));
    assert_eq!(attempt.plan.stdin.as_deref(), Some(&b"raw"[..]));
}

pub fn a_retry_waits_in_the_row(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let next = Next::Wait(Duration::from_secs(10));
    ledger.settle(&attempt, Outcome::Exited(75), next);
    drop(attempt);
    let job = kicked(&job, 0);
    assert_eq!(ledger.task(id).due.unwrap(), NOW + 10_000);
    assert!(matches!(ledger.claim(&job), Claim::Later { .. }));
    let second = begun(ledger.claim_at_cleared(&job, 1, NOW + 10_000));
    assert_eq!((second.id.number, second.budget.spent), (2, 1));
}

pub fn an_attempt_is_settled_once(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let done = settlement(&attempt, Outcome::Exited(0), Next::Done);
    assert!(settled(&mut ledger.db, done, &ledger.me));
    let failed = Next::Failed { reason: "x".into() };
    let twice = settlement(&attempt, Outcome::Exited(1), failed);
    assert!(!settled(&mut ledger.db, twice, &ledger.me));
    assert_eq!(ledger.status(id), "done");
    assert_eq!(ledger.task(id).finished.unwrap(), NOW);
    // Nor by somebody whose attempt it never was.
    let (id, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let done = settlement(&attempt, Outcome::Exited(0), Next::Done);
    let other = register(&mut ledger.db, "other").me;
    assert!(!settled(&mut ledger.db, done, &other));
    assert_eq!(ledger.status(id), "running");
}

pub fn a_nameless_job_is_known_by_its_number_its_bytes_and_its_instance_or_birth(new: New) {
    let mut ledger = new();
    let job = job_ref(7, TaskRef::Nameless(foreign("hello")));
    let attempt = ledger.begin(&job);
    assert_eq!(attempt.plan.stdin.as_deref(), Some(&b"hello"[..]));
    assert!(attempt.foreign);
    let task = ledger.done(attempt);

    let mut known = |number, change: fn(&mut ForeignJob)| {
        let mut other = foreign("hello");
        change(&mut other);
        match ledger.claim(&job_ref(number, TaskRef::Nameless(other))) {
            Claim::DeleteJob { task: Some(found) } => {
                assert_eq!(found, task);
                true
            }
            Claim::Begun(attempt) => {
                assert_ne!(attempt.id.task, task);
                false
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(known(7, |_| ()), "the same instance");
    assert!(known(7, |job| job.birth += 86_400_000), "its clock stepped");
    let restarted = |job: &mut ForeignJob| job.instance = "two".into();
    assert!(known(7, restarted), "the broker was restarted");
    let drifts = [(2000, true), (-2000, true), (2001, false), (-2001, false)];
    // A number of its own each, so that none is known by the one before.
    for (number, (drift, same)) in (1000..).zip(drifts) {
        let mut other = foreign("hello");
        restarted(&mut other);
        other.birth += drift;
        let first = job_ref(number, TaskRef::Nameless(foreign("hello")));
        let attempt = ledger.begin(&first);
        let first = ledger.done(attempt);
        match ledger.claim(&job_ref(number, TaskRef::Nameless(other))) {
            Claim::DeleteJob { task } => {
                assert!(same, "{drift}");
                assert_eq!(task, Some(first));
            }
            Claim::Begun(attempt) => {
                assert!(!same, "{drift}");
                assert_ne!(attempt.id.task, first);
            }
            other => panic!("{other:?}"),
        }
    }
}

pub fn the_same_bytes_put_twice_are_two_tasks(new: New) {
    let mut ledger = new();
    let first = ledger.begin(&job_ref(1, TaskRef::Nameless(foreign("hello"))));
    let second = ledger.begin(&job_ref(2, TaskRef::Nameless(foreign("hello"))));
    assert_ne!(first.id.task, second.id.task);
    // And the same number with other bytes is another task.
    let third = ledger.begin(&job_ref(1, TaskRef::Nameless(foreign("other"))));
    assert_ne!(first.id.task, third.id.task);
}

fn named(uuid: Uuid, argument: &str) -> TaskRef {
    let mut other = foreign(&format!("{argument} as bytes"));
    other.content = Content::Call(call(argument));
    other.body =
        format!(r#"{{"taskqueue":1,"uuid":"{uuid}","command":"work","arguments":["{argument}"]}}"#)
            .into();
    TaskRef::Named(uuid, other)
}

pub fn a_uuid_that_comes_again_is_the_same_task(new: New) {
    let mut ledger = new();
    let uuid = Uuid::now_v7();
    let attempt = ledger.begin(&job_ref(1, named(uuid, "12")));
    assert_eq!(attempt.uuid, uuid);
    let again = ledger.claim_of_another(&job_ref(2, named(uuid, "12")), NOW);
    assert!(matches!(again, Claim::Later { .. }), "{again:?}");
    let task = ledger.done(attempt);
    let again = ledger.claim(&job_ref(3, named(uuid, "12")));
    assert!(matches!(again, Claim::DeleteJob { task: Some(found) } if found == task));
    assert_eq!(ledger.tasks().len(), 1);
}

pub fn other_content_under_a_known_uuid_is_refused_in_a_row_of_its_own(new: New) {
    let mut ledger = new();
    let uuid = Uuid::now_v7();
    let attempt = ledger.begin(&job_ref(1, named(uuid, "12")));
    let theirs = ledger.done(attempt);
    let Claim::Refused { task, reason, .. } = ledger.claim(&job_ref(2, named(uuid, "13"))) else {
        panic!();
    };
    assert_ne!(task, theirs);
    assert!(reason.contains(&uuid.to_string()), "{reason}");
    assert_eq!(ledger.status(task), "failed");
    assert_eq!(ledger.task(task).reason.unwrap(), reason);
    assert_eq!(ledger.status(theirs), "done");
    // It is known when it comes round again, because its burial was lost, and refused again only when kicked.
    let again = ledger.claim(&job_ref(2, named(uuid, "13")));
    assert!(matches!(again, Claim::BuryJob { task: found, .. } if found == task));
    assert_eq!(ledger.tasks().len(), 2);
}

pub fn what_may_not_run_is_refused_and_says_why(new: New) {
    let mut ledger = new();
    let mut other = foreign("x");
    other.content = Content::Unread(r#"{"taskqueue":1,"command":"-rf"}"#.into());
    let Claim::Refused { task, reason, .. } = ledger.claim(&job_ref(1, TaskRef::Nameless(other)))
    else {
        panic!();
    };
    assert!(reason.contains("begins with a hyphen"), "{reason}");
    let shown = ledger
        .db
        .show(taskqueue::ledger::read::Key::Id(task))
        .unwrap()
        .unwrap();
    assert_eq!(shown.reason.as_deref(), Some(reason.as_str()));
    assert_eq!(shown.attempts.len(), 1);
    let attempt = &shown.attempts[0];
    assert_eq!(attempt.outcome.as_deref(), Some("refused"));
    assert_eq!(attempt.reason.as_deref(), Some(reason.as_str()));
    assert_eq!((attempt.exit_code, attempt.signal), (None, None));
}

pub fn a_task_is_added_once(new: New) {
    let mut ledger = new();
    let task = |argument: &str, uuid| NewTask {
        unique: None,
        own: None,
        after: None,
        tags: Vec::new(),
        uuid,
        tube: tube("t"),
        content: Content::Call(call(argument)),
        priority: 5,
        ttr: 60,
        due: NOW,
    };
    let uuid = Uuid::now_v7();
    let tasks = [task("1", uuid), task("1", uuid), task("2", uuid)];
    let added = ledger.db.add(&tasks, NOW).unwrap();
    let [
        Added::New { id },
        Added::Known { id: known },
        Added::UuidTaken,
    ] = added.as_slice()
    else {
        panic!("{added:?}");
    };
    assert_eq!(id, known);
}

pub fn only_what_failed_is_regenerated(new: New) {
    let mut ledger = new();
    let missing = ledger
        .db
        .regenerate(TaskId(5), None, NOW)
        .unwrap()
        .unwrap_err();
    assert_eq!(missing.to_string(), "No such task :5");
    let (id, job) = put(&mut ledger.db, NOW);
    let refused = |ledger: &mut Stage| ledger.db.regenerate(id, None, NOW).unwrap().unwrap_err();
    let status = |status| NotRegenerated::NotFailed { status };
    assert_eq!(refused(&mut ledger), status(Status::Waiting));
    let attempt = ledger.begin(&job);
    assert_eq!(refused(&mut ledger), status(Status::Running));
    ledger.failed(attempt);
    let other = tube("slow");
    let again = ledger
        .db
        .regenerate(id, Some(&other), NOW + 5)
        .unwrap()
        .unwrap();
    assert_eq!((again.put, &again.tube), (nth_put(id, 2), &other));
    assert_eq!(ledger.task(id).attempts.len(), 1, "attempts stay");
    // Whoever still holds the put before this one puts nothing.
    assert_eq!(ledger.db.put_again(&[nth_put(id, 1)], NOW).unwrap(), []);
    let again = ledger
        .db
        .put_again(&[nth_put(id, 2)], NOW)
        .unwrap()
        .remove(0);
    assert_eq!(again.put, nth_put(id, 3));
}

pub fn a_job_is_noted_for_the_put_that_it_came_from(new: New) {
    let mut ledger = new();
    let (id, job) = put(&mut ledger.db, NOW);
    ledger
        .db
        .note_puts("one", &[(nth_put(id, 1), Some(77))])
        .unwrap();
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let again = ledger.db.regenerate(id, None, NOW).unwrap().unwrap();
    let old = again.old_job.unwrap();
    assert_eq!((old.id, old.instance.as_deref()), (77, Some("one")));
    // A late note of the put before must not hide the job that it has now.
    ledger
        .db
        .note_puts("one", &[(again.put, Some(78))])
        .unwrap();
    ledger
        .db
        .note_puts("one", &[(nth_put(id, 1), Some(77))])
        .unwrap();
    assert_eq!(ledger.task(id).job.unwrap(), 78);
}

pub fn the_job_that_was_put_last_is_the_one_that_is_shown(new: New) {
    let mut ledger = new();
    let attempt = ledger.begin(&job_ref(7, TaskRef::Nameless(foreign("raw"))));
    let id = attempt.id.task;
    ledger.settle(&attempt, Outcome::Exited(75), Next::Wait(Duration::ZERO));
    assert_eq!(ledger.task(id).job, Some(7));
    // Somebody has deleted it at the broker.
    let again = ledger.db.put_again(&[nth_put(id, 0)], NOW).unwrap();
    ledger
        .db
        .note_puts("one", &[(again[0].put, Some(8))])
        .unwrap();
    assert_eq!(ledger.task(id).job, Some(8));
}

pub fn a_foreign_job_is_known_though_its_task_was_put_again(new: New) {
    let mut ledger = new();
    let job = job_ref(1, TaskRef::Nameless(foreign("raw")));
    let attempt = ledger.begin(&job);
    let (task, uuid) = (attempt.id.task, attempt.uuid);
    // Its release found it gone: somebody else had it.
    ledger.settle(&attempt, Outcome::Exited(75), Next::Wait(Duration::ZERO));
    drop(attempt);
    let again = ledger
        .db
        .put_again(&[nth_put(task, 0)], NOW)
        .unwrap()
        .remove(0);
    let noted = [(again.put, Some(2))];
    ledger.db.note_puts("one", &noted).unwrap();
    assert_eq!(
        ledger
            .db
            .missing(&tube("t"), TaskId::BEFORE_ALL, 1, NOW)
            .unwrap(),
        []
    );

    let pointer = job_ref(2, TaskRef::Pointer(uuid));
    let attempt = begun(ledger.claim_cleared(&pointer, 1));
    let claim = ledger.claim_of_another(&job, NOW);
    assert!(matches!(claim, Claim::Later { put, .. } if put.task == task));
    ledger.done(attempt);
    let claim = ledger.claim(&job);
    assert!(matches!(claim, Claim::DeleteJob { task: Some(same) } if same == task));
    assert_eq!(ledger.tasks().len(), 1);
}

pub fn what_was_put_to_run_at_once_runs_though_the_clock_was_set_back(new: New) {
    const HOUR: i64 = 3_600_000;
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    begun(ledger.claim_at(&job, NOW - HOUR));
    // What was to wait a minute does not wait an hour more.
    let (_, job) = put(&mut ledger.db, NOW + 60_000);
    match ledger.claim_at(&kicked(&job, 0), NOW - HOUR) {
        Claim::Later { delay, .. } => assert_eq!(delay, Duration::from_secs(60)),
        other => panic!("{other:?}"),
    }
}
