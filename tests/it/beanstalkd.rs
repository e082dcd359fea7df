//! What the client promises of beanstalkd alone: connections, time limits, the operator's commands.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use taskqueue::broker::beanstalkd::{Client, Settings};
use taskqueue::broker::{Broker, Error, JobId, JobState, Reserve};

use crate::support::{Beanstalkd, PATIENCE, eventually, job, put, reserve, tube};

const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_stopped_server_is_noticed_and_then_works_again() {
    let server = Beanstalkd::start();
    let mut client = server.client_with(SHORT);
    let t = tube("t");
    put(&mut client, &t, job("before")).await.unwrap();
    server.signal(Signal::STOP);
    let begun = Instant::now();
    let error = client.stats_tube(&t).await.unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    assert!(
        took < SHORT + Duration::from_secs(2),
        "noticed after {took:?}"
    );
    // The kernel goes on accepting connections for it.
    let error = put(&mut client, &t, job("meanwhile")).await.unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    let begun = Instant::now();
    let error = client
        .reserve(std::slice::from_ref(&t), Duration::ZERO)
        .await
        .unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    assert!(took < Duration::from_secs(4), "noticed after {took:?}");
    server.signal(Signal::CONT);
    let reserved = reserve(&mut client, &t).await;
    assert_eq!(&reserved.body[..], b"before");
    client.delete(reserved).await.unwrap();
}

#[tokio::test]
async fn a_stopped_server_does_not_swallow_a_batch() {
    let server = Beanstalkd::start_with(&["-z", "1000000"]);
    let mut client = server.client_with(SHORT);
    put(&mut client, &tube("t"), job("")).await.unwrap();
    server.signal(Signal::STOP);
    // More than all buffers on the way can hold.
    let jobs = vec![job(vec![b'x'; 1_000_000]); 20];
    let answers = client.put(&tube("t"), &jobs).await;
    assert_eq!(answers.len(), jobs.len());
    for answer in answers {
        assert!(matches!(answer, Err(Error::NoAnswer { .. })), "{answer:?}");
    }
    server.signal(Signal::CONT);
}

#[tokio::test]
async fn the_first_call_connects_and_an_error_is_not_for_ever() {
    let mut server = Beanstalkd::start();
    let mut client = server.client();
    server.kill();
    let error = client.instance().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unreachable { .. }), "{text}");
    assert!(
        text.contains(&format!("127.0.0.1:{}", server.port())),
        "{text}"
    );
    server.restart();
    client.instance().await.unwrap();
}

#[tokio::test]
async fn a_restarted_server_is_told_again_which_tubes() {
    let mut server = Beanstalkd::with_binlog();
    let mut client = server.client();
    let (a, b) = (tube("a"), tube("b"));
    put(&mut client, &a, job("1")).await.unwrap();
    let tubes = [a.clone(), b.clone()];
    let Reserve::Job(held) = client.reserve(&tubes, PATIENCE).await.unwrap() else {
        panic!("no job");
    };
    let before = client.instance().await.unwrap();
    server.restart();
    // Whether the client has already noticed or not: what it held is not its own any more.
    let lost = client.touch(held.held()).await.unwrap_err();
    let known = matches!(
        lost,
        Error::ReservationLost { .. } | Error::ConnectionLost { .. }
    );
    assert!(known, "{lost:?}");
    assert_eq!(
        client.touch(held.held()).await,
        Err(Error::ReservationLost { id: held.id })
    );
    assert_ne!(client.instance().await.unwrap(), before);
    assert_eq!(
        client.delete(held).await,
        Err(Error::ReservationLost { id: 1 })
    );
    put(&mut client, &b, job("2")).await.unwrap();
    let mut bodies = Vec::new();
    while let Reserve::Job(job) = client.reserve(&tubes, Duration::ZERO).await.unwrap() {
        bodies.push(job.body);
    }
    assert_eq!(bodies, ["1", "2"]);
}

#[tokio::test]
async fn an_idle_client_does_not_mind_a_restart() {
    let mut server = Beanstalkd::start();
    let mut client = server.client();
    let before = client.instance().await.unwrap();
    server.restart();
    // The runtime has to see that the old connection ended.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_ne!(client.instance().await.unwrap(), before);
}

#[tokio::test]
async fn an_instance_is_asked_for_once_a_connection() {
    let server = Beanstalkd::start();
    let mut client = server.client();
    let t = tube("t");
    let before = server.counts("cmd-stats");
    for _ in 0..100 {
        client.instance().await.unwrap();
        assert!(client.deliver(&t, &[job("")]).await.answers[0].is_ok());
    }
    // Once, and what we ask here.
    assert_eq!(server.counts("cmd-stats"), before + 2);
    client.about().await.unwrap();
    assert_eq!(server.counts("cmd-stats"), before + 4);
}

#[tokio::test]
async fn a_dropped_future_ends_the_connection_and_gives_the_job_back() {
    let server = Beanstalkd::start();
    let (mut client, mut other) = (server.client(), server.client());
    let t = tube("t");
    put(&mut other, &t, job("held")).await.unwrap();
    let held = reserve(&mut client, &t).await;
    let tubes = [t.clone()];
    let waiting = client.reserve(&tubes, PATIENCE);
    assert!(tokio::time::timeout(SHORT, waiting).await.is_err());
    let lost = Err(Error::ReservationLost { id: held.id });
    assert_eq!(client.touch(held.held()).await, lost);
    let again = reserve(&mut other, &t).await;
    assert_eq!(again.id, held.id);
    assert_eq!(client.delete(held).await, lost);
    other.delete(again).await.unwrap();
}

