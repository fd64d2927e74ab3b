//! Deeply nested documents are rejected on a small stack at low cost.

use std::thread;

use allocation_counter::measure;
use tower_inference::{payload::PayloadLayer, rejection::Refusal};

use crate::{
    codings::{Coding, run},
    layer::{full, post, refusal, send},
};

fn nested() -> [(&'static str, Vec<u8>); 4] {
    let objects = |times: usize| [br#"{"a":"#.repeat(times), b"1".to_vec(), b"}".repeat(times)];
    [
        ("100,000 arrays", [b"[".repeat(100_000), b"]".repeat(100_000)].concat()),
        ("a million arrays, unclosed", b"[".repeat(1_000_000)),
        ("50,000 objects", objects(50_000).concat()),
        ("200,000 objects, unclosed", br#"{"a":"#.repeat(200_000)),
    ]
}

/// An eighth of what the threads of tokio have: a recursion of some hundreds would not end well.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(256 * 1024).spawn(test).unwrap();
    thread.join().unwrap();
}

/// Sends it, coded or plain, and asserts that it is rejected at little cost.
fn assert_refused(what: &str, layer: PayloadLayer, coding: Option<Coding>, text: &[u8]) {
    let what = format!("{what}, {}", coding.map_or("plain", Coding::name));
    let mut request = post();
    if let Some(coding) = coding {
        request = request.header("content-encoding", coding.name());
    }
    let body = coding.map_or_else(|| text.to_vec(), |coding| coding.code(text));
    let request = request.body(full(body)).unwrap();
    on_a_small_stack(move || {
        let cost = measure(|| {
            let (reason, response) = run(refusal(layer, request));
            assert_eq!(reason, Refusal::PayloadTooLarge, "{what}");
            assert_eq!(response.status(), 413, "{what}");
        });
        println!("{what}: {} bytes", cost.bytes_max);
        assert!(cost.bytes_max < 20_000_000, "{what}: {}", cost.bytes_max);
    });
}

#[test]
fn nesting_is_rejected_on_a_small_stack_at_low_cost() {
    let layer = PayloadLayer::new().decompress();
    for (what, text) in nested() {
        for coding in [None, Some(Coding::Gzip), Some(Coding::Brotli), Some(Coding::Zstd)] {
            assert_refused(what, layer.clone(), coding, &text);
        }
    }
}

/// The bound itself is no more than a small stack could bear.
#[test]
fn maximum_nesting_is_parsed_on_a_small_stack() {
    let layer = PayloadLayer::new().max_depth(u32::MAX);
    for (what, text) in nested() {
        assert_refused(what, layer.clone(), None, &text);
    }
    let deep = [b"[".repeat(1024), b"]".repeat(1024)].concat();
    let request = post().body(full(deep)).unwrap();
    on_a_small_stack(move || {
        let request = run(send(layer, request)).unwrap();
        assert_eq!(request.body().document().unwrap().depth(), 1024);
    });
}
