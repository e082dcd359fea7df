//! Tasks that are put together and wait for each other: who is meant by which reference.

use std::collections::{HashMap, HashSet};

use super::error::Error;
use super::put::Put;
use crate::ledger::put::WaitsFor;
use crate::task::after::{Links, MOST_PARENTS, Parent, bad_reference, ordered};

/// For each of those that are put together, what it waits for. Nothing of what is wrong is recorded.
pub(super) fn waits_for(puts: &[Put]) -> Result<Vec<Option<WaitsFor>>, Error> {
    // What is put without anything of this kind costs nothing more.
    if puts.iter().all(|put| put.links == Links::default()) {
        return Ok(vec![None; puts.len()]);
    }
    let references = references(puts)?;
    let named = |place: usize| match puts.get(place).and_then(|put| put.links.reference.as_ref()) {
        Some(reference) => reference.clone(),
        None => format!("number {}", place.saturating_add(1)),
    };
    let mut all = Vec::with_capacity(puts.len());
    for (place, put) in puts.iter().enumerate() {
        all.push(one(&put.links, &references, || named(place))?);
    }
    let beside =
        |one: &Option<WaitsFor>| one.as_ref().map_or_else(Vec::new, |one| one.beside.clone());
    let graph: Vec<Vec<usize>> = all.iter().map(beside).collect();
    match ordered(&graph) {
        Ok(_) => Ok(all),
        Err(circle) => Err(Error::Circle(circle.into_iter().map(named).collect())),
    }
}

fn references(puts: &[Put]) -> Result<HashMap<&str, usize>, Error> {
    let mut places = HashMap::new();
    for (place, put) in puts.iter().enumerate() {
        let Some(reference) = &put.links.reference else {
            continue;
        };
        if let Some(why) = bad_reference(reference) {
            return Err(Error::Links(why.into()));
        }
        if places.insert(reference.as_str(), place).is_some() {
            let reference = reference.clone();
            return Err(Error::SameReference { reference });
        }
    }
    Ok(places)
}

fn one(
    links: &Links,
    references: &HashMap<&str, usize>,
    name: impl Fn() -> String,
) -> Result<Option<WaitsFor>, Error> {
    let terms = links.terms;
    if links.parents.is_empty() {
        return match terms == Default::default() {
            true => Ok(None),
            false => Err(Error::Links(
                "it is said how a task is to wait for others, and not for which".into(),
            )),
        };
    }
    if links.parents.len() > MOST_PARENTS {
        let given = links.parents.len();
        let what = format!("a task waits for at most {MOST_PARENTS} others, and this for {given}");
        return Err(Error::Links(what));
    }
    let (mut waits, mut seen) = (WaitsFor::default(), HashSet::new());
    waits.terms = terms;
    for parent in &links.parents {
        match parent {
            Parent::Id(id) => waits.ids.push(*id),
            Parent::Reference(reference) => match references.get(reference.as_str()) {
                Some(place) if seen.insert(*place) => waits.beside.push(*place),
                Some(_) => {}
                None => {
                    return Err(Error::NoSuchReference {
                        by: name(),
                        reference: reference.clone(),
                    });
                }
            },
        }
    }
    Ok(Some(waits))
}
