//! Puts one task through the library: recorded first, durably, and then announced. Whether the broker is there
//! or not, it will be run.
//!
//!     cargo run --example producer
//!
//! BEANSTALKD names another server than 127.0.0.1:11300, TASKQUEUE_STORE another store than ./tasks.db: the one
//! that the workers use.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use taskqueue::{Put, Queue, Receipt, StoreUrl};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match put().await {
        Ok(task) => {
            println!("{}", task.id);
            if let Some(trouble) = task.trouble {
                eprintln!(
                    "task {} waits for the broker to be back: {trouble}",
                    task.id
                );
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("nothing was put: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn put() -> Result<Receipt, Box<dyn Error>> {
    let server = env::var("BEANSTALKD").unwrap_or_else(|_| "127.0.0.1:11300".into());
    let store = env::var_os("TASKQUEUE_STORE").unwrap_or_else(|| "tasks.db".into());
    let broker = format!("beanstalk://{server}").parse()?;
    let queue = Queue::open(&broker, &StoreUrl::read(&store)?)?;
    let invoice = Put::command("invoice:send")
        .argument("12")
        .option("format", "pdf")
        .flag("copy")
        .option("note", r#"it's "net" & $5"#);
    Ok(queue.put(&"invoices".parse()?, invoice).await?)
}
