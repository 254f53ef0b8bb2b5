//! Plots of measurements as SVG.
//!
//! The same plot always gives the same bytes, so that plots can be committed and a difference means other data: there
//! are no times, no random identifiers, and coordinates have a fixed number of decimals. Images are white with dark
//! text, to be readable on light and dark pages. Numbers that are not finite are left out.

mod svg;

use svg::{Anchor, Area, Axis, FRAME, GAP, Key, Mark, ROW, Surroundings, Svg, colour, drawable, image, text_width};

/// Scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances are equal differences.
    Linear,
    /// Equal distances are equal ratios, with ticks at powers of two. Values that are not positive are left out.
    Log2,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A line with a dot at each point, for measurements.
    Solid,
    /// A dashed line without dots, for a model or a limit.
    Dashed,
    /// Dots without a line, for measurements on top of the model that was fitted to them.
    Dots,
}

/// A point, in the units of the axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Position along the x axis.
    pub x: f64,
    /// Position along the y axis.
    pub y: f64,
    /// Low end of the error bar, on the y axis. There is no bar if it equals `high`.
    pub low: f64,
    /// High end of the error bar, on the y axis.
    pub high: f64,
}

impl Point {
    /// A point without an error bar.
    pub fn exact(x: f64, y: f64) -> Self {
        Self { x, y, low: y, high: y }
    }

    fn bar(&self) -> Option<(f64, f64)> {
        (drawable(self.low) && drawable(self.high) && self.low < self.high).then_some((self.low, self.high))
    }
}

/// A line of a [`LinePlot`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Its points, in the order in which the line connects them. The line has a gap where one is left out.
    pub points: Vec<Point>,
    /// How it is drawn.
    pub style: Line,
}

/// Lines, with error bars.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePlot {
    /// Title, above the plot.
    pub title: String,
    /// Label of the x axis, with its unit.
    pub x_label: String,
    /// Label of the y axis, with its unit.
    pub y_label: String,
    /// Scale of the x axis.
    pub x_scale: Scale,
    /// Whether the y axis includes zero, which it should where heights are compared.
    pub y_from_zero: bool,
    /// The lines. Colours repeat after nine.
    pub series: Vec<Series>,
}

impl LinePlot {
    /// The plot as an SVG file.
    pub fn to_svg(&self) -> String {
        let shown = |p: &Point| drawable(p.x) && drawable(p.y) && (self.x_scale == Scale::Linear || p.x > 0.0);
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|p| shown(p));
        let x = match self.x_scale {
            Scale::Linear => Axis::linear(points().map(|p| p.x), false),
            Scale::Log2 => Axis::log2(points().map(|p| p.x)),
        };
        let ends = |p: &Point| p.bar().map_or([p.y; 3], |(low, high)| [low, p.y, high]);
        let y = Axis::linear(points().flat_map(ends), self.y_from_zero);
        let keys = self.series.iter().enumerate().map(|(n, series)| Key {
            name: &series.name,
            colour: colour(n),
            mark: Mark::Line(series.style),
        });
        let x_ticks = x.as_ref().map_or_else(Vec::new, Axis::ticks);
        let tick_width = x_ticks.iter().map(|(_, label)| text_width(label)).fold(0.0, f64::max) + GAP;
        let around = Surroundings {
            title: &self.title,
            x_label: &self.x_label,
            y_label: &self.y_label,
            keys: keys.collect(),
            rows_below: 1,
            width: tick_width * x_ticks.len() as f64,
        };
        image(&around, y.as_ref(), |svg, area| {
            let (Some(x), Some(y)) = (&x, &y) else { return };
            for (position, label) in &x_ticks {
                let across = area.x(*position);
                svg.line((across, area.bottom()), (across, area.bottom() + GAP / 2.0), FRAME, 1.0);
                svg.text(across, area.bottom() + GAP + ROW / 2.0, Anchor::Middle, label);
            }
            let place = |x_value, y_value| (area.x(x.position(x_value)), area.y(y.position(y_value)));
            for (n, series) in self.series.iter().enumerate() {
                for run in series.points.split(|p| !shown(p)) {
                    draw_run(svg, run, series.style, colour(n), place);
                }
            }
        })
    }
}

/// Draws points that follow each other.
fn draw_run(svg: &mut Svg, run: &[Point], style: Line, colour: &str, place: impl Fn(f64, f64) -> (f64, f64)) {
    if run.len() > 1 && style != Line::Dots {
        let path: Vec<_> = run.iter().map(|p| place(p.x, p.y)).collect();
        svg.path(&path, colour, style == Line::Dashed);
    }
    for point in run {
        if let Some((low, high)) = point.bar() {
            const HALF_CAP: f64 = 4.0;
            let (ends, width) = ([place(point.x, low), place(point.x, high)], 1.5);
            svg.line(ends[0], ends[1], colour, width);
            for (x, y) in ends {
                svg.line((x - HALF_CAP, y), (x + HALF_CAP, y), colour, width);
            }
        }
        // A dashed point alone would be invisible.
        if style != Line::Dashed || run.len() == 1 {
            svg.dot(place(point.x, point.y), colour);
        }
    }
}

