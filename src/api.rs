//! For programs written in Rust: record a task, put its job, ask what became of it, wait for it, call it off, let it
//! run again, clean up.
//!
//! The command line is made of this: `taskqueue put`, `list`, `show`, `wait`, `cancel`, `regenerate` and `cleanup` call
//! what is here and print the answers. A task is recorded first, durably, and then announced to the broker; a broker
//! that cannot be reached is no failure.
//!
//! ```no_run
//! use taskqueue::{Put, Queue};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let queue = Queue::open(&"beanstalk://127.0.0.1:11300".parse()?, &"tasks.db".parse()?)?;
//! let invoice = Put::command("invoice:send").argument("12").option("format", "pdf");
//! let task = queue.put(&"invoices".parse()?, invoice).await?;
//! println!("task {} is recorded", task.id);
//!
//! if let Some(task) = queue.show(task.id).await? {
//!     println!("it is {}", task.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What a task's command has said of it, while it runs and after, is in [`Task::report`]; a command in Rust says that
//! by a [`Report`]:
//!
//! ```
//! use taskqueue::{Put, Queue, StoreUrl};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let store = StoreUrl::from(folder.path().join("tasks.db"));
//! let queue = Queue::open(&"embedded".parse()?, &store)?;
//! let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
//! let Some(task) = queue.show(task.id).await? else {
//!     return Ok(());
//! };
//! match &task.report {
//!     Some(said) => println!("{:?} % of attempt {}", said.percent, said.attempt),
//!     None => println!("it has said nothing yet"),
//! }
//! # assert_eq!(task.report, None);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Queue`] is cheap to clone, and used by any number of tasks at once:
//!
//! ```
//! use taskqueue::{Put, Queue, StoreUrl, TubeName};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let store = StoreUrl::from(folder.path().join("tasks.db"));
//! let queue = Queue::open(&"embedded".parse()?, &store)?;
//! let (mail, another) = ("mail".parse::<TubeName>()?, queue.clone());
//! let tube = mail.clone();
//! let putting = tokio::spawn(async move { another.put(&tube, Put::raw("hello")).await });
//! queue.put(&mail, Put::raw("any bytes")).await?;
//! putting.await??;
//! assert_eq!(queue.counts().await?["mail"].waiting, 2);
//! # Ok(())
//! # }
//! ```

mod bulk;
mod cancel;
mod children;
mod cleanup;
mod delete;
mod edit;
mod error;
mod events;
pub mod json;
mod links;
mod logs;
mod look;
mod numbers;
mod put;
mod queue;
mod record;
mod regenerate;
mod report;
mod ring;
mod schedules;
mod tell;
mod wait;
mod why;

pub use crate::broker::Error as BrokerError;
pub use crate::ledger::Error as StoreError;
pub use crate::ledger::cancel::NotCancelled;
pub use crate::ledger::counts::Counts;
pub use crate::ledger::delete::NotDeleted;
pub use crate::ledger::edit::NotEdited;
pub use crate::ledger::put::{NotAfter, NotRegenerated};
pub use crate::ledger::read::{
    Attempt, DisplayedStatus as Status, Filter, Key, Kinship, Leaf, Page, Relative,
    Report as TaskReport, Task, Tree, WaitsFor,
};
pub use crate::ledger::unique::{Holder, NotReplaced};
pub use crate::reconcile::Kept;
pub use crate::task::after::{IfParentFails, Links, Parent};
pub use crate::task::event::What;
pub use crate::task::output::Captured;
pub use crate::task::own::{BadOwn, OutOfBounds, Own};
pub use crate::task::payload::Refusal;
pub use crate::task::retry::{Attempts, BadWaits, Waits};
pub use crate::task::tag::{BadTag, Tag};
pub use crate::task::unique::{BadKey, IfExists, Key as UniqueKey, Scope as UniqueWhile, Unique};
pub use crate::task::why::{Answer as Because, Pool, SharedPool, Why, Workers};
pub use bulk::{Answer, Chosen, Summary};
pub use cancel::{Cancel, Cancelled};
pub use cleanup::{Cleaned, Cleanup, Ended};
pub use edit::Edit;
pub use error::Error;
pub use events::{Event, Events, Following, Heard};
pub use logs::{Logged, Logs};
pub use put::{DEFAULT_TTR, Existing, Put, Receipt};
pub use queue::Queue;
pub use report::{Report, ReportError};
pub use schedules::{NameTaken, Schedule, Set};
pub use wait::Waited;
