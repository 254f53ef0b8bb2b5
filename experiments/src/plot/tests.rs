use super::*;

fn line_plot(series: Vec<Series>) -> LinePlot {
    LinePlot {
        title: "Speed-up <of> \"Q1\" & 'Q6'".to_string(),
        x_label: "workers".to_string(),
        y_label: "time, s".to_string(),
        x_scale: Scale::Log2,
        y_from_zero: true,
        series,
    }
}

fn series(name: &str, style: Line, points: &[(f64, f64)]) -> Series {
    let points = points.iter().map(|(x, y)| Point::exact(*x, *y)).collect();
    Series { name: name.to_string(), points, style }
}

fn bar_plot(bars: &[(&str, &str, &[f64])]) -> BarPlot {
    let bar = |(group, label, parts): &(&str, &str, &[f64])| Bar {
        group: (*group).to_string(),
        label: (*label).to_string(),
        parts: parts.to_vec(),
    };
    BarPlot {
        title: "Where <time> goes".to_string(),
        y_label: "time, s".to_string(),
        y_scale: Scale::Linear,
        bars: bars.iter().map(bar).collect(),
        part_names: vec!["scan & filter".to_string(), "shuffle".to_string()],
    }
}

/// Checks that tags match, that attributes are quoted, that text is escaped and that no number is broken.
fn check_svg(svg: &str) {
    let mut open = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a tag does not end: {piece}"));
        assert!(!text.contains('>'), "{text}");
        for entity in text.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            assert!(known.iter().any(|e| entity.starts_with(e)), "&{entity}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{piece}");
            continue;
        }
        let body = tag.strip_suffix('/').unwrap_or(tag);
        let (name, attributes) = body.split_once(' ').unwrap_or((body, ""));
        assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
        let quoted: Vec<&str> = attributes.split('"').collect();
        assert!(quoted.len() % 2 == 1 && quoted[quoted.len() - 1].is_empty(), "{attributes}");
        let names: Vec<&str> = quoted.iter().step_by(2).filter(|n| !n.is_empty()).copied().collect();
        assert!(names.iter().all(|n| n.ends_with('=')), "{attributes}");
        assert!(!names.iter().enumerate().any(|(n, name)| names[..n].contains(name)), "{attributes}");
        if !tag.ends_with('/') {
            open.push(name);
        }
        let values: Vec<&str> = quoted.iter().skip(1).step_by(2).copied().collect();
        assert!(!values.iter().any(|v| v.contains("NaN") || v.contains("inf")), "{attributes}");
    }
    assert!(open.is_empty(), "{open:?} do not end");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
}

fn count(svg: &str, what: &str) -> usize {
    svg.matches(what).count()
}

#[test]
fn lines_have_dots_dashes_and_a_legend() {
    let measured = series("plain & <simple>", Line::Solid, &[(1.0, 8.0), (2.0, 4.5), (4.0, 3.0)]);
    let model = series("law", Line::Dashed, &[(1.0, 8.0), (4.0, 2.0)]);
    let plot = line_plot(vec![measured, model]);
    let svg = plot.to_svg();
    check_svg(&svg);
    assert_eq!(svg, plot.to_svg());
    // With those of the legend.
    assert_eq!((count(&svg, "<circle"), count(&svg, "<polyline"), count(&svg, "dasharray")), (4, 4, 2));
    assert!(svg.contains(">plain &amp; &lt;simple&gt;<") && svg.contains(">law<"));
    assert!(svg.contains("Speed-up &lt;of&gt; &quot;Q1&quot; &amp; &#39;Q6&#39;"));
    for label in ["1", "2", "4", "workers", "time, s"] {
        assert!(svg.contains(&format!(">{label}</text>")), "{label}");
    }
}

#[test]
fn dots_have_no_line() {
    let svg = line_plot(vec![series("a", Line::Dots, &[(1.0, 8.0), (2.0, 4.5)])]).to_svg();
    check_svg(&svg);
    assert_eq!((count(&svg, "<circle"), count(&svg, "<polyline")), (3, 0));
}

/// Values of an attribute of each element.
fn numbers(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
    let elements = svg.lines().filter(|line| line.starts_with(&format!("<{element} ")));
    let value = |line: &str| line.split_once(&format!(" {attribute}=\""))?.1.split_once('"')?.0.parse().ok();
    elements.filter_map(value).collect()
}

#[test]
fn larger_values_are_to_the_right_and_above() {
    let svg = line_plot(vec![series("a", Line::Dots, &[(1.0, 0.0), (2.0, 5.0), (4.0, 10.0)])]).to_svg();
    let (x, y) = (numbers(&svg, "circle", "cx"), numbers(&svg, "circle", "cy"));
    assert!(x[0] < x[1] && x[1] < x[2] && (x[1] - x[0] - (x[2] - x[1])).abs() < 0.2, "{x:?}");
    assert!(y[0] > y[1] && y[1] > y[2] && (y[0] - y[1] - (y[1] - y[2])).abs() < 0.2, "{y:?}");
    // Beyond the data.
    assert!(x[3] > x[2]);
}

