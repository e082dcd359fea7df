//! What is deleted, and what must stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use taskqueue::ledger::backend::{Change, Look, Patience};
use taskqueue::ledger::cancel::CallOff;
use taskqueue::ledger::cleanup::{Old, SoFar};
use taskqueue::ledger::memory::Memory;
use taskqueue::ledger::read::Key;
use taskqueue::ledger::rows::Told;
use taskqueue::ledger::{
    AfterLoss, Backend, Capabilities, Claim, Durability, Entry, Error, Ledger, Millis, TaskRef,
    batch_journal, spool,
};
use taskqueue::lives;
use taskqueue::task::command::Content;
use taskqueue::task::id::WorkerId;
use taskqueue::task::refused::Keep;
use taskqueue::task::state::Status;
use uuid::Uuid;

use super::{NOW, New, Stage, TaskId, begun, foreign, job_ref, put, register, taken_over};

fn old(statuses: &[Status], before: Millis) -> Old {
    Old {
        statuses: statuses.to_vec(),
        before,
    }
}

/// Deletes, having counted first; how many.
fn cleanup(ledger: &mut Stage, old: &Old) -> u64 {
    let counted = ledger.db.count_old(old).unwrap();
    let deleted = ledger.db.cleanup(old, NOW, |_| true).unwrap();
    assert_eq!(counted, deleted, "counted, deleted");
    deleted
}

pub fn what_ended_before_goes_and_nothing_else(new: New) {
    let mut ledger = new();
    let (waiting, _) = put(&mut ledger.db, NOW);
    let (_, job) = put(&mut ledger.db, NOW);
    let running = ledger.begin(&job);
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let failed = ledger.failed(attempt);
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    let done = ledger.done(attempt);

    let ended = [Status::Done, Status::Failed, Status::Cancelled];
    assert_eq!(cleanup(&mut ledger, &old(&ended, NOW)), 0, "not yet");
    // A status that has not ended is never deleted, whoever asks.
    let all = old(&[Status::Waiting, Status::Running], Millis::MAX);
    assert_eq!(cleanup(&mut ledger, &all), 0);
    assert_eq!(cleanup(&mut ledger, &old(&[], Millis::MAX)), 0);
    assert_eq!(cleanup(&mut ledger, &old(&[Status::Done], NOW + 1)), 1);
    let left = |ledger: &Stage| {
        let mut ids = Vec::new();
        let all = taskqueue::ledger::read::Filter::default();
        ledger
            .db
            .list(&all, 10, |task| {
                ids.push(task.id);
                true
            })
            .unwrap();
        ids
    };
    assert_eq!(left(&ledger), [failed, running.id.task, waiting]);
    assert!(done > failed);
    assert_eq!(ledger.attempts(), 1, "one runs");
    assert_eq!(ledger.outputs(), 1);
    assert_eq!(cleanup(&mut ledger, &old(&[Status::Failed], NOW + 1)), 1);
    assert_eq!(left(&ledger), [running.id.task, waiting]);
}

pub fn a_foreign_task_stays_until_its_job_is_known_to_be_gone(new: New) {
    let mut ledger = new();
    let job = job_ref(7, TaskRef::Nameless(foreign("hello")));
    let attempt = ledger.begin(&job);
    let task = ledger.done(attempt);
    let done = old(&[Status::Done], NOW + 1);
    assert_eq!(cleanup(&mut ledger, &done), 0);
    // It comes round again, and is still known.
    assert!(matches!(
        ledger.claim(&job),
        Claim::DeleteJob { task: Some(found) } if found == task
    ));
    ledger.db.note_deleted(&[task]).unwrap();
    assert_eq!(cleanup(&mut ledger, &done), 1);
}

