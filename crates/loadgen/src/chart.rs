//! Self-contained SVG charts: lines and bars, light or dark by the reader's preference. Pure.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TITLE: f64 = 44.0;
const PLOT: f64 = 220.0;
const LEGEND: f64 = 22.0;
const FOOT: f64 = 50.0;
const BAR: f64 = 18.0;
const BARS_LEFT: f64 = 230.0;
const BARS_RIGHT: f64 = 90.0;
/// Colours distinguishable with colour blindness (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f",
];

/// One chart.
#[derive(Debug, Clone)]
pub enum Chart {
    /// Line chart.
    Lines {
        /// Title.
        title: String,
        /// Horizontal axis.
        x: Axis,
        /// Vertical axis.
        y: Axis,
        /// The lines.
        lines: Vec<Line>,
    },
    /// Bar chart.
    Bars {
        /// Title.
        title: String,
        /// Name, value, label.
        bars: Vec<(String, f64, String)>,
    },
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Legend.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// Draw markers.
    pub marked: bool,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Label with unit.
    pub label: String,
    /// Logarithmic scale.
    pub logarithmic: bool,
    /// Ticks; empty: at round numbers.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis from 0.
    pub fn linear(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            logarithmic: false,
            ticks: Vec::new(),
        }
    }

    /// A logarithmic axis.
    pub fn logarithmic(label: &str) -> Self {
        Self {
            logarithmic: true,
            ..Self::linear(label)
        }
    }

    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        }
    }

    /// Range in axis units.
    fn span(&self, values: &[f64]) -> (f64, f64) {
        let ticks = self.ticks.iter().map(|tick| tick.0);
        let values = values
            .iter()
            .copied()
            .chain(ticks)
            .filter(|value| value.is_finite());
        let values: Vec<_> = values
            .filter(|value| !self.logarithmic || *value > 0.0)
            .collect();
        let low = values
            .iter()
            .copied()
            .map(|value| self.place(value))
            .fold(f64::INFINITY, f64::min);
        let high = values
            .iter()
            .copied()
            .map(|value| self.place(value))
            .fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return (0.0, 1.0);
        }
        let (low, high) = match self.logarithmic {
            true => (low.floor(), high.ceil()),
            false if low >= 0.0 && self.ticks.is_empty() => (0.0, high * 1.05),
            false => (low, high),
        };
        if high > low {
            (low, high)
        } else {
            (low, low + 1.0)
        }
    }

    fn marks(&self, (low, high): (f64, f64)) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            return self
                .ticks
                .iter()
                .map(|(value, text)| (self.place(*value), text.clone()))
                .collect();
        }
        if self.logarithmic {
            let powers = (low as i32)..=(high as i32);
            return powers
                .map(|power| (f64::from(power), number(10_f64.powi(power))))
                .collect();
        }
        let step = round_step((high - low) / 5.0);
        let first = (low / step).ceil() as i64;
        let marks = (first..)
            .map(|mark| mark as f64 * step)
            .take_while(|mark| *mark <= high);
        marks.map(|mark| (mark, number(mark))).collect()
    }
}

/// 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|times| times * power >= step);
    times.unwrap_or(10.0) * power
}

