//! Reproducible random numbers, the same on every machine and in every version.
//!
//! The sequence is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
//! with the constants of Vigna's public domain `splitmix64.c`): a counter and a bijective mix, so a stream costs
//! nothing to start and every chunk of every day can have its own. It is implemented here because the rows of a seed
//! must not change with the version of a crate.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The purpose of a stream, so that different kinds of rows never use the same numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Sessions = 1,
    Dirt = 2,
    Reviews = 3,
    Products = 4,
    Users = 5,
    Habits = 6,
    Brands = 7,
    EventIds = 8,
    SessionIds = 9,
    ReviewIds = 10,
}

/// A bijection of the 64-bit numbers that hides the order of its inputs: equal outputs mean equal inputs.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed for one entity (a day and a chunk, a user, ...).
    pub(crate) fn stream(seed: u64, stream: Stream, major: i64, minor: u64) -> Self {
        let mut state = mix(seed.wrapping_add(GOLDEN));
        for part in [stream as u64, major as u64, minor] {
            state = mix(state.wrapping_add(GOLDEN) ^ part);
        }
        Self(state)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `[0, 1)`, exact as a multiple of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number in `0..bound`. Not perfectly uniform, but the bias is at most 2^-32.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_as_published() {
        // The first outputs of splitmix64.c for the state 1234567.
        let mut random = Random(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }

    #[test]
    fn numbers_are_within_bounds_and_uniform() {
        let mut random = Random::stream(1, Stream::Sessions, -3, 0);
        let mut seen = [0u32; 7];
        let mut sum = 0.0;
        for _ in 0..70_000 {
            seen[random.below(7) as usize] += 1;
            let unit = random.unit();
            assert!((0.0..1.0).contains(&unit));
            sum += unit;
        }
        assert!(seen.iter().all(|n| (9_500..10_500).contains(n)), "{seen:?}");
        assert!((sum / 70_000.0 - 0.5).abs() < 0.01);
    }

    #[test]
    fn streams_differ_in_every_part() {
        let first = |mut random: Random| random.next();
        let all = [
            first(Random::stream(1, Stream::Sessions, 0, 0)),
            first(Random::stream(2, Stream::Sessions, 0, 0)),
            first(Random::stream(1, Stream::Dirt, 0, 0)),
            first(Random::stream(1, Stream::Sessions, 1, 0)),
            first(Random::stream(1, Stream::Sessions, 0, 1)),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(a));
        }
    }
}
