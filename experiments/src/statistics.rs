//! Summaries of repeated measurements, and whether two sets of them differ.
//!
//! Measurements are not negative, in any unit, and smaller is better: seconds, bytes. Nothing is assumed about their
//! distribution, because times have long tails.

/// Spread of repetitions above which a measurement is noisy: beyond it, a change of ten percent would hardly show.
pub const NOISY_SPREAD: f64 = 0.15;

/// Probability of a difference between two sets of the same origin at which the difference still counts as real.
pub const SIGNIFICANCE: f64 = 0.05;

/// Relative difference of medians, as a fraction, up to which a change is too small to act upon, however certain it is.
pub const SMALLEST_CHANGE: f64 = 0.02;

/// Repeated measurements of one quantity, in its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Median, between the two middle values if their number is even.
    pub median: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Number of values.
    pub count: usize,
}

impl Summary {
    /// Summarises `values`, in any order. `None` if there are none, or if one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let median = f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]);
        Some(Self { median, min: sorted[0], max: sorted[count - 1], count })
    }

    /// Summarises a figure of each item, as [`Summary::of`].
    pub fn of_each<T>(items: &[T], figure: impl Fn(&T) -> f64) -> Option<Self> {
        Self::of(&items.iter().map(figure).collect::<Vec<_>>())
    }

    /// Distance from the smallest to the largest value, as a fraction of the median.
    pub fn spread(&self) -> f64 {
        // Equal values have no spread, even if they are zero.
        if self.max > self.min { (self.max - self.min) / self.median } else { 0.0 }
    }

    /// Whether the spread is above [`NOISY_SPREAD`].
    pub fn is_noisy(&self) -> bool {
        self.spread() > NOISY_SPREAD
    }

    /// How reports mark times that say little: those with a large spread, and those of a machine that was not quiet.
    pub fn marks(&self, loud: bool) -> String {
        let marks = [(self.is_noisy(), " ~"), (loud, " !")];
        marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect()
    }
}

/// What a comparison allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Values after the change are smaller.
    Better,
    /// Values after the change are larger.
    Worse,
    /// The difference is small, may be chance, or the measurements are too few. This does not say that both are equal.
    CannotTell,
}

/// Result of [`compare`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Median after the change, divided by the median before. NaN if a set has no [`Summary`].
    pub ratio: f64,
    /// Probability of ranks at least this uneven if the change had no effect.
    pub p_value: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// Compares measurements from before and after a change.
///
/// The verdict is [`Verdict::CannotTell`] unless the two-sided Mann-Whitney U test is significant at [`SIGNIFICANCE`],
/// the medians differ by more than [`SMALLEST_CHANGE`], and both point the same way. The test is exact, so it holds for
/// few values: it takes every way of dealing the pooled ranks to the two sets as equally likely. Equal values share the
/// mean of their ranks.
///
/// With three repetitions each the verdict is always [`Verdict::CannotTell`]: there are 20 ways of dealing six
/// ranks, and two of them are as uneven as complete separation, so p is at least 0.1. Four repetitions each are the
/// fewest that can be significant (2 of 70), five leave room for one overlap.
///
/// Meant for up to some 30 values in each set, which take milliseconds. The time grows with the fourth power.
///
/// Source: H. B. Mann and D. R. Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger
/// than the Other", Annals of Mathematical Statistics 18 (1947).
pub fn compare(before: &[f64], after: &[f64]) -> Comparison {
    let (Some(old), Some(new)) = (Summary::of(before), Summary::of(after)) else {
        return Comparison { ratio: f64::NAN, p_value: 1.0, verdict: Verdict::CannotTell };
    };
    let mut pooled = [before, after].concat();
    pooled.sort_by(f64::total_cmp);
    let ranks: Vec<usize> = pooled.iter().map(|v| doubled_rank(*v, &pooled)).collect();
    let rank_sum: usize = after.iter().map(|v| doubled_rank(*v, &pooled)).sum();
    let p_value = two_sided(&ranks, new.count, rank_sum);
    let ratio = new.median / old.median;
    let expected = expected_sum(ranks.len(), new.count);
    let verdict = if p_value > SIGNIFICANCE {
        Verdict::CannotTell
    } else if ratio < 1.0 - SMALLEST_CHANGE && rank_sum < expected {
        Verdict::Better
    } else if ratio > 1.0 + SMALLEST_CHANGE && rank_sum > expected {
        Verdict::Worse
    } else {
        Verdict::CannotTell
    };
    Comparison { ratio, p_value, verdict }
}

/// Twice the rank of a value: a mean of ranks may end in a half, and whole numbers keep the test exact.
fn doubled_rank(value: f64, sorted: &[f64]) -> usize {
    sorted.partition_point(|v| *v < value) + sorted.partition_point(|v| *v <= value) + 1
}

/// Expected sum of the doubled ranks of `chosen` of `all` values.
fn expected_sum(all: usize, chosen: usize) -> usize {
    chosen * (all + 1)
}

