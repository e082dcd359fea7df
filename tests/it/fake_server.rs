//! What no real server does, and the client must survive all the same.

use std::time::{Duration, Instant};

use taskqueue::broker::beanstalkd::Client;
use taskqueue::broker::{Broker, Error, Reserve};

use crate::support::{FakeServer, PATIENCE, Session, job, put, tube};

/// Long enough that only a server that says nothing at all exceeds it.
const ANSWER: Duration = Duration::from_secs(5);
/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

/// A reserve of a job, as errors name it.
async fn reserve(client: &mut Client) -> Result<Reserve, Error> {
    client.reserve(&[tube("default")], PATIENCE).await
}

fn asked() -> Session {
    Session::new().expect("reserve-with-timeout 20")
}

/// One bad answer, then a good one on the next connection: what the first is, and that the client
/// works again.
async fn error_of(first: Session) -> (Error, String) {
    let server = FakeServer::start(vec![first, asked().send("RESERVED 5 2\r\nok\r\n")]);
    let mut client = server.client(ANSWER);
    let error = reserve(&mut client)
        .await
        .expect_err("a bad answer was taken");
    match reserve(&mut client).await {
        Ok(Reserve::Job(job)) => assert_eq!((job.id, &job.body[..]), (5, &b"ok"[..])),
        other => panic!("after {error}: {other:?}"),
    }
    let address = server.address();
    server.finish();
    (error, address)
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let endless = "A".repeat(5000);
    let too_many = format!("RESERVED 1 1001\r\n{}", "x".repeat(1003));
    let table: &[(&str, &str)] = &[
        (
            "RESERVED 1 99999999999999999999\r\n",
            "RESERVED 1 99999999999999999999",
        ),
        (
            "RESERVED 1 18446744073709551615\r\n",
            "longer than the 1000 bytes",
        ),
        (&too_many, "does not end there"),
        ("RESERVED 1 -5\r\n", "RESERVED 1 -5"),
        ("RESERVED x 5\r\n", "RESERVED x 5"),
        ("RESERVED 1\r\n", "RESERVED 1"),
        ("RESERVED 1 3\r\nabcde", "does not end there"),
        ("RESERVED 1 3\r\nabc\n\n", "does not end there"),
        ("HELLO\r\n", "HELLO"),
        ("220 mail.example ESMTP\r\n", "220 mail.example"),
        ("DELETED\r\n", "DELETED"),
        ("NOT_FOUND\r\n", "NOT_FOUND"),
        ("FOUND 1 2\r\nab\r\n", "FOUND"),
        ("BAD_FORMAT\r\n", "BAD_FORMAT"),
        ("UNKNOWN_COMMAND\r\n", "UNKNOWN_COMMAND"),
        ("INTERNAL_ERROR\r\n", "INTERNAL_ERROR"),
        ("TIMED_OUT\n", "TIMED_OUT"),
        ("TIMED_OUT \r\n", "TIMED_OUT "),
        ("\r\n", "\"\""),
        ("TIMED_OUT\r\nTIMED_OUT\r\n", "after its answer"),
        (&endless, "a line without end"),
    ];
    for (said, expected) in table {
        let (error, address) = error_of(asked().send(said).hang()).await;
        let text = error.to_string();
        assert!(
            matches!(error, Error::Nonsense { .. }),
            "{said:?}: {error:?}"
        );
        assert!(text.contains(expected), "{said:?}: {text}");
        assert!(text.contains(&address), "{said:?}: {text}");
        assert!(text.contains("reserve-with-timeout"), "{said:?}: {text}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_escaped() {
    let (error, _) = error_of(asked().send(b"\xff\x1b[31m\r\n").hang()).await;
    assert!(error.to_string().contains(r"\xff\x1b[31m"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_lost_connection() {
    let pieces = [
        "",
        "R",
        "RESERVED 1 5\r",
        "RESERVED 1 5\r\n",
        "RESERVED 1 5\r\nabc",
        "RESERVED 1 5\r\nabcde",
        "RESERVED 1 5\r\nabcde\r",
    ];
    for piece in pieces {
        let (error, address) = error_of(asked().send(piece)).await;
        let text = error.to_string();
        assert!(
            matches!(error, Error::ConnectionLost { .. }),
            "{piece:?}: {error:?}"
        );
        assert!(text.contains(&address), "{text}");
    }
}

#[tokio::test]
async fn a_connection_closed_at_once_is_lost_or_made_anew() {
    let server = FakeServer::start(vec![Session::new(), asked().send("TIMED_OUT\r\n")]);
    let mut client = server.client(ANSWER);
    let error = reserve(&mut client).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    assert!(matches!(reserve(&mut client).await, Ok(Reserve::TimedOut)));
    server.finish();
}

#[tokio::test]
async fn a_byte_at_a_time_is_as_good_as_a_packet() {
    let server = FakeServer::start(vec![
        asked()
            .trickle("RESERVED 18446744073709551615 6\r\na\r\nb\r\n\r\n")
            .expect("touch 18446744073709551615")
            .trickle("TOUCHED\r\n")
            .expect("stats-job 1")
            .trickle("NOT_FOUND\r\n"),
    ]);
    let mut client = server.client(ANSWER);
    let Reserve::Job(job) = reserve(&mut client).await.unwrap() else {
        panic!("no job");
    };
    assert_eq!(&job.body[..], b"a\r\nb\r\n");
    client.touch(job.held()).await.unwrap();
    assert_eq!(client.stats_job(1).await, Ok(None));
    server.finish();
}

/// How long a call took that must end with [`Error::NoAnswer`].
async fn silence_of(server: FakeServer, patience: Duration) {
    let mut client = server.client(patience);
    let begun = Instant::now();
    let error = client.peek(1).await.unwrap_err();
    let took = begun.elapsed();
    let expected = Error::NoAnswer {
        address: server.address(),
        command: "peek",
        after: patience,
    };
    assert_eq!(error, expected);
    let latest = patience + Duration::from_secs(2);
    assert!(patience <= took && took < latest, "noticed after {took:?}");
    assert_eq!(client.peek(2).await, Ok(None));
    server.finish();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed() {
    for said in ["", "FOU", "FOUND 1 5\r\n", "FOUND 1 5\r\nabc"] {
        let first = Session::new().expect("peek 1").send(said).hang();
        let second = Session::new().expect("peek 2").send("NOT_FOUND\r\n");
        silence_of(FakeServer::start(vec![first, second]), SHORT).await;
    }
}

#[tokio::test]
async fn a_silent_server_is_noticed_in_reserve() {
    let server = FakeServer::start(vec![Session::new().hang()]);
    let mut client = server.client(ANSWER);
    let begun = Instant::now();
    let wait = Duration::from_millis(100);
    let error = client.reserve(&[tube("default")], wait).await.unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    // A tenth of a second counts as a whole one.
    let grace = Duration::from_secs(1)..Duration::from_secs(5);
    assert!(grace.contains(&took), "noticed after {took:?}");
    drop(client);
    server.finish();
}

#[tokio::test]
async fn a_server_that_falls_silent_in_a_job_is_noticed_long_before_the_reserve_ends() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("reserve-with-timeout 1000")
            .send("RESERVED 1 5\r\nab")
            .hang(),
    ]);
    let mut client = server.client(SHORT);
    let begun = Instant::now();
    let wait = Duration::from_secs(1000);
    let error = client.reserve(&[tube("default")], wait).await.unwrap_err();
    let took = begun.elapsed();
    assert!(
        matches!(error, Error::NoAnswer { after: SHORT, .. }),
        "{error:?}"
    );
    assert!(
        took < SHORT + Duration::from_secs(2),
        "noticed after {took:?}"
    );
    server.finish();
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let server = FakeServer::start(vec![]);
    let (mut client, address) = (server.client(ANSWER), server.address());
    server.finish();
    let error = client.peek(1).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { address: a, .. } if *a == address));
    let answers = client.put(&tube("t"), &[job("a"), job("b")]).await;
    assert_eq!(answers, [Err(error.clone()), Err(error)]);
}

#[tokio::test]
async fn words_out_of_turn_are_never_taken_for_an_answer() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("peek 1")
            .send("NOT_FOUND\r\n")
            .pause(SHORT)
            .send("NOT_FOUND\r\n")
            .hang(),
        Session::new().expect("peek 2").send("FOUND 2 1\r\nx\r\n"),
    ]);
    let mut client = server.client(ANSWER);
    assert_eq!(client.peek(1).await, Ok(None));
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(client.peek(2).await, Ok(Some("x".into())));
    server.finish();
}

