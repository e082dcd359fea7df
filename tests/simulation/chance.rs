//! Chance that can be had again: the same seed, the same day.

use std::time::Duration;

/// Sebastiano Vigna's splitmix64.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to but not including 1.
    pub fn part(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.number().is_multiple_of(n)
    }

    /// Both ends included.
    pub fn between(&mut self, least: u32, most: u32) -> u32 {
        least + (self.number() % u64::from(most - least + 1)) as u32
    }

    pub fn time_between(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most - least).mul_f64(self.part())
    }

    /// Of events that come apart from each other, on average so long.
    pub fn time_of_mean(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.part()).ln())
    }
}
