//! Tasks that are put together and wait for each other: in which order they can be recorded.

/// Of each task, by its place, the places of those that it waits for. A place that is none is passed over.
pub type Graph = [Vec<usize>];

/// How far the search has come with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    /// Something that it waits for is being looked at, and this is the next of these.
    Open {
        next: usize,
    },
    Done,
}

/// The places in an order in which each comes after those that it waits for, and otherwise as they are.
///
/// # Errors
/// Places of which each waits for the next, and the last for the first.
pub fn ordered(graph: &Graph) -> Result<Vec<usize>, Vec<usize>> {
    let mut seen = vec![Seen::Not; graph.len()];
    let mut order = Vec::with_capacity(graph.len());
    // From a place to what it waits for, and on. Not by recursion: a chain may be as long as the graph.
    let mut path: Vec<usize> = Vec::new();
    for first in 0..graph.len() {
        if seen.get(first) == Some(&Seen::Not) {
            path.push(first);
        }
        while let Some(place) = path.last().copied() {
            let Some(stands) = seen.get_mut(place) else {
                path.pop();
                continue;
            };
            let next = match *stands {
                Seen::Not => 0,
                Seen::Open { next } => next,
                Seen::Done => {
                    path.pop();
                    continue;
                }
            };
            let Some(parent) = graph.get(place).and_then(|parents| parents.get(next)) else {
                *stands = Seen::Done;
                order.push(place);
                path.pop();
                continue;
            };
            *stands = Seen::Open {
                next: next.saturating_add(1),
            };
            match seen.get(*parent) {
                Some(Seen::Not) => path.push(*parent),
                Some(Seen::Open { .. }) => {
                    let circle = path.iter().skip_while(|other| *other != parent);
                    return Err(circle.copied().collect());
                }
                Some(Seen::Done) | None => {}
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_those_that_it_waits_for() {
        let table: [(&[&[usize]], &[usize]); 5] = [
            (&[], &[]),
            (&[&[], &[], &[]], &[0, 1, 2]),
            (&[&[1], &[2], &[]], &[2, 1, 0]),
            (&[&[], &[3], &[], &[0, 2]], &[0, 2, 3, 1]),
            (&[&[7], &[0, 0]], &[0, 1]),
        ];
        for (graph, expected) in table {
            let graph: Vec<Vec<usize>> = graph.iter().map(|parents| parents.to_vec()).collect();
            assert_eq!(ordered(&graph).as_deref(), Ok(expected), "{graph:?}");
        }
    }

    #[test]
    fn a_circle_is_named_in_its_order() {
        let table: [(&[&[usize]], &[usize]); 4] = [
            (&[&[0]], &[0]),
            (&[&[1], &[2], &[0]], &[0, 1, 2]),
            (&[&[1], &[2], &[1]], &[1, 2]),
            (&[&[], &[0, 3], &[], &[2, 1]], &[1, 3]),
        ];
        for (graph, expected) in table {
            let graph: Vec<Vec<usize>> = graph.iter().map(|parents| parents.to_vec()).collect();
            assert_eq!(ordered(&graph), Err(expected.to_vec()), "{graph:?}");
        }
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let last = 200_000;
        let graph: Vec<Vec<usize>> = (0..=last)
            .map(|place| {
                if place < last {
                    vec![place + 1]
                } else {
                    vec![]
                }
            })
            .collect();
        let order = ordered(&graph).unwrap();
        assert_eq!(order.first(), Some(&last));
        assert_eq!(order.len(), last + 1);
    }
}
