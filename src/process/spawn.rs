//! Starting a program, in as few system calls as it takes.
//!
//! The C library's `posix_spawn`, which the standard library uses, does the same in 140: it asks for the action of each
//! of 64 signals and sets most of them, maps a stack and unmaps it, and asks for the limit of descriptors at every
//! `dup2`. Beside `/bin/true` that is a tenth of what the whole process costs. No library starts processes without it,
//! so this is the part of it that a worker needs: the child borrows our memory until it is the other program
//! (`CLONE_VM`, `CLONE_VFORK` in clone(2)), which costs the same however much we hold, and we get its pidfd with it.
//!
//! A child that becomes another user borrows nothing: others of that user's processes may stop it, and it is to hold
//! up nobody then; and nothing of root's is to hang on whom the kernel lets read a memory that both have. It has a
//! copy, as of fork(2), and tells what went wrong through a pipe (`told`).

#![allow(
    unsafe_code,
    reason = "a process that borrows our memory until it is another program: no safe code can say so"
)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use rustix::io::{Errno, FdFlags};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};

use super::environment::Environment;
use super::lack::{NotStarted, Step};
use super::variables::REPORT_VARIABLE;
use crate::lives::sessions::Note;
use crate::task::conditions::Conditions;

pub mod conditions;
mod told;

use conditions::Ready;
use told::{Failure, Told};

/// The first descriptor after the standard ones.
const FIRST: c_uint = 3;

/// By which numbers a command may know the descriptor that it reports through. One digit: to a shell such as dash,
/// `>&12` is an error. Neither those from which shells and people count up, nor the 9 of `flock 9`.
const REPORTS: [c_uint; 3] = [8, 7, 6];

/// What the child needs until it is the other program: a few calls deep, with room for a build that is not optimised.
const STACK: usize = 32 * 1024;

/// Those that anything in this program may have a handler for: ours ([`crate::signals`]), the runtime's, the standard
/// library's. While the child borrows our memory, a handler that ran in it would run in ours.
const HANDLED: [c_int; 12] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCHLD,
    libc::SIGSEGV,
    libc::SIGBUS,
    // The standard library ignores it, which other programs do not expect.
    libc::SIGPIPE,
];

/// What to start, and what it has when it begins.
pub struct Start<'a> {
    /// The program, as a path or to be found in the environment's `PATH`, and its arguments.
    pub argv: &'a [String],
    /// The environment that all have.
    pub environment: &'a Environment,
    /// What this one has beside it.
    pub added: &'a [(&'a str, &'a dyn Display)],
    /// Its standard input.
    pub stdin: BorrowedFd<'a>,
    /// Its standard output and its standard error.
    pub printed: BorrowedFd<'a>,
    /// A descriptor that it inherits, under the number that it has here.
    pub inherited: Option<BorrowedFd<'a>>,
    /// The only other one: it is to report through that, and finds its number in its environment.
    pub reports: Option<BorrowedFd<'a>>,
    /// Where the number of its session is to be noted before it begins.
    pub note: Option<Note<'a>>,
    /// As whom, where and with what it runs.
    pub conditions: &'a Conditions,
}

