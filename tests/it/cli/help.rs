//! Help and completions: facts about them, whatever their words.

use std::process::Command;

use taskqueue::cli;

use crate::support::Taskqueue;

/// The visible subcommands, and the program itself as an empty name.
fn names() -> Vec<String> {
    let shape = cli::shape();
    let shown = shape.get_subcommands().filter(|c| !c.is_hide_set());
    let names = shown.map(|c| c.get_name().to_owned());
    std::iter::once(String::new()).chain(names).collect()
}

/// What a subcommand says when asked with this flag.
fn help(name: &str, flag: &str) -> String {
    let args: Vec<&str> = [name, flag].into_iter().filter(|a| !a.is_empty()).collect();
    Taskqueue::alone().run(&args).ok()
}

#[test]
fn the_short_one_has_a_line_for_each_flag() {
    for name in names() {
        for line in help(&name, "-h").lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
            let goes_on = line.starts_with("            ");
            assert!(!goes_on, "{name}: the line above has a second one: {line}");
        }
    }
}

#[test]
fn the_long_one_has_examples_and_every_variable() {
    let shape = cli::shape();
    for name in names() {
        let said = help(&name, "--help");
        let wide = said.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{name}");
        let example = format!("\nExamples:\n  {}", format!("taskqueue {name}").trim_end());
        assert!(said.contains(&example), "{name}: {said}");
        let command = match name.as_str() {
            "" => &shape,
            name => shape.find_subcommand(name).unwrap(),
        };
        for variable in command.get_arguments().filter_map(clap::Arg::get_env) {
            let variable = variable.to_str().unwrap();
            assert!(
                said.contains(&format!("[env: {variable}]")),
                "{name}: {variable}"
            );
        }
    }
}

#[test]
fn every_example_is_understood() {
    let mut count = 0;
    for name in names() {
        let said = help(&name, "--help");
        let examples = said.split("\nExamples:\n").nth(1).unwrap();
        for line in examples.lines().take_while(|line| line.starts_with("  ")) {
            let (_, line) = line.split_once("taskqueue ").unwrap();
            // What a shell would do with the rest, and what people are told beside it.
            let end = [" | ", " < ", " > ", "   "]
                .iter()
                .filter_map(|mark| line.find(mark))
                .min();
            let line = &line[..end.unwrap_or(line.len())];
            let words = Command::new("sh")
                .args(["-c", &format!("printf '%s\\n' taskqueue {line}")])
                .output()
                .unwrap();
            let words = String::from_utf8(words.stdout).unwrap();
            let parsed = cli::shape().try_get_matches_from(words.lines());
            assert!(parsed.is_ok(), "{name}: {line}: {parsed:?}");
            count += 1;
        }
    }
    assert!(count > 20, "{count} examples");
}

/// The program on a terminal: everything that it prints there.
fn on_a_terminal(args: &[&str], environment: &[(&str, &str)]) -> String {
    let taskqueue = Taskqueue::alone();
    let program = taskqueue.command(args);
    let mut python = Command::new("python3");
    python
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
        .arg(program.get_program())
        .args(program.get_args())
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null());
    for (name, value) in program.get_envs() {
        if let Some(value) = value.filter(|_| name != "PATH" && name != "HOME") {
            python.env(name, value);
        }
    }
    String::from_utf8(python.output().unwrap().stdout).unwrap()
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    const ESCAPE: char = '\x1b';
    let broken = ["put", "--use-tube"];
    // What is wrong is said without any.
    let wrong = on_a_terminal(&broken, &[]);
    assert!(
        wrong.contains("--use-tube") && !wrong.contains(ESCAPE),
        "{wrong}"
    );
    for (args, part) in [
        (&["put", "--help"][..], "Examples:"),
        (&["-h"], "regenerate"),
    ] {
        let plain = Taskqueue::alone().run(args);
        let said = plain.stdout + &plain.stderr;
        assert!(said.contains(part) && !said.contains(ESCAPE), "{said}");
        let coloured = on_a_terminal(args, &[]);
        assert!(coloured.contains(ESCAPE), "{args:?}: {coloured}");
        let unwanted = on_a_terminal(args, &[("NO_COLOR", "1")]);
        assert!(
            unwanted.contains(part) && !unwanted.contains(ESCAPE),
            "{unwanted}"
        );
    }
}

