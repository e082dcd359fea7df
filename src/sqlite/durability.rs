//! What a commit has to survive.

/// What a commit has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: what we acknowledge to a producer.
    PowerCut,
    /// The death of any process; after a power cut the last commits may be missing, and a claim then
    /// runs a task again.
    ProcessDeath,
}

impl Durability {
    /// How SQLite is told. It listens between transactions only.
    pub(super) fn pragma(self) -> &'static str {
        match self {
            Durability::PowerCut => "PRAGMA synchronous = FULL",
            Durability::ProcessDeath => "PRAGMA synchronous = NORMAL",
        }
    }
}