/// A process that has been started, in a session of its own.
#[derive(Debug)]
pub struct Process {
    /// Its number, and that of its session and its group.
    pub pid: Pid,
    /// Readable when it has ended (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// Starts a program, and returns when it is that program.
///
/// # Errors
/// What execve(2) says of the program, and whatever else kept it from being started.
pub fn spawn(start: &Start<'_>) -> Result<Process, NotStarted> {
    let senseless = |error| NotStarted::at(Step::Program, error);
    let Some(program) = start.argv.first() else {
        return Err(senseless(io::Error::other("no program")));
    };
    let paths = start.environment.paths_of(program).map_err(senseless)?;
    let (mut argv, mut added) = (Strings::default(), Strings::default());
    for word in start.argv {
        argv.push(format_args!("{word}")).map_err(senseless)?;
    }
    for (name, value) in start.added {
        added
            .push(format_args!("{name}={value}"))
            .map_err(senseless)?;
    }
    let told = match start.conditions.identity {
        Some(_) => Some(Told::new().map_err(NotStarted::setup)?),
        None => None,
    };
    let teller = told.as_ref().map(Told::teller);
    let reports = start
        .reports
        .map(|reports| (reports, place([start.inherited, teller])));
    if let Some((_, number)) = reports {
        added
            .push(format_args!("{REPORT_VARIABLE}={number}"))
            .map_err(senseless)?;
    }
    let environment = start.environment.entries().iter();
    let environment = environment.map(|one| one.as_ptr()).chain(added.pointers());
    let child = Child {
        paths: list(paths.iter().map(|one| one.as_ptr())),
        argv: list(argv.pointers()),
        environment: list(environment),
        stdin: start.stdin,
        printed: start.printed,
        inherited: start.inherited,
        reports,
        note: start.note,
        conditions: Ready::of(start.conditions).map_err(senseless)?,
        teller,
        failed: AtomicI32::new(0),
        step: AtomicU8::new(0),
    };
    let mut stack: Vec<MaybeUninit<u8>> = Vec::with_capacity(STACK);
    let mut pidfd: c_int = -1;
    let borrows = match &told {
        Some(_) => 0,
        None => libc::CLONE_VM | libc::CLONE_VFORK,
    };
    let flags = borrows | libc::CLONE_PIDFD | libc::SIGCHLD;
    let heard = block_all();
    // SAFETY: the stack grows downwards from the end of what was allocated, which clone(2) wants aligned by 16, and is
    // left alone till the call returns; so is all that `child` borrows. A child that borrows them is another program or
    // has ended when the call returns, and till then this thread does not run; others may, and what the child does is
    // safe beside them. One that does not has copies of its own.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(STACK);
        let top = top.sub(top.addr() % 16);
        libc::clone(
            become_program,
            top.cast(),
            flags,
            (&raw const child).cast_mut().cast(),
            &raw mut pidfd,
        )
    };
    let cloned = match pid {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    };
    block_only(&heard);
    let pid = Pid::from_raw(cloned.map_err(NotStarted::setup)?)
        .ok_or_else(|| NotStarted::setup(io::Error::other("a process without an id")))?;
    if pidfd == -1 {
        // Nobody would hear of its end.
        let _ = kill_process(pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        return Err(NotStarted::setup(io::Error::other(
            "the kernel gives no pidfd: it is older than Linux 5.4",
        )));
    }
    // SAFETY: the kernel has just opened it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let failure = match told {
        Some(told) => told.hear(&pidfd),
        None => child.failure(),
    };
    match failure {
        None => Ok(Process { pid, pidfd }),
        Some(failure) => {
            wait(&pidfd);
            Err(failure.not_started(start.conditions))
        }
    }
}

/// Waits for a process that has ended or is about to, so that nothing is left of it.
pub fn wait(pidfd: &OwnedFd) {
    let waited = || waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    // It fails for a process that is not ours to wait for.
    let _ = rustix::io::retry_on_intr(waited);
}

/// All that the child needs, made before it is: it can allocate nothing, since another thread may hold the allocator.
struct Child<'a> {
    paths: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    stdin: BorrowedFd<'a>,
    printed: BorrowedFd<'a>,
    inherited: Option<BorrowedFd<'a>>,
    /// And its number in the child.
    reports: Option<(BorrowedFd<'a>, c_uint)>,
    note: Option<Note<'a>>,
    conditions: Ready,
    /// Where it tells why it did not become the program, if it does not borrow our memory.
    teller: Option<BorrowedFd<'a>>,
    /// In which step that was, as a [`Failure`] has it.
    step: AtomicU8,
    /// Why, as an error's number.
    failed: AtomicI32,
}