/// Short form: 0.2, 15, 2k, 3M.
fn number(value: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = units.into_iter().find(|(times, _)| value.abs() >= *times);
    let (times, unit) = unit.unwrap_or((1.0, ""));
    let text = format!("{:.3}", value / times);
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Renders charts below each other as one SVG.
pub fn svg(heading: &str, charts: &[Chart]) -> String {
    let mut body = String::new();
    let mut top = 40.0;
    for chart in charts {
        let (drawn, height) = match chart {
            Chart::Lines { title, x, y, lines } => draw_lines(title, x, y, lines, top),
            Chart::Bars { title, bars } => draw_bars(title, bars, top),
        };
        body += &drawn;
        top += height;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" width=\"{WIDTH}\" \
         height=\"{top:.0}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>{heading}</title>\n<style>\n\
         .paper {{ fill: #ffffff }} text {{ fill: #1f2328 }} .faint {{ fill: #59636e }}\n\
         .grid {{ stroke: #d1d9e0; stroke-width: 1 }} .line {{ fill: none; stroke-width: 2 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .paper {{ fill: #0d1117 }} text {{ fill: #f0f6fc }} .faint {{ fill: #9198a1 }}\n\
         .grid {{ stroke: #3d444d }} }}\n</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"24\" y=\"28\" font-size=\"16\" font-weight=\"600\">{heading}</text>\n{body}</svg>\n",
        heading = escaped(heading),
    )
}

/// Writing to a String cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn title_at(out: &mut String, title: &str, top: f64) {
    let y = top + 22.0;
    put(
        out,
        format_args!(
            "<text x=\"24\" y=\"{y}\" font-weight=\"600\">{}</text>\n",
            escaped(title)
        ),
    );
}

/// Layout of a line chart.
struct Frame {
    above: f64,
    below: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn across(&self, at: f64) -> f64 {
        LEFT + (at - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, at: f64) -> f64 {
        self.below - (at - self.y.0) / (self.y.1 - self.y.0) * PLOT
    }
}

fn draw_lines(title: &str, x: &Axis, y: &Axis, lines: &[Line], top: f64) -> (String, f64) {
    let mut out = String::new();
    title_at(&mut out, title, top);
    let points = lines.iter().flat_map(|line| &line.points);
    let (xs, ys): (Vec<_>, Vec<_>) = points.copied().unzip();
    let legend = if lines.len() > 1 { LEGEND } else { 0.0 };
    let above = top + TITLE + legend;
    let frame = Frame {
        above,
        below: above + PLOT,
        x: x.span(&xs),
        y: y.span(&ys),
    };
    draw_axes(&mut out, x, y, &frame);
    let label = top + 38.0;
    let name = escaped(&y.label);
    put(
        &mut out,
        format_args!("<text class=\"faint\" x=\"{LEFT}\" y=\"{label:.1}\">{name}</text>\n"),
    );
    let mut beside = LEFT;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        draw_line(&mut out, x, y, line, colour, &frame);
        if legend > 0.0 {
            let (y, text, name) = (above - 22.0, beside + 17.0, escaped(&line.name));
            put(
                &mut out,
                format_args!(
                    "<rect x=\"{beside:.1}\" y=\"{y:.1}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>\
                     <text x=\"{text:.1}\" y=\"{:.1}\">{name}</text>\n",
                    y + 10.0
                ),
            );
            // Approximate character width.
            beside += 17.0 + line.name.chars().count() as f64 * 7.0 + 18.0;
        }
    }
    (out, TITLE + legend + PLOT + FOOT)
}

fn draw_axes(out: &mut String, x: &Axis, y: &Axis, frame: &Frame) {
    let Frame { above, below, .. } = *frame;
    let right = WIDTH - RIGHT;
    for (at, text) in y.marks(frame.y) {
        let (at, text) = (frame.up(at), escaped(&text));
        let (beside, base) = (LEFT - 8.0, at + 4.0);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"faint\" x=\"{beside:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{text}</text>\n"
            ),
        );
    }
    for (at, text) in x.marks(frame.x) {
        let (at, text, base) = (frame.across(at), escaped(&text), below + 18.0);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{above:.1}\" y2=\"{below:.1}\"/>\
                 <text class=\"faint\" x=\"{at:.1}\" y=\"{base:.1}\" text-anchor=\"middle\">{text}</text>\n"
            ),
        );
    }
    let (middle, foot, name) = ((LEFT + right) / 2.0, below + 36.0, escaped(&x.label));
    put(
        out,
        format_args!(
            "<text class=\"faint\" x=\"{middle:.1}\" y=\"{foot:.1}\" text-anchor=\"middle\">{name}</text>\n"
        ),
    );
}

