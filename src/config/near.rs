//! Names that somebody may have meant.

/// Those that a slip of the finger makes of the word.
pub fn near<'a>(word: &str, of: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let most = if word.chars().count() < 4 { 1 } else { 2 };
    of.filter(|name| distance(word, name) <= most).collect()
}

/// How many letters are to be put in, left out or changed to come from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut left = line.saturating_add(1);
        let mut next = vec![left];
        for (b, above) in to.iter().zip(row.windows(2)) {
            let &[across, above] = above else { continue };
            let change = across.saturating_add(usize::from(a != *b));
            left = change
                .min(above.saturating_add(1))
                .min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let names = ["list", "scale", "stop", "status"];
        let found = |word| near(word, names.into_iter());
        assert_eq!(found("lst"), ["list"]);
        assert_eq!(found("statsu"), ["status"]);
        assert_eq!(found("cancel"), [""; 0]);
        assert_eq!(distance("", "abc"), 3);
    }
}
