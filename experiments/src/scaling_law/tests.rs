use super::*;

const COUNTS: [usize; 5] = [1, 2, 4, 8, 16];

/// Times by a law, with the repetitions off by up to `noise`, as a fraction.
fn synthetic(law: Fit, counts: &[usize], repetitions: usize, noise: f64, seed: u64) -> Vec<(usize, Vec<f64>)> {
    let mut random = SplitMix64(seed);
    let mut off = || 1.0 + noise * (2.0 * (random.next() as f64 / u64::MAX as f64) - 1.0);
    counts.iter().map(|n| (*n, (0..repetitions).map(|_| law.time(*n) * off()).collect())).collect()
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b}");
}

fn check_recovered(lambda: f64, sigma: f64, kappa: f64) {
    let law = Fit { lambda, sigma, kappa };
    let scaling = Scaling::of(&synthetic(law, &COUNTS, 1, 0.0, 0), 0).unwrap();
    close(scaling.usl.lambda / lambda, 1.0, 1e-9);
    close(scaling.usl.sigma, sigma, 1e-9);
    close(scaling.usl.kappa, kappa, 1e-9);
}

#[test]
fn exact_times_give_back_their_law() {
    check_recovered(0.1, 0.05, 0.002);
    check_recovered(2000.0, 0.3, 0.0);
    check_recovered(1e-4, 0.0, 0.01);
    check_recovered(1.0, 0.0, 0.0);
}

#[test]
fn time_and_speed_up_follow_the_formula() {
    let law = Fit { lambda: 0.5, sigma: 0.1, kappa: 0.01 };
    close(law.time(1), 2.0, 1e-12);
    close(law.time(4), (1.0 + 0.3 + 0.12) / 2.0, 1e-12);
    close(law.speed_up(1), 1.0, 1e-12);
    close(law.speed_up(4), 4.0 / 1.42, 1e-12);
}

#[test]
fn coefficients_are_never_negative() {
    // More than twice as fast with twice the workers: both costs would be negative.
    let times = [(1, vec![8.0]), (2, vec![3.0]), (4, vec![1.0])];
    let scaling = Scaling::of(&times, 0).unwrap();
    assert_eq!((scaling.usl.sigma, scaling.usl.kappa), (0.0, 0.0));
    // c / N with the smallest relative residuals.
    let a = [1.0 / 8.0, 1.0 / 6.0, 1.0 / 4.0];
    close(scaling.usl.time(1), a.iter().sum::<f64>() / a.iter().map(|x| x * x).sum::<f64>(), 1e-12);
}

#[test]
fn noise_leaves_the_law_within_its_intervals() {
    let law = Fit { lambda: 0.1, sigma: 0.05, kappa: 0.005 };
    let scaling = Scaling::of(&synthetic(law, &COUNTS, 10, 0.05, 7), 1).unwrap();
    let (sigma, kappa) = (scaling.sigma.unwrap(), scaling.kappa.unwrap());
    assert!(sigma.low <= 0.05 && 0.05 <= sigma.high, "{sigma:?}");
    assert!(kappa.low <= 0.005 && 0.005 <= kappa.high, "{kappa:?}");
    assert!(kappa.high - kappa.low < 0.002, "{kappa:?}");
    assert!(scaling.differs_from_amdahl());
    assert_eq!(scaling.amdahl.kappa, 0.0);
    assert!(scaling.amdahl.time(32) < scaling.usl.time(32));
}

#[test]
fn measurements_by_amdahls_law_do_not_differ_from_it() {
    let law = Fit { lambda: 0.1, sigma: 0.1, kappa: 0.0 };
    // One in 40 sets differs by chance, by the definition of a 95 % interval.
    let differ = |seed| Scaling::of(&synthetic(law, &COUNTS, 5, 0.05, seed), 1).unwrap().differs_from_amdahl();
    assert!((0..10).filter(|seed| differ(*seed)).count() <= 2);
}

#[test]
fn predictions_end_at_twice_the_largest_count() {
    let law = Fit { lambda: 0.1, sigma: 0.05, kappa: 0.002 };
    let scaling = Scaling::of(&synthetic(law, &COUNTS, 5, 0.03, 3), 1).unwrap();
    assert_eq!(scaling.largest, 16);
    let (low, mid, high) = scaling.predict(32).unwrap();
    assert!(low < mid && mid < high, "{low} {mid} {high}");
    assert!(low <= law.time(32) && law.time(32) <= high, "{low} {high}");
    assert_eq!(scaling.predict(33), None);
    assert_eq!(scaling.predict(0), None);
}

#[test]
fn the_seed_decides_the_intervals_and_nothing_else() {
    let times = synthetic(Fit { lambda: 0.1, sigma: 0.05, kappa: 0.002 }, &COUNTS, 5, 0.05, 3);
    let (a, b, c) = (Scaling::of(&times, 1), Scaling::of(&times, 1), Scaling::of(&times, 2));
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert_eq!(a.unwrap().usl, c.unwrap().usl);
}

#[test]
fn an_interval_leaves_out_a_fortieth_at_each_end() {
    let interval = interval((0..2000).rev().map(f64::from)).unwrap();
    assert_eq!(interval, Interval { low: 50.0, high: 1949.0 });
}

#[test]
fn widened_repetitions_have_the_variance_of_what_they_were_drawn_from() {
    // As logarithms -1, 0 and 1: a variance of 2 / 3 around their mean, but an estimate of 1 of where they came from.
    let mut repetitions = [-1.0, 0.0, 1.0].map(f64::exp);
    widen(&mut repetitions);
    let logarithms = repetitions.map(f64::ln);
    close(logarithms.iter().sum(), 0.0, 1e-12);
    close(logarithms.iter().map(|x| x * x).sum::<f64>() / 3.0, 1.0, 1e-12);
}

#[test]
fn the_generator_has_the_published_sequence() {
    let mut random = SplitMix64(1_234_567);
    assert_eq!(random.next(), 6_457_827_717_110_365_317);
    assert_eq!(random.next(), 3_203_168_211_198_807_973);
}

#[test]
fn too_little_data_gives_no_law_or_no_intervals() {
    let at =
        |counts: &[usize]| Scaling::of(&synthetic(Fit { lambda: 1.0, sigma: 0.1, kappa: 0.0 }, counts, 2, 0.01, 0), 0);
    assert_eq!(at(&[1, 2]), None);
    assert_eq!(at(&[1, 2, 2, 1]), None);
    assert_eq!(Scaling::of(&[(1, vec![3.0]), (2, vec![2.0]), (4, vec![])], 0), None);
    assert_eq!(Scaling::of(&[(0, vec![3.0]), (1, vec![2.0]), (2, vec![1.0]), (4, vec![0.5])], 0), None);
    assert_eq!(Scaling::of(&[(1, vec![3.0]), (2, vec![2.0]), (4, vec![f64::NAN])], 0), None);
    assert_eq!(Scaling::of(&[(1, vec![3.0]), (2, vec![2.0]), (4, vec![0.0])], 0), None);
    // Two repetitions.
    let few = at(&[1, 2, 4]).unwrap();
    assert_eq!((few.sigma, few.kappa, few.predict(4)), (None, None, None));
    assert!(!few.differs_from_amdahl());
}
