//! Chance that can be repeated: a seed that the test prints, and that a variable of the environment sets.

use std::time::Duration;

/// SplitMix64: small, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
    /// What it began with.
    pub seed: u64,
}

impl Random {
    /// From `PLENUM_TEST_SEED` (a number, or `random`), else from `usual`: a test that fails has to fail again for whoever looks into it.
    pub fn from_env(usual: u64) -> Random {
        let seed = match std::env::var("PLENUM_TEST_SEED") {
            Ok(text) if text == "random" => std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(usual, |d| d.as_nanos() as u64),
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("PLENUM_TEST_SEED={text} is neither a number nor `random`")),
            Err(_) => usual,
        };
        println!("seed {seed}: repeat with PLENUM_TEST_SEED={seed}");
        Random { state: seed, seed }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.number() % n as u64) as usize
    }

    /// At most so many milliseconds.
    pub fn pause(&mut self, most_ms: usize) -> Duration {
        Duration::from_millis(self.below(most_ms + 1) as u64)
    }
}

/// A number from the environment, else `usual`.
pub fn count_from_env(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
