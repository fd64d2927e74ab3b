//! The rows of the table.

use crate::turns::Cost;

pub(crate) fn print_head() {
    println!("| what grows | size | cost, median | quartiles | beside the first | each |");
    println!("|---|---|---|---|---|---|");
}

/// One size of a thing that grows.
pub(crate) struct Row {
    pub(crate) size: String,
    /// The cost of a byte, or the memory of one more.
    pub(crate) each: String,
}

/// Prints the rows of a thing with their costs. `unit` is the unit of the costs, such as `ns`.
pub(crate) fn print(what: &str, unit: &str, rows: &[Row], costs: &[Cost]) {
    let first = costs.first().map_or(f64::NAN, |cost| cost.median);
    for (Row { size, each }, cost) in rows.iter().zip(costs) {
        let Cost { low, median, high } = cost.map(shown);
        let beside = cost.median / first;
        println!("| {what} | {size} | {median} {unit} | {low} to {high} | {beside:.2} | {each} |");
    }
}

/// Returns a number with three digits or more and a comma between thousands.
fn shown(number: f64) -> String {
    let decimals = match number {
        _ if number >= 100.0 => return grouped(number.round() as usize),
        _ if number >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

/// Returns a number with a comma between thousands.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the memory of one of `count` things that take `kib` in all. `thing` has its article. Returns
/// nothing for a few things, which fit into memory that the process has already.
pub(crate) fn memory_each(kib: u64, count: usize, thing: &str) -> String {
    const FEW: u64 = 1_024;
    let bytes = kib as f64 * 1024.0 / count as f64;
    match bytes {
        _ if kib < FEW || count < 1_000 => String::new(),
        _ if bytes < 4_096.0 => format!("{bytes:.0} bytes {thing}"),
        _ => format!("{:.1} KiB {thing}", bytes / 1024.0),
    }
}
