//! The conditions under which a command is to run, made ready before there is a process, and met by the process itself.
//!
//! In this order: what takes the rights of the worker comes before those are given up, and what the command's user must
//! be allowed to do comes after that. A process that has changed its user is hidden from that user until it is another
//! program: the kernel lets nobody trace it.

use std::ffi::{CStr, CString};
use std::fmt::{self, Display, Formatter};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, chdir, getrlimit, setpriority_process, setrlimit, umask};
use rustix::thread::{
    Gid, Uid, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::super::limit;
use crate::task::conditions::{Conditions, Limit};

/// As many seconds of a processor's time come between XCPU and KILL.
const XCPU_TO_KILL: u64 = 5;

/// What could not be done for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// To say how soon the kernel kills it for memory.
    OomScore,
    /// To limit that.
    Nofile,
    /// As above.
    Nproc,
    /// As above.
    Core,
    /// As above.
    Cpu,
    /// As above.
    Memory,
    /// As above.
    FileSize,
    /// To say how little of the processors it claims.
    Nice,
    /// To set the supplementary groups.
    Groups,
    /// To set the group.
    Group,
    /// To become the user.
    User,
    /// To enter the directory.
    Directory,
    /// To give up what could be gained.
    NoNewPrivileges,
}

impl Condition {
    /// All of them, in the order of their numbers.
    pub const ALL: [Condition; 13] = [
        Condition::OomScore,
        Condition::Nofile,
        Condition::Nproc,
        Condition::Core,
        Condition::Cpu,
        Condition::Memory,
        Condition::FileSize,
        Condition::Nice,
        Condition::Groups,
        Condition::Group,
        Condition::User,
        Condition::Directory,
        Condition::NoNewPrivileges,
    ];

    fn of(limit: Limit) -> Condition {
        match limit {
            Limit::Nofile => Condition::Nofile,
            Limit::Nproc => Condition::Nproc,
            Limit::Core => Condition::Core,
            Limit::Cpu => Condition::Cpu,
            Limit::Memory => Condition::Memory,
            Limit::FileSize => Condition::FileSize,
        }
    }

    /// What was to be done, and was not.
    pub fn words(self, conditions: &Conditions) -> impl Display {
        Words(self, conditions)
    }
}

struct Words<'a>(Condition, &'a Conditions);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Words(condition, conditions) = self;
        let name = conditions.identity.as_ref().map(|who| who.name.as_str());
        let name = name.unwrap_or("its worker's user");
        let limit = |f: &mut Formatter<'_>, limit: Limit| {
            let value = conditions.limits.get(&limit).copied().flatten();
            let value = value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
            write!(f, "cannot set limits.{} to {value}", limit.word())
        };
        match condition {
            Condition::OomScore => {
                let score = conditions.oom_score_adjust.unwrap_or_default();
                write!(f, "cannot set oom_score_adjust to {score}")
            }
            Condition::Nofile => limit(f, Limit::Nofile),
            Condition::Nproc => limit(f, Limit::Nproc),
            Condition::Core => limit(f, Limit::Core),
            Condition::Cpu => limit(f, Limit::Cpu),
            Condition::Memory => limit(f, Limit::Memory),
            Condition::FileSize => limit(f, Limit::FileSize),
            Condition::Nice => {
                write!(
                    f,
                    "cannot set nice to {}",
                    conditions.nice.unwrap_or_default()
                )
            }
            Condition::Groups => write!(f, "cannot set the supplementary groups of {name}"),
            Condition::Group => write!(f, "cannot set the group of {name}"),
            Condition::User => write!(f, "cannot become the user {name}"),
            Condition::Directory => {
                let directory = conditions.directory.as_deref().unwrap_or("".as_ref());
                write!(f, "cannot enter {} as {name}", directory.display())
            }
            Condition::NoNewPrivileges => f.write_str("cannot set no_new_privileges"),
        }
    }
}