#[test]
fn error_bars_are_drawn_where_the_ends_differ_and_fit_the_axis() {
    let exact = line_plot(vec![series("a", Line::Solid, &[(1.0, 2.0), (2.0, 3.0)])]);
    let mut bars = exact.clone();
    bars.series[0].points[1] = Point { x: 2.0, y: 3.0, low: 2.5, high: 60.0 };
    let (exact, bars) = (exact.to_svg(), bars.to_svg());
    check_svg(&bars);
    assert!(!exact.contains(">60</text>") && bars.contains(">60</text>"));
    assert_eq!(count(&bars, "stroke-width=\"1.5\"") - count(&exact, "stroke-width=\"1.5\""), 3);
}

#[test]
fn a_line_has_a_gap_where_a_point_is_left_out() {
    let mut points = vec![(1.0, 5.0), (2.0, 4.0), (4.0, f64::NAN), (8.0, 3.0), (16.0, 2.0)];
    points.extend([(f64::INFINITY, 1.0), (0.0, 1.0), (-1.0, 1.0), (32.0, 1e200)]);
    let mut plot = line_plot(vec![series("a", Line::Solid, &points)]);
    plot.series[0].points[0].high = f64::INFINITY;
    let svg = plot.to_svg();
    check_svg(&svg);
    assert_eq!((count(&svg, "<circle"), count(&svg, "<polyline")), (5, 3));
    assert!(svg.contains(">16</text>") && !svg.contains(">32</text>"));
}

#[test]
fn the_y_axis_starts_at_zero_only_if_it_should() {
    let mut plot = line_plot(vec![series("a", Line::Solid, &[(1.0, 101.0), (2.0, 109.0)])]);
    assert!(plot.to_svg().contains(">0</text>"));
    plot.y_from_zero = false;
    assert!(!plot.to_svg().contains(">0</text>"));
}

#[test]
fn bars_stack_their_parts_in_groups() {
    let plot = bar_plot(&[("q01", "a", &[3.0, 1.0]), ("q01", "b", &[2.0, 1.0]), ("q02", "a", &[1.0, 0.0, 0.5])]);
    let svg = plot.to_svg();
    check_svg(&svg);
    assert_eq!(svg, plot.to_svg());
    // Six parts that are not zero, three entries of the legend, and the background.
    assert_eq!(count(&svg, "<rect"), 6 + 3 + 1);
    assert_eq!((count(&svg, ">q01<"), count(&svg, ">q02<"), count(&svg, ">a</text>")), (1, 1, 2));
    assert!(svg.contains(">scan &amp; filter<") && svg.contains(">unnamed<"));
    // The legend names the top of the stack first.
    assert!(svg.find(">shuffle<") < svg.find(">scan &amp; filter<"));
}

#[test]
fn a_part_stands_on_the_one_below() {
    let svg = bar_plot(&[("", "a", &[4.0, 2.0])]).to_svg();
    // After the background, which has no position.
    let (y, height) = (numbers(&svg, "rect", "y"), numbers(&svg, "rect", "height"));
    assert!((y[1] + height[1] - y[0]).abs() < 0.2 && (height[0] - 2.0 * height[1]).abs() < 0.2, "{y:?} {height:?}");
}

#[test]
fn equal_ratios_are_equal_differences_on_a_logarithmic_scale() {
    let plot = bar_plot(&[("", "a", &[1.0]), ("", "b", &[8.0]), ("", "c", &[64.0]), ("", "d", &[0.0])]);
    let svg = BarPlot { y_scale: Scale::Log2, part_names: vec!["all".to_string()], ..plot }.to_svg();
    check_svg(&svg);
    let heights = numbers(&svg, "rect", "height");
    let bars = &heights[..3];
    assert!(bars[0] > 1.0, "{svg}");
    assert!((bars[2] - bars[1] - (bars[1] - bars[0])).abs() < 0.2, "{svg}");
}

#[test]
fn bars_leave_out_what_is_not_a_height() {
    let svg = bar_plot(&[("", "a", &[f64::NAN, 1.0]), ("", "b", &[-1.0, f64::INFINITY]), ("", "c", &[])]).to_svg();
    check_svg(&svg);
    assert_eq!(count(&svg, "<rect"), 1 + 2 + 1);
}

#[test]
fn plots_without_data_say_so() {
    let unusable = series("a", Line::Solid, &[(f64::NAN, 1.0), (1.0, f64::INFINITY)]);
    let plots = [
        line_plot(vec![]).to_svg(),
        line_plot(vec![unusable]).to_svg(),
        bar_plot(&[]).to_svg(),
        bar_plot(&[("", "a", &[f64::NAN]), ("", "b", &[0.0])]).to_svg(),
    ];
    for svg in plots {
        check_svg(&svg);
        assert!(svg.contains(">no data</text>"), "{svg}");
    }
}
