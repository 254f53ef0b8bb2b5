//! The parts that all plots share: shapes, text, axes and the legend.

use super::Line;

/// Height of a line of text, in pixels.
const FONT_SIZE: f64 = 12.0;
/// Distance between things that belong together, in pixels.
pub(super) const GAP: f64 = 8.0;
/// Height of a row of labels, in pixels.
pub(super) const ROW: f64 = 18.0;
/// Smallest size of the area of the data, in pixels.
const AREA: (f64, f64) = (480.0, 300.0);
/// Most steps of a linear axis, before its ends are rounded outwards, and of a logarithmic one.
const STEPS: (f64, f64) = (7.0, 12.0);
/// Numbers beyond this are not drawn: their differences would overflow.
const LARGEST: f64 = 1e100;

const TEXT: &str = "#222222";
const GRID: &str = "#dddddd";
pub(super) const FRAME: &str = "#777777";

/// The palette of M. Okabe and K. Ito, "Color Universal Design" (2008, <https://jfly.uni-koeln.de/color/>), which
/// colour-blind readers can tell apart, with a grey. Its yellow is last, because it is too faint for lines on white.
const PALETTE: [&str; 9] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999", "#f0e442"];

/// The colour of the series or part at `position`. Colours repeat after nine.
pub(super) fn colour(position: usize) -> &'static str {
    PALETTE[position % PALETTE.len()]
}

/// Whether a number can be drawn.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// Width of `text` in pixels, rather too large than too small: the font is that of the viewer.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * FONT_SIZE * 0.6
}

/// Escapes text, and replaces characters that XML cannot hold at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An axis from `low` to `high`, with a tick at both ends and every `step` between. A logarithmic axis counts powers of
/// 2.
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
    logarithmic: bool,
}

impl Axis {
    /// An axis for values that can be drawn, with round ticks. `None` if there are no values.
    pub(super) fn linear(values: impl Iterator<Item = f64>, from_zero: bool) -> Option<Self> {
        let (low, high) = range(values)?;
        let (low, high) = if from_zero { (low.min(0.0), high.max(0.0)) } else { (low, high) };
        // Less than rounding leaves of the numbers is no range.
        let (low, high) = match high - low {
            length if length > 1e-9 * low.abs().max(high.abs()) && length > 1.0 / LARGEST => (low, high),
            _ if from_zero || low.abs() < 1.0 / LARGEST => (low, low + 1.0),
            _ => (low - 0.1 * low.abs(), high + 0.1 * high.abs()),
        };
        let rough = (high - low) / STEPS.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0].map(|round| round * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        Some(Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, logarithmic: false })
    }

    /// An axis for positive values, from a power of 2 to another.
    pub(super) fn log2(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = range(values.map(f64::log2))?;
        let (low, high) = if high > low { (low.floor(), high.ceil()) } else { (low.floor() - 1.0, low.ceil() + 1.0) };
        let step = ((high - low) / STEPS.1).ceil();
        Some(Self { low, high: low + ((high - low) / step).ceil() * step, step, logarithmic: true })
    }

    /// Where a value is on the axis, from 0 at its low end to 1 at its high end.
    pub(super) fn position(&self, value: f64) -> f64 {
        ((if self.logarithmic { value.log2() } else { value }) - self.low) / (self.high - self.low)
    }

    /// The ticks' positions and labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        let tick = |n| {
            let value = self.low + self.step * n as f64;
            let label = if self.logarithmic { number(value.exp2(), 0) } else { self.label(value) };
            (n as f64 / count as f64, label)
        };
        (0..=count).map(tick).collect()
    }

    fn label(&self, value: f64) -> String {
        // Zero, of which rounding left something.
        let value = if value.abs() < self.step / 2.0 { 0.0 } else { value };
        let digit = self.step.log10().floor();
        number(value, (-digit).max(0.0) as usize)
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| Some(range.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

/// A number with at least `decimals`, and with thousands apart. Very large and very small ones have an exponent.
fn number(value: f64, decimals: usize) -> String {
    if value.abs() >= 1e9 || decimals > 6 || (value != 0.0 && value.abs() < 1e-6) {
        return format!("{value:.1e}");
    }
    if value.fract() != 0.0 && decimals == 0 {
        // A negative power of two.
        return if value.abs() < 0.01 { format!("{value:.1e}") } else { format!("{value}") };
    }
    let plain = format!("{value:.decimals$}");
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut apart = String::new();
    for (n, digit) in whole.char_indices() {
        if n > 0 && (whole.len() - n) % 3 == 0 {
            apart.push(',');
        }
        apart.push(digit);
    }
    format!("{sign}{apart}{fraction}")
}

/// Which end of a text is at its position.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The shapes drawn so far. Coordinates are in pixels from the top left, with one decimal.
#[derive(Default)]
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.0 +=
            &format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>\n");
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, width: f64) {
        self.0 += &format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{colour}\" stroke-width=\"{width:.1}\"/>\n"
        );
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], colour: &str, dashed: bool) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        self.0 += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>\n",
            points.join(" ")
        );
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        self.0 += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n");
    }

    /// Text whose middle is at height `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        self.write(x, y, anchor, "", text);
    }

    fn write(&mut self, x: f64, y: f64, anchor: Anchor, attributes: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        // Not `dominant-baseline`, which not all viewers know.
        let y = y + FONT_SIZE * 0.35;
        self.0 +=
            &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{attributes}>{}</text>\n", escape(text));
    }

    /// The whole image, on white so that it is readable on a dark page.
    fn finish(self, title: &str, width: f64, height: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" font-family=\"sans-serif\" font-size=\"{FONT_SIZE}\" \
             fill=\"{TEXT}\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escape(title),
            self.0
        )
    }
}