#[tokio::test]
async fn tubes_are_used_and_watched_only_when_they_change() {
    let server = Beanstalkd::start();
    let mut client = server.client();
    let tubes = [tube("a"), tube("b")];
    for _ in 0..3 {
        put(&mut client, &tubes[0], job("")).await.unwrap();
        client.reserve(&tubes, Duration::ZERO).await.unwrap();
    }
    client.reserve(&tubes[1..], Duration::ZERO).await.unwrap();
    let mut other = server.other();
    let counts = other.stats().unwrap();
    // Connections: the readiness check of the server itself, the client's, and this one.
    let expected = [
        ("cmd-use", "1"),
        ("cmd-watch", "2"),
        ("cmd-ignore", "2"),
        ("total-connections", "3"),
    ];
    for (name, count) in expected {
        assert_eq!(counts[name], count, "{name}");
    }
    // One is in use, the other watched.
    for (name, using, watching) in [("a", "1", "0"), ("b", "0", "1")] {
        let tube = other.stats_tube(name).unwrap();
        assert_eq!(
            (&*tube["current-using"], &*tube["current-watching"]),
            (using, watching),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_server_describes_itself() {
    let server = Beanstalkd::start_with(&["-z", "12345"]);
    let mut client = server.client();
    let instance = client.about().await.unwrap();
    assert_eq!(instance.max_job_size, 12345);
    assert!(!instance.draining && !instance.id.is_empty());
    assert!(instance.version.starts_with("1."), "{}", instance.version);
    server.signal(Signal::USR1);
    eventually("draining", async || client.about().await.unwrap().draining).await;
}

#[tokio::test]
async fn the_longest_times_are_taken() {
    let server = Beanstalkd::start();
    let (mut client, mut other) = (server.client(), server.client());
    let t = tube("t");
    let mut longest = job("");
    (longest.priority, longest.ttr, longest.delay) = (u32::MAX, Duration::MAX, Duration::MAX);
    let id = put(&mut client, &t, longest).await.unwrap();
    let stats = client.stats_job(id).await.unwrap().unwrap();
    assert_eq!(stats.ttr.as_secs(), u64::from(u32::MAX));
    assert_eq!((stats.state, stats.priority), (JobState::Delayed, u32::MAX));
    let tubes = [t.clone()];
    let waiting = client.reserve(&tubes, Duration::MAX);
    let kicking = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.kick_job(id).await.unwrap();
    };
    let (reserved, ()) = tokio::join!(waiting, kicking);
    assert!(matches!(reserved.unwrap(), Reserve::Job(job) if job.id == id));
}

#[tokio::test]
async fn ipv6_is_spoken() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    // A listener of our own: the test's server is on IPv4.
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Beanstalkd::start();
    let relayed = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut near, _) = listener.accept().await.unwrap();
            let far = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await;
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far.unwrap()).await;
        }
    });
    for host in ["::1", "[::1]"] {
        let mut client = Client::new(host, port);
        client.instance().await.unwrap();
    }
    relayed.await.unwrap();
    let error = Client::new("[::1]", port).instance().await.unwrap_err();
    assert!(
        error.to_string().contains(&format!("[::1]:{port}")),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_of_megabytes_comes_back() {
    let server = Beanstalkd::start_with(&["-z", "8000000"]);
    let mut client = server.client();
    let body: Vec<u8> = (0..8_000_000_u32)
        .map(|n| n.to_le_bytes()[n as usize % 3])
        .collect();
    let t = tube("t");
    let mut too_big = job(&body);
    too_big.body = [&body[..], b"x"].concat().into();
    let jobs = [job("before"), too_big, job(&body)];
    let answers = client.put(&t, &jobs).await;
    assert_eq!(
        answers,
        [Ok(1), Err(Error::TooBig { size: 8_000_001 }), Ok(2)]
    );
    assert_eq!(reserve(&mut client, &t).await.body, "before");
    assert!(reserve(&mut client, &t).await.body == body);
    assert_eq!(client.peek(1).await, Ok(Some("before".into())));
}

/// It has a number, and the server does not keep it from those who ask.
#[tokio::test]
async fn a_job_whose_body_is_on_its_way_is_not_there_yet() {
    let server = Beanstalkd::start();
    let mut client = server.client();
    let first = put(&mut client, &tube("t"), job("first")).await.unwrap();
    let address = server.url().replace("beanstalk://", "");
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"put 0 0 60 4\r\nha").unwrap();
    let next: JobId = first + 1;
    // As long as the server has not read so much, nobody has that number.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.stats_job(next).await, Ok(None));
    let both = client.stats_jobs(&[first, next]).await.unwrap();
    assert!(both[0].is_some() && both[1].is_none());
    slow.write_all(b"lf\r\n").unwrap();
    let mut said = [0; 12];
    slow.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"INSERTED 2\r\n");
    assert!(client.stats_job(next).await.unwrap().is_some());
}

#[tokio::test]
async fn a_host_that_does_not_accept_is_given_up() {
    // A listener whose queue of connections that nobody accepts is full.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, SHORT) {
        queued.push(stream);
    }
    let settings = Settings {
        connect_timeout: SHORT,
        ..Settings::default()
    };
    let mut client = Client::with_settings("127.0.0.1", address.port(), settings);
    let begun = Instant::now();
    let error = client.instance().await.unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(
        error.to_string().contains("no answer within 0.5s"),
        "{error}"
    );
    assert!(
        took < SHORT + Duration::from_secs(2),
        "gave up after {took:?}"
    );
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_an_error() {
    let mut client = Client::new("no-such-host.invalid", 11300);
    let error = client.instance().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}
