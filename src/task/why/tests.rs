//! A table of every state that a task can be in, with what is said of it.

use super::*;

fn of(standing: Standing) -> Answer {
    why(&Seen {
        id: 5,
        tube: "t".into(),
        standing,
    })
}

/// A task that is due, in a tube that is served.
fn waiting(change: impl FnOnce(&mut Waiting)) -> Standing {
    let mut waiting = Waiting {
        due_in: 0,
        parked_for: None,
        last: None,
        remains: None,
        refusal: None,
        held: None,
        is_announced: true,
        broker: Ok(Tube::default()),
        workers: Workers::Tended(Pool {
            idle: 1,
            max: 5,
            ..Pool::default()
        }),
    };
    change(&mut waiting);
    Standing::Waiting(Box::new(waiting))
}

fn awaiting(what: &str, is_held: bool) -> Standing {
    Standing::Awaiting {
        what: what.into(),
        is_held,
    }
}

fn pool(change: impl FnOnce(&mut Pool)) -> Standing {
    let mut pool = Pool {
        max: 2,
        ..Pool::default()
    };
    change(&mut pool);
    waiting(|waiting| {
        waiting.workers = Workers::Tended(pool);
        waiting.broker = Ok(Tube {
            ready: 3,
            ..Tube::default()
        });
    })
}

fn running(owner_lives: bool, remains: Option<&str>) -> Standing {
    Standing::Running {
        attempt: 3,
        worker: "t-1".into(),
        owner_lives,
        running_for: 61_000,
        said: None,
        remains: remains.map(Into::into),
    }
}

fn put_off(message: Option<&str>) -> Standing {
    let message = message.map(Into::into);
    waiting(|task| (task.due_in, task.last) = (90_000, Some(Last::Deferred { message })))
}

fn failed(is_refused: bool, refusal: Option<&str>) -> Standing {
    Standing::Failed {
        reason: Some("exit code 1".into()),
        is_refused,
        refusal: refusal.map(Into::into),
    }
}

fn held(limit: Option<&str>) -> Standing {
    waiting(|task| {
        task.due_in = i64::MAX;
        task.held = Some(Held {
            words: "held by limit account=7 (2 of 2 run: tasks 4, 9)".into(),
            limit: limit.map(Into::into),
        });
    })
}

