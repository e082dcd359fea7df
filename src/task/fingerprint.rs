//! What tells a foreign producer's job from another that has its number.

use sha2::{Digest, Sha256};

/// The first half of the SHA-256 of a job's body.
pub fn fingerprint(body: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let mut half = [0; 16];
    half.iter_mut().zip(digest).for_each(|(h, d)| *h = d);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It stands in stores, so it stays what it is.
    #[test]
    fn it_is_what_it_was() {
        let hex = |bytes: [u8; 16]| bytes.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(fingerprint(b"")), "e3b0c44298fc1c149afbf4c8996fb924");
        assert_eq!(hex(fingerprint(b"abc")), "ba7816bf8f01cfea414140de5dae2223");
    }
}
