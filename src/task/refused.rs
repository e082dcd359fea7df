//! How much is kept of what others put and nobody may run: a stranger can put any number of such bodies.

/// What is kept of a tube: the newest ones, as many and as large as this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many tasks.
    pub tasks: u64,
    /// Their bodies together, in bytes.
    pub bytes: u64,
}

/// Tasks that were counted, and the bytes of their bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// So many tasks.
    pub tasks: u64,
    /// In bytes.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep {
            tasks: 1000,
            bytes: 64 << 20,
        }
    }
}

/// However many are kept, they are looked through after so many more.
const LOOK_AFTER: u64 = 100;

impl Keep {
    /// Counts one more, from the newest on. Whether it is kept; no older one is once one is not.
    pub fn has_room(self, counted: &mut Counted, bytes: u64) -> bool {
        *counted = counted.with(bytes);
        counted.tasks <= self.tasks && counted.bytes <= self.bytes
    }

    /// Whether there may be too many, when so many have come since that was looked at: a tenth of what is kept, or a
    /// hundred.
    pub fn is_to_be_looked_at(self, since: Counted) -> bool {
        since.tasks >= (self.tasks / 10).clamp(1, LOOK_AFTER)
            || since.bytes >= (self.bytes / 10).max(1)
    }
}

impl Counted {
    /// With one more.
    #[must_use]
    pub fn with(self, bytes: u64) -> Counted {
        Counted {
            tasks: self.tasks.saturating_add(1),
            bytes: self.bytes.saturating_add(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_up_to_a_number_and_a_size() {
        for (tasks, bytes, sizes, kept) in [
            (3, 100, &[1, 1, 1, 1][..], 3),
            (3, 100, &[50, 50, 1], 2),
            (3, 100, &[101, 1], 0),
            // One that does not fit takes those before it along: the oldest go, and not the largest.
            (9, 100, &[10, 95, 1, 1], 1),
            (0, 100, &[0], 0),
            (3, 0, &[0, 0, 1, 0], 2),
            (3, u64::MAX, &[u64::MAX, 1], 2),
        ] {
            let mut counted = Counted::default();
            let keep = Keep { tasks, bytes };
            let fits = sizes
                .iter()
                .take_while(|size| keep.has_room(&mut counted, **size));
            assert_eq!(fits.count(), kept, "{keep:?} {sizes:?}");
        }
    }

    #[test]
    fn it_is_looked_at_after_a_tenth_and_after_a_hundred_at_the_latest() {
        for (keep, since, is_due) in [
            (Keep::default(), (99, 0), false),
            (Keep::default(), (100, 0), true),
            (Keep::default(), (1, 7 << 20), true),
            (
                Keep {
                    tasks: 1_000_000,
                    bytes: u64::MAX,
                },
                (100, 0),
                true,
            ),
            (
                Keep {
                    tasks: 20,
                    bytes: 1000,
                },
                (1, 10),
                false,
            ),
            (
                Keep {
                    tasks: 20,
                    bytes: 1000,
                },
                (2, 10),
                true,
            ),
            (Keep { tasks: 0, bytes: 0 }, (1, 0), true),
        ] {
            let (tasks, bytes) = since;
            assert_eq!(
                keep.is_to_be_looked_at(Counted { tasks, bytes }),
                is_due,
                "{keep:?} {since:?}"
            );
        }
    }
}
