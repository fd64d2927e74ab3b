//! The report as a plot: one bar for each gateway on a logarithmic scale, which starts at the bare proxy.

use std::fmt::Write as _;

use crate::{
    measure::{Report, Row},
    table::ratio,
};

const WIDTH: f64 = 760.0;
/// The room for the names, left of the scale.
const LEFT: f64 = 250.0;
/// The room for the values, right of the scale.
const RIGHT: f64 = 70.0;
const TOP: f64 = 64.0;
const STEP: f64 = 30.0;
const BAR: f64 = 18.0;
const BOTTOM: f64 = 44.0;
const MARKS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];

/// The panel is part of the picture, so that it is readable on any page.
const STYLE: &str = "\
.panel{fill:#ffffff;stroke:#d0d7de}.text{fill:#1f2328}.faint{fill:#59636e}.line{stroke:#d0d7de}\
.bare{stroke:#59636e}.ours{fill:#0969da}.theirs{fill:#8c959f}\
@media (prefers-color-scheme:dark){.panel{fill:#0d1117;stroke:#3d444d}.text{fill:#f0f6fc}\
.faint{fill:#9198a1}.line{stroke:#3d444d}.bare{stroke:#9198a1}.ours{fill:#4493f8}.theirs{fill:#656c76}}\
text{font:13px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.small{font-size:11px}";

pub(crate) fn svg(report: &Report) -> String {
    let measured: Vec<_> = report.rows.iter().filter_map(bar_of).collect();
    let scale = Scale::of(measured.iter().map(|(_, ratio, _)| *ratio));
    let foot = TOP + STEP * measured.len() as f64;
    let mut svg = String::new();
    write(&mut svg, &measured, &scale, foot);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"CPU of a request as a multiple of a bare hyper proxy\">\n<style>{STYLE}</style>\n<rect class=\"panel\" x=\"0.5\" y=\"0.5\" width=\"{inner}\" height=\"{inner_height}\" rx=\"6\"/>\n{svg}</svg>\n",
        height = foot + BOTTOM,
        inner = WIDTH - 1.0,
        inner_height = foot + BOTTOM - 1.0,
    )
}

/// Returns the name, the ratio and the class of a gateway that was measured.
fn bar_of(row: &Row) -> Option<(String, f64, &'static str)> {
    let figures = row.figures.as_ref().ok()?;
    let name = row.gateway.name;
    let class = if name.starts_with("tower-inference") { "ours" } else { "theirs" };
    Some((name.to_owned(), figures.cpu.middle, class))
}

fn write(svg: &mut String, bars: &[(String, f64, &str)], scale: &Scale, foot: f64) {
    text(
        svg,
        16.0,
        26.0,
        "text title",
        "start",
        "CPU of a request, as a multiple of a bare hyper proxy",
    );
    text(
        svg,
        16.0,
        44.0,
        "faint small",
        "start",
        "logarithmic scale; 32 connections, one core; shorter is better",
    );
    for mark in MARKS.into_iter().filter(|mark| scale.shows(*mark)) {
        let x = scale.x(mark);
        let class = if mark == 1.0 { "bare" } else { "line" };
        let _infallible = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{foot}\"/>"
        );
        let label = if mark == 1.0 { "bare".to_owned() } else { mark.to_string() };
        text(svg, x, foot + 18.0, "faint small", "middle", &label);
    }
    for (number, (name, value, class)) in bars.iter().enumerate() {
        let top = TOP + STEP * number as f64 + (STEP - BAR) / 2.0;
        let (bare, end) = (scale.x(1.0), scale.x(*value));
        let baseline = top + BAR - 5.0;
        text(svg, LEFT - 12.0, baseline, "text", "end", name);
        let _infallible = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            bare.min(end),
            (end - bare).abs().max(1.0),
        );
        text(svg, bare.max(end) + 6.0, baseline, "text", "start", &ratio(*value));
    }
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
    let _infallible = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// A logarithmic scale from one mark to another.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) =
            values.fold((1.0_f64, 2.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let below = MARKS.into_iter().rev().find(|mark| *mark <= low);
        let above = MARKS.into_iter().find(|mark| *mark >= high);
        Self { low: below.unwrap_or(low), high: above.unwrap_or(high) }
    }

    fn shows(&self, mark: f64) -> bool {
        (self.low..=self.high).contains(&mark)
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }
}
