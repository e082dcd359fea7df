//! The library as a producer written in Rust uses it.

mod queue;

use std::time::Duration;

use taskqueue::broker::{Broker, Error as Trouble};
use taskqueue::{Error, Put, Queue};
use uuid::Uuid;

use crate::support::{Beanstalkd, NOBODY, Taskqueue, reserve, tube};

const COMMANDS: &str =
    "[commands.argv]\nrun = ['/bin/echo']\noptions = 'any'\n[commands.cat]\nrun = ['/bin/cat']
[tubes.t]\ncommand = 'cat'";

fn open(taskqueue: &Taskqueue, broker: &str) -> Queue {
    Queue::open(&broker.parse().unwrap(), &taskqueue.store().into()).unwrap()
}

#[tokio::test]
async fn what_is_put_is_run_and_its_status_is_told() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let queue = open(&taskqueue, &server.url());
    let call = Put::command("argv")
        .argument("a b")
        .argument("")
        .option("format", "$(pdf)")
        .flag("copy");
    let called = queue.put(&tube("t"), call).await.unwrap();
    let raw = queue.put(&tube("t"), Put::raw("x\0y")).await.unwrap();
    assert!(called.announced() && raw.announced());
    let status = async |id| queue.show(id).await.unwrap().unwrap();
    assert_eq!(status(called.id).await.status.as_str(), "waiting");
    taskqueue.work("t", 2);
    let task = status(called.id).await;
    assert_eq!((task.status.as_str(), task.uuid), ("done", called.uuid));
    let printed = |task: &taskqueue::ledger::read::Task| {
        let output = task.attempts[0].output.as_ref().unwrap();
        output.to_text().to_string()
    };
    assert_eq!(printed(&task), "a b  --format=$(pdf) --copy\n");
    assert_eq!(printed(&status(raw.id).await), "x\0y");
    assert!(queue.show(77).await.unwrap().is_none());
    assert!(queue.show(Uuid::now_v7()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_job_is_put_as_it_was_asked_for() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let queue = open(&taskqueue, &server.url());
    let put = Put::command("argv")
        .priority(7)
        .delay(Duration::from_millis(900))
        .ttr(Duration::from_millis(1500));
    queue.put(&tube("t"), put).await.unwrap();
    let mut client = server.client();
    let job = reserve(&mut client, &tube("t")).await;
    let stats = Broker::stats_job(&mut client, job.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((stats.priority, stats.ttr), (7, Duration::from_secs(2)));
}

#[tokio::test]
async fn no_duration_is_too_long() {
    let taskqueue = Taskqueue::embedded();
    let queue = open(&taskqueue, "embedded");
    let longest = Put::command("argv").ttr(Duration::MAX);
    queue.put(&tube("t"), longest).await.unwrap();
    let later = Put::command("argv").delay(Duration::MAX);
    queue.put(&tube("t"), later).await.unwrap();
    let ttr = "SELECT ttr FROM tasks WHERE id = 1";
    let ttr: i64 = taskqueue
        .sqlite()
        .query_row(ttr, [], |row| row.get(0))
        .unwrap();
    assert_eq!(ttr, i64::from(u32::MAX));
}

#[tokio::test]
async fn a_job_is_noted_at_the_instance_that_has_it() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let queue = open(&taskqueue, &server.url());
    let mut noted = Vec::new();
    for _ in 0..3 {
        let task = queue.put(&tube("t"), Put::command("argv")).await.unwrap();
        let today = Broker::instance(&mut server.client()).await.unwrap();
        let at = format!(
            "SELECT max(instance) FROM task_jobs WHERE task = {}",
            task.id
        );
        let at: Option<String> = taskqueue
            .sqlite()
            .query_row(&at, [], |row| row.get(0))
            .unwrap();
        // The put may be the first to hear that the server was restarted.
        assert_eq!(at.as_ref(), task.announced().then_some(&today), "{task:?}");
        noted.push(at);
        server.restart();
    }
    assert!(
        noted[0].is_some() && !noted[1..].contains(&noted[0]),
        "{noted:?}"
    );
}

#[tokio::test]
async fn without_a_broker_a_task_is_recorded() {
    let taskqueue = Taskqueue::alone();
    let queue = open(&taskqueue, NOBODY);
    let task = queue.put(&tube("t"), Put::command("argv")).await.unwrap();
    assert!(!task.announced());
    assert!(matches!(task.trouble, Some(Trouble::Unreachable { .. })));
    let task = queue.show(task.uuid).await.unwrap().unwrap();
    assert_eq!(task.status.as_str(), "waiting");
}

#[tokio::test]
async fn one_that_is_refused_does_not_keep_the_others_from_being_put() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let queue = open(&taskqueue, &server.url());
    let uuid = Uuid::now_v7();
    let command = || Put::command("argv");
    let puts = vec![
        command().uuid(uuid),
        Put::command("no name"),
        command().uuid(uuid),
        command().argument("other").uuid(uuid),
        command().argument("a\0b"),
        command().option("x", "1").flag("x"),
        command().flag("--x"),
        Put::raw("body").argument("x"),
        command().ttr(Duration::ZERO),
    ];
    let answers = queue.put_all(&tube("t"), puts).await.unwrap();
    let ids: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().ok().map(|receipt| receipt.id))
        .collect();
    let again = ids[0];
    assert!(
        again.is_some() && ids[2] == again && ids[8].is_some(),
        "{ids:?}"
    );
    assert_eq!(ids.iter().flatten().count(), 3, "{ids:?}");
    assert!(matches!(answers[7], Err(Error::Raw)));
    let jobs = Broker::stats_tube(&mut server.client(), &tube("t")).await;
    assert_eq!(jobs.unwrap().unwrap().ready, 2);
    assert!(queue.put_all(&tube("t"), vec![]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_fails_is_an_error() {
    let taskqueue = Taskqueue::alone();
    std::fs::create_dir(taskqueue.path("folder")).unwrap();
    let opened = Queue::open(&NOBODY.parse().unwrap(), &taskqueue.path("folder").into());
    assert!(matches!(opened, Err(Error::Store(_))), "{opened:?}");
    let queue = open(&taskqueue, NOBODY);
    taskqueue
        .sqlite()
        .execute_batch("DROP TABLE output; DROP TABLE attempts; DROP TABLE tasks")
        .unwrap();
    let put = queue.put(&tube("t"), Put::command("argv")).await;
    assert!(matches!(put, Err(Error::Store(_))), "{put:?}");
}
