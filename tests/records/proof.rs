//! 10,000 requests under faults, rejections and clients that leave: one true record of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::task::JoinSet;
use tower_inference::{
    access_log::AccessLogLayer,
    context::{Decision, Layer},
    record::{Record, RequestOutcome},
    test_util::TestIssuer,
};

use crate::{
    books,
    client::{self, End, Seen, Tokens},
    gateway::{TokioClock, gateway},
    random::Random,
    upstream::Upstream,
};

const REQUESTS: usize = 10_000;
/// As many clients as send at the same time.
const CLIENTS: usize = 40;

/// The parts of a record that a client can judge.
#[derive(Clone, Debug)]
struct Kept {
    id: String,
    subject: Option<String>,
    auth: Option<Decision>,
    rejected_by: Option<&'static str>,
    refusal: Option<&'static str>,
    status: Option<u16>,
    bytes_out: u64,
    outcome: RequestOutcome,
    stream_end: bool,
}

impl Kept {
    fn of(record: &Record<'_>) -> Self {
        Self {
            id: record.request_id().unwrap_or_default().to_owned(),
            subject: record.principal().map(|principal| principal.subject.to_owned()),
            auth: record.decisions().of(Layer::Auth),
            rejected_by: record.decisions().rejected_by(),
            refusal: record.refusal(),
            status: record.status().map(|status| status.as_u16()),
            bytes_out: record.bytes_out(),
            outcome: record.outcome(),
            stream_end: record.stream_end().is_some(),
        }
    }

    /// Compares the record with what its client has seen.
    fn check(&self, seen: &Seen) {
        let both = || format!("{self:?}\n{seen:?}");
        // Identity.
        assert_eq!(self.subject.is_some(), self.auth == Some(Decision::Passed), "{}", both());
        if self.subject.is_some() {
            assert_eq!(self.subject, seen.subject, "{}", both());
        }
        if seen.subject.is_none() {
            assert_ne!(self.auth, Some(Decision::Passed), "{}", both());
        }
        // The layers inside of auth are reached with an identity only.
        let outside = ["peer_throttle", "route", "auth"];
        if self.rejected_by.is_some_and(|layer| !outside.contains(&layer)) {
            assert!(self.subject.is_some(), "{}", both());
        }
        // A rejection has its layer.
        assert_eq!(self.rejected_by.is_some(), self.refusal.is_some(), "{}", both());
        // Head and bytes.
        assert_eq!(self.bytes_out, seen.bytes, "{}", both());
        if seen.status.is_some() {
            assert_eq!(self.status, seen.status, "{}", both());
        }
        // The end.
        use RequestOutcome::{Cancelled, Complete, Panicked, Rejected, TimedOut, UpstreamError};
        let fits = match seen.end {
            End::LeftEarly => self.outcome == Cancelled && self.status.is_none(),
            // All bytes had come before the client left.
            End::Left => {
                self.outcome == Cancelled || self.bytes_out > 0 && self.outcome != Panicked
            }
            End::Panicked => self.outcome == Panicked,
            End::Broken => matches!(self.outcome, UpstreamError | TimedOut),
            End::Whole if self.refusal.is_some() => {
                matches!(self.outcome, Rejected | UpstreamError | TimedOut)
            }
            End::Whole if self.outcome == UpstreamError => {
                seen.status.is_some_and(|status| status >= 500) || self.stream_end
            }
            End::Whole => self.outcome == Complete,
        };
        assert!(fits, "{}", both());
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_10_000_requests_has_one_true_record() {
    let kept: Arc<Mutex<Vec<Kept>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let mut log = AccessLogLayer::sink(move |record: &Record<'_>| {
        keep.lock().unwrap().push(Kept::of(record));
    });
    let books = books::all();
    for book in &books {
        log = book.join(log);
    }
    let clock = TokioClock::shared();
    let issuer = TestIssuer::new().clock(clock.clone());
    let tokens = Tokens::new(&issuer);
    let service = gateway(log, &issuer, &clock, Upstream::of(Random::of(19)));

    let mut random = Random::of(1);
    let mut running = JoinSet::new();
    let mut seen = BTreeMap::new();
    let mut requests = (0..REQUESTS).map(|number| {
        let (request, mut sent) = client::request(number, &tokens, &mut random);
        sent.end = End::Panicked;
        seen.insert(sent.id.clone(), sent.clone());
        (request, sent, Random::of(random.next()))
    });
    let mut ends = Vec::new();
    loop {
        while running.len() < CLIENTS
            && let Some((request, sent, random)) = requests.next()
        {
            running.spawn(client::exchange(service.clone(), request, sent, random));
        }
        match running.join_next().await {
            None => break,
            Some(Ok(end)) => ends.push(end),
            // A panicked task keeps the end that was assumed.
            Some(Err(panicked)) => assert!(panicked.is_panic()),
        }
    }
    drop(requests);
    for end in ends {
        seen.insert(end.id.clone(), end);
    }
    drop(service);

    // None twice, none missing.
    let kept = kept.lock().unwrap().clone();
    assert_eq!(kept.len(), REQUESTS);
    let ids: BTreeSet<_> = kept.iter().map(|record| &record.id).collect();
    assert_eq!(ids.len(), REQUESTS);
    assert!(ids.into_iter().eq(seen.keys()));
    for record in &kept {
        let seen = &seen[&record.id];
        if seen.end == End::Panicked {
            // The client of a panic knows neither head nor bytes.
            assert_eq!(record.outcome, RequestOutcome::Panicked, "{record:?}");
            continue;
        }
        record.check(seen);
    }

    // Every way to end has happened, and each layer has rejected.
    let outcomes: BTreeSet<_> = kept.iter().map(|record| record.outcome.as_str()).collect();
    let all = RequestOutcome::ALL.iter().filter(|outcome| **outcome != RequestOutcome::Failed);
    assert!(all.clone().all(|outcome| outcomes.contains(outcome.as_str())), "{outcomes:?}");
    let layers: BTreeSet<_> = kept.iter().filter_map(|record| record.rejected_by).collect();
    let expected = [
        "auth",
        "fallback",
        "model_rules",
        "payload",
        "peer_throttle",
        "route",
        "schema",
        "throttle",
        "token_budget",
        "upstream",
    ];
    assert!(expected.iter().all(|layer| layers.contains(layer)), "{layers:?}");

    // Every sink tells the same.
    let sums: Vec<_> = books.iter().map(|book| (book.name(), book.sums())).collect();
    let (first, expected) = &sums[0];
    assert_eq!(expected.outcomes.values().sum::<u64>(), REQUESTS as u64);
    assert!(expected.generated.cached > 0 && expected.generated.reasoning > 0 && expected.hits > 0);
    for (book, (name, sums)) in books.iter().zip(&sums) {
        assert_eq!(*sums, book.kept(expected), "{first} and {name}");
        // None twice, none missing.
        if let Some(mut ids) = book.ids() {
            ids.sort();
            assert!(ids.iter().eq(seen.keys()), "{name}");
        }
    }
}