/// Conditions that only need to be met.
pub struct Ready {
    /// The configured ones, and that of descriptors where ours was raised for us alone.
    limits: Vec<(Condition, Resource, Rlimit)>,
    oom_score_adjust: Option<String>,
    /// The number, and in digits.
    nice: Option<(i32, String)>,
    umask: Option<Mode>,
    identity: Option<(Vec<Gid>, Gid, Uid)>,
    directory: Option<CString>,
    no_new_privileges: bool,
}

impl Ready {
    /// Makes ready all that takes memory.
    ///
    /// # Errors
    /// When the directory has a null in its name.
    pub fn of(conditions: &Conditions) -> io::Result<Ready> {
        let mut limits = Vec::with_capacity(conditions.limits.len());
        if let Some(before) = limit::before()
            && !conditions.limits.contains_key(&Limit::Nofile)
        {
            limits.push((Condition::Nofile, Resource::Nofile, before));
        }
        let configured = conditions.limits.iter();
        limits.extend(configured.map(|(limit, most)| {
            let (resource, value) = rlimit(*limit, *most);
            (Condition::of(*limit), resource, value)
        }));
        let directory = conditions.directory.as_ref();
        let directory = directory.map(|path| CString::new(path.as_os_str().as_bytes()));
        Ok(Ready {
            limits,
            oom_score_adjust: conditions.oom_score_adjust.map(|score| score.to_string()),
            nice: conditions.nice.map(|nice| (nice, nice.to_string())),
            umask: conditions.umask.map(Mode::from_raw_mode),
            identity: conditions.identity.as_ref().map(|who| {
                let groups = who.groups.iter().map(|group| Gid::from_raw(*group));
                (
                    groups.collect(),
                    Gid::from_raw(who.group),
                    Uid::from_raw(who.user),
                )
            }),
            directory: directory.transpose()?,
            no_new_privileges: conditions.no_new_privileges,
        })
    }

    /// Meets them all, in the process that is to be the command. Only system calls. Tells which could not be met.
    pub fn meet(&self) -> Result<(), (Condition, Errno)> {
        let failed = |condition| move |error| (condition, error);
        if let Some(score) = &self.oom_score_adjust {
            write(c"/proc/self/oom_score_adj", score).map_err(failed(Condition::OomScore))?;
        }
        for (condition, resource, limit) in &self.limits {
            setrlimit(*resource, *limit).map_err(failed(*condition))?;
        }
        if let Some((nice, digits)) = &self.nice {
            setpriority_process(None, *nice).map_err(failed(Condition::Nice))?;
            // A session may have a share of its own, within which the above counts (sched(7), "The autogroup feature").
            let _ = write(c"/proc/self/autogroup", digits);
        }
        if let Some(mask) = self.umask {
            umask(mask);
        }
        if let Some((groups, group, user)) = &self.identity {
            set_thread_groups(groups).map_err(failed(Condition::Groups))?;
            set_thread_res_gid(*group, *group, *group).map_err(failed(Condition::Group))?;
            set_thread_res_uid(*user, *user, *user).map_err(failed(Condition::User))?;
        }
        if let Some(directory) = &self.directory {
            chdir(directory.as_c_str()).map_err(failed(Condition::Directory))?;
        }
        if self.no_new_privileges {
            set_no_new_privs(true).map_err(failed(Condition::NoNewPrivileges))?;
        }
        Ok(())
    }
}

/// Writes to a file of `/proc`.
fn write(path: &CStr, text: &str) -> Result<(), Errno> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

fn rlimit(of: Limit, most: Option<u64>) -> (Resource, Rlimit) {
    let resource = limit::resource(of);
    let both = Rlimit {
        current: most,
        maximum: most,
    };
    let value = match (of, most) {
        // Or nobody would be told before the KILL.
        (Limit::Cpu, Some(seconds)) => {
            let kill_at = seconds.saturating_add(XCPU_TO_KILL);
            let hard = getrlimit(Resource::Cpu).maximum;
            Rlimit {
                maximum: Some(hard.map_or(kill_at, |hard| kill_at.min(hard.max(seconds)))),
                ..both
            }
        }
        (Limit::Cpu, None)
        | (
            Limit::Nofile | Limit::Nproc | Limit::Core | Limit::Memory | Limit::FileSize,
            Some(_) | None,
        ) => both,
    };
    (resource, value)
}
