//! Bodies: any bytes, any size.

use super::Harness;
use crate::support::{job, put, reserve, tube};
use taskqueue::broker::Error;

/// Small sizes all, then around each power of two, then around the limit.
fn sizes(largest: usize) -> impl Iterator<Item = usize> {
    let powers = (9..usize::BITS).map(|power| 1_usize << power);
    let around_powers = powers
        .take_while(move |&size| size < largest)
        .flat_map(|size| [size - 1, size, size + 1]);
    (0..=300).chain(around_powers).chain([largest - 1, largest])
}

/// Bytes that look like the protocol's own, at every offset of a period that no power of two shares.
fn tricky(size: usize) -> Vec<u8> {
    let pattern = b"\r\nRESERVED 1 5\r\n\0\xff\x80DELETED\r\n\n\r";
    pattern.iter().copied().cycle().take(size).collect()
}

pub async fn every_size_up_to_the_limit_comes_back<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    for size in sizes(H::LARGEST) {
        let body = tricky(size);
        let id = put(session.as_mut(), &t, job(&body)).await.unwrap();
        let reserved = reserve(session.as_mut(), &t).await;
        assert_eq!(reserved.id, id);
        assert!(reserved.body == body, "a body of {size} bytes was changed");
        session.delete(reserved).await.unwrap();
    }
}

pub async fn every_byte_comes_back<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let singles = all.iter().map(|byte| vec![*byte]);
    for body in singles.chain([all.clone()]) {
        let id = put(session.as_mut(), &t, job(&body)).await.unwrap();
        let seen = session.peek(id).await.unwrap();
        assert_eq!(seen.as_deref(), Some(&body[..]));
        let reserved = reserve(session.as_mut(), &t).await;
        assert_eq!(reserved.body, body);
        session.delete(reserved).await.unwrap();
    }
}

pub async fn a_body_too_big_is_refused_alone<H: Harness>(harness: &mut H) {
    let mut session = harness.session();
    let t = tube("t");
    let size = H::LARGEST + 1;
    let jobs = [job("before"), job(tricky(size)), job("after")];
    let answers = session.put(&t, &jobs).await;
    assert_eq!(answers[1], Err(Error::TooBig { size }));
    for (index, body) in [(0, "before"), (2, "after")] {
        let reserved = reserve(session.as_mut(), &t).await;
        assert_eq!(answers[index], Ok(reserved.id));
        assert_eq!(reserved.body, body);
    }
}