#[test]
fn every_state_has_its_sentence() {
    let hour = 3_600_000;
    let week = 7 * 24 * hour;
    let missing = || Some("the command \"c\" is not configured".to_owned());
    let table: Vec<(Standing, Why, &str)> = vec![
        (
            held(Some("account")),
            Why::Held,
            "it is held by limit account=7 (2 of 2 run: tasks 4, 9); \
             for more at a time: [limits.account], and: taskqueue reload",
        ),
        (
            held(None),
            Why::Held,
            "it is held by limit account=7 (2 of 2 run: tasks 4, 9); \
             that is no limit any more: a tender of its tube lets it go, or at once: taskqueue run-now 5",
        ),
        (
            Standing::Done { attempts: 1 },
            Why::Done,
            "it is done, at the first attempt",
        ),
        (
            Standing::Done { attempts: 4 },
            Why::Done,
            "it is done, after 4 attempts",
        ),
        (
            Standing::Cancelled {
                reason: Some("not wanted".into()),
            },
            Why::Cancelled,
            "it was called off: not wanted",
        ),
        (
            Standing::Cancelled { reason: None },
            Why::Cancelled,
            "it was called off",
        ),
        (
            failed(false, None),
            Why::Failed,
            "it has failed: exit code 1; to let it run again: taskqueue regenerate 5",
        ),
        (
            failed(true, Some("want of a command")),
            Why::Refused,
            "it was refused: exit code 1; it would be refused today, for want of a command; mend that first, then: \
             taskqueue regenerate 5",
        ),
        (
            running(true, None),
            Why::Runs,
            "it runs: attempt 3, by t-1, for 1m 1s",
        ),
        (
            Standing::Running {
                attempt: 3,
                worker: "t-1".into(),
                owner_lives: true,
                running_for: 61_000,
                said: Some("40 %, half of it".into()),
                remains: None,
            },
            Why::Runs,
            "it runs: attempt 3, by t-1, for 1m 1s: 40 %, half of it",
        ),
        (
            running(false, None),
            Why::Stalled,
            "its worker t-1 died in attempt 3, and nobody has taken it over yet; a tender does within 30 s; at once: \
             taskqueue reconcile",
        ),
        (
            running(false, Some("process 812 (sleep)")),
            Why::Stuck,
            "it is stuck: process 812 (sleep) of attempt 3 cannot be ended, and nothing else begins before it is gone; \
             end it by hand, as the user that it runs as",
        ),
        (
            waiting(|task| task.remains = Some((2, "process 7 (x)".into()))),
            Why::Stuck,
            "it is stuck: process 7 (x) of attempt 2 cannot be ended, and nothing else begins before it is gone; end \
             it by hand, as the user that it runs as",
        ),
        (
            waiting(|task| task.due_in = hour),
            Why::NotDue,
            "it is not due for 1h 0m; sooner: taskqueue run-now 5",
        ),
        (
            waiting(|task| {
                (task.due_in, task.last) = (90_000, Some(Last::Ended("exit code 75".into())))
            }),
            Why::BackingOff,
            "it waits for its next attempt, in 1m 30s, after exit code 75; sooner: taskqueue run-now 5",
        ),
        (
            put_off(Some("the shop is closed")),
            Why::Deferred,
            "its command has put it off, for another 1m 30s: the shop is closed; sooner: taskqueue run-now 5",
        ),
        (
            put_off(None),
            Why::Deferred,
            "its command has put it off, for another 1m 30s; sooner: taskqueue run-now 5",
        ),
        (
            waiting(|task| task.last = Some(Last::Deferred { message: None })),
            Why::Soon,
            "nothing is in its way: it begins as soon as a worker takes its job",
        ),
        (
            waiting(|task| (task.parked_for, task.refusal) = (Some(hour), missing())),
            Why::Parked,
            "it waits for its command: the command \"c\" is not configured; configure it, and: taskqueue reload",
        ),
        (
            waiting(|task| (task.parked_for, task.refusal) = (Some(week), missing())),
            Why::WouldBeRefused,
            "workers would refuse it by this configuration: the command \"c\" is not configured; mend the \
             configuration, or: taskqueue edit",
        ),
        (
            waiting(|task| task.refusal = missing()),
            Why::WouldBeRefused,
            "workers would refuse it by this configuration: the command \"c\" is not configured; mend the \
             configuration, or: taskqueue edit",
        ),
        (
            waiting(|task| task.broker = Err("connection refused".into())),
            Why::BrokerSilent,
            "the broker cannot be asked: connection refused; it is put when the broker is back",
        ),
        (
            waiting(|task| {
                task.broker = Ok(Tube {
                    paused: Duration::from_secs(59),
                    ..Tube::default()
                });
            }),
            Why::Paused,
            "its tube t is paused for another 59s; to end that: taskqueue resume --use-tube t",
        ),
        (
            waiting(|task| task.is_announced = false),
            Why::Unannounced,
            "its job was not put yet, or whoever put it could not note that; a tender puts it within 30 s; at once: \
             taskqueue reconcile",
        ),
        (
            waiting(|task| task.workers = Workers::Untended),
            Why::NoWorker,
            "no worker works for the tube t; start some: taskqueue tender --use-tube t",
        ),
        (
            waiting(|task| task.workers = Workers::Unknown),
            Why::NoWorker,
            "no worker works for the tube t; start some: taskqueue tender --use-tube t",
        ),
        (
            waiting(|task| {
                task.workers = Workers::Untended;
                task.broker = Ok(Tube {
                    reserved: 1,
                    ready: 1,
                    ..Tube::default()
                });
            }),
            Why::AllBusy,
            "all workers of the tube t are busy; it is the next",
        ),
        (
            waiting(|task| {
                task.workers = Workers::Unknown;
                task.broker = Ok(Tube {
                    waiting: 1,
                    ..Tube::default()
                });
            }),
            Why::Soon,
            "nothing is in its way: it begins as soon as a worker takes its job",
        ),
        (
            pool(|pool| pool.busy = 2),
            Why::AllBusy,
            "all 2 workers of the tube t are busy; it is one of 3 that are ready; for more: taskqueue scale \
             --use-tube t --max-workers N",
        ),
        (
            pool(|pool| pool.withheld = Some("they crash".into())),
            Why::Withheld,
            "the tender of the tube t starts no worker now: they crash; see: taskqueue status",
        ),
        (
            pool(|pool| (pool.idle, pool.troubled) = (1, 1)),
            Why::Troubled,
            "the workers of the tube t lack what their work takes, and try again; see what: taskqueue status",
        ),
        (
            pool(|pool| (pool.busy, pool.is_leaving) = (1, true)),
            Why::Leaving,
            "the tender of the tube t is on its way out, and takes no more jobs; start another: taskqueue tender \
             --use-tube t",
        ),
        (
            pool(|pool| pool.starting = 1),
            Why::Starting,
            "a worker for the tube t begins",
        ),
        (
            pool(|_| {}),
            Why::NoWorker,
            "no worker works for the tube t yet; see why: taskqueue explain t",
        ),
        (
            awaiting("waits for task 4", false),
            Why::AfterOthers,
            "it waits for task 4; to see them: taskqueue show --tree 5; to run it before: taskqueue run-now 5",
        ),
        (
            awaiting("is held: task 4, which it waits for, failed", true),
            Why::OnHold,
            "it is held: task 4, which it waits for, failed; let that task run again with regenerate; to run this one \
             all the same: taskqueue run-now 5",
        ),
        (
            waiting(|_| {}),
            Why::Soon,
            "nothing is in its way: it begins as soon as a worker takes its job",
        ),
    ];
    let mut seen = Vec::new();
    for (standing, why, sentence) in table {
        let answer = of(standing.clone());
        assert_eq!(
            (&answer.why, answer.to_string().as_str()),
            (&why, sentence),
            "{standing:?}"
        );
        seen.push(why);
    }
    for why in Why::ALL {
        assert!(seen.contains(&why), "{} is in no row", why.as_str());
    }
}
