//! What a queue does beside putting, on a real beanstalkd and on the embedded broker; and several users of one at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use taskqueue::api::{BrokerError, Cleaned, Ended, Kept, NotRegenerated};
use taskqueue::{Cleanup, Error, Filter, Put, Queue, Receipt, Status, Task, TaskId};

use super::open;
use crate::store::pace::fill;
use crate::support::{Beanstalkd, NOBODY, Taskqueue, tube};

const COMMANDS: &str = "[commands.ok]\nrun = ['/bin/true']\n[commands.no]\nrun = ['/bin/false']
[commands.bury]\nrun = ['/bin/false']\non_failure = 'bury'\n[commands.cat]\nrun = ['/bin/cat']
[tubes.raw]\ncommand = 'cat'";

/// With a real beanstalkd, then with the embedded broker.
async fn with_both(test: impl AsyncFn(&Taskqueue, Queue)) {
    let server = Beanstalkd::start();
    for taskqueue in [Taskqueue::with(&server), Taskqueue::embedded()] {
        taskqueue.configure(COMMANDS);
        let queue = open(&taskqueue, taskqueue.broker());
        test(&taskqueue, queue).await;
    }
}

async fn put(queue: &Queue, command: &str) -> TaskId {
    let put = queue.put(&tube("t"), Put::command(command)).await.unwrap();
    assert!(put.announced(), "{put:?}");
    put.id
}