#[tokio::test]
async fn times_are_sent_in_whole_seconds() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("use t")
            .expect("put 100 1 1 1")
            .send("USING t\r\nINSERTED 1\r\n")
            .swallow(3)
            // The server would take one more for a negative number, and wait for ever.
            .expect("reserve-with-timeout 2147483647")
            .send("RESERVED 1 1\r\nx\r\n")
            .expect("release 1 0 2")
            .send("RELEASED\r\n")
            .expect("pause-tube t 4294967295")
            .send("PAUSED\r\n"),
    ]);
    let mut client = server.client(ANSWER);
    let mut new = job("x");
    (new.delay, new.ttr) = (Duration::from_nanos(1), Duration::ZERO);
    put(&mut client, &tube("t"), new).await.unwrap();
    let tubes = [tube("default")];
    let reserved = client.reserve(&tubes, Duration::MAX).await.unwrap();
    let Reserve::Job(job) = reserved else {
        panic!("no job");
    };
    let delay = Duration::from_millis(1001);
    client.release(job, 0, delay).await.unwrap();
    client.pause(&tube("t"), Duration::MAX).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_refusal_for_want_of_memory_leaves_the_connection() {
    let put_line = "put 100 0 120 1";
    let server = FakeServer::start(vec![
        Session::new()
            .expect("use t")
            .send("USING t\r\n")
            .expect(put_line)
            .swallow(3)
            .send("OUT_OF_MEMORY\r\n")
            .expect(put_line)
            .swallow(3)
            .send("BURIED 7\r\n")
            .expect("watch t")
            .expect("ignore default")
            .expect("reserve-with-timeout 0")
            .send("WATCHING 2\r\nWATCHING 1\r\nRESERVED 7 1\r\nx\r\n")
            .expect("release 7 1 2")
            .send("BURIED\r\n"),
    ]);
    let mut client = server.client(ANSWER);
    let t = tube("t");
    assert_eq!(
        put(&mut client, &t, job("x")).await,
        Err(Error::OutOfMemory)
    );
    assert_eq!(put(&mut client, &t, job("x")).await, Ok(7));
    let Reserve::Job(job) = client.reserve(&[t], Duration::ZERO).await.unwrap() else {
        panic!("no job");
    };
    let delay = Duration::from_millis(1500);
    client.release(job, 1, delay).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_refused_watch_reserves_nothing() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("watch t")
            .send("OUT_OF_MEMORY\r\n")
            .hang(),
        Session::new()
            .expect("watch t")
            .expect("ignore default")
            .send("WATCHING 2\r\nWATCHING 1\r\nTIMED_OUT\r\n"),
    ]);
    let mut client = server.client(ANSWER);
    let error = client.reserve(&[tube("t")], PATIENCE).await.unwrap_err();
    assert_eq!(error, Error::OutOfMemory);
    let again = client.reserve(&[tube("t")], PATIENCE).await.unwrap();
    assert!(matches!(again, Reserve::TimedOut));
    server.finish();
}