#[test]
fn completions_know_every_subcommand_and_flag() {
    let taskqueue = Taskqueue::alone();
    for shell in ["bash", "zsh", "fish"] {
        let script = taskqueue.run(&["completions", shell]).ok();
        for name in names() {
            assert!(script.contains(&name), "{shell}: {name}");
        }
        for word in ["use-tube", "max-worker-age", "stalled", "log-format"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("man-page"), "{shell}: that one is hidden");
        for kind in ["tubes", "commands", "tasks", "failed", "waiting"] {
            assert!(script.contains(kind), "{shell}: {kind}");
        }
        // Those that can, and are here, check it.
        let path = taskqueue.path(shell);
        std::fs::write(&path, script).unwrap();
        match Command::new(shell).arg("-n").arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(_) => println!("skipped: {shell} is not here to check its completions"),
        }
    }
    assert_eq!(taskqueue.run(&["completions"]).code, Some(2));
    assert_eq!(taskqueue.run(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn bash_completes() {
    let taskqueue = Taskqueue::alone();
    let script = taskqueue.run(&["completions", "bash"]).ok();
    let complete = |words: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=(taskqueue {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _taskqueue taskqueue \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete("regen"), "regenerate\n");
    assert_eq!(
        complete("tender --max-work"),
        "--max-workers --max-worker-age --max-worker-buffer --max-worker-jobs --max-worker-memory\n"
    );
    assert_eq!(complete("list --status stal"), "stalled\n");
}

/// Neither shell need be here: each place of the script asks for its kind.
#[test]
fn zsh_and_fish_complete_what_the_store_knows() {
    let taskqueue = Taskqueue::embedded();
    let zsh = taskqueue.run(&["completions", "zsh"]).ok();
    let places = [
        "'--command=[Only tasks of this command]:COMMAND:_taskqueue_known_commands'",
        "'--use-tube=[Only tasks of this tube]:TUBE:_taskqueue_known_tubes'",
        "'*::ids -- Only tasks of these numbers:_taskqueue_known_failed'",
        "'*::ids -- Only tasks of these numbers:_taskqueue_known_waiting'",
        "'*::ids -- Only tasks of these numbers:_taskqueue_known_tasks'",
        "'::command -- The command'\\''s name, as it is configured:_taskqueue_known_commands'",
    ];
    for place in places {
        assert!(zsh.contains(place), "{place}");
    }
    // What is said twice counts as it is said last.
    let functions: Vec<&str> = zsh.lines().filter(|line| line.contains("() {")).collect();
    for function in &functions {
        let name = function.split("()").next().unwrap().trim();
        let said = functions
            .iter()
            .filter(|other| other.trim().starts_with(&format!("{name}()")));
        assert_eq!(said.count(), 1, "{name}");
    }
    let fish = taskqueue.run(&["completions", "fish"]).ok();
    for (command, place, kind) in [
        ("regenerate", "-f", "failed"),
        ("edit", "-f", "waiting"),
        ("put", "-l use-tube -x", "tubes"),
        ("delete", "-l command -x", "commands"),
    ] {
        let line = format!(
            "complete -c taskqueue -n \"__fish_taskqueue_using_subcommand {command}\" {place} -a \"(taskqueue complete \
             {kind} 2>/dev/null)\""
        );
        assert!(fish.contains(&line), "{line}");
    }
}

#[test]
fn bash_completes_what_the_store_and_the_configuration_know() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[tubes.mail]\n[commands.\"invoice:send\"]\nrun = ['true']\n[commands.\"ns:*\"]\nrun = ['true']\n");
    // A tube's name is a stranger's word, and no order to a shell.
    for tube in ["used", "$(touch;pwned)"] {
        let put = ["put", "--use-tube", tube, "invoice:send"];
        assert_eq!(taskqueue.run(&put).code, Some(0));
    }
    let script = taskqueue.run(&["completions", "bash"]).ok();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_taskqueue"));
    let complete = |words: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=(taskqueue {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _taskqueue_known taskqueue \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("bash");
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        bash.args(["-c", &ask]).current_dir(taskqueue.path(""));
        bash.env("PATH", path).env("TASKQUEUE_BROKER", "embedded");
        bash.env("TASKQUEUE_STORE", taskqueue.store());
        String::from_utf8(bash.output().unwrap().stdout).unwrap()
    };
    assert_eq!(
        complete("list --use-tube ''"),
        "\\$\\(touch\\;pwned\\) mail used\n"
    );
    assert_eq!(complete("scale m"), "mail\n");
    assert_eq!(complete("put --use-tube mail ''"), "invoice:send\n");
    assert_eq!(complete("list --command inv"), "invoice:send\n");
    assert_eq!(complete("show ''"), "2 1\n");
    assert_eq!(complete("cancel 2 ''"), "2 1\n");
    assert_eq!(complete("run-now ''"), "2 1\n");
    assert_eq!(complete("delete --command inv"), "invoice:send\n");
    assert_eq!(complete("regenerate --to-tube m"), "mail\n");
    // None has failed: what is offered then are flags.
    assert!(complete("regenerate ''").starts_with("-v "));
    // Where nothing is known, flags are offered.
    assert!(complete("--store nowhere.db show ''").starts_with("-v "));
    // The rest is as before.
    assert_eq!(complete("show --js"), "--json\n");
    assert_eq!(complete("regen"), "regenerate\n");
    assert!(!taskqueue.path("pwned").exists());
    // Nobody who presses a key reads of what is wrong.
    taskqueue.configure("nonsense");
    for kind in ["tubes", "commands", "tasks", "failed", "waiting"] {
        taskqueue.run(&["complete", kind]).ok();
    }
}
