//! Charts as SVG text for an HTML report: stacked columns, horizontal bars, a funnel.
//!
//! Text and lines use the page's colour (`currentColor` at some opacity) and fills are of medium lightness, so that a
//! chart is legible on white and on black. Every mark has a `<title>`, which browsers show as a tooltip and screen
//! readers read out.

use std::fmt::Write;

use minijinja::value::Kwargs;
use minijinja::{Error, HtmlEscape, Value};

use super::number::{grouped, short};
use super::table::field;

/// Distinguishable with red-green colour blindness; medium lightness.
const FILLS: [&str; 6] = ["#4e79a7", "#e8912d", "#3f9e8f", "#d1556b", "#9673b3", "#8c8c8c"];
const WIDTH: f64 = 760.0;

/// A picture being drawn.
struct Svg {
    body: String,
    height: f64,
}

#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    fn new(height: f64) -> Self {
        Self { body: String::new(), height }
    }

    fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>\n",
            HtmlEscape(text)
        ));
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str, title: &str) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\" fill=\"{fill}\">\
             <title>{}</title></rect>\n",
            HtmlEscape(title)
        ));
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>\n"
        ));
    }

    fn push(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(part);
    }

    fn finish(self, title: &str) -> String {
        let title = HtmlEscape(title);
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}\" class=\"chart\">\n{}</svg>",
            self.height, self.body
        )
    }
}

/// Columns over `x`, stacked by `series` where one is named. Options: x, y, series, x_title, y_title, title.
pub(crate) fn columns(rows: &Value, options: &Kwargs) -> Result<String, Error> {
    let (x, y): (&str, &str) = (options.get("x")?, options.get("y")?);
    let series: Option<&str> = options.get("series")?;
    let x_title: Option<&str> = options.get("x_title")?;
    let y_title: Option<&str> = options.get("y_title")?;
    let title: &str = options.get("title")?;
    let mut marks = Vec::new();
    for row in rows.try_iter()? {
        let name = series.map(|series| text_of(&row, series)).transpose()?.unwrap_or_default();
        marks.push((text_of(&row, x)?, name, number_of(&row, y)?));
    }
    let x_values = distinct(marks.iter().map(|mark| &mark.0));
    let names = distinct(marks.iter().map(|mark| &mark.1));
    let total = |x_value: &String| marks.iter().filter(|mark| mark.0 == *x_value).map(|mark| mark.2).sum::<f64>();
    let (step, top) = scale(x_values.iter().map(total).fold(0.0, f64::max));

    let (left, right, bottom, upper) = (64.0, WIDTH - 8.0, 268.0, if series.is_some() { 44.0 } else { 16.0 });
    let mut svg = Svg::new(320.0);
    let height_of = |value: f64| (bottom - upper) * value / top;
    let mut tick = 0.0;
    while tick <= top * 1.0001 {
        let at = bottom - height_of(tick);
        svg.line((left, at), (right, at), if tick == 0.0 { "axis" } else { "grid" });
        svg.text(left - 8.0, at + 4.0, Anchor::End, "tick", &short(tick));
        tick += step;
    }
    let slot = (right - left) / x_values.len().max(1) as f64;
    let wide = (slot * 0.78).min(72.0);
    for (index, x_value) in x_values.iter().enumerate() {
        let middle = left + slot * (index as f64 + 0.5);
        svg.text(middle, bottom + 18.0, Anchor::Middle, "tick", x_value);
        let mut base = bottom;
        for (color, name) in names.iter().enumerate() {
            let value: f64 = marks.iter().filter(|mark| mark.0 == *x_value && mark.1 == *name).map(|mark| mark.2).sum();
            if value <= 0.0 {
                continue;
            }
            base -= height_of(value);
            let label = if name.is_empty() { x_value.clone() } else { format!("{x_value}, {name}") };
            let fill = FILLS[color % FILLS.len()];
            svg.rect(middle - wide / 2.0, base, wide, height_of(value), fill, &format!("{label}: {}", plain(value)));
        }
    }
    if series.is_some() {
        legend(&mut svg, left, &names);
    }
    if let Some(x_title) = x_title {
        svg.text((left + right) / 2.0, bottom + 42.0, Anchor::Middle, "title", x_title);
    }
    if let Some(y_title) = y_title {
        let middle = (bottom + upper) / 2.0;
        svg.push(format_args!(
            "<text transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\" class=\"title\">{}</text>\n",
            HtmlEscape(y_title)
        ));
    }
    Ok(svg.finish(title))
}