#[tokio::test]
async fn a_batch_that_breaks_off_keeps_the_answers_it_has() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("use t")
            .send("USING t\r\nINSERTED 1\r\nJOB_TOO_BIG\r\nINSERTED 2\r\nINSERT")
            .swallow("put 100 0 120 1\r\nx\r\n".len() * 6),
        Session::new()
            .expect("use t")
            .send("USING t\r\n")
            .swallow(20)
            .send("INSERTED 9\r\n"),
    ]);
    let mut client = server.client(ANSWER);
    let jobs = vec![job("x"); 6];
    let answers = client.put(&tube("t"), &jobs).await;
    assert_eq!(
        &answers[..3],
        [Ok(1), Err(Error::TooBig { size: 1 }), Ok(2)]
    );
    for answer in &answers[3..] {
        assert!(
            matches!(answer, Err(Error::ConnectionLost { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(answers.len(), 6);
    assert_eq!(put(&mut client, &tube("t"), job("x")).await, Ok(9));
    server.finish();
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_is_given_up() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("use t")
            .send("USING t\r\nINSERTED 1\r\nEXPECTED_CRLF\r\n")
            .hang(),
    ]);
    let mut client = server.client(ANSWER);
    let answers = client.put(&tube("t"), &vec![job("x"); 3]).await;
    assert_eq!(answers[0], Ok(1));
    for answer in &answers[1..] {
        assert!(matches!(answer, Err(Error::Nonsense { .. })), "{answer:?}");
    }
    server.finish();
}

#[tokio::test]
async fn a_reservation_of_another_connection_is_not_even_asked_about() {
    let server = FakeServer::start(vec![
        asked()
            .send("RESERVED 1 1\r\nx\r\n")
            .expect("peek 2")
            .send("HELLO\r\n"),
        Session::new().expect("peek 3").send("NOT_FOUND\r\n").hang(),
    ]);
    let mut client = server.client(ANSWER);
    let Reserve::Job(job) = reserve(&mut client).await.unwrap() else {
        panic!("no job");
    };
    assert!(client.peek(2).await.is_err());
    // No connection, and then another one: the second session would not expect a touch.
    let lost = Err(Error::ReservationLost { id: 1 });
    assert_eq!(client.touch(job.held()).await, lost);
    assert_eq!(client.peek(3).await, Ok(None));
    assert_eq!(client.touch(job.held()).await, lost);
    assert_eq!(client.delete(job).await, lost);
    drop(client);
    server.finish();
}

/// What a server answers to `stats`, as far as it is read.
fn describes_itself(id: &str) -> String {
    let said = format!("---\nid: {id}\nversion: 1.12\nmax-job-size: 65535\ndraining: false\n");
    format!("OK {}\r\n{said}\r\n", said.len())
}

fn named(id: &str) -> Session {
    Session::new().expect("stats").send(describes_itself(id))
}

/// Goes on with a put of one byte into the tube in use.
fn takes(session: Session, id: u64) -> Session {
    let put = session.expect("put 100 0 120 1").swallow(3);
    put.send(format!("INSERTED {id}\r\n"))
}

#[tokio::test]
async fn a_put_goes_to_the_instance_that_was_named_or_nowhere() {
    let server = FakeServer::start(vec![
        // Gone between its name and the put.
        named("a"),
        // Gone in the middle of the put.
        named("b").expect("use t"),
        takes(named("c").expect("use t").send("USING t\r\n"), 1),
        takes(named("d").expect("use t").send("USING t\r\n"), 2).hang(),
    ]);
    let (mut client, t) = (server.client(ANSWER), tube("t"));
    for gone in ["a", "b"] {
        let lost = client.deliver(&t, &[job("x")]).await;
        let is_lost = matches!(lost.answers[..], [Err(Error::ConnectionLost { .. })]);
        assert!(
            is_lost && lost.instance.as_deref() == Some(gone),
            "{lost:?}"
        );
    }
    for (instance, id) in [("c", 1), ("d", 2)] {
        let put = client.deliver(&t, &[job("x")]).await;
        let expected = (Some(instance), vec![Ok(id)]);
        assert_eq!((put.instance.as_deref(), put.answers), expected);
        // The server hangs up, and the runtime hears of it.
        tokio::time::sleep(SHORT).await;
    }
    drop(client);
    server.finish();
}

#[tokio::test]
async fn a_server_that_has_gone_is_named_no_more_though_nobody_has_noticed() {
    let server = FakeServer::start(vec![named("a").pause(SHORT / 3), takes(named("b"), 1)]);
    let mut client = server.client(ANSWER);
    assert_eq!(client.instance().await.unwrap(), "a");
    // The runtime cannot look meanwhile.
    std::thread::sleep(SHORT);
    assert_eq!(client.instance().await.unwrap(), "b");
    let put = client.deliver(&tube("default"), &[job("x")]).await;
    assert_eq!(
        (put.instance.as_deref(), put.answers),
        (Some("b"), vec![Ok(1)])
    );
    server.finish();
}

#[tokio::test]
async fn a_body_that_no_server_could_take_is_not_sent() {
    let server = FakeServer::start(vec![
        Session::new()
            .expect("use t")
            .expect("put 100 0 120 1")
            .send("USING t\r\nINSERTED 4\r\n")
            .swallow(3),
    ]);
    let mut client = server.client(ANSWER);
    // Zeroes that nobody reads cost no memory.
    let size = (1 << 30) + 1;
    let mut huge = job("");
    huge.body = vec![0; size].into();
    let refused = put(&mut client, &tube("t"), huge.clone()).await;
    assert_eq!(refused, Err(Error::TooBig { size }));
    let answers = client.put(&tube("t"), &[huge, job("x")]).await;
    assert_eq!(answers, [Err(Error::TooBig { size }), Ok(4)]);
    server.finish();
}