pub fn the_oldest_refused_tasks_are_beyond_what_is_kept(new: New) {
    const BODY: &str = r#"{"taskqueue":1,"command":"-rf"}"#;
    let mut ledger = new();
    let mut refused = Vec::new();
    for number in 1..=5 {
        let mut job = foreign(&number.to_string());
        (job.content, job.body) = (Content::Unread(BODY.into()), BODY.into());
        match ledger.claim(&job_ref(number, TaskRef::Nameless(job))) {
            Claim::Refused { task, .. } => refused.push(task),
            other => panic!("{other:?}"),
        }
    }
    // One of ours that failed, and another's that failed by itself, are not what is meant.
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.failed(attempt);
    let attempt = ledger.begin(&job_ref(9, TaskRef::Nameless(foreign("hello"))));
    ledger.failed(attempt);

    let size = BODY.len() as u64;
    let beyond = |ledger: &Stage, tube: &str, tasks, bytes| {
        let beyond = ledger
            .db
            .refused_beyond(&tube.parse().unwrap(), Keep { tasks, bytes })
            .unwrap();
        beyond.iter().map(|one| one.id).collect::<Vec<TaskId>>()
    };
    let newest_first: Vec<TaskId> = refused.iter().rev().copied().collect();
    for (tasks, bytes, kept) in [
        (5, u64::MAX, 5),
        (3, u64::MAX, 3),
        (0, u64::MAX, 0),
        (9, 2 * size, 2),
        (9, 3 * size - 1, 2),
        (9, 0, 0),
    ] {
        assert_eq!(
            beyond(&ledger, "t", tasks, bytes),
            newest_first[kept..],
            "{tasks} {bytes}"
        );
    }
    assert_eq!(beyond(&ledger, "other", 0, 0), []);
    assert_eq!(ledger.db.delete_refused(&newest_first[3..]).unwrap(), 2);
    assert_eq!(beyond(&ledger, "t", 0, 0), newest_first[..3]);
    let running = ledger.begin(&job_ref(10, TaskRef::Nameless(foreign("on"))));
    assert_eq!(
        ledger.db.delete_refused(&[running.id.task]).unwrap(),
        0,
        "what runs stays, whoever asks"
    );
}

pub fn more_than_a_batch_goes_and_progress_is_told(new: New) {
    let mut ledger = new();
    for _ in 0..1234 {
        let (_, job) = put(&mut ledger.db, NOW);
        let attempt = ledger.begin(&job);
        ledger.done(attempt);
    }
    let old = old(&[Status::Done], NOW + 1);
    let mut heard = Vec::new();
    let deleted = ledger
        .db
        .cleanup(&old, NOW, |so_far| {
            heard.push(so_far);
            heard.len() < 2
        })
        .unwrap();
    assert_eq!(heard.len(), 2, "it was ended");
    assert_eq!(heard.last(), Some(&deleted));
    assert!(deleted < 1234);
    assert_eq!(cleanup(&mut ledger, &old), 1234 - deleted);
    assert_eq!(ledger.tasks().len(), 0);
    assert_eq!(ledger.attempts(), 0);
}

pub fn workers_are_forgotten_when_they_are_dead_and_run_nothing(new: New) {
    let mut ledger = new();
    let names = |ledger: &mut Stage, before| {
        ledger
            .db
            .cleanup(&old(&[Status::Done], before), NOW, |_| true)
            .unwrap();
        let known = ledger.db.workers().unwrap().into_iter();
        known.map(|worker| worker.name).collect::<Vec<String>>()
    };
    let idle = register(&mut ledger.db, "idle");
    let busy = register(&mut ledger.db, "busy");
    drop(register(&mut ledger.db, "dead"));
    // The newest says that there may be somebody, even when it is dead.
    drop(register(&mut ledger.db, "last"));
    let (_, job) = put(&mut ledger.db, NOW);
    let commands = ledger.commands.clone();
    let claim = super::claim(&mut ledger.db, &busy.me, &commands, &job, NOW);
    let attempt = super::begun(claim.unwrap());
    assert_eq!(names(&mut ledger, NOW), ["me", "idle", "busy", "last"]);
    drop(idle);
    // Dead, but it answers for a task.
    let gone = busy.me.clone();
    drop(busy);
    assert_eq!(names(&mut ledger, NOW), ["me", "busy", "last"]);
    // Somebody else does: yet it is the one that ran it.
    let Claim::Dead(dead) = ledger.claim(&job) else {
        panic!();
    };
    assert!(taken_over(&mut ledger.db, &dead, &ledger.me));
    assert_eq!(names(&mut ledger, NOW), ["me", "busy", "last"]);
    let done = super::settlement(
        &attempt,
        taskqueue::task::state::Outcome::Exited(0),
        taskqueue::task::retry::Next::Done,
    );
    assert!(!super::settled(&mut ledger.db, done, &gone));
    let entry = Entry {
        lose: Some(dead),
        ..Entry::default()
    };
    let entered = ledger.db.enter(&entry, &commands, &ledger.me, NOW);
    assert_eq!(entered.unwrap().lost, Some(AfterLoss::Waits));
    assert_eq!(names(&mut ledger, NOW), ["me", "last"]);
    // Who made an attempt is said without its row.
    let shown = ledger.db.show(Key::Id(attempt.id.task)).unwrap().unwrap();
    assert_eq!(shown.attempts[0].worker, "busy");
}

