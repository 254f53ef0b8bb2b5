use super::*;

fn check_ticks(axis: Option<Axis>, expected: &[&str]) {
    let ticks = axis.unwrap().ticks();
    assert_eq!(ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!((ticks[0].0, ticks[ticks.len() - 1].0), (0.0, 1.0));
}

#[test]
fn ticks_are_round_and_contain_the_values() {
    let linear = |values: &[f64], from_zero| Axis::linear(values.iter().copied(), from_zero);
    check_ticks(linear(&[3.0, 58.0], true), &["0", "10", "20", "30", "40", "50", "60"]);
    check_ticks(linear(&[0.31, 0.9], false), &["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]);
    check_ticks(linear(&[-1.0, 1.0], false), &["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
    check_ticks(
        linear(&[4e6, 9e6], false),
        &["4,000,000", "5,000,000", "6,000,000", "7,000,000", "8,000,000", "9,000,000"],
    );
    check_ticks(linear(&[0.0, 0.0], true), &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    check_ticks(linear(&[5.0, 5.0], false), &["4.4", "4.6", "4.8", "5.0", "5.2", "5.4", "5.6"]);
    for extreme in [1e-300, 1e-20, 1e100, -1e100] {
        assert!(linear(&[extreme, 0.0], false).unwrap().ticks().len() <= STEPS.0 as usize + 3, "{extreme}");
    }
}

#[test]
fn powers_of_two_are_written_out() {
    let log2 = |values: &[f64]| Axis::log2(values.iter().copied());
    check_ticks(log2(&[1.0, 8.0]), &["1", "2", "4", "8"]);
    check_ticks(log2(&[6.0, 3.0]), &["2", "4", "8"]);
    check_ticks(log2(&[0.3, 1.0]), &["0.25", "0.5", "1"]);
    check_ticks(log2(&[1.0, 65536.0]), &["1", "4", "16", "64", "256", "1,024", "4,096", "16,384", "65,536"]);
    check_ticks(log2(&[4.0]), &["2", "4", "8"]);
    assert!((log2(&[1.0, 4.0]).unwrap().position(2.0) - 0.5).abs() < 1e-12);
}

#[test]
fn no_text_breaks_the_markup() {
    assert_eq!(escape("<a & \"b\">'\n\u{1}"), "&lt;a &amp; &quot;b&quot;&gt;&#39; \u{fffd}");
}