/// Horizontal bars, one a row, in the order of the rows. Options: label, value, value_title, decimals, title.
pub(crate) fn bars(rows: &Value, options: &Kwargs) -> Result<String, Error> {
    let (label, value): (&str, &str) = (options.get("label")?, options.get("value")?);
    let value_title: Option<&str> = options.get("value_title")?;
    let title: &str = options.get("title")?;
    let decimals = options.get::<Option<usize>>("decimals")?.unwrap_or(0);
    let mut marks = Vec::new();
    for row in rows.try_iter()? {
        marks.push((text_of(&row, label)?, number_of(&row, value)?));
    }
    let (left, pitch, upper) = (150.0, 30.0, 8.0);
    let bottom = upper + pitch * marks.len() as f64;
    let (step, top) = scale(marks.iter().map(|mark| mark.1).fold(0.0, f64::max));
    // Leaves room at the right for the longest bar's figure.
    let width_of = |value: f64| (WIDTH - 130.0 - left) * value.max(0.0) / top;
    let mut svg = Svg::new(bottom + if value_title.is_some() { 48.0 } else { 28.0 });
    let mut tick = 0.0;
    while tick <= top * 1.0001 {
        let at = left + width_of(tick);
        svg.line((at, upper), (at, bottom), if tick == 0.0 { "axis" } else { "grid" });
        svg.text(at, bottom + 18.0, Anchor::Middle, "tick", &short(tick));
        tick += step;
    }
    for (index, (name, value)) in marks.iter().enumerate() {
        let at = upper + pitch * index as f64;
        svg.text(left - 10.0, at + pitch / 2.0 + 4.0, Anchor::End, "label", name);
        let figure = grouped(*value, decimals);
        svg.rect(left, at + 5.0, width_of(*value), pitch - 10.0, FILLS[0], &format!("{name}: {figure}"));
        svg.text(left + width_of(*value) + 8.0, at + pitch / 2.0 + 4.0, Anchor::Start, "figure", &figure);
    }
    if let Some(value_title) = value_title {
        svg.text(left + width_of(top) / 2.0, bottom + 40.0, Anchor::Middle, "title", value_title);
    }
    Ok(svg.finish(title))
}

/// A funnel: stages in the order of the rows, with their share of the first stage and of the previous one. Options:
/// label, value, title.
pub(crate) fn funnel(rows: &Value, options: &Kwargs) -> Result<String, Error> {
    let (label, value): (&str, &str) = (options.get("label")?, options.get("value")?);
    let title: &str = options.get("title")?;
    let mut stages = Vec::new();
    for row in rows.try_iter()? {
        stages.push((text_of(&row, label)?, number_of(&row, value)?));
    }
    let (left, pitch, upper) = (150.0, 46.0, 8.0);
    let widest = WIDTH - 200.0 - left;
    let most = stages.iter().map(|stage| stage.1).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let first = stages.first().map_or(0.0, |stage| stage.1);
    let mut svg = Svg::new(upper * 2.0 + pitch * stages.len() as f64);
    let mut before = None;
    for (index, (name, value)) in stages.iter().enumerate() {
        let at = upper + pitch * index as f64;
        let wide = (widest * value / most).max(2.0);
        let start = left + (widest - wide) / 2.0;
        svg.text(left - 10.0, at + pitch / 2.0 + 1.0, Anchor::End, "label", name);
        svg.rect(
            start,
            at + 3.0,
            wide,
            pitch - 10.0,
            FILLS[index % FILLS.len()],
            &format!("{name}: {}", plain(*value)),
        );
        let right = left + widest + 14.0;
        let of_first = share(*value, first).map(|share| format!(" ({share})")).unwrap_or_default();
        svg.text(right, at + 18.0, Anchor::Start, "figure", &format!("{}{of_first}", plain(*value)));
        if let Some(share) = before.and_then(|before| share(*value, before)) {
            svg.text(right, at + 34.0, Anchor::Start, "tick", &format!("{share} of the stage before"));
        }
        before = Some(*value);
    }
    Ok(svg.finish(title))
}

fn legend(svg: &mut Svg, left: f64, names: &[String]) {
    let mut x = left;
    for (color, name) in names.iter().enumerate() {
        svg.rect(x, 10.0, 12.0, 12.0, FILLS[color % FILLS.len()], name);
        svg.text(x + 18.0, 20.5, Anchor::Start, "label", name);
        x += 42.0 + 7.5 * name.chars().count() as f64;
    }
}

fn text_of(row: &Value, key: &str) -> Result<String, Error> {
    let value = field(row, key)?;
    Ok(if value.is_none() { "-".to_owned() } else { value.to_string() })
}

fn number_of(row: &Value, key: &str) -> Result<f64, Error> {
    let value = field(row, key)?;
    if value.is_none() { Ok(0.0) } else { f64::try_from(value) }
}

/// Distinct values in the order of first appearance, which the query's ORDER BY determines.
fn distinct<'v>(values: impl Iterator<Item = &'v String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for value in values {
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }
    seen
}

fn plain(value: f64) -> String {
    grouped(value, if value.fract() == 0.0 { 0 } else { 2 })
}

fn share(part: f64, whole: f64) -> Option<String> {
    (whole > 0.0).then(|| format!("{:.1}%", part / whole * 100.0))
}

/// The distance of ticks (1, 2 or 5 times a power of ten) and the maximum of the axis, for about five ticks.
fn scale(most: f64) -> (f64, f64) {
    if most <= 0.0 {
        return (1.0, 1.0);
    }
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    (step, (most / step).ceil() * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(scale(97.0), (20.0, 100.0));
        assert_eq!(scale(5.0), (1.0, 5.0));
        assert_eq!(scale(43210.0), (10000.0, 50000.0));
        assert_eq!(scale(0.0), (1.0, 1.0));
    }
}
