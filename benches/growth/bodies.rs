//! The bytes of a body, through the layers that read, check and edit it.

#[path = "../../tests/support/chat.rs"]
mod chat;

use std::{convert::Infallible, env, pin::pin, process::Command};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use tower::{Layer, service_fn};
use tower_inference::payload::{Payload, PayloadLayer};

use crate::{
    Error, pass,
    requests::run,
    table::{self, Row},
    turns::{Round, take_turns, time},
};

const SIZES: [(&str, usize); 5] = [
    ("300 B", 300),
    ("3 KiB", 3 << 10),
    ("30 KiB", 30 << 10),
    ("300 KiB", 300 << 10),
    ("1 MiB", 1 << 20),
];
const ROUNDS: usize = 200;
/// The bytes of a round, in as many requests as it takes.
const BYTES: usize = 64 << 10;

/// Makes glibc keep freed memory. By default it returns each block of 128 KiB or more to the system, and
/// the next such block costs a page fault for every 4 KiB.
const KEEP: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// Measures the same with an allocator that keeps freed memory.
pub(crate) fn measure_kept() -> Result<(), Error> {
    match Command::new(env::current_exe()?).arg("bodies").envs(KEEP).status()?.success() {
        true => Ok(()),
        false => Err("the bodies are not measured".into()),
    }
}

pub(crate) fn measure() -> Result<(), Error> {
    // The layer limits the time for a body to arrive.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _for_timers = runtime.enter();

    let layers = (PayloadLayer::new(), pass::schema(), pass::edits());
    let mut sides = SIZES.map(|(_, size)| {
        let body = chat::body(size);
        let mut service = layers.layer(service_fn(read));
        let requests = BYTES.div_ceil(size);
        Box::new(move || {
            time(requests, || pass::request_of("", &body), |request| run(&mut service, request))
        }) as Round<'_>
    });
    let costs = take_turns(ROUNDS, &mut sides)?;
    let row = |((name, size), median): (&(&str, usize), f64)| Row {
        size: (*name).to_owned(),
        each: format!("{:.2} ns a byte", median / *size as f64),
    };
    let medians = costs.iter().map(|cost| cost.median);
    let rows: Vec<_> = SIZES.iter().zip(medians).map(row).collect();
    let keeps = KEEP.iter().all(|(name, _)| env::var_os(name).is_some());
    let more = if keeps { ", freed memory kept" } else { "" };
    table::print(&format!("bytes of a body{more}"), "ns", &rows, &costs);
    Ok(())
}

/// Reads the body to its end, as a client of an upstream does.
async fn read(request: Request<Payload>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut body = pin!(request.into_body());
    let mut response = Response::new(Empty::new());
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
    }
    Ok(response)
}
