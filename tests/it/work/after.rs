//! Tasks that wait for others, with real workers.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use taskqueue::broker::NewJob;
use taskqueue::crash::{Point, VARIABLE};

use super::{Queue, block_on, jobs, lines, number, on_both};
use crate::support::{Running, Taskqueue, tube, until};

on_both!(
    a_chain_of_three_runs_in_order,
    a_diamond_runs_in_order_and_each_hears_what_came_before,
    what_a_failure_means_to_those_that_wait,
    a_child_in_another_tube_is_put_there,
    a_worker_that_is_killed_before_it_puts_the_child_costs_nothing,
    a_body_of_another_producer_may_wait,
);

/// Says its name and whom it has waited for, and reports its name; `bad` fails.
const SCRIPT: &str = r#"
echo "$1:$TASKQUEUE_PARENTS" >> log
[ "$1" != bad ] || exit 65
if [ -n "$TASKQUEUE_PARENTS" ]; then
    $TQ show --result $TASKQUEUE_PARENTS | tr '\n' ' ' >> results
fi
$TQ report --result "\"$1\"" || exit 3
"#;

fn configure(taskqueue: &Taskqueue) {
    fs::write(taskqueue.path("job"), SCRIPT).unwrap();
    let program = env!("CARGO_BIN_EXE_taskqueue");
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"job\"]\nenvironment = {{ TQ = \"{program}\" }}\n"
    ));
}

fn put(taskqueue: &Taskqueue, options: &[&str], name: &str) -> String {
    let args = [&["put", "--use-tube", "t"], options, &["job", name]].concat();
    taskqueue.run(&args).ok().trim().to_owned()
}

fn log(taskqueue: &Taskqueue) -> Vec<String> {
    lines(&taskqueue.path("log"))
}

