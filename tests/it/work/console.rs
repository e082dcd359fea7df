//! What somebody does at the broker with a console, and what becomes of the tasks whose jobs these are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::support::{Beanstalkd, TEND_ONE, Taskqueue, until};

const COMMANDS: &str = "[commands.ok]\nrun = [\"true\"]\noptions = \"any\"\n\
    [commands.quiet]\nrun = [\"true\"]\nstdin = \"body\"\n\
    [commands.bad]\nrun = [\"false\"]\non_failure = \"bury\"\n\
    [commands.later]\nrun = [\"test\", \"-e\", \"up\"]\nmax_attempts = 5\nbackoff = { first = \"1h\" }\n";

/// A connection such as a console has.
struct Console(BufReader<TcpStream>);

impl Console {
    fn of(server: &Beanstalkd) -> Console {
        let url = server.url();
        let stream = TcpStream::connect(url.strip_prefix("beanstalk://").unwrap()).unwrap();
        let mut console = Console(BufReader::new(stream));
        assert_eq!(console.says("use t"), "USING t");
        console
    }

    fn says(&mut self, order: &str) -> String {
        self.0
            .get_mut()
            .write_all(format!("{order}\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// The body of a job.
    fn body(&mut self, job: &str) -> String {
        let found = self.says(&format!("peek {job}"));
        let size: usize = found.rsplit(' ').next().unwrap().parse().unwrap();
        let mut body = vec![0; size + 2];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap().trim_end().to_owned()
    }
}

fn at_work() -> (Beanstalkd, Taskqueue) {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    (server, taskqueue)
}

fn put(taskqueue: &Taskqueue, args: &[&str]) -> String {
    let put = [&["put", "--use-tube", "t"], args].concat();
    taskqueue.run(&put).ok().trim().to_owned()
}

fn is(taskqueue: &Taskqueue, task: &str, status: &str) -> bool {
    taskqueue.show(task)["status"] == status
}

fn job(taskqueue: &Taskqueue, task: &str) -> String {
    taskqueue.show(task)["job"].to_string()
}

#[test]
fn a_job_says_which_task_it_is_and_nothing_that_is_not_for_all() {
    let (server, taskqueue) = at_work();
    let mut console = Console::of(&server);
    for (args, about) in [
        (
            &["ok", "12", "--option", "password=hunter2"][..],
            r#""for":"ok 12"}"#,
        ),
        (&["ok", "12", "hunter2"], r#""for":"ok 12 …"}"#),
        (&["ok", "hunter 2"], r#""for":"ok …"}"#),
        // What stands in no argument list on the worker's machine either.
        (&["quiet", "hunter2"], r#""for":"quiet …"}"#),
    ] {
        let task = put(&taskqueue, args);
        let body = console.body(&job(&taskqueue, &task));
        assert!(body.ends_with(about), "{args:?}: {body}");
        assert!(!body.contains("hunter"), "{body}");
    }
    // And they are run.
    taskqueue.work("t", 4);
    assert_eq!(console.says("peek-ready"), "NOT_FOUND");
}

#[test]
fn a_kick_of_what_waits_runs_it_now() {
    let (server, taskqueue) = at_work();
    let mut console = Console::of(&server);
    let _worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    // A delay of the producer's.
    let delayed = put(&taskqueue, &["--delay", "1h", "ok"]);
    assert_eq!(console.says("kick 10"), "KICKED 1");
    until("it is done", || is(&taskqueue, &delayed, "done"));

    // The wait before a retry, though the trouble is over.
    let retried = put(&taskqueue, &["later"]);
    let attempts = |number| {
        until("it is tried", || {
            taskqueue.show(&retried)["attempts"]
                .as_array()
                .unwrap()
                .len()
                == number
        });
        until("it waits", || is(&taskqueue, &retried, "waiting"));
    };
    attempts(1);
    let kick = format!("kick-job {}", job(&taskqueue, &retried));
    until("kicked", || console.says(&kick) == "KICKED");
    attempts(2);
    std::fs::write(taskqueue.path("up"), "").unwrap();
    until("kicked again", || console.says(&kick) == "KICKED");
    until("it is done", || is(&taskqueue, &retried, "done"));
    assert_eq!(
        taskqueue.show(&retried)["attempts"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn a_kick_of_a_buried_job_tries_its_task_anew() {
    let (server, taskqueue) = at_work();
    let mut console = Console::of(&server);
    let failed = put(&taskqueue, &["bad"]);
    taskqueue.work("t", 1);
    assert!(is(&taskqueue, &failed, "failed"));
    assert_eq!(console.says("kick 10"), "KICKED 1");
    taskqueue.work("t", 1);
    assert_eq!(
        taskqueue.show(&failed)["attempts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_deleted_job_comes_back_as_long_as_its_task_waits() {
    let (server, taskqueue) = at_work();
    let mut console = Console::of(&server);
    let (task, other) = (
        put(&taskqueue, &["ok", "1"]),
        put(&taskqueue, &["--delay", "1h", "ok"]),
    );
    for task in [&task, &other] {
        let delete = format!("delete {}", job(&taskqueue, task));
        assert_eq!(console.says(&delete), "DELETED");
    }
    let ran = taskqueue.run(&["reconcile", "--use-tube", "t", "--log", "info"]);
    let said = "puts jobs again that somebody deleted at the broker";
    assert!(
        ran.stderr.contains(said) && ran.stderr.contains("jobs=2"),
        "{ran:?}"
    );
    let body = console.body(&job(&taskqueue, &task));
    assert!(body.ends_with(r#""for":"ok"}"#), "{body}");
    taskqueue.work("t", 1);
    assert!(is(&taskqueue, &task, "done") && is(&taskqueue, &other, "waiting"));

    // By a tender alone, in a tube that has run empty.
    let delete = format!("delete {}", job(&taskqueue, &other));
    assert_eq!(console.says(&delete), "DELETED");
    let _tender = taskqueue.start(&TEND_ONE);
    until("it is there again", || {
        console.says("peek-delayed").starts_with("FOUND")
    });
}

/// A task that has failed needs no job.
#[test]
fn a_buried_job_that_is_deleted_leaves_its_task_as_it_is() {
    let (server, taskqueue) = at_work();
    let mut console = Console::of(&server);
    let failed = put(&taskqueue, &["bad"]);
    taskqueue.work("t", 1);
    let delete = format!("delete {}", job(&taskqueue, &failed));
    assert_eq!(console.says(&delete), "DELETED");
    let ran = taskqueue
        .run(&["reconcile", "--use-tube", "t", "--json"])
        .json();
    assert_eq!(ran["put"], 0);
    assert!(is(&taskqueue, &failed, "failed"));
    taskqueue.run(&["regenerate", "--id", &failed]).ok();
    taskqueue.work("t", 1);
    assert_eq!(
        taskqueue.show(&failed)["attempts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
