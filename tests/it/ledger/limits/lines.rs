//! Lines: by what tasks stand in them, and what becomes of those that are changed while they are held.

use std::collections::BTreeMap;
use std::sync::Arc;

use taskqueue::ledger::delete::Delete;
use taskqueue::ledger::edit::Edit;
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::unique::Taken;
use taskqueue::ledger::{Claim, Entry, ForeignJob, JobRef, Millis, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::id::TaskId;
use taskqueue::task::payload::OptionValue;
use taskqueue::task::retry::Next;
use taskqueue::task::unique::{IfExists, Unique};

use super::super::{NOW, New, Stage, foreign, job_ref};
use super::{
    claim_entry, commands, end, end_at, enter_at, is_held, limited, new_task, put, put_as, rung,
    with,
};
use crate::support::tube;

pub fn no_more_begin_in_a_time_than_are_allowed_and_each_at_its_time(new: New) {
    let limit = limited("rate", None, Some((3, 1000)), "");
    let mut ledger = with(new, vec![limit]);
    let mut jobs: BTreeMap<TaskId, JobRef> = BTreeMap::new();
    let mut tube: Vec<(Millis, TaskId)> = Vec::new();
    for _ in 0..14 {
        let (id, job) = put(&mut ledger, "7");
        jobs.insert(id, job);
        tube.push((NOW, id));
    }
    let mut starts: Vec<Millis> = Vec::new();
    let mut most = 0;
    while !tube.is_empty() {
        tube.sort();
        let (at, id) = tube.remove(0);
        let now = at + starts.len() as Millis;
        let entered = enter_at(&mut ledger, &claim_entry(&jobs[&id]), now);
        for again in &entered.puts {
            tube.push((now + again.due_in.max(0), again.put.task));
        }
        most = most.max(tube.iter().filter(|(due, _)| *due > NOW).count());
        match entered.claim {
            Some(Claim::Begun(attempt)) => {
                starts.push(now);
                let puts = end_at(&mut ledger, attempt, Next::Done, now);
                for again in &puts {
                    tube.push((now + again.due_in.max(0), again.put.task));
                }
            }
            Some(Claim::Held { .. } | Claim::DeleteJob { .. }) => {}
            Some(Claim::Later { delay, .. }) => {
                let delay = Millis::try_from(delay.as_millis()).unwrap();
                tube.push((now + delay, id));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(starts.len(), 14, "{starts:?}");
    for start in &starts {
        let within = starts
            .iter()
            .filter(|one| (*start..start + 1000).contains(one));
        assert!(within.count() <= 3, "{starts:?}");
    }
    assert!(most <= 3, "{most} had a job at a time");
    assert!(starts[13] < NOW + 5000, "{starts:?}");
}

pub fn what_is_held_by_two_limits_waits_for_both(new: New) {
    let account = limited("account", Some(1), None, "option:account");
    let all = limited("all", Some(2), None, "");
    let mut ledger = with(new, vec![account, all]);
    let (_, job) = put(&mut ledger, "7");
    let one = ledger.begin(&job);
    let (held_by_account, second) = put(&mut ledger, "7");
    is_held(&mut ledger, &second);
    let (_, job) = put(&mut ledger, "8");
    let eight = ledger.begin(&job);
    let (nine, job) = put(&mut ledger, "9");
    is_held(&mut ledger, &job);
    // The end frees a place in both lines: of the account the next is let go, and of all the first that waits there.
    let mut rung_for = rung(&end(&mut ledger, one));
    rung_for.sort();
    assert_eq!(rung_for, [held_by_account, nine]);
    let nine = ledger.begin(&job);
    is_held(&mut ledger, &second);
    assert_eq!(rung(&end(&mut ledger, eight)), [held_by_account]);
    let last = ledger.begin(&second);
    assert_eq!(end(&mut ledger, nine), []);
    assert_eq!(end(&mut ledger, last), []);
}

pub fn another_producer_s_job_is_held_once_its_task_is_recorded(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let theirs = ForeignJob {
        content: Content::Raw(b"body".as_slice().into()),
        ..foreign("body")
    };
    let theirs = job_ref(9, TaskRef::Nameless(theirs));
    let Claim::Held { task } = ledger.claim(&theirs) else {
        panic!("it was not held");
    };
    assert_eq!(ledger.status(task), "waiting");
    // Nobody deleted the job: it comes again, and is one too many still.
    let Claim::DeleteJob { task: Some(again) } = ledger.claim(&theirs) else {
        panic!("it was not held");
    };
    assert_eq!(again, task);
    ledger.db.note_deleted(&[task]).unwrap();
    let puts = end(&mut ledger, first);
    assert_eq!(rung(&puts), [task]);
    let pointer = job_ref(10, TaskRef::Pointer(puts[0].uuid));
    let attempt = ledger.begin(&pointer);
    assert_eq!(attempt.id.task, task);
    assert_eq!(end(&mut ledger, attempt), []);
}

pub fn what_is_limited_is_not_claimed_ahead(new: New) {
    let mut ledger = with(new, vec![limited("two", Some(2), None, "")]);
    let jobs: Vec<JobRef> = (0..3).map(|_| put(&mut ledger, "7").1).collect();
    let (_, other) = put_as(&mut ledger, "other", None, 5, NOW);
    let entry = Entry {
        claim: Some(jobs[0].clone()),
        prefetch: vec![jobs[1].clone(), other, jobs[2].clone()],
        ..Entry::default()
    };
    let entered = enter_at(&mut ledger, &entry, NOW);
    assert!(matches!(entered.claim, Some(Claim::Begun(_))));
    let ahead: Vec<bool> = entered.prefetch.iter().map(Option::is_some).collect();
    assert_eq!(ahead, [false, true, false]);
    let _second = ledger.begin(&jobs[1]);
    is_held(&mut ledger, &jobs[2]);
}

pub fn what_no_configuration_limits_is_let_go(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let held: Vec<(TaskId, JobRef)> = (0..3).map(|_| put(&mut ledger, "7")).collect();
    for (_, job) in &held {
        is_held(&mut ledger, job);
    }
    let go = |ledger: &mut Stage, now| {
        let commands = Arc::clone(&ledger.commands);
        let (mut all, mut after) = (Vec::new(), None);
        while let Some((again, last)) = ledger
            .db
            .let_held_go(&tube("t"), after.as_ref(), &commands, now)
            .unwrap()
        {
            after = Some(last).filter(|_| again.is_empty());
            all.extend(rung(&again));
        }
        all
    };
    assert_eq!(go(&mut ledger, NOW), []);
    // One more may run.
    ledger.commands = commands(vec![limited("one", Some(2), None, "option:account")]);
    assert_eq!(go(&mut ledger, NOW), [held[0].0]);
    assert_eq!(go(&mut ledger, NOW), []);
    ledger.begin(&held[0].1);
    // What stands in no line of this name any more is let go, to stand in another.
    ledger.commands = commands(vec![limited("one", Some(1), None, "")]);
    assert_eq!(go(&mut ledger, NOW), [held[1].0, held[2].0]);
    ledger.commands = commands(Vec::new());
    assert_eq!(go(&mut ledger, NOW), []);
    ledger.begin(&held[1].1);
    ledger.begin(&held[2].1);
    assert_eq!(end(&mut ledger, first), []);
}

pub fn what_is_changed_while_it_is_held_stands_where_it_belongs_then(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let (held, job) = put(&mut ledger, "7");
    is_held(&mut ledger, &job);
    let edit = Edit {
        options: vec![("account".parse().unwrap(), OptionValue::Text("8".into()))],
        ..Edit::default()
    };
    let edited = ledger.db.change_one(&edit, held, NOW).unwrap().unwrap();
    let again = edited.again.unwrap();
    assert!(again.due_in <= 0 && !again.has_job, "{again:?}");
    let attempt = ledger.begin(&job);
    assert_eq!(end(&mut ledger, attempt), []);
    // More urgent than before, it goes before the one that came before it.
    let (_, one) = put(&mut ledger, "7");
    let (two, job) = put(&mut ledger, "7");
    is_held(&mut ledger, &one);
    is_held(&mut ledger, &job);
    let urgent = Edit {
        priority: Some(1),
        ..Edit::default()
    };
    ledger.db.change_one(&urgent, two, NOW).unwrap().unwrap();
    is_held(&mut ledger, &job);
    assert_eq!(rung(&end(&mut ledger, first)), [two]);
}

pub fn what_is_deleted_while_it_is_held_keeps_nobody(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let held: Vec<(TaskId, JobRef)> = (0..3).map(|_| put(&mut ledger, "7")).collect();
    for (_, job) in &held {
        is_held(&mut ledger, job);
    }
    ledger
        .db
        .change_one(&Delete, held[0].0, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(rung(&end(&mut ledger, first)), [held[1].0]);
    // Nobody finds its job, for that goes with it: whoever looks after the tube lets the next one go.
    ledger
        .db
        .change_one(&Delete, held[1].0, NOW)
        .unwrap()
        .unwrap();
    let commands = Arc::clone(&ledger.commands);
    let (again, _) = ledger
        .db
        .let_held_go(&tube("t"), None, &commands, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(rung(&again), [held[2].0]);
    let last = ledger.begin(&held[2].1);
    assert_eq!(end(&mut ledger, last), []);
}

pub fn a_held_task_that_has_a_key_is_replaced_and_waits_by_a_job(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let unique = Unique {
        key: Some("k".parse().unwrap()),
        if_exists: IfExists::Replace,
        ..Unique::default()
    };
    let add = |ledger: &mut Stage, account: &str| {
        let task = NewTask {
            unique: Some(unique.clone()),
            ..new_task("work", Some(account), 5, NOW)
        };
        let uuid = task.uuid;
        let added = ledger.db.add(&[task], NOW).unwrap();
        (added, job_ref(1, TaskRef::Pointer(uuid)))
    };
    let (_, job) = add(&mut ledger, "7");
    is_held(&mut ledger, &job);
    // The key is the task's while it is held; and what it is given lets it stand elsewhere.
    let (added, _) = add(&mut ledger, "8");
    assert!(
        matches!(added[..], [Added::Taken(Taken::Replaced { .. })]),
        "{added:?}"
    );
    let attempt = ledger.begin(&job);
    assert_eq!(end(&mut ledger, attempt), []);
    assert_eq!(end(&mut ledger, first), []);
}

pub fn tasks_are_told_apart_by_tags_and_commands(new: New) {
    let mut by_command = limited("command", Some(1), None, "command");
    by_command.commands = vec!["*".into()];
    let by_tag = limited("tag", Some(1), None, "tag:k");
    let mut ledger = with(new, vec![by_command]);
    let jobs: Vec<JobRef> = ["work", "other", "work", "other"]
        .map(|command| put_as(&mut ledger, command, None, 5, NOW).1)
        .into();
    let one = ledger.begin(&jobs[0]);
    let two = ledger.begin(&jobs[1]);
    is_held(&mut ledger, &jobs[2]);
    is_held(&mut ledger, &jobs[3]);
    for attempt in [one, two] {
        assert_eq!(end(&mut ledger, attempt).len(), 1);
    }
    ledger.commands = commands(vec![by_tag]);
    let tagged = |ledger: &mut Stage, tags: &[&str]| {
        let (id, job) = put_as(ledger, "work", None, 5, NOW);
        let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let edit = Edit {
            tags,
            ..Edit::default()
        };
        ledger.db.change_one(&edit, id, NOW).unwrap().unwrap();
        job
    };
    let jobs: Vec<JobRef> = [&["k=a"][..], &["k=b", "other"], &["k=a"], &[]]
        .map(|tags| tagged(&mut ledger, tags))
        .into();
    let _one = ledger.begin(&jobs[0]);
    let _two = ledger.begin(&jobs[1]);
    is_held(&mut ledger, &jobs[2]);
    let _none = ledger.begin(&jobs[3]);
}