/// The child's only function; what it returns is its exit code, which nobody looks at.
extern "C" fn become_program(child: *mut c_void) -> c_int {
    // SAFETY: it is the `Child` of the thread that waits for us, and neither changes it.
    let child = unsafe { &*child.cast::<Child<'_>>() };
    let Err(failure) = child.exec();
    match child.teller {
        Some(teller) => failure.tell(teller),
        None => {
            child.step.store(failure.step, Ordering::Release);
            child.failed.store(failure.error, Ordering::Release);
        }
    }
    127
}

impl Child<'_> {
    /// Why it did not become the program, of one that borrowed our memory.
    fn failure(&self) -> Option<Failure> {
        match self.failed.load(Ordering::Acquire) {
            0 => None,
            error => Some(Failure {
                step: self.step.load(Ordering::Acquire),
                error,
            }),
        }
    }

    /// Sets up what only the process itself can, and executes the program. Only system calls from here on.
    fn exec(&self) -> Result<std::convert::Infallible, Failure> {
        self.set_up().map_err(Failure::setup)?;
        self.conditions
            .meet()
            .map_err(|(condition, error)| Failure::condition(condition, error))?;
        self.become_it().map_err(Failure::program)
    }

    fn set_up(&self) -> Result<(), Errno> {
        // A session is a group too, and nobody from outside enters either of them (setpgid(2)). It has no terminal.
        let session = rustix::process::setsid()?;
        if let Some(note) = &self.note {
            note.write(session.as_raw_nonzero().get());
        }
        rustix::stdio::dup2_stdin(self.stdin)?;
        rustix::stdio::dup2_stdout(self.printed)?;
        rustix::stdio::dup2_stderr(self.printed)?;
        // The child has descriptors of its own: nothing else can inherit this one by accident.
        if let Some(inherited) = self.inherited {
            rustix::io::fcntl_setfd(inherited, FdFlags::empty())?;
        }
        if let Some((reports, number)) = self.reports {
            duplicate(reports, number)?;
        }
        // Those that it keeps, in order; the teller's is closed on exec.
        let reports = self.reports.map(|(_, number)| number);
        let mut kept = [self.inherited.map(number), self.teller.map(number), reports];
        kept.sort_unstable();
        let mut first = FIRST;
        for number in kept.into_iter().flatten() {
            close(first, number.saturating_sub(1));
            first = number.saturating_add(1);
        }
        close(first, c_uint::MAX);
        for signal in HANDLED {
            // SAFETY: back to what the system does.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        block_only(&no_signals());
        Ok(())
    }

    fn become_it(&self) -> Result<std::convert::Infallible, Errno> {
        let (mut denied, mut failed) = (false, Errno::NOENT);
        // A null ends each list.
        for path in self.paths.iter().take_while(|path| !path.is_null()) {
            // SAFETY: each list ends with a null, and what it points to lives as long as the thread that waits for us.
            unsafe { libc::execve(*path, self.argv.as_ptr(), self.environment.as_ptr()) };
            let error = Errno::from_io_error(&io::Error::last_os_error());
            failed = error.unwrap_or(Errno::NOEXEC);
            // The next folder may have it, as in execvp(3).
            match failed {
                Errno::ACCESS => denied = true,
                Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
                other => return Err(other),
            }
        }
        if denied {
            failed = Errno::ACCESS;
        }
        Err(failed)
    }
}

fn number(descriptor: BorrowedFd<'_>) -> c_uint {
    descriptor.as_raw_fd().unsigned_abs()
}

/// The number by which the child is to know what it reports through, beside those that it keeps.
fn place(kept: [Option<BorrowedFd<'_>>; 2]) -> c_uint {
    let is_free = |place: &c_uint| kept.iter().flatten().all(|one| number(*one) != *place);
    let free = REPORTS.into_iter().find(is_free);
    // Two cannot be in three places.
    free.unwrap_or(FIRST)
}

/// Has the child know a descriptor by this number, and keep it as the program (dup2(2)). Whatever had the number in the
/// child is closed there.
fn duplicate(descriptor: BorrowedFd<'_>, number: c_uint) -> Result<(), Errno> {
    let number = c_int::try_from(number).map_err(|_| Errno::BADF)?;
    if descriptor.as_raw_fd() == number {
        return rustix::io::fcntl_setfd(descriptor, FdFlags::empty());
    }
    // SAFETY: of the numbers that are used in the child from here on, `place` has given none away.
    match unsafe { libc::dup2(descriptor.as_raw_fd(), number) } {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::BADF)),
        _ => Ok(()),
    }
}

