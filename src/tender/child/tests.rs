//! A worker's process, watched.

use super::*;

/// Who watches it has panicked: what the worker says may be misunderstood.
#[tokio::test]
async fn a_worker_that_is_watched_anew_is_told_to_go_and_its_end_is_told() {
    let (link, theirs) = link::Worker::pair().unwrap();
    let process = Command::new("sleep").arg("300").spawn().unwrap();
    let (events, mut told) = mpsc::channel(8);
    let id = WorkerId { pool: 0, number: 1 };
    let _watching = Services::of(Watched {
        id,
        events,
        process,
        reports: Some(link.reports),
        kill: Arc::default(),
        terminate: Arc::default(),
        terminate_soon: Arc::default(),
        terminate_at: None,
        ended: None,
        last_words: VecDeque::from([Ok(Report::Ready)]),
        has_begun: true,
        looks: None,
        is_own: false,
        handed: VecDeque::new(),
    });
    assert!(matches!(told.recv().await, Some(Event::LinkClosed(of)) if of == id));
    let Some(Event::Ended(of, ended)) = told.recv().await else {
        panic!("no end was told");
    };
    assert_eq!((of, ended), (id, Ended::Signalled(15)));
    // It is the last, and with it goes whoever told it.
    assert!(told.recv().await.is_none());
    drop(theirs);
}
