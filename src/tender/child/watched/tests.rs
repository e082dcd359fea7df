//! A worker's process, watched.

use tokio::process::Command;

use super::*;
use crate::link;
use crate::service::Services;

/// Who watches it has panicked: what the worker says may be misunderstood.
#[tokio::test]
async fn a_worker_that_is_watched_anew_is_told_to_go_and_its_end_is_told() {
    let (link, theirs) = link::Worker::pair().unwrap();
    let process = Command::new("sleep").arg("300").spawn().unwrap();
    let (events, mut told) = mpsc::channel(8);
    let id = WorkerId { pool: 0, number: 1 };
    let wishes = Wishes::default();
    let (name, store): (_, Open) = ("t-1".to_owned(), Arc::new(|| Ok(None)));
    let mut watched = Watched::of(
        (id, name, store),
        process,
        link.reports,
        Protocol::Lines,
        wishes,
        events,
    );
    watched.has_begun = true;
    watched.last_words.push_back(Ok(Report::Ready));
    let _watching = Services::of(watched);
    assert!(matches!(told.recv().await, Some(Event::LinkClosed(of)) if of == id));
    let Some(Event::Ended(of, ended)) = told.recv().await else {
        panic!("no end was told");
    };
    assert_eq!((of, ended), (id, Ended::Signalled(15)));
    // It is the last, and with it goes whoever told it.
    assert!(told.recv().await.is_none());
    drop(theirs);
}
