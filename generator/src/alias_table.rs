//! Weighted choice in constant time, by Walker's alias method with Vose's construction (1991).
//!
//! The table is built only from `+ - * /` of IEEE doubles in a fixed order, so it is the same on every machine.

use crate::random::Random;

/// A table that picks indices in proportion to their weights.
#[derive(Debug)]
pub(crate) struct AliasTable {
    cells: Vec<Cell>,
}

/// Each cell has one n-th of the probability, shared by two indices.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The cell's own index is chosen when a 32-bit number is below this.
    threshold: u32,
    other: u32,
}

impl AliasTable {
    /// `weights` must not be empty nor all zero.
    pub(crate) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut share: Vec<f64> = weights.into_iter().collect();
        let total: f64 = share.iter().sum();
        assert!(total > 0.0, "a choice needs some weight");
        let n = share.len();
        for weight in &mut share {
            *weight = *weight / total * n as f64;
        }
        let mut cells: Vec<Cell> = (0..n as u32).map(|i| Cell { threshold: u32::MAX, other: i }).collect();
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) = (0..n as u32).partition(|&i| share[i as usize] < 1.0);
        while let (Some(&small), Some(&large)) = (poor.last(), rich.last()) {
            poor.pop();
            let own = share[small as usize];
            cells[small as usize] = Cell { threshold: (own * 4_294_967_296.0) as u32, other: large };
            share[large as usize] = share[large as usize] + own - 1.0;
            if share[large as usize] < 1.0 {
                rich.pop();
                poor.push(large);
            }
        }
        Self { cells }
    }

    /// Weights `1/1, 1/2, 1/3, ...`: Zipf's law with exponent 1, which needs no power function.
    pub(crate) fn zipf(ranks: u32) -> Self {
        Self::new((1..=ranks).map(|rank| 1.0 / f64::from(rank)))
    }

    pub(crate) fn pick(&self, random: &mut Random) -> u32 {
        self.pick_by(random.next())
    }

    /// The index for a number evenly spread over 64 bits.
    pub(crate) fn pick_by(&self, number: u64) -> u32 {
        let index = ((number >> 32) * self.cells.len() as u64) >> 32;
        let cell = self.cells[index as usize];
        if (number as u32) < cell.threshold { index as u32 } else { cell.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn shares(choice: &AliasTable, n: usize) -> Vec<f64> {
        let mut random = Random::stream(7, Stream::Sessions, 0, 0);
        let mut seen = vec![0u32; n];
        for _ in 0..400_000 {
            seen[choice.pick(&mut random) as usize] += 1;
        }
        seen.iter().map(|&n| f64::from(n) / 400_000.0).collect()
    }

    #[test]
    fn indices_are_picked_in_proportion_to_their_weight() {
        let weights = [5.0, 0.0, 1.0, 3.0, 1.0];
        for (share, weight) in shares(&AliasTable::new(weights), 5).iter().zip(weights) {
            assert!((share - weight / 10.0).abs() < 0.003, "{share} for {weight}");
        }
    }

    #[test]
    fn zipf_gives_the_head_its_share() {
        let harmonic = |n: u32| (1..=n).map(|rank| 1.0 / f64::from(rank)).sum::<f64>();
        let head: f64 = shares(&AliasTable::zipf(1000), 1000)[..10].iter().sum();
        assert!((head - harmonic(10) / harmonic(1000)).abs() < 0.005, "{head}");
    }

    #[test]
    fn a_single_index_is_always_picked() {
        let choice = AliasTable::new([0.3]);
        assert_eq!([0, u64::MAX, 1 << 31].map(|n| choice.pick_by(n)), [0, 0, 0]);
    }
}
