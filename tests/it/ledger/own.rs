//! What tasks say of their own attempts.

use std::sync::Arc;
use std::time::Duration;

use taskqueue::ledger::edit::{Bounded, Edit, NotEdited};
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::read::Key;
use taskqueue::ledger::unique::Taken;
use taskqueue::ledger::{Attempt, Claim, ForeignJob, JobRef, TaskRef};
use taskqueue::task::command::{Command, Commands, Content};
use taskqueue::task::conditions::Variable;
use taskqueue::task::own::{Bounds, Own};
use taskqueue::task::retry::{self, Attempts, Next, Waits};
use taskqueue::task::state::Outcome;
use taskqueue::task::unique::{IfExists, Unique};
use uuid::Uuid;

use super::{NOW, New, Stage, call, foreign, job_ref};
use crate::support::tube;

/// A stage on which the command is tried twice, and its tasks may say some of that.
fn stage(new: New) -> Stage {
    let mut stage = new();
    let mut command = Command::new(vec!["/bin/true".into()]);
    command.retry.max_attempts = Attempts::Most(2);
    command.bounds = Bounds {
        max_attempts: Some(Attempts::Endless),
        environment: ["TENANT".parse().unwrap()].into(),
        ..Bounds::default()
    };
    let mut commands = Commands::default();
    commands.add("work", command);
    stage.commands = Arc::new(commands);
    stage
}

fn put(stage: &mut Stage, own: Own, unique: Option<Unique>) -> Added {
    let task = NewTask {
        after: None,
        unique,
        own: own.checked().unwrap().map(Box::new),
        tags: Vec::new(),
        uuid: Uuid::now_v7(),
        tube: tube("t"),
        content: Content::Call(call("1")),
        priority: 5,
        ttr: 60,
        due: NOW,
    };
    let uuid = task.uuid;
    let mut added = stage.db.add(&[task], NOW).unwrap();
    if let Added::New { id } = added[0] {
        assert_eq!(stage.db.show(Key::Uuid(uuid)).unwrap().unwrap().id, id);
    }
    added.pop().unwrap()
}

/// The job of the newest task.
fn newest(stage: &mut Stage) -> JobRef {
    let uuid = stage.tasks()[0].uuid;
    job_ref(1, TaskRef::Pointer(uuid))
}

fn often(attempts: Attempts) -> Own {
    Own {
        max_attempts: Some(attempts),
        ..Own::default()
    }
}

fn tenant(name: &str) -> Own {
    let mut own = Own::default();
    own.add_variable("TENANT", name.into()).unwrap();
    own
}

/// Has the task fail until it is not tried again, or that often; each wait, and what it came to.
fn fail(stage: &mut Stage, most: i64) -> (Vec<Duration>, i64, Option<String>) {
    fail_from(stage, 1, most)
}

fn fail_from(stage: &mut Stage, first: i64, most: i64) -> (Vec<Duration>, i64, Option<String>) {
    let job = newest(stage);
    let mut waits = Vec::new();
    // A retry waits for an hour at the most, and a fifth of that.
    let mut at = NOW + (first - 1) * 4_400_000;
    for number in first..=most {
        let claim = stage.claim_at_cleared(&job, number - 1, at);
        let Claim::Begun(attempt) = claim else {
            panic!("attempt {number} did not begin: {claim:?}");
        };
        let outcome = Outcome::Exited(1);
        let rules = &attempt.plan.command.retry;
        let (next, budget) = retry::next(&outcome, rules, attempt.budget, attempt.id);
        let mut settlement = super::settlement(&attempt, outcome, next.clone());
        settlement.budget = budget;
        settlement.finished = at;
        drop::<Box<Attempt>>(attempt);
        assert!(super::settled(&mut stage.db, settlement, &stage.me));
        match next {
            Next::Wait(wait) => {
                waits.push(wait);
                at += i64::try_from(wait.as_millis()).unwrap() + 1;
            }
            Next::Failed { reason } => return (waits, number, Some(reason)),
            other @ (Next::Done | Next::Cancelled) => panic!("{other:?}"),
        }
    }
    (waits, most, None)
}

pub fn what_the_put_says_wins_over_the_command(new: New) {
    for (own, attempts) in [
        (Own::default(), 2),
        (often(Attempts::Most(1)), 1),
        (often(Attempts::Most(5)), 5),
        (
            Own {
                waits: Some(Waits::new(&[Duration::from_secs(1); 3]).unwrap()),
                ..Own::default()
            },
            4,
        ),
    ] {
        let mut stage = stage(new);
        put(&mut stage, own.clone(), None);
        let (_, tried, reason) = fail(&mut stage, 9);
        assert_eq!(tried, attempts, "{own:?}");
        assert!(reason.unwrap().starts_with("exit code 1"));
    }
}

