//! The ids of one layer.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_inference::clock::{FakeClock, SharedClock};

use super::*;

fn at(wall: SystemTime) -> (RequestIdLayer, FakeClock) {
    let clock = FakeClock::new(wall);
    (RequestIdLayer::new().clock(SharedClock::new(clock.clone())), clock)
}

fn next_id(layer: &RequestIdLayer) -> String {
    exchange(layer, request(&[])).only().to_owned()
}

fn milliseconds(id: &str) -> u64 {
    u64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap()
}

#[test]
fn an_id_holds_the_clocks_time() {
    let (layer, clock) = at(UNIX_EPOCH + Duration::from_millis(1_796_000_000_123));
    assert_eq!(milliseconds(&next_id(&layer)), 1_796_000_000_123);
    clock.advance(Duration::from_millis(77));
    assert_eq!(milliseconds(&next_id(&layer)), 1_796_000_000_200);
}

#[test]
fn ids_within_a_millisecond_never_repeat_and_sort() {
    let (layer, _clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let made: Vec<_> = (0..5_000).map(|_| next_id(&layer)).collect();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(milliseconds(&made[0]), milliseconds(&made[4_999]));
}

#[test]
fn ids_sort_when_the_clock_is_set_back() {
    let (layer, clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let before = next_id(&layer);
    clock.set_wall(UNIX_EPOCH + Duration::from_secs(1_000));
    let after = next_id(&layer);
    assert!(before < after && milliseconds(&before) == milliseconds(&after));

    // A clock that was never set at all still numbers.
    let (layer, _clock) = at(UNIX_EPOCH - Duration::from_secs(1));
    assert!(next_id(&layer) < next_id(&layer));
}

#[test]
fn services_and_clones_of_one_layer_go_on_where_the_others_are() {
    let (layer, _clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let made: Vec<_> = (0..100).map(|_| next_id(&layer.clone())).collect();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn threads_never_make_the_same_id() {
    let (layer, _clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let layer = layer.clone();
            thread::spawn(move || (0..1_000).map(|_| next_id(&layer)).collect::<Vec<_>>())
        })
        .collect();
    let all: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(all.len(), 4_000);
}
