//! A list of options, or the word that says that any will do.

use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// `options = [ … ]`, or `options = "any"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Any,
    Named(Vec<String>),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of options' names, or \"any\"")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Given, E> {
                match word {
                    "any" => Ok(Given::Any),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Given, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(names)).map(Given::Named)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