/// How the legend shows a series.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Line(Line),
    Box,
}

/// An entry of the legend.
pub(super) struct Key<'a> {
    pub(super) name: &'a str,
    pub(super) colour: &'static str,
    pub(super) mark: Mark,
}

/// What surrounds the data.
pub(super) struct Surroundings<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) keys: Vec<Key<'a>>,
    /// Rows of labels below the data, without `x_label`.
    pub(super) rows_below: usize,
    /// Width that the data need, in pixels.
    pub(super) width: f64,
}

/// The area of the data, in pixels.
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn x(&self, position: f64) -> f64 {
        self.left + position * self.width
    }

    pub(super) fn y(&self, position: f64) -> f64 {
        self.top + (1.0 - position) * self.height
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// Draws the surroundings, and with `draw` the data, on an image in which all of it has room. Without a `y` axis there
/// is nothing to draw, and the image says so.
pub(super) fn image(around: &Surroundings<'_>, y: Option<&Axis>, draw: impl FnOnce(&mut Svg, &Area)) -> String {
    const LEGEND_MARK: f64 = 28.0;
    let ticks = y.map_or_else(Vec::new, Axis::ticks);
    let tick_width = ticks.iter().map(|(_, label)| text_width(label)).fold(0.0, f64::max);
    let legend_width = around.keys.iter().map(|key| LEGEND_MARK + GAP + text_width(key.name)).fold(0.0, f64::max);
    // The title has a larger font.
    let width = AREA.0.max(around.width).max(text_width(around.title) * 1.3).max(text_width(around.x_label));
    let height = AREA.1.max(text_width(around.y_label)).max(around.keys.len() as f64 * ROW);
    let area = Area { left: ROW + tick_width + 3.0 * GAP, top: 2.0 * ROW + GAP, width, height };
    let rows_below = around.rows_below + usize::from(!around.x_label.is_empty());
    let full_width = area.left + width + 3.0 * GAP + legend_width + GAP;
    let full_height = area.bottom() + GAP + rows_below as f64 * ROW + GAP;

    let mut svg = Svg::default();
    let middle = area.x(0.5);
    svg.write(middle, ROW + GAP / 2.0, Anchor::Middle, " font-size=\"15\" font-weight=\"bold\"", around.title);
    if y.is_none() {
        svg.text(middle, area.y(0.5), Anchor::Middle, "no data");
        return svg.finish(around.title, full_width, full_height);
    }
    for (position, label) in &ticks {
        let height = area.y(*position);
        svg.line((area.left, height), (area.x(1.0), height), GRID, 1.0);
        svg.text(area.left - GAP, height, Anchor::End, label);
    }
    let x_label_height = area.bottom() + GAP + (rows_below as f64 - 0.5) * ROW;
    svg.text(middle, x_label_height, Anchor::Middle, around.x_label);
    let (x, y) = (GAP + ROW / 2.0, area.y(0.5));
    svg.write(x, y, Anchor::Middle, &format!(" transform=\"rotate(-90 {x:.1} {y:.1})\""), around.y_label);
    draw(&mut svg, &area);
    svg.line((area.left, area.bottom()), (area.x(1.0), area.bottom()), FRAME, 1.0);
    svg.line((area.left, area.top), (area.left, area.bottom()), FRAME, 1.0);
    for (n, Key { name, colour, mark }) in around.keys.iter().enumerate() {
        let (x, y) = (area.x(1.0) + 3.0 * GAP, area.top + (n as f64 + 0.5) * ROW);
        match mark {
            Mark::Box => svg.rectangle(x + LEGEND_MARK - 14.0, y - 6.0, 14.0, 12.0, colour),
            Mark::Line(style) => {
                if *style != Line::Dots {
                    svg.path(&[(x, y), (x + LEGEND_MARK, y)], colour, *style == Line::Dashed);
                }
                if *style != Line::Dashed {
                    svg.dot((x + LEGEND_MARK / 2.0, y), colour);
                }
            }
        }
        svg.text(x + LEGEND_MARK + GAP, y, Anchor::Start, name);
    }
    svg.finish(around.title, full_width, full_height)
}

#[cfg(test)]
mod tests;
