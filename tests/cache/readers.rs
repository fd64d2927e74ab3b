//! Readers of a shared call that are slow or fast, leave or stall, in any order.

use std::{collections::BTreeMap, task::Waker};

use proptest::prelude::*;
use tokio::sync::mpsc;
use tower_inference::cache::BodyError;

use super::*;

/// A step of the script.
#[derive(Clone, Debug)]
enum Event {
    /// The upstream sends a chunk of this length.
    Sends(usize),
    Comes,
    /// A reader is polled up to this number of times.
    Reads(usize, usize),
    Leaves(usize),
    /// A reader is not polled any more and not dropped.
    Stalls(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_usize..200).prop_map(Event::Sends),
        2 => Just(Event::Comes),
        6 => (any::<usize>(), 1_usize..5).prop_map(|(which, times)| Event::Reads(which, times)),
        1 => any::<usize>().prop_map(Event::Leaves),
        1 => any::<usize>().prop_map(Event::Stalls),
    ]
}

type Call = Pin<Box<dyn Future<Output = Result<CacheResponse, Fault>> + Send>>;

/// A request or its body.
enum Reader {
    Waits(Call),
    Reads(Pin<Box<ResponseBody<ScriptedBody>>>, Vec<u8>),
}

impl Reader {
    /// Polls once. Returns `None` if it is pending.
    fn step(&mut self, cx: &mut Context<'_>) -> Option<Result<bool, BodyError>> {
        match self {
            Self::Waits(call) => {
                let Poll::Ready(response) = call.as_mut().poll(cx) else { return None };
                let body = Box::pin(response.unwrap().into_body());
                *self = Self::Reads(body, Vec::new());
                Some(Ok(true))
            }
            Self::Reads(body, read) => {
                let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else { return None };
                match frame {
                    None => Some(Ok(false)),
                    Some(Err(error)) => Some(Err(error)),
                    Some(Ok(frame)) => {
                        read.extend_from_slice(&frame.into_data().unwrap());
                        Some(Ok(true))
                    }
                }
            }
        }
    }

    /// Reads to the end.
    async fn finish(mut self) -> Result<Vec<u8>, BodyError> {
        let all = std::future::poll_fn(|cx| {
            loop {
                match self.step(cx) {
                    None => return Poll::Pending,
                    Some(Ok(true)) => {}
                    Some(Ok(false)) => return Poll::Ready(Ok(())),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
        });
        all.await?;
        match self {
            Self::Reads(_, read) => Ok(read),
            Self::Waits(_) => unreachable!("it has come to its end"),
        }
    }
}

/// The channel of each upstream call and the bytes that it has sent.
type Sent = Vec<(mpsc::UnboundedSender<Step>, Vec<u8>)>;

async fn play(script: Vec<Event>, max_entry_bytes: u64) {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer
        .memory(MemoryTier::new().max_entry_bytes(max_entry_bytes))
        .shared_calls(SharedCalls::new().max_gap_bytes(300));
    let sent: Arc<Mutex<Sent>> = Arc::default();
    let channels = Arc::clone(&sent);
    let upstream = Upstream::new(move |_, _| {
        let (send, receive) = mpsc::unbounded_channel();
        channels.lock().unwrap().push((send, Vec::new()));
        events([]).map(|_| ScriptedBody::live(receive))
    });
    let mut readers: BTreeMap<usize, Reader> = BTreeMap::new();
    let mut stalled = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let pick = |readers: &BTreeMap<usize, Reader>, which: usize| {
        readers.keys().nth(which % readers.len().max(1)).copied()
    };
    for (number, event) in script.into_iter().enumerate() {
        match event {
            Event::Sends(length) => {
                for (send, all) in &mut *sent.lock().unwrap() {
                    let chunk: Vec<u8> =
                        (0..length).map(|at| b'a' + ((all.len() + at) % 26) as u8).collect();
                    all.extend_from_slice(&chunk);
                    let _nobody_reads = send.send(Step::Bytes(chunk.into()));
                }
            }
            Event::Comes => {
                let mut service = layer.layer(upstream.clone());
                assert!(service.poll_ready(&mut cx).is_ready());
                readers.insert(number, Reader::Waits(Box::pin(service.call(streamed()))));
            }
            Event::Reads(which, times) => {
                let Some(which) = pick(&readers, which) else { continue };
                let reader = readers.get_mut(&which).unwrap();
                for _ in 0..times {
                    match reader.step(&mut cx) {
                        None => break,
                        Some(Ok(more)) => assert!(more, "nothing has ended yet"),
                        Some(Err(error)) => panic!("{error}"),
                    }
                }
            }
            Event::Leaves(which) => {
                let Some(which) = pick(&readers, which) else { continue };
                readers.remove(&which);
            }
            Event::Stalls(which) => {
                let Some(which) = pick(&readers, which) else { continue };
                stalled.extend(readers.remove(&which));
            }
        }
    }

    // The remaining readers read to the end.
    let mut reading = tokio::task::JoinSet::new();
    for reader in readers.into_values() {
        reading.spawn(reader.finish());
    }
    let mut sent_bodies = Vec::new();
    for (send, all) in &mut *sent.lock().unwrap() {
        all.extend_from_slice(b"\n\ndata: [DONE]\n\n");
        let _nobody_reads = send.send(Step::Data(b"\n\ndata: [DONE]\n\n"));
        sent_bodies.push(all.clone());
    }
    tokio::task::yield_now().await;
    // Calls that began since then end without a chunk.
    sent.lock().unwrap().clear();
    while let Some(read) = reading.join_next().await {
        let read = read.unwrap().unwrap();
        assert!(sent_bodies.contains(&read) || read.is_empty(), "{read:?} of {sent_bodies:?}");
    }
    drop(stalled);
    if layer.entries() > 0 {
        let kept = replayed(&layer).await;
        assert!(sent_bodies.contains(&kept));
    }
}

async fn replayed(layer: &CacheLayer) -> Vec<u8> {
    body_of(layer, &Upstream::numbers(), streamed()).await.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn active_readers_receive_the_whole_body(
        script in prop::collection::vec(event(), 1..60),
        // With a recording, and without one.
        max_entry_bytes in prop_oneof![Just(1_u64 << 20), Just(400)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(script, max_entry_bytes));
    }
}