/// Fraction of the choices of `chosen` ranks whose sum is at least as far from the expected sum as `observed` is.
fn two_sided(doubled_ranks: &[usize], chosen: usize, observed: usize) -> f64 {
    let largest: usize = doubled_ranks.iter().sum();
    // `ways[k][s]`: choices of k of the ranks seen so far with sum s. Whole numbers, as f64 because they may be large.
    let mut ways = vec![vec![0.0; largest + 1]; chosen + 1];
    ways[0][0] = 1.0;
    for (seen, &rank) in doubled_ranks.iter().enumerate() {
        // Downwards, so that no choice takes the rank twice.
        for k in (1..=chosen.min(seen + 1)).rev() {
            let (fewer, these) = ways.split_at_mut(k);
            for (to, from) in these[0][rank..].iter_mut().zip(&fewer[k - 1]) {
                *to += from;
            }
        }
    }
    let expected = expected_sum(doubled_ranks.len(), chosen);
    let all: f64 = ways[chosen].iter().sum();
    let as_far = |sum: usize| sum.abs_diff(expected) >= observed.abs_diff(expected);
    let extreme: f64 = ways[chosen].iter().enumerate().filter(|(sum, _)| as_far(*sum)).map(|(_, ways)| ways).sum();
    extreme / all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_p(before: &[f64], after: &[f64], expected: f64) {
        for (a, b) in [(before, after), (after, before)] {
            let p = compare(a, b).p_value;
            assert!((p - expected).abs() < 1e-12, "{a:?} and {b:?}: {p}, not {expected}");
        }
    }

    fn check_verdict(before: &[f64], after: &[f64], expected: Verdict) {
        assert_eq!(compare(before, after).verdict, expected, "{before:?} and {after:?}");
    }

    #[test]
    fn a_summary_is_of_all_values_or_none() {
        let odd = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(odd, Summary { median: 2.0, min: 1.0, max: 3.0, count: 3 });
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Summary::of(&[7.0]).unwrap().spread(), 0.0);
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(Summary::of(&[f64::INFINITY]), None);
    }

    #[test]
    fn noise_is_relative_to_the_median() {
        assert_eq!(spread(&[9.0, 10.0, 11.0]), (0.2, true));
        assert_eq!(spread(&[99.0, 100.0, 101.0]), (0.02, false));
        assert_eq!(spread(&[0.0, 0.0]), (0.0, false));
    }

    fn spread(values: &[f64]) -> (f64, bool) {
        let summary = Summary::of(values).unwrap();
        (summary.spread(), summary.is_noisy())
    }

    #[test]
    fn p_values_are_exact_without_ties() {
        check_p(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 2.0 / 20.0);
        // U = 3, and 7 of 20 ways have at most that.
        check_p(&[1.0, 3.0, 5.0], &[2.0, 4.0, 6.0], 14.0 / 20.0);
        check_p(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], 2.0 / 70.0);
        check_p(&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0, 7.0], 2.0 / 21.0);
        check_p(&[1.0], &[2.0], 1.0);
    }

    #[test]
    fn p_values_are_exact_with_ties() {
        check_p(&[1.0; 3], &[2.0; 3], 2.0 / 20.0);
        check_p(&[1.0, 1.0, 2.0], &[1.0, 2.0, 2.0], 1.0);
        // Five ones and three twos: 5 of 70 choices take all twos, 5 take none.
        check_p(&[1.0; 4], &[1.0, 2.0, 2.0, 2.0], 10.0 / 70.0);
        check_p(&[1.0; 5], &[1.0; 5], 1.0);
    }

    /// The largest U that is significant at 5 %, from published tables.
    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (size, critical) in [(4, 0), (5, 2), (6, 5), (8, 13), (10, 23), (15, 64), (20, 127)] {
            let ranks: Vec<usize> = (1..=2 * size).map(|rank| 2 * rank).collect();
            let p = |u: usize| two_sided(&ranks, size, 2 * u + size * (size + 1));
            assert!(p(critical) <= SIGNIFICANCE, "{size}: {}", p(critical));
            assert!(p(critical + 1) > SIGNIFICANCE, "{size}: {}", p(critical + 1));
        }
    }

    #[test]
    fn a_verdict_needs_evidence_and_a_difference() {
        let (low, high) = ([1.0, 1.1, 1.2, 1.3], [2.0, 2.1, 2.2, 2.3]);
        check_verdict(&high, &low, Verdict::Better);
        check_verdict(&low, &high, Verdict::Worse);
        check_verdict(&low[..3], &high[..3], Verdict::CannotTell);
        // Certain, but one percent.
        check_verdict(&[1.0; 8], &[1.01; 8], Verdict::CannotTell);
        check_verdict(&[1.0; 8], &[1.03; 8], Verdict::Worse);
        // Overlaps.
        check_verdict(&[1.0, 2.0, 3.0, 4.0], &[1.5, 2.5, 3.5, 4.5], Verdict::CannotTell);
        assert!((compare(&low, &high).ratio - 2.15 / 1.15).abs() < 1e-12);
    }

    #[test]
    fn unusable_values_allow_no_verdict() {
        check_verdict(&[], &[1.0], Verdict::CannotTell);
        check_verdict(&[1.0; 4], &[2.0, 2.0, 2.0, f64::NAN], Verdict::CannotTell);
        check_verdict(&[0.0; 4], &[0.0; 4], Verdict::CannotTell);
        assert!(compare(&[], &[1.0]).ratio.is_nan());
    }
}