async fn show(queue: &Queue, id: TaskId) -> Task {
    queue.show(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn clones_put_at_once_and_each_task_has_its_job() {
    with_both(async |taskqueue, queue| {
        let puts = |queue: Queue| async move {
            let mut ids = Vec::new();
            for _ in 0..25 {
                ids.push(put(&queue, "ok").await);
            }
            ids
        };
        let one = tokio::spawn(puts(queue.clone()));
        let two = tokio::spawn(puts(queue.clone()));
        let (one, two) = tokio::join!(one, two);
        let ids: BTreeSet<TaskId> = one.unwrap().into_iter().chain(two.unwrap()).collect();
        assert_eq!(ids.len(), 50);
        assert_eq!(queue.counts().await.unwrap()["t"].waiting, 50);
        taskqueue.work("t", 50);
        assert!(queue.counts().await.unwrap().is_empty());
        for id in ids {
            assert_eq!(show(&queue, id).await.status, Status::Done);
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_comes_in_pages_the_newest_first() {
    with_both(async |taskqueue, queue| {
        let puts = ["no", "ok", "no", "no", "ok"];
        for command in puts {
            put(&queue, command).await;
        }
        taskqueue.work("t", puts.len());
        let elsewhere = queue.put(&tube("u"), Put::command("ok")).await.unwrap();
        let ids = |tasks: &[Task]| -> Vec<i64> { tasks.iter().map(|task| task.id.0).collect() };
        let list = async |filter: &Filter, most| {
            let mut pages = vec![queue.list(filter, None, most).await.unwrap()];
            while let Some(next) = pages.last().unwrap().next {
                pages.push(queue.list(filter, Some(next), most).await.unwrap());
            }
            let pages = pages.iter().map(|page| ids(&page.tasks));
            pages.collect::<Vec<_>>()
        };
        let all = Filter::default();
        assert_eq!(list(&all, 4).await, [&[6, 5, 4, 3][..], &[2, 1]]);
        assert_eq!(list(&all, 1000).await, [[6, 5, 4, 3, 2, 1]]);
        let none: [i64; 0] = [];
        assert_eq!(list(&all, 0).await, [none]);
        let failed = all.clone().status(Status::Failed);
        assert_eq!(list(&failed, 2).await, [&[4, 3][..], &[1]]);
        let there = all.clone().tube(&tube("u"));
        assert_eq!(list(&there, 9).await, [[elsewhere.id.0]]);
        assert_eq!(list(&all.command("ok").tube(&tube("t")), 9).await, [[5, 2]]);
        let counts = queue.counts().await.unwrap();
        assert_eq!((counts["t"].failed, counts["u"].waiting), (3, 1));
    })
    .await;
}

#[tokio::test]
async fn a_page_is_never_a_whole_store() {
    let taskqueue = Taskqueue::embedded();
    let queue = open(&taskqueue, "embedded");
    fill(&taskqueue.sqlite(), 500, 0);
    let page = queue
        .list(&Filter::default(), None, u64::MAX)
        .await
        .unwrap();
    assert_eq!(page.tasks.len(), 200);
    assert_eq!(page.next, Some(TaskId(301)));
}

#[tokio::test]
async fn what_failed_runs_again_and_nothing_else_does() {
    with_both(async |taskqueue, queue| {
        let failed = put(&queue, "no").await;
        let buried = put(&queue, "bury").await;
        let done = put(&queue, "ok").await;
        taskqueue.work("t", 3);
        taskqueue.configure(&COMMANDS.replace("false", "true"));
        let again = async |id, to: Option<&str>| {
            let to = to.map(tube);
            queue.regenerate(id, to.as_ref()).await
        };
        let put: Receipt = again(failed, None).await.unwrap();
        assert_eq!(put.uuid, show(&queue, failed).await.uuid);
        assert!(put.announced() && put.id == failed);
        assert!(again(buried, Some("u")).await.unwrap().announced());
        assert_eq!(show(&queue, buried).await.tube, "u");
        let refused = |answer: Result<Receipt, Error>| match answer {
            Err(Error::NotRegenerated(why)) => why,
            other => panic!("{other:?}"),
        };
        let missing = refused(again(TaskId(77), None).await);
        assert_eq!(missing, NotRegenerated::NoSuchTask { id: TaskId(77) });
        for id in [failed, done] {
            let why = refused(again(id, None).await);
            assert!(matches!(why, NotRegenerated::NotFailed { .. }), "{why:?}");
        }
        taskqueue.work("t", 1);
        taskqueue.work("u", 1);
        for id in [failed, buried] {
            let task = show(&queue, id).await;
            assert_eq!((task.status, task.attempts_total), (Status::Done, 2));
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_broker_what_failed_waits_again_and_the_answer_says_why_it_has_no_job() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let queue = open(&taskqueue, &server.url());
    let id = put(&queue, "no").await;
    taskqueue.work("t", 1);
    server.kill();
    let receipt = queue.regenerate(id, None).await.unwrap();
    assert!(!receipt.announced());
    assert_eq!(show(&queue, id).await.status, Status::Waiting);
}

#[tokio::test]
async fn what_ended_as_it_is_named_goes() {
    with_both(async |taskqueue, queue| {
        for command in ["ok", "no", "ok"] {
            put(&queue, command).await;
        }
        taskqueue.work("t", 3);
        put(&queue, "ok").await;
        let cleanup = async |cleanup: &Cleanup| {
            let Cleaned {
                deleted,
                would_delete,
                kept,
                ..
            } = queue.cleanup(cleanup).await.unwrap();
            assert_eq!(kept, []);
            (deleted, would_delete)
        };
        let at_once = || Cleanup::older_than(Duration::ZERO);
        let hour = Cleanup::older_than(Duration::from_secs(3600));
        assert_eq!(cleanup(&hour).await, (0, 0));
        assert_eq!(cleanup(&Cleanup::older_than(Duration::MAX)).await, (0, 0));
        assert_eq!(cleanup(&at_once().dry_run()).await, (0, 2));
        let both = at_once().ended(Ended::Failed).ended(Ended::Done);
        assert_eq!(cleanup(&both.clone().dry_run()).await, (0, 3));
        assert_eq!(cleanup(&at_once()).await, (2, 0));
        assert_eq!(cleanup(&both).await, (1, 0));
        assert_eq!(cleanup(&both).await, (0, 0));
        assert_eq!(queue.counts().await.unwrap()["t"].waiting, 1);
    })
    .await;
}

#[tokio::test]
async fn tasks_whose_jobs_may_be_there_stay_and_the_answer_says_why() {
    let (mut server, wrong) = (Beanstalkd::start(), Beanstalkd::start());
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let mut other = server.other();
    other.use_tube("raw").unwrap();
    let minute = Duration::from_secs(60);
    other.put(b"hello", 0, Duration::ZERO, minute).unwrap();
    taskqueue.work("raw", 1);
    // As if its worker had died before it could note it.
    let unsure = "UPDATE foreign_jobs SET gone = 0";
    taskqueue.sqlite().execute_batch(unsure).unwrap();
    let cleanup = async |broker: &str| {
        let queue = open(&taskqueue, broker);
        let all = Cleanup::older_than(Duration::ZERO);
        let cleaned = queue.cleanup(&all).await.unwrap();
        (cleaned.deleted, cleaned.kept)
    };
    let elsewhere = Kept::Elsewhere { tasks: 1 };
    assert_eq!(cleanup(&wrong.url()).await, (0, vec![elsewhere]));
    let url = server.url();
    server.kill();
    let unasked = cleanup(&url).await;
    assert!(
        matches!(
            unasked.1.as_slice(),
            [Kept::Unasked {
                tasks: 1,
                error: BrokerError::Unreachable { .. }
            }]
        ),
        "{unasked:?}"
    );
}

#[tokio::test]
async fn who_puts_while_many_rows_go_does_not_wait_for_all_of_them() {
    let taskqueue = Taskqueue::embedded();
    let queue = open(&taskqueue, "embedded");
    fill(&taskqueue.sqlite(), 10_000, 0);
    let all = Cleanup::older_than(Duration::ZERO);
    let cleaning = {
        let queue = queue.clone();
        tokio::spawn(async move { queue.cleanup(&all).await.unwrap() })
    };
    let mut puts = 0;
    while !cleaning.is_finished() {
        put(&queue, "ok").await;
        puts += 1;
    }
    assert_eq!(cleaning.await.unwrap().deleted, 10_000);
    assert!(puts > 3, "{puts}");
}

#[tokio::test]
async fn many_who_put_wait_for_a_silent_broker_once() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let queue = open(&taskqueue, &server.url());
    put(&queue, "ok").await;
    server.signal(Signal::STOP);
    let begun = Instant::now();
    let puts: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.put(&tube("t"), Put::command("ok")).await })
        })
        .collect();
    for put in puts {
        let receipt = put.await.unwrap().unwrap();
        assert!(!receipt.announced());
    }
    let took = begun.elapsed();
    server.signal(Signal::CONT);
    // Each by itself would have waited for five seconds.
    assert!(took < Duration::from_secs(12), "{took:?}");
    put(&queue, "ok").await;
    assert_eq!(queue.counts().await.unwrap()["t"].waiting, 6);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_made_by_looking() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let (broker, store) = (server.url().parse().unwrap(), taskqueue.store().into());
    assert!(Queue::open_existing(&broker, &store).unwrap().is_none());
    assert!(!taskqueue.store().exists());
    let id = put(&Queue::open(&broker, &store).unwrap(), "ok").await;
    let there = Queue::open_existing(&broker, &store).unwrap().unwrap();
    assert_eq!(show(&there, id).await.status, Status::Waiting);
    put(&there, "ok").await;
    assert_eq!(there.counts().await.unwrap()["t"].waiting, 2);
}

#[tokio::test]
async fn what_is_put_into_an_embedded_store_that_was_there_is_run() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    put(&open(&taskqueue, "embedded"), "ok").await;
    let (broker, store) = ("embedded".parse().unwrap(), taskqueue.store().into());
    let there = Queue::open_existing(&broker, &store).unwrap().unwrap();
    let id = put(&there, "ok").await;
    taskqueue.work("t", 2);
    assert_eq!(show(&there, id).await.status, Status::Done);
}

#[tokio::test]
async fn what_to_do_about_a_store_in_trouble_is_told() {
    let taskqueue = Taskqueue::alone();
    std::fs::create_dir(taskqueue.path("folder")).unwrap();
    let store = taskqueue.path("folder").into();
    let error = Queue::open(&NOBODY.parse().unwrap(), &store).unwrap_err();
    assert!(error.next().is_some(), "{error:?}");
}

/// A program that names a configuration makes the tasks of its hooks; one that names none makes none of them.
#[tokio::test]
async fn what_a_program_puts_has_the_hooks_of_the_configuration_that_it_names() {
    with_both(async |taskqueue, queue| {
        taskqueue.configure(&format!(
            "[hooks]\non_put = ['/bin/true']\non_cancelled = ['/bin/true']\n{COMMANDS}"
        ));
        let hooks = Filter::default().tube(&tube("hooks"));
        let made = async |queue: &Queue| {
            let page = queue.list(&hooks, None, 9).await.unwrap();
            let commands = page.tasks.iter().map(|task| task.command.clone().unwrap());
            commands.collect::<Vec<_>>()
        };
        put(&queue, "ok").await;
        assert_eq!(made(&queue).await, [""; 0]);
        let commands = taskqueue::config::commands(&taskqueue.path("taskqueue.toml")).unwrap();
        let told = open(taskqueue, taskqueue.broker()).configured(&commands);
        let id = put(&told, "ok").await;
        assert_eq!(made(&told).await, ["@on_put"]);
        told.cancel(id, &taskqueue::Cancel::default())
            .await
            .unwrap();
        assert_eq!(made(&told).await, ["@on_cancelled", "@on_put"]);
        // Their jobs are put, and run.
        taskqueue.work("hooks", 2);
        assert_eq!(told.counts().await.unwrap().get("hooks"), None);
        let none = taskqueue::config::commands(&taskqueue.path("none.toml"));
        assert!(none.is_err());
    })
    .await;
}
