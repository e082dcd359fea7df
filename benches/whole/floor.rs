//! The floor: the same processes, started and waited for in the tightest loop there is.

use std::ffi::CString;
use std::io::{Read, Write};
use std::process::{Child, ExitCode, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use super::TRUE;
use super::figures::Samples;
use super::processes::Cpu;
use super::world::{Size, bare, ourselves};

/// In 1 process and in as many as there are workers.
pub fn measure(size: &Size, samples: &mut Samples) {
    for (name, processes) in [("1", 1), ("4", 4)] {
        let (took, cpu) = spawn_in(processes, size.jobs, &[TRUE]);
        samples.add(
            &format!("floor.{name}"),
            size.jobs as f64 / took.as_secs_f64(),
        );
        samples.add(
            &format!("floor.{name}.cpu"),
            cpu.micros() / size.jobs as f64,
        );
    }
    let (took, _) = spawn_in(4, size.few, drain_print());
    samples.add("floor.print", size.few as f64 / took.as_secs_f64());
}

/// Commands a second, started by four processes.
pub fn rate_of_four(count: usize) -> f64 {
    let (took, _) = spawn_in(4, count, &[TRUE]);
    count as f64 / took.as_secs_f64()
}

/// A command that prints 10 KB.
pub fn drain_print() -> &'static [&'static str] {
    &["/usr/bin/head", "-c", "10240", "/dev/zero"]
}

/// How long so many processes take to start a number of commands between them, and what that costs.
fn spawn_in(processes: usize, count: usize, argv: &[&str]) -> (Duration, Cpu) {
    let share = (count / processes).to_string();
    let mut spawners: Vec<Child> = (0..processes)
        .map(|_| {
            let mut command = bare(&ourselves());
            command.args(["--spawn", &share]).args(argv);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for spawner in &mut spawners {
        let mut ready = [0];
        spawner
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
    }
    let before = Cpu::of_children();
    let begun = Instant::now();
    for spawner in &mut spawners {
        spawner.stdin.take().unwrap().write_all(b"!").unwrap();
    }
    for spawner in &mut spawners {
        assert!(spawner.wait().unwrap().success(), "a spawner failed");
    }
    (begun.elapsed(), Cpu::of_children() - before)
}

/// What each of them does: says that it is ready, waits for the word, and starts its share one by one.
pub fn spawn_so_many(count: &str, argv: &[&str]) -> ExitCode {
    let count: usize = count.parse().unwrap();
    let argv: Vec<CString> = argv
        .iter()
        .map(|word| CString::new(*word).unwrap())
        .collect();
    std::io::stdout().write_all(b"!").unwrap();
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_exact(&mut [0]).unwrap();
    silence();
    for _ in 0..count {
        spawn_and_wait(&argv);
    }
    ExitCode::SUCCESS
}

/// Commands that print, print nowhere.
fn silence() {
    let nowhere = std::fs::File::create("/dev/null").unwrap();
    rustix::stdio::dup2_stdout(&nowhere).unwrap();
}

unsafe extern "C" {
    /// As it was when this program was started, for nothing here changes it.
    static environ: *const *mut libc::c_char;
}

/// `posix_spawn` and `waitpid`, and nothing else.
pub fn spawn_and_wait(argv: &[CString]) {
    let mut pointers: Vec<*mut libc::c_char> =
        argv.iter().map(|word| word.as_ptr().cast_mut()).collect();
    pointers.push(ptr::null_mut());
    let (mut pid, mut status) = (0, 0);
    // SAFETY: the list ends with a null, and what it points to lives as long as the call; so does the environment.
    let (spawned, waited) = unsafe {
        let spawned = libc::posix_spawn(
            &raw mut pid,
            pointers[0],
            ptr::null(),
            ptr::null(),
            pointers.as_ptr(),
            environ,
        );
        (spawned, libc::waitpid(pid, &raw mut status, 0))
    };
    assert_eq!((spawned, waited, status), (0, pid, 0), "a command failed");
}