/// A bar of a [`BarPlot`].
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Bars that follow each other with the same group stand together, above its name. It may be empty.
    pub group: String,
    /// Label below the bar.
    pub label: String,
    /// Heights of its parts, the lowest first, in the unit of the y axis. Those that are not positive are left out.
    pub parts: Vec<f64>,
}

/// Groups of stacked bars, which show of what a sum consists.
#[derive(Debug, Clone, PartialEq)]
pub struct BarPlot {
    /// Title, above the plot.
    pub title: String,
    /// Label of the y axis, with its unit.
    pub y_label: String,
    /// Scale of the y axis. On a logarithmic one only the ends of parts can be compared, not their heights.
    pub y_scale: Scale,
    /// The bars, from left to right.
    pub bars: Vec<Bar>,
    /// Names of the parts in the legend, the lowest first. Colours repeat after nine.
    pub part_names: Vec<String>,
}

impl BarPlot {
    /// The plot as an SVG file.
    pub fn to_svg(&self) -> String {
        let sums = self.bars.iter().map(|bar| parts(bar).map(|(_, height)| height).sum());
        let y = match self.y_scale {
            Scale::Linear => Axis::linear(sums, true),
            // The lowest bar is to be seen too.
            Scale::Log2 => Axis::log2(sums.filter(|sum| *sum > 0.0).flat_map(|sum| [sum, sum / 2.0])),
        };
        let y = y.filter(|_| self.bars.iter().any(|bar| parts(bar).next().is_some()));
        let groups: Vec<&[Bar]> = self.bars.chunk_by(|a, b| a.group == b.group).collect();
        let label_width = self.bars.iter().map(|bar| text_width(&bar.label)).fold(0.0, f64::max);
        let slot = MIN_SLOT.max(label_width + GAP);
        let group_width = |group: &[Bar]| (slot * group.len() as f64).max(text_width(&group[0].group)) + 2.0 * GAP;
        let width: f64 = groups.iter().map(|group| group_width(group)).sum();
        let named = self.bars.iter().any(|bar| !bar.group.is_empty());

        // A part without a name is a mistake, but leaving it out would be a wrong plot.
        let count = self.bars.iter().map(|bar| bar.parts.len()).fold(self.part_names.len(), usize::max);
        let name = |n: usize| self.part_names.get(n).map_or("unnamed", String::as_str);
        // In the order in which they are stacked, the highest at the top.
        let keys = (0..count).rev().map(|n| Key { name: name(n), colour: colour(n), mark: Mark::Box }).collect();
        let rows_below = if named { 2 } else { 1 };
        let around = Surroundings { title: &self.title, x_label: "", y_label: &self.y_label, keys, rows_below, width };
        image(&around, y.as_ref(), |svg, area| {
            let Some(y) = &y else { return };
            // Groups share what the area has more than they need.
            let extra = (area.width - width) / groups.len() as f64;
            let mut left = area.left;
            for group in groups {
                let wide = group_width(group) + extra;
                let middle = left + wide / 2.0;
                let first = middle - slot * (group.len() as f64 - 1.0) / 2.0;
                for (n, bar) in group.iter().enumerate() {
                    draw_bar(svg, bar, first + slot * n as f64, area, y);
                }
                svg.text(middle, area.bottom() + GAP + 1.5 * ROW, Anchor::Middle, &group[0].group);
                left += wide;
            }
        })
    }
}

/// Smallest distance between the middles of neighbouring bars, in pixels.
const MIN_SLOT: f64 = 30.0;

/// The parts that can be drawn, with their positions.
fn parts(bar: &Bar) -> impl Iterator<Item = (usize, f64)> {
    bar.parts.iter().copied().enumerate().filter(|(_, height)| drawable(*height) && *height > 0.0)
}

fn draw_bar(svg: &mut Svg, bar: &Bar, middle: f64, area: &Area, y: &Axis) {
    const WIDTH: f64 = 22.0;
    let mut below = 0.0;
    for (n, height) in parts(bar) {
        let top = area.y(y.position(below + height));
        // Zero is infinitely far below on a logarithmic scale.
        let bottom = area.y(y.position(below).max(0.0));
        svg.rectangle(middle - WIDTH / 2.0, top, WIDTH, bottom - top, colour(n));
        below += height;
    }
    svg.text(middle, area.bottom() + GAP + ROW / 2.0, Anchor::Middle, &bar.label);
}

#[cfg(test)]
mod tests;