/// Closes the child's descriptors of these numbers (close_range(2)), be they ours or of whoever started us. Those that
/// are closed on exec would be so only after the thread that waits for us goes on, and much later if others have their
/// turns first: somebody may find a lock held by then that they were told is free.
fn close(first: c_uint, last: c_uint) {
    if first <= last {
        // SAFETY: the child uses none of them any more, and those of the thread that waits stay open. A kernel older
        // than Linux 5.9 does nothing, and exec closes most.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Has this thread hear no signal that can be blocked; those that it did not hear before.
fn block_all() -> libc::sigset_t {
    let (mut all, mut before) = (no_signals(), no_signals());
    // SAFETY: both are ours to be read and written.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    before
}

/// Has this thread hear all signals but these.
fn block_only(signals: &libc::sigset_t) {
    // SAFETY: the set is only read.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, signals, ptr::null_mut()) };
}

fn no_signals() -> libc::sigset_t {
    let mut none = MaybeUninit::uninit();
    // SAFETY: it is written before it is read.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        none.assume_init()
    }
}

/// Strings as the system takes them, all in one piece.
#[derive(Default)]
struct Strings(Vec<u8>);

impl Strings {
    /// Fails on one with a null in it.
    fn push(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let begin = self.0.len();
        self.0.write_fmt(text)?;
        if self.0.iter().skip(begin).any(|byte| *byte == 0) {
            let why = "a null byte in an argument or in the environment";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        self.0.push(0);
        Ok(())
    }

    /// Where each begins.
    fn pointers(&self) -> impl Iterator<Item = *const c_char> {
        let each = self.0.split_inclusive(|byte| *byte == 0);
        each.map(|one| one.as_ptr().cast())
    }
}

/// A list as the system takes it.
fn list(pointers: impl Iterator<Item = *const c_char>) -> Vec<*const c_char> {
    pointers.chain([ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::super::lack::Lack;
    use super::*;

    /// Runs something with no input to its end; what it printed.
    fn run(
        environment: &Environment,
        argv: &[&str],
        inherited: &File,
    ) -> Result<String, NotStarted> {
        let argv: Vec<String> = argv.iter().map(|word| String::from(*word)).collect();
        let (mut printed, printer) = io::pipe().unwrap();
        let nothing = File::open("/dev/null").unwrap();
        let process = spawn(&Start {
            argv: &argv,
            environment,
            added: &[("OWN", &"its own")],
            stdin: nothing.as_fd(),
            printed: printer.as_fd(),
            inherited: Some(inherited.as_fd()),
            reports: None,
            note: None,
            conditions: &Conditions::default(),
        })?;
        drop(printer);
        wait(&process.pidfd);
        let mut text = String::new();
        printed.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn ours() -> Environment {
        Environment::without(&["OWN"])
    }

    #[test]
    fn a_program_has_what_it_was_given() {
        let file = File::open("/dev/null").unwrap();
        let script = "echo $0 $OWN; echo to stderr >&2; cat; readlink /proc/self/fd/$1";
        let script = format!("{script}; cut -d' ' -f5,6,7 /proc/$$/stat; echo $$; : </dev/tty");
        let number = file.as_raw_fd().to_string();
        let argv = ["sh", "-c", &script, "name", &number];
        let printed = run(&ours(), &argv, &file).unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        let [name, error, descriptor, place, pid, ..] = lines[..] else {
            panic!("{printed}");
        };
        assert_eq!([name, error], ["name its own", "to stderr"]);
        assert_eq!(descriptor, "/dev/null");
        assert_eq!(place, format!("{pid} {pid} 0"), "group, session, terminal");
        assert!(printed.contains("/dev/tty: No such device"), "{printed}");
    }

    /// Not even what is not closed on exec: so all was closed before.
    #[test]
    fn a_program_has_only_the_descriptor_that_it_is_to_have() {
        let files = [(); 3].map(|()| tempfile::tempfile().unwrap());
        for file in &files {
            rustix::io::fcntl_setfd(file, FdFlags::empty()).unwrap();
        }
        let [before, inherited, after] = &files;
        let has = |file: &File, inherited: Option<&File>| {
            let argv = ["test", "-e", &format!("/proc/self/fd/{}", file.as_raw_fd())];
            let nothing = File::open("/dev/null").unwrap();
            let process = spawn(&Start {
                argv: &argv.map(String::from),
                environment: &ours(),
                added: &[],
                stdin: nothing.as_fd(),
                printed: nothing.as_fd(),
                inherited: inherited.map(File::as_fd),
                reports: None,
                note: None,
                conditions: &Conditions::default(),
            });
            let id = WaitId::PidFd(process.as_ref().unwrap().pidfd.as_fd());
            let ended = waitid(id, WaitIdOptions::EXITED).unwrap().unwrap();
            ended.exit_status() == Some(0)
        };
        let found = files.each_ref().map(|file| has(file, Some(inherited)));
        assert_eq!(found, [false, true, false]);
        let found = files.each_ref().map(|file| has(file, None));
        assert_eq!(found, [false; 3]);
        assert!(
            before.metadata().is_ok() && after.metadata().is_ok(),
            "ours are open"
        );
    }

    #[test]
    fn a_program_finds_its_signals_as_usual_and_we_find_ours_as_they_were() {
        let masks = |text: &str| {
            let mask = |name: &str| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap()
            };
            ["SigBlk:", "SigIgn:", "SigCgt:"].map(mask)
        };
        let own = || masks(&fs::read_to_string("/proc/thread-self/status").unwrap());
        let file = File::open("/dev/null").unwrap();
        let before = own();
        let theirs = run(&ours(), &["cat", "/proc/self/status"], &file).unwrap();
        let [blocked, ignored, caught] = masks(&theirs);
        assert_eq!([blocked, caught], [0, 0]);
        let pipe = 1 << (libc::SIGPIPE - 1);
        assert_eq!(ignored & pipe, 0);
        assert_ne!(
            before[1] & pipe,
            0,
            "the standard library ignores it for us"
        );
        assert_eq!(own(), before);
    }

    #[test]
    fn what_cannot_be_started_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let closed = make("closed", "#!/bin/sh\n", 0o600);
        let plain = make("plain", "echo no interpreter\n", 0o700);
        let file = File::open("/dev/null").unwrap();
        let long = "x".repeat(200_000);
        for (argv, expected) in [
            (&["/nowhere/to/be/found"][..], Errno::NOENT),
            (&["not-in-any-folder"], Errno::NOENT),
            (&[""], Errno::NOENT),
            (&["/etc"], Errno::ACCESS),
            (&[&closed], Errno::ACCESS),
            (&[&plain], Errno::NOEXEC),
            (&["true", &long], Errno::TOOBIG),
        ] {
            let error = run(&ours(), argv, &file).unwrap_err().error;
            assert_eq!(Errno::from_io_error(&error), Some(expected), "{argv:?}");
        }
        let argv = ["true", "a\0b"];
        let error = run(&ours(), &argv, &file).unwrap_err().error;
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        // No child is left to be waited for.
        let left = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        assert!(matches!(left, Err(Errno::CHILD) | Ok(None)), "{left:?}");
    }

    /// It has a memory of its own then, and says through a pipe what went wrong.
    #[test]
    fn a_program_of_another_user_is_started_or_says_why_not() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run as root: another user's program was not tested");
            return;
        }
        let dumpable = || rustix::process::dumpable_behavior().unwrap();
        let before = dumpable();
        let nothing = File::open("/dev/null").unwrap();
        let mut conditions = Conditions {
            identity: Some(crate::task::conditions::Identity {
                name: "somebody".into(),
                user: 65_534,
                group: 65_533,
                groups: vec![65_533, 65_532],
            }),
            ..Conditions::default()
        };
        let run = |argv: &[&str], conditions: &Conditions| {
            let (mut printed, printer) = io::pipe().unwrap();
            let argv: Vec<String> = argv.iter().map(|word| String::from(*word)).collect();
            let process = spawn(&Start {
                argv: &argv,
                environment: &ours(),
                added: &[],
                stdin: nothing.as_fd(),
                printed: printer.as_fd(),
                inherited: Some(nothing.as_fd()),
                reports: None,
                note: None,
                conditions,
            })?;
            drop(printer);
            wait(&process.pidfd);
            let mut text = String::new();
            printed.read_to_string(&mut text).unwrap();
            Ok::<_, NotStarted>(text)
        };
        let script = "id -u; id -g; id -G; ls /proc/$$/fd | wc -l";
        let printed = run(&["sh", "-c", script], &conditions).unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines, ["65534", "65533", "65533 65532", "4"]);
        let missing = run(&["/nowhere"], &conditions).unwrap_err();
        let errno = Errno::from_io_error(&missing.error);
        assert_eq!((missing.lack, errno), (Lack::Program, Some(Errno::NOENT)));
        conditions.directory = Some("/no/such/folder".into());
        let lost = run(&["true"], &conditions).unwrap_err();
        assert_eq!(lost.lack, Lack::Condition);
        let said = lost.error.to_string();
        assert!(
            said.starts_with("cannot enter /no/such/folder as somebody: No such"),
            "{said}"
        );
        assert_eq!(dumpable(), before, "ours is ours alone");
    }
}
