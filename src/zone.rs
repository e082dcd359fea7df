//! Time zones by their names, from the machine's database.

mod read;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::schedule::calendar::Offsets;
use crate::task::Millis;

/// A time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of that name: `Europe/Berlin`.
    ///
    /// # Errors
    /// What is wrong with the name, and what to do.
    pub fn named(name: &str) -> Result<Zone, String> {
        // jiff would look at what it takes for no name as at a rule of POSIX.
        let said = || {
            format!(
                "there is no time zone '{name}' on this machine: write one such as UTC, Europe/Berlin or \
                 America/New_York"
            )
        };
        TimeZone::get(name.trim()).map(Zone).map_err(|_| said())
    }

    /// The machine's own, or that of `TZ`.
    pub fn system() -> Zone {
        Zone(TimeZone::system())
    }

    /// The zone of that name, or else the machine's.
    ///
    /// # Errors
    /// What is wrong with the name, and what to do.
    pub fn of(name: Option<&str>) -> Result<Zone, String> {
        name.map_or_else(|| Ok(Zone::system()), Zone::named)
    }

    /// What it is called in the database, if it is of that.
    pub fn name(&self) -> Option<&str> {
        self.0.iana_name()
    }

    /// A time as RFC 3339 has it, with this zone's offset then, to the second, or finer where the time is.
    pub fn rfc3339(&self, at: Millis) -> String {
        let Ok(time) = Timestamp::from_millisecond(at) else {
            return at.to_string();
        };
        let zoned = time.to_zoned(self.0.clone());
        let shape = if at.rem_euclid(1000) == 0 {
            "%Y-%m-%dT%H:%M:%S%:z"
        } else {
            "%Y-%m-%dT%H:%M:%S%.3f%:z"
        };
        zoned.strftime(shape).to_string()
    }

    /// The instant at which this zone's clock shows that, by the rule for fixed times: in a gap the gap's end, in a
    /// fold the first time.
    pub fn instant(&self, shown: DateTime) -> Option<Millis> {
        use jiff::tz::AmbiguousOffset;
        let ambiguous = self.0.to_ambiguous_timestamp(shown);
        let at = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(shown).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(shown).ok()?,
            AmbiguousOffset::Gap { after, .. } => {
                let earlier = after.to_timestamp(shown).ok()?;
                self.0.following(earlier).next()?.timestamp()
            }
        };
        Some(at.as_millisecond())
    }

    /// What this zone's clock shows at an instant.
    pub fn shown(&self, at: Millis) -> Option<DateTime> {
        let time = Timestamp::from_millisecond(at).ok()?;
        Some(time.to_zoned(self.0.clone()).datetime())
    }
}

impl Offsets for Zone {
    fn offset(&self, at: i64) -> i64 {
        Timestamp::from_second(at).map_or(0, |at| self.0.to_offset(at).seconds().into())
    }

    fn change_after(&self, at: i64) -> Option<i64> {
        let at = Timestamp::from_second(at).ok()?;
        let next = self.0.following(at).next()?;
        Some(next.timestamp().as_second())
    }
}
