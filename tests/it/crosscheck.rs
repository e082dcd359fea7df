//! Our client against one that is not ours, over a real server: neither is tested only against itself.

use std::time::Duration;

use beanstalkc::Beanstalkc;
use taskqueue::broker::{Broker, JobState, NewJob};

use crate::support::{Beanstalkd, put, reserve, tube};

#[tokio::test]
async fn what_another_client_puts_is_reserved() {
    let server = Beanstalkd::start();
    let mut other = server.other();
    other.use_tube("mail").unwrap();
    let body = b"\r\nhello\0\xff\r\n";
    let ttr = Duration::from_secs(77);
    let id = other.put(body, 5, Duration::ZERO, ttr).unwrap();

    let mut client = server.client();
    let job = reserve(&mut client, &tube("mail")).await;
    assert_eq!((job.id, &job.body[..]), (id, &body[..]));
    let stats = client.stats_job(id).await.unwrap().unwrap();
    assert_eq!((stats.priority, stats.ttr), (5, ttr));
    assert_eq!(stats.tube, tube("mail"));
    client.delete(job).await.unwrap();
    assert!(other.peek(id).is_err());
}

#[tokio::test]
async fn what_is_put_another_client_reserves() {
    let server = Beanstalkd::start();
    let mut client = server.client();
    let job = NewJob {
        body: (&b"two\r\nlines"[..]).into(),
        priority: 9,
        delay: Duration::from_millis(1),
        ttr: Duration::from_millis(41_500),
    };
    let id = put(&mut client, &tube("mail"), job).await.unwrap();

    let mut other = server.other();
    other.watch("mail").unwrap();
    let mut job = other.reserve_with_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((job.id(), job.body()), (id, &b"two\r\nlines"[..]));
    let stats = job.stats().unwrap();
    for (name, value) in [
        ("pri", "9"),
        ("delay", "1"),
        ("ttr", "42"),
        ("tube", "mail"),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    job.bury(3).unwrap();
    let stats = client.stats_job(id).await.unwrap().unwrap();
    assert_eq!(
        (stats.state, stats.priority, stats.buries),
        (JobState::Buried, 3, 1)
    );
}

#[tokio::test]
async fn what_is_done_to_a_job_another_client_sees() {
    let server = Beanstalkd::start();
    let (mut client, mut other) = (server.client(), server.other());
    let mail = tube("mail");
    let id = put(&mut client, &mail, crate::support::job("x"))
        .await
        .unwrap();
    let state = |other: &mut Beanstalkc| other.stats_job(id).unwrap()["state"].clone();

    let job = reserve(&mut client, &mail).await;
    assert_eq!(state(&mut other), "reserved");
    client.touch(job.held()).await.unwrap();
    client.bury(job, 1).await.unwrap();
    assert_eq!(state(&mut other), "buried");
    assert_eq!(client.kick(&mail, 10).await, Ok(1));
    assert_eq!(state(&mut other), "ready");
    let job = reserve(&mut client, &mail).await;
    client
        .release(job, 1, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(state(&mut other), "delayed");
    client.kick_job(id).await.unwrap();
    assert_eq!(state(&mut other), "ready");
    client.pause(&mail, Duration::from_secs(60)).await.unwrap();
    assert_eq!(other.stats_tube("mail").unwrap()["pause"], "60");
    client.remove(id).await.unwrap();
    assert!(other.stats_job(id).is_err());
}

#[tokio::test]
async fn both_clients_read_the_same_statistics() {
    let server = Beanstalkd::start();
    let (mut client, mut other) = (server.client(), server.other());
    let (ours, theirs) = (client.about().await.unwrap(), other.stats().unwrap());
    assert_eq!(
        (ours.id, ours.version),
        (theirs["id"].clone(), theirs["version"].clone())
    );
    assert_eq!(ours.max_job_size.to_string(), theirs["max-job-size"]);
    assert_eq!(ours.draining.to_string(), theirs["draining"]);
}
