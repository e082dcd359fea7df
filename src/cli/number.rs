//! Numbers and sizes as people write them on the command line; what is wrong with one is said in our words.

use crate::config::size;
use crate::task::id::TaskId;

/// A whole number that a `u32` holds.
pub fn small(text: &str) -> Result<u32, String> {
    whole(text, 0, u32::MAX.into()).and_then(|number| narrow(text, number))
}

/// The same, and 1 at the least.
pub fn small_from_1(text: &str) -> Result<u32, String> {
    whole(text, 1, u32::MAX.into()).and_then(|number| narrow(text, number))
}

/// A whole number.
pub fn any(text: &str) -> Result<u64, String> {
    whole(text, 0, u64::MAX)
}

/// A whole number, and 1 at the least.
pub fn from_1(text: &str) -> Result<u64, String> {
    whole(text, 1, u64::MAX)
}

/// A task's number.
pub fn task(text: &str) -> Result<TaskId, String> {
    let id = text.trim().parse().ok().filter(|id| *id >= 0);
    id.map(TaskId).ok_or_else(|| {
        format!("'{text}' is no task's number; write one, such as 5, or several with commas, such as 5,6")
    })
}

/// So many bytes, such as `6000000` or `100M`.
pub fn bytes(text: &str) -> Result<u64, String> {
    size::parse(text)
}

fn narrow(text: &str, number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| wrong(text, 0, u32::MAX.into()))
}

fn whole(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let read = text.trim().parse::<u64>().ok();
    let read = read.filter(|number| (least..=most).contains(number));
    read.ok_or_else(|| wrong(text, least, most))
}

fn wrong(text: &str, least: u64, most: u64) -> String {
    format!("'{text}' is not among the whole numbers from {least} to {most}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_a_range() {
        assert_eq!(small("0"), Ok(0));
        assert_eq!(small_from_1(" 7 "), Ok(7));
        assert_eq!(any("18446744073709551615"), Ok(u64::MAX));
        for bad in ["", "-1", "1.5", "many", "4294967296"] {
            assert!(small(bad).is_err(), "{bad}");
        }
        assert!(small_from_1("0").is_err() && from_1("0").is_err());
    }
}
