//! The report as Markdown.

use std::fmt::Write as _;

use crate::measure::{Figures, Report, Row, Spread};

pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::from(
        "| gateway | CPU of a request over bare | quartiles | first chunk after bare, µs | quartiles |\n|---|---|---|---|---|\n",
    );
    let Spread { low, middle, high } = report.bare;
    row(
        &mut text,
        &format!("bare hyper proxy, {middle:.1} µs ({low:.1} to {high:.1})"),
        ["1", "", "0", ""],
    );
    for Row { gateway, figures, .. } in &report.rows {
        match figures {
            Ok(Figures { cpu, first_chunk }) => {
                let (later, spread) = match first_chunk {
                    Ok(spread) => spread.as_ref().map(delay).unwrap_or_default(),
                    Err(why) => (first_line(why).to_owned(), String::new()),
                };
                row(
                    &mut text,
                    gateway.name,
                    [&ratio(cpu.middle), &quartiles(cpu), &later, &spread],
                );
            }
            // The rest is the program's output.
            Err(why) => row(&mut text, gateway.name, [first_line(why), "", "", ""]),
        }
    }
    text.push_str("\n| gateway | version | checks and duties |\n|---|---|---|\n");
    for Row { gateway, version, .. } in &report.rows {
        let _infallible = writeln!(text, "| {} | {version} | {} |", gateway.name, gateway.checks);
    }
    for Row { gateway, figures, .. } in &report.rows {
        if let Err(why) | Ok(Figures { first_chunk: Err(why), .. }) = figures {
            let _infallible = writeln!(text, "\n{}: {why}", gateway.name);
        }
    }
    text
}

fn row(text: &mut String, name: &str, cells: [&str; 4]) {
    let _infallible = writeln!(text, "| {name} | {} |", cells.join(" | "));
}

/// Two digits below ten, then none that mean nothing.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

fn quartiles(spread: &Spread) -> String {
    format!("{} to {}", ratio(spread.low), ratio(spread.high))
}

fn delay(spread: &Spread) -> (String, String) {
    let Spread { low, middle, high } = spread;
    (format!("{middle:+.0}"), format!("{low:+.0} to {high:+.0}"))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