pub fn a_cleanup_pauses_only_after_what_it_deleted(new: New) {
    let mut ledger = new();
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let done = old(&[Status::Done], NOW + 1);
    let pauses = |db: &mut Ledger| {
        let mut so_far = SoFar::default();
        let mut pauses = Vec::new();
        while !so_far.is_over() {
            so_far = db.clean_up_some(&done, so_far, NOW).unwrap();
            pauses.push(so_far.pause().is_some());
        }
        pauses
    };
    // A task, then no more of them, then a look at the workers, then at what is free.
    assert_eq!(pauses(&mut ledger.db), [true, false, false, false]);
    let mut db = ledger.another();
    let workers: Vec<_> = (0..600).map(|_| register(&mut db, "one")).collect();
    assert_eq!(
        pauses(&mut ledger.db),
        [false, false, false, false],
        "all of them live"
    );
    drop(workers);
    assert_eq!(
        pauses(&mut ledger.db),
        [false, true, false, false],
        "some of them were forgotten"
    );
}

pub fn workers_are_forgotten_some_at_a_time(new: New) {
    let mut ledger = new();
    for _ in 0..1100 {
        drop(register(&mut ledger.db, "dead"));
    }
    let mut left = Vec::new();
    let mut from = Some(WorkerId::NOBODY);
    while let Some(after) = from {
        from = ledger.db.forget_workers(after, NOW).unwrap().next;
        left.push(ledger.db.workers().unwrap().len());
    }
    // The first lives, and the last stays.
    assert_eq!(left, [602, 102, 2]);
}

pub fn jobs_of_old_tasks_are_looked_up_until_they_are_known_to_be_deleted(new: New) {
    let mut ledger = new();
    let mut ids = Vec::new();
    for number in 1..=3 {
        let attempt = ledger.begin(&job_ref(number, TaskRef::Nameless(foreign("hello"))));
        ids.push(ledger.done(attempt));
    }
    let (_, job) = put(&mut ledger.db, NOW);
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    let done = old(&[Status::Done], NOW + 1);
    let unsure = |ledger: &Stage, after| {
        let unsure = ledger.db.unsure(&done, after).unwrap().into_iter();
        unsure.map(|one| (one.id, one.job)).collect::<Vec<_>>()
    };
    let all = [(ids[0], 1), (ids[1], 2), (ids[2], 3)];
    assert_eq!(unsure(&ledger, TaskId::BEFORE_ALL), all);
    assert_eq!(unsure(&ledger, ids[0]), all[1..]);
    ledger.db.note_deleted(&ids[..1]).unwrap();
    assert_eq!(unsure(&ledger, TaskId::BEFORE_ALL), all[1..]);
    assert!(ledger.db.has_been_at("t", "one").unwrap());
    assert!(!ledger.db.has_been_at("t", "two").unwrap());
    assert!(!ledger.db.has_been_at("other", "one").unwrap());
}