/// Skips points that are not above 0 on a logarithmic axis.
fn draw_line(out: &mut String, x: &Axis, y: &Axis, line: &Line, colour: &str, frame: &Frame) {
    let shown = line.points.iter().filter(|(a, b)| {
        a.is_finite()
            && b.is_finite()
            && (!x.logarithmic || *a > 0.0)
            && (!y.logarithmic || *b > 0.0)
    });
    let places: Vec<_> = shown
        .map(|(a, b)| (frame.across(x.place(*a)), frame.up(y.place(*b))))
        .collect();
    let path: Vec<_> = places
        .iter()
        .map(|(a, b)| format!("{a:.1},{b:.1}"))
        .collect();
    let path = path.join(" ");
    put(
        out,
        format_args!("<polyline class=\"line\" stroke=\"{colour}\" points=\"{path}\"/>\n"),
    );
    for (a, b) in places.iter().filter(|_| line.marked) {
        put(
            out,
            format_args!("<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n"),
        );
    }
}

fn draw_bars(title: &str, bars: &[(String, f64, String)], top: f64) -> (String, f64) {
    let mut out = String::new();
    title_at(&mut out, title, top);
    let most = bars
        .iter()
        .map(|bar| bar.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    let room = WIDTH - BARS_LEFT - BARS_RIGHT;
    for (row, (name, value, text)) in bars.iter().enumerate() {
        let y = top + TITLE - 8.0 + row as f64 * (BAR + 8.0);
        let width = (value / most * room).max(1.0);
        // Highlights the relay.
        let colour = if name.contains("Graceful Relay") {
            COLOURS[0]
        } else {
            COLOURS[6]
        };
        put(
            &mut out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{BARS_LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\"/>\
             <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                BARS_LEFT - 10.0,
                y + 13.0,
                escaped(name),
                BARS_LEFT + width + 8.0,
                y + 13.0,
                escaped(text)
            ),
        );
    }
    (out, TITLE + bars.len() as f64 * (BAR + 8.0) + 8.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let said = [0.2, 15.0, 2_000.0, 2_500.0, 3e6, 0.0].map(number);
        assert_eq!(said, ["0.2", "15", "2k", "2.5k", "3M", "0"]);
        assert_eq!(
            [0.3, 1.7, 4.2, 60.0].map(round_step),
            [0.5, 2.0, 5.0, 100.0]
        );
    }

    #[test]
    fn every_point_stands_within_the_picture_and_in_order() {
        let line = Line {
            name: "a < b".into(),
            points: vec![(1.0, 10.0), (10.0, 1_000.0), (100.0, 0.0)],
            marked: true,
        };
        let y = Axis::logarithmic("ms");
        let chart = Chart::Lines {
            title: "t".into(),
            x: Axis::linear("x"),
            y,
            lines: vec![line.clone(), line],
        };
        let drawn = svg("h & h", &[chart]);
        let line = drawn
            .split("points=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("a line");
        let places: Vec<Vec<f64>> = line
            .split(' ')
            .map(|place| {
                place
                    .split(',')
                    .map(|at| at.parse().expect("a number"))
                    .collect()
            })
            .collect();
        assert_eq!(places.len(), 2, "a logarithm has no place for 0: {line}");
        assert!(
            places
                .iter()
                .all(|at| (LEFT..=WIDTH - RIGHT).contains(&at[0]) && at[1] > 0.0),
            "{line}"
        );
        assert!(
            places[0][0] < places[1][0] && places[0][1] > places[1][1],
            "{line}"
        );
        assert!(drawn.contains("a &lt; b") && drawn.contains("h &amp; h"));
    }

    #[test]
    fn nothing_to_draw_is_no_trouble() {
        let chart = Chart::Lines {
            title: String::new(),
            x: Axis::linear(""),
            y: Axis::logarithmic(""),
            lines: Vec::new(),
        };
        let drawn = svg(
            "",
            &[
                chart,
                Chart::Bars {
                    title: String::new(),
                    bars: Vec::new(),
                },
            ],
        );
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
