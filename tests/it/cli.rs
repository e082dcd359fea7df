//! The program as people and scripts use it: what goes in, what it prints, how it ends.

mod check;
mod cleanup;
mod errors;
mod help;
mod list;
mod logs;
mod odd;
mod owners;
mod pipes;
mod put;
mod regenerate;
mod wait;
mod work;
mod wrong;

use beanstalkc::Beanstalkc;

use crate::support::Beanstalkd;

/// A client that is not ours, and puts into a tube. What watches one may have its jobs.
fn other(server: &Beanstalkd, tube: &str) -> Beanstalkc {
    let mut client = server.other();
    client.use_tube(tube).unwrap();
    client
}

/// Commands that end in every way.
const COMMANDS: &str = r#"
[commands."ok"]
run = ["/bin/true"]
[commands."no"]
run = ["/bin/false"]
options = ["x"]
[commands."bury"]
run = ["/bin/false"]
on_failure = "bury"
[commands."say"]
run = ["/bin/echo"]
options = "any"
[commands."killed"]
run = ["/bin/sh", "-c", "kill -9 $$"]
options = ["x"]
[commands."senseless"]
run = ["./senseless"]
options = ["x"]
[commands."cat"]
run = ["/bin/cat"]
[tubes.raw]
command = "cat"
[commands.strict]
run = ["/bin/true"]
options = ["x"]
"#;
