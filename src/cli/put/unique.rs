//! That no two tasks have a key, as flags.

use clap::Args;

use crate::task::unique::{IfExists, Key, Scope, Unique};

#[derive(Debug, Args)]
pub struct UniqueFlags {
    /// Put no other while a task has this key: 1 to 200 bytes
    ///
    /// Without a key it is made of the command, the arguments and the options, in whatever order these are. The id of
    /// the task that has the key is printed then. Of a batch each line is put so, without a key and unless it says
    /// something else itself
    #[arg(long, value_name = "KEY", require_equals = true)]
    unique: Option<Option<Key>>,
    /// For how long the task has its key: waiting, unfinished, or so long
    ///
    /// waiting: until it begins to run. unfinished: until it has ended, as it is without this. A duration, such as 10m:
    /// from when it is put on, wherever it stands by then
    #[arg(long = "while", value_name = "WHILE", requires = "unique")]
    scope: Option<Scope>,
    /// What is done if a task has the key: keep, replace or refuse
    ///
    /// keep: that task stays as it is. replace: if it waits, it is given these arguments, options, tags, priority and
    /// time; one that runs stays as it is. refuse: exit with 1
    #[arg(long, value_name = "WHAT", requires = "unique")]
    if_exists: Option<IfExists>,
}

impl UniqueFlags {
    /// What they say together; `None`: nothing.
    pub fn unique(self) -> Option<Unique> {
        self.unique.map(|key| Unique {
            key,
            scope: self.scope.unwrap_or_default(),
            if_exists: self.if_exists.unwrap_or_default(),
        })
    }
}
