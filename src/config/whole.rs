//! A whole number from 1 on.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

/// From 1 to so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MOST: u32>(pub u32);

impl<'de, const MOST: u32> de::Deserialize<'de> for Whole<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words<const MOST: u32>;
        impl<const MOST: u32> Visitor<'_> for Words<MOST> {
            type Value = Whole<MOST>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {MOST}")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole<MOST>, E> {
                let number = u32::try_from(number).ok();
                let number = number.filter(|number| (1..=MOST).contains(number));
                number
                    .map(Whole)
                    .ok_or_else(|| E::custom(format!("it must be a whole number from 1 to {MOST}")))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
