//! The traffic of the shop over a day.
//!
//! The weight is given at some hours and linear between them; after 23h it falls to the weight of 0h, so that days join
//! without a step. A load generator uses [`TrafficCurve::weight`]; the rows' times come from [`TrafficCurve::sample`],
//! its inverse integral, which needs only a square root and is thus exact.

/// Seconds of a day.
const DAY_SECONDS: u32 = 86_400;
const MICROS_PER_SECOND: f64 = 1e6;
const DAY_MICROS: u64 = DAY_SECONDS as u64 * 1_000_000;

/// Hour of the day (UTC) and traffic relative to the busiest hour.
const HOURS: [(u32, f64); 10] =
    [(0, 0.1), (6, 0.2), (10, 0.4), (12, 0.8), (14, 0.5), (18, 0.7), (20, 1.0), (22, 0.8), (23, 0.4), (24, 0.1)];

/// The traffic of a day, relative to its peak.
#[derive(Debug, Clone)]
pub struct TrafficCurve {
    pieces: Vec<Piece>,
}

/// A linear piece of the curve.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start_seconds: f64,
    length_seconds: f64,
    from: f64,
    to: f64,
    /// Area under all pieces up to the end of this one.
    area_until_end: f64,
}

impl Piece {
    fn area(&self) -> f64 {
        self.length_seconds * (self.from + self.to) / 2.0
    }
}

impl Default for TrafficCurve {
    fn default() -> Self {
        let mut area = 0.0;
        let pieces = HOURS.windows(2).map(|pair| {
            let [(start, from), (end, to)] = [pair[0], pair[1]];
            let (start_seconds, length_seconds) = (f64::from(start * 3600), f64::from((end - start) * 3600));
            let mut piece = Piece { start_seconds, length_seconds, from, to, area_until_end: 0.0 };
            area += piece.area();
            piece.area_until_end = area;
            piece
        });
        Self { pieces: pieces.collect() }
    }
}

impl TrafficCurve {
    /// Traffic at a second of the day, between 0.1 and 1. Seconds past midnight belong to the next day's curve,
    /// which is the same.
    pub fn weight(&self, second_of_day: u32) -> f64 {
        let second = f64::from(second_of_day % DAY_SECONDS);
        let after = self.pieces.partition_point(|piece| piece.start_seconds <= second);
        let piece = self.pieces[after - 1];
        piece.from + (piece.to - piece.from) * (second - piece.start_seconds) / piece.length_seconds
    }

    /// The microsecond of the day before which the share `uniform` (0 to 1) of the day's traffic occurs. Uniform
    /// numbers become times distributed by the curve; a larger number is never an earlier time.
    pub fn sample(&self, uniform: f64) -> u64 {
        let total = self.pieces[self.pieces.len() - 1].area_until_end;
        let target = uniform.clamp(0.0, 1.0) * total;
        let index = self.pieces.iter().position(|piece| target < piece.area_until_end);
        let piece = self.pieces[index.unwrap_or(self.pieces.len() - 1)];
        let area = target - (piece.area_until_end - piece.area());
        // Solves from * t + slope / 2 * t^2 = area in the form that is stable when the slope is small.
        let slope = (piece.to - piece.from) / piece.length_seconds;
        let root = (piece.from * piece.from + 2.0 * slope * area).max(0.0).sqrt();
        let seconds = piece.start_seconds + (2.0 * area / (piece.from + root)).clamp(0.0, piece.length_seconds);
        ((seconds * MICROS_PER_SECOND) as u64).min(DAY_MICROS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hour: f64, expected: f64) {
        let weight = TrafficCurve::default().weight((hour * 3600.0) as u32);
        assert!((weight - expected).abs() < 1e-12, "{weight} at {hour}h, not {expected}");
    }

    #[test]
    fn the_points_are_met_exactly() {
        for (hour, weight) in HOURS {
            assert_eq!(TrafficCurve::default().weight(hour * 3600), weight);
        }
    }

    #[test]
    fn between_the_points_it_is_linear() {
        check(3.0, 0.15);
        check(8.0, 0.3);
        check(11.0, 0.6);
        check(13.5, 0.575);
        check(16.0, 0.6);
        check(19.0, 0.85);
        check(21.0, 0.9);
        check(22.75, 0.5);
        check(23.5, 0.25);
    }

    #[test]
    fn midnight_has_no_step() {
        let curve = TrafficCurve::default();
        assert!((curve.weight(86_399) - curve.weight(86_400)).abs() < 1e-4);
        assert_eq!(curve.weight(86_400 + 3600), curve.weight(3600));
    }

    #[test]
    fn samples_rise_and_stay_in_the_day() {
        let curve = TrafficCurve::default();
        let times: Vec<u64> = (0..=10_000).map(|i| curve.sample(f64::from(i) / 10_000.0)).collect();
        assert!(times.is_sorted());
        assert_eq!((times[0], times[10_000]), (0, DAY_MICROS - 1));
    }

    #[test]
    fn samples_follow_the_weight() {
        let curve = TrafficCurve::default();
        let n = 1_000_000;
        let mut hours = [0u32; 24];
        for i in 0..n {
            hours[(curve.sample((f64::from(i) + 0.5) / f64::from(n)) / 3_600_000_000) as usize] += 1;
        }
        let seconds: Vec<f64> = (0..DAY_SECONDS).map(|second| curve.weight(second)).collect();
        let total: f64 = seconds.iter().sum();
        for (hour, count) in hours.iter().enumerate() {
            let expected = seconds[hour * 3600..(hour + 1) * 3600].iter().sum::<f64>() / total;
            let share = f64::from(*count) / f64::from(n);
            assert!((share - expected).abs() < 1e-4, "{share} at {hour}h, not {expected}");
        }
    }
}