pub fn what_is_tried_without_end_goes_on(new: New) {
    let mut stage = stage(new);
    let list = [300, 600].map(Duration::from_secs);
    let own = Own {
        waits: Some(Waits::new(&list).unwrap()),
        ..often(Attempts::Endless)
    };
    put(&mut stage, own.clone(), None);
    let (waits, tried, reason) = fail(&mut stage, 110);
    assert_eq!((tried, reason), (110, None));
    // Each is spread, and none is early.
    assert!(
        waits[0] >= list[0] && waits[0] <= list[0] * 6 / 5,
        "{:?}",
        waits[0]
    );
    for wait in &waits[1..] {
        assert!(*wait >= list[1] && *wait <= list[1] * 6 / 5, "{wait:?}");
    }
    let task = stage.tasks().remove(0);
    assert_eq!(task.status.as_str(), "waiting");
    assert_eq!(task.attempts_total, 110);
    assert_eq!(task.own.as_deref(), Some(&own));
}

pub fn of_very_many_attempts_the_newest_are_kept(new: New) {
    let mut stage = stage(new);
    put(&mut stage, often(Attempts::Endless), None);
    let uuid = stage.tasks()[0].uuid;
    let key = || Key::Uuid(uuid);
    fail(&mut stage, 1099);
    let is_kept = |stage: &Stage, number| {
        let standing = stage.db.standing(key(), Some(number)).unwrap().unwrap();
        standing.ended.is_some()
    };
    assert!(is_kept(&stage, 1));
    fail_from(&mut stage, 1100, 1100);
    assert!(!is_kept(&stage, 1) && !is_kept(&stage, 100));
    assert!(is_kept(&stage, 101) && is_kept(&stage, 1100));
    let task = stage.db.show(key()).unwrap().unwrap();
    assert_eq!((task.attempts_total, task.attempts.len()), (1100, 1000));
}

pub fn a_variable_comes_to_the_command_and_goes_with_what_replaces_the_task(new: New) {
    let mut stage = stage(new);
    let unique = |if_exists| {
        Some(Unique {
            key: Some("k".parse().unwrap()),
            if_exists,
            ..Unique::default()
        })
    };
    put(&mut stage, tenant("acme"), unique(IfExists::Keep));
    let found = |stage: &mut Stage| {
        let job = newest(stage);
        let claim = stage.claim_at_cleared(&job, 0, NOW);
        let Claim::Begun(attempt) = claim else {
            panic!("{claim:?}");
        };
        let command = &attempt.plan.command;
        let variables = command.conditions.of(&tube("t")).variables.named.clone();
        stage.settle(&attempt, Outcome::Exited(0), Next::Done);
        variables.get("TENANT").cloned()
    };
    let acme = Some(Variable::Set("acme".into()));
    assert_eq!(found(&mut stage), acme);
    for (own, expected) in [
        (tenant("other"), Some(Variable::Set("other".into()))),
        (Own::default(), None),
    ] {
        put(&mut stage, tenant("acme"), unique(IfExists::Keep));
        let replaced = put(&mut stage, own, unique(IfExists::Replace));
        assert!(
            matches!(replaced, Added::Taken(Taken::Replaced { .. })),
            "{replaced:?}"
        );
        assert_eq!(found(&mut stage), expected);
    }
}

pub fn what_a_command_finds_is_part_of_the_key_that_is_made(new: New) {
    let mut stage = stage(new);
    let keep = || Some(Unique::default());
    let is_new = |added| matches!(added, Added::New { .. });
    assert!(is_new(put(&mut stage, Own::default(), keep())));
    assert!(is_new(put(&mut stage, tenant("acme"), keep())));
    assert!(is_new(put(&mut stage, tenant("other"), keep())));
    assert!(!is_new(put(&mut stage, tenant("acme"), keep())));
    // How often it is tried is no part of what it asks for.
    assert!(!is_new(put(&mut stage, often(Attempts::Most(9)), keep())));
}

pub fn what_is_beyond_its_bounds_is_refused_when_it_is_claimed(new: New) {
    let mut other = tenant("acme");
    other.add_variable("OTHER", "x".into()).unwrap();
    let mut stage = stage(new);
    put(&mut stage, other.clone(), None);
    let job = newest(&mut stage);
    let by_job = ForeignJob {
        content: Content::Call(call("2")),
        own: Some(Box::new(other)),
        ..foreign("2")
    };
    for job in [job, job_ref(2, TaskRef::Nameless(by_job))] {
        let claim = stage.claim(&job);
        let Claim::Refused { reason, .. } = claim else {
            panic!("{claim:?}");
        };
        assert!(
            reason.contains("the variable OTHER")
                && reason.contains("task_environment = [\"TENANT\", \"OTHER\"]"),
            "{reason}"
        );
    }
}