pub fn no_more_tasks_of_a_tube_are_counted_than_are_asked_for(new: New) {
    let mut ledger = new();
    let mut jobs = Vec::new();
    for due in [3, 1, 2, 5, 4, 6] {
        jobs.push(put(&mut ledger.db, NOW + due).1);
    }
    let attempt = begun(ledger.claim_at(&jobs[1], NOW + 9));
    assert_eq!(ledger.db.counts().unwrap()["t"].waiting, 5);
    for (most, waiting) in [(1, 1), (4, 4), (5, 5), (6, 5)] {
        let counts = ledger.db.counts_up_to(most).unwrap()["t"];
        let seen = (counts.waiting, counts.running, counts.due);
        assert_eq!(seen, (waiting, 1, Some(NOW + 2)));
    }
    ledger.done(attempt);
    assert_eq!(ledger.db.counts_up_to(1).unwrap()["t"].running, 0);
}

/// Rows on a disk that has no room for so many more changes.
#[derive(Debug)]
struct Tight {
    rows: Box<dyn Backend>,
    refuses: Arc<AtomicU32>,
}

impl Backend for Tight {
    fn id(&self) -> Uuid {
        self.rows.id()
    }

    fn capabilities(&self) -> Capabilities {
        self.rows.capabilities()
    }

    fn told(&mut self) -> &mut Told {
        self.rows.told()
    }

    fn change(
        &mut self,
        durability: Durability,
        patience: Patience,
        change: &mut Change<'_>,
    ) -> Result<(), Error> {
        let one_less = |left: u32| left.checked_sub(1);
        let refused = self
            .refuses
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        match refused {
            Ok(_) => Err(Error::Full {
                what: "full".into(),
            }),
            Err(_) => self.rows.change(durability, patience, change),
        }
    }

    fn look(&self, patience: Patience, look: &mut Look<'_>) -> Result<(), Error> {
        self.rows.look(patience, look)
    }
}

/// What failed says that there was no room. How much there is by then says nothing: others make room and take it.
#[test]
fn on_a_full_disk_ever_less_is_deleted_at_once_whoever_makes_room_meanwhile() {
    let memory = Memory::new(Uuid::now_v7());
    let refuses = Arc::new(AtomicU32::new(0));
    let tight = Tight {
        rows: memory.connect(),
        refuses: Arc::clone(&refuses),
    };
    let lives = lives::memory::Memory::new();
    let journals = batch_journal::memory::Memory::new();
    let spools = spool::memory::Memory::new();
    let mut db = Ledger::over(
        Box::new(tight),
        Arc::new(lives),
        Arc::new(journals),
        Arc::new(spools),
        Durability::ProcessDeath,
    );
    let how = CallOff {
        now: false,
        reason: None,
    };
    for _ in 0..600 {
        let (task, _) = put(&mut db, NOW);
        db.change_one(&how, task, NOW).unwrap().unwrap();
    }
    let all = old(&[Status::Cancelled], Millis::MAX);
    let step = |db: &mut Ledger, so_far, refused| {
        refuses.store(refused, Ordering::Relaxed);
        db.clean_up_some(&all, so_far, NOW)
    };
    // Each is tried with the room that there is, and with what is kept back.
    let first = step(&mut db, SoFar::default(), 2).unwrap();
    assert_eq!(first.deleted, 100, "500, 500, 100");
    let second = step(&mut db, first, 0).unwrap();
    assert_eq!(second.deleted, 100 + 200, "and twice as many each time");
    // Where there is no room for one, it ends, and nothing is lost.
    let full = step(&mut db, second, 99).unwrap_err();
    assert!(full.is_full(), "{full}");
    let mut so_far = step(&mut db, second, 3).unwrap();
    assert_eq!(so_far.deleted, 300 + 80, "400, 400, 80, 80");
    while !so_far.is_over() {
        so_far = step(&mut db, so_far, 0).unwrap();
    }
    assert_eq!(so_far.deleted, 600);

    // Nor does it end where the rest of it has no room at first.
    let dead = register(&mut db, "dead");
    let _last = register(&mut db, "last");
    drop(dead);
    let mut so_far = SoFar::default();
    while !so_far.is_over() {
        so_far = step(&mut db, so_far, 1).unwrap();
    }
    assert_eq!(db.workers().unwrap().len(), 1);
}
