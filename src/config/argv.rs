//! Programs and their arguments, as they are written.

/// Whether a program and its arguments can be that, or what is wrong with them.
pub fn may_be_started(argv: &[String]) -> Result<(), &'static str> {
    match argv.first().map(String::as_str) {
        None | Some("") => {
            return Err(
                "no program is named; write one and its arguments, such as [\"/usr/bin/send\", \"-v\"]",
            );
        }
        // Or the body would choose the program.
        Some("{command}") => return Err("the program itself must be named"),
        Some(_) => {}
    }
    match argv.iter().any(|element| element.contains('\0')) {
        true => Err("an element has a NUL in it"),
        false => Ok(()),
    }
}