fn a_chain_of_three_runs_in_order(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let first = put(taskqueue, &[], "a");
    let second = put(taskqueue, &["--after", &first], "b");
    let third = put(taskqueue, &["--after", &second], "c");
    assert_eq!(jobs(queue, "t"), 1, "who waits has none");
    let status = taskqueue.run(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    let tasks = &status["tasks"][0];
    assert_eq!(
        (&tasks["waiting"], &tasks["waiting_for_others"]),
        (&json!(3), &json!(2))
    );
    // There is no tender, which is its exit code.
    let status = taskqueue.run(&["status"]).stdout;
    assert!(
        status.contains("  of those that wait, 2 wait for others\n"),
        "{status}"
    );
    let shown = taskqueue.run(&["show", &second]).ok();
    assert!(shown.contains("\nwaits      waits for task 1\n"), "{shown}");
    assert!(
        shown.contains("\nparents    1 waiting\nchildren   3 waiting\n"),
        "{shown}"
    );
    let listed = taskqueue.run(&["list"]).ok();
    assert!(listed.contains("waits for task 2"), "{listed}");
    assert!(!listed.contains("9999"), "{listed}");
    let why = taskqueue.run(&["why", &third]).ok();
    assert!(why.contains("it waits for task 2"), "{why}");
    let status = taskqueue.run(&["status", "--json"]).stdout;
    assert!(!status.contains("9999"), "{status}");
    taskqueue.work("t", 3);
    assert_eq!(log(taskqueue), ["a:", "b:1", "c:2"]);
    assert_eq!(jobs(queue, "t"), 0);
    let results = fs::read_to_string(taskqueue.path("results")).unwrap();
    assert_eq!(results, "\"a\" \"b\" ");
}

fn a_diamond_runs_in_order_and_each_hears_what_came_before(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    let line = |name: &str, after: &[&str]| {
        let line = json!({
            "taskqueue": 1, "command": "job", "arguments": [name], "ref": name, "after": after
        });
        format!("{line}\n")
    };
    // The last one is said first.
    let graph = [
        line("d", &["b", "c"]),
        line("b", &["a"]),
        line("c", &["a"]),
        line("a", &[]),
    ];
    let batch = ["put", "--use-tube", "t", "--batch", "-"];
    let put = taskqueue.run_with(&batch, graph.concat().as_bytes());
    assert_eq!(put.code, Some(0), "{put:?}");
    let id = |place: usize| put.stdout.lines().nth(place).unwrap().to_owned();
    let (d, b, c, a) = (id(0), id(1), id(2), id(3));
    taskqueue.work("t", 4);
    let mut log = log(taskqueue);
    log[1..3].sort();
    let parents = format!("d:{b} {c}");
    assert_eq!(
        log,
        ["a:".into(), format!("b:{a}"), format!("c:{a}"), parents]
    );
    let results = fs::read_to_string(taskqueue.path("results")).unwrap();
    assert_eq!(results, "\"a\" \"a\" \"b\" \"c\" ");
    let tree = taskqueue.run(&["show", "--tree", &d, "--json"]).json();
    let drawn = tree["tasks"].as_array().unwrap().iter();
    let drawn: Vec<String> = drawn.map(|task| task["id"].to_string()).collect();
    assert_eq!(drawn, [a, b, d.clone(), c]);
    let tree = taskqueue.run(&["show", "--tree", &d]).ok();
    assert_eq!(tree.lines().count(), 5, "{tree}");
}

fn what_a_failure_means_to_those_that_wait(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let bad = put(taskqueue, &[], "bad");
    let cancelled = put(taskqueue, &["--after", &bad], "x");
    let below = put(taskqueue, &["--after", &cancelled], "y");
    let run = put(
        taskqueue,
        &["--after", &bad, "--if-parent-fails", "run"],
        "z",
    );
    let held = put(
        taskqueue,
        &["--after", &bad, "--if-parent-fails", "hold"],
        "h",
    );
    taskqueue.work("t", 2);
    assert_eq!(log(taskqueue), ["bad:".into(), format!("z:{bad}")]);
    let status = |id: &str| taskqueue.show(id)["status"].as_str().unwrap().to_owned();
    assert_eq!(
        [&cancelled, &below, &held].map(|id| status(id)),
        ["cancelled", "cancelled", "waiting"]
    );
    let reason = format!("task {bad}, which it waits for, failed");
    assert_eq!(taskqueue.show(&cancelled)["reason"], reason);
    let why = taskqueue.run(&["why", &held]).ok();
    assert!(why.contains(&format!("it is held: {reason}")), "{why}");
    assert_eq!(jobs(queue, "t"), 0);
    // A person lets one run all the same, and has the others wait again.
    taskqueue.run(&["run-now", &held]).ok();
    taskqueue.run(&["regenerate", "--id", &bad]).ok();
    assert_eq!(
        [&cancelled, &below].map(|id| status(id)),
        ["waiting", "waiting"]
    );
    taskqueue.work("t", 2);
    assert_eq!(status(&held), "done");
    assert_eq!(
        [&cancelled, &below].map(|id| status(id)),
        ["cancelled", "cancelled"]
    );
    // What is called off takes along those that wait for it; what is put after it too.
    let late = put(taskqueue, &["--after", &run, "--after", &bad], "l");
    assert_eq!(status(&late), "cancelled");
    let open = put(taskqueue, &[], "o");
    let child = put(
        taskqueue,
        &["--after", &open, "--if-parent-fails", "run"],
        "p",
    );
    taskqueue.run(&["cancel", &open]).ok();
    assert_eq!(
        jobs(queue, "t"),
        2,
        "that of the cancelled one, and its child's"
    );
    taskqueue.work("t", 1);
    assert_eq!(status(&child), "done");
}

/// As after a kill -9 between the commit and the put.
fn a_worker_that_is_killed_before_it_puts_the_child_costs_nothing(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
) {
    configure(taskqueue);
    let parent = put(taskqueue, &[], "a");
    put(taskqueue, &["--after", &parent], "b");
    let worker = ["worker", "--use-tube", "t", "--log", "error"];
    let mut dying = taskqueue.command(&worker);
    dying.env(VARIABLE, format!("{:?}", Point::OutcomeRecorded));
    assert_eq!(Running::start(dying).wait().code, None);
    assert_eq!(log(taskqueue), ["a:"]);
    // Whoever had begun the put is not waited for any longer.
    let past = "UPDATE puts SET until = 1 WHERE until IS NOT NULL";
    taskqueue.sqlite().execute_batch(past).unwrap();
    taskqueue.run(&["reconcile"]).ok();
    let worker = taskqueue.start(&worker);
    let open = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
    until("all ended", || number(taskqueue, open) == 0);
    until("no job is left", || jobs(queue, "t") == 0);
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(log(taskqueue), ["a:", "b:1"]);
}

fn a_body_of_another_producer_may_wait(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let parent = put(taskqueue, &["--delay", "1h"], "a");
    let body = format!(
        r#"{{"taskqueue":1,"command":"job","arguments":["b"],"after":{parent},"if_parent_fails":"run"}}"#
    );
    let put = NewJob {
        body: body.into(),
        priority: 1024,
        delay: Duration::ZERO,
        ttr: Duration::from_secs(60),
    };
    let put = block_on(async { queue.session().put(&tube("t"), &[put]).await });
    assert!(put.iter().all(Result::is_ok));
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    let waits = "SELECT count(*) FROM awaiting WHERE stands = 'waits'";
    until("it waits", || number(taskqueue, waits) == 1);
    until("its job is given up", || jobs(queue, "t") == 1);
    taskqueue.run(&["run-now", &parent]).ok();
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("both are done", || number(taskqueue, done) == 2);
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(log(taskqueue), ["a:", "b:1"]);
}

fn a_child_in_another_tube_is_put_there(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let parent = put(taskqueue, &[], "a");
    let others = ["put", "--use-tube", "u", "--after", &parent, "job", "b"];
    taskqueue.run(&others).ok();
    taskqueue.work("t", 1);
    assert_eq!((jobs(queue, "t"), jobs(queue, "u")), (0, 1));
    taskqueue.work("u", 1);
    assert_eq!(log(taskqueue), ["a:", "b:1"]);
}