pub fn another_producers_job_says_it_too(new: New) {
    let mut stage = stage(new);
    let by_job = ForeignJob {
        content: Content::Call(call("2")),
        own: Some(Box::new(often(Attempts::Most(7)))),
        ..foreign("2")
    };
    let claim = stage.claim(&job_ref(2, TaskRef::Nameless(by_job)));
    let Claim::Begun(attempt) = claim else {
        panic!("{claim:?}");
    };
    assert_eq!(attempt.plan.command.retry.max_attempts, Attempts::Most(7));
    // Of a body that could not be read nothing is known.
    let unread = ForeignJob {
        own: Some(Box::new(often(Attempts::Most(7)))),
        ..foreign("3")
    };
    stage.claim(&job_ref(3, TaskRef::Nameless(unread)));
    assert_eq!(stage.tasks()[0].own, None);
}

pub fn what_waits_is_given_other_bounds_within_those_of_its_command(new: New) {
    let mut stage = stage(new);
    let unique = Unique::default();
    let Added::New { id } = put(&mut stage, tenant("acme"), Some(unique.clone())) else {
        panic!("it was not put");
    };
    let edit = |stage: &mut Stage, edit: Edit| {
        let commands = Some(Arc::clone(&stage.commands));
        let edit = Bounded { edit, commands };
        stage.db.change_one(&edit, id, NOW).unwrap()
    };
    let says = |own: Own| Edit {
        own,
        ..Edit::default()
    };
    let own = |stage: &Stage| stage.db.show(id.into()).unwrap().unwrap().own;
    let waits = Own {
        waits: Some(Waits::new(&[Duration::from_secs(60)]).unwrap()),
        ..Own::default()
    };
    // Each by itself: what is not said stays.
    edit(&mut stage, says(waits.clone())).unwrap();
    edit(&mut stage, says(often(Attempts::Most(4)))).unwrap();
    let all = Own {
        max_attempts: Some(Attempts::Most(4)),
        waits: waits.waits.clone(),
        ..tenant("acme")
    };
    assert_eq!(own(&stage).as_deref(), Some(&all));
    // A job waits as before: nothing of that is in it.
    let again = edit(&mut stage, says(tenant("other"))).unwrap().again;
    assert_eq!(again, None);
    // The variables are a part of the key, and so it can be put again as it was, and not be edited back then.
    assert!(matches!(
        put(&mut stage, tenant("acme"), Some(unique)),
        Added::New { .. }
    ));
    let taken = edit(&mut stage, says(tenant("acme")));
    assert!(
        matches!(taken, Err(NotEdited::KeyTaken { .. })),
        "{taken:?}"
    );

    // Its command allows no timeout that is longer, and no other variable; and some of it makes no sense anywhere.
    let mut stranger = Own::default();
    stranger.add_variable("STRANGER", "x".into()).unwrap();
    let refused = edit(&mut stage, says(stranger.clone()))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("the variable STRANGER"), "{refused}");
    let none = often(Attempts::Most(0));
    let refused = edit(&mut stage, says(none)).unwrap_err();
    assert!(matches!(refused, NotEdited::Own { .. }), "{refused}");
    let busy = Own {
        waits: Some(Waits::new(&[Duration::ZERO]).unwrap()),
        ..often(Attempts::Endless)
    };
    let refused = edit(&mut stage, says(busy)).unwrap_err().to_string();
    assert!(refused.contains("without pause"), "{refused}");
    assert_eq!(
        own(&stage).unwrap().environment,
        tenant("other").environment
    );
    // Who does not know its command leaves that to whoever claims it.
    let unknown = stage.db.change_one(&says(stranger), id, NOW).unwrap();
    assert!(unknown.is_ok());

    let clear = |clear_own| Edit {
        clear_own,
        clear_environment: true,
        ..Edit::default()
    };
    edit(&mut stage, clear(false)).unwrap();
    let left = own(&stage).unwrap();
    assert!(left.environment.is_empty() && left.max_attempts.is_some());
    edit(&mut stage, clear(true)).unwrap();
    assert_eq!(own(&stage), None);
    // Only what waits.
    let job = job_ref(1, TaskRef::Pointer(stage.task(id).uuid));
    let attempt = stage.begin(&job);
    let runs = edit(&mut stage, says(often(Attempts::Most(3))));
    assert!(matches!(runs, Err(NotEdited::NotWaiting { .. })));
    stage.done(attempt);
}
