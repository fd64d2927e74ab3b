//! Explains a request by its id and the JSON log: `cargo run --example explain -- ID FILE`.
//!
//! `-` reads the log from the standard input, so that `kubectl logs … | explain ID -` works.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    process::ExitCode,
};

use tower_inference::explain::explain_request;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [id, file] = &*arguments else {
        eprintln!("usage: explain REQUEST-ID FILE (- reads the standard input)");
        return Ok(ExitCode::from(2));
    };
    let log: Box<dyn BufRead> = match &**file {
        "-" => Box::new(io::stdin().lock()),
        file => Box::new(BufReader::new(
            File::open(file).map_err(|error| format!("cannot open {file}: {error}"))?,
        )),
    };
    let mut out = io::stdout().lock();
    for (number, explanation) in explain_request(log, id)?.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        write!(out, "{explanation}")?;
    }
    Ok(ExitCode::SUCCESS)
}
