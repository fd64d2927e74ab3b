use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    BudgetBody, BudgetFuture, Weight, Weights,
    estimate::{Estimator, Prepared},
    future::{Admission, Waiting},
    tokenizer::Tokenizer,
};
use crate::{
    context::RequestContext,
    model::Profile,
    payload::{self, Payload},
    rejection::{Rejection, RejectionFormat},
    throttle::{
        Limit, LimitCounts, LimitError, LimitFields, LimitStanding, Store, Subject,
        ask::Asks,
        limits::{Limits, Unit},
        store::Reply,
    },
};

/// Middleware that rejects requests beyond budgets of inference tokens.
///
/// Before a request goes on, the layer reserves the most that it can take: its prompt, by an estimate,
/// and the output limit of each response it asks for. At the true end of the response, complete, cut or
/// dropped, the layer settles this once to the tokens that were used. Tokens beyond the reservation are
/// debt: later requests wait for it, and it is at most one window's. The layer belongs after a cache,
/// whose hits cost nothing, and before the upstream. Clones, and the services it makes, share the
/// counters.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use std::convert::Infallible;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_inference::{
///     payload::Payload,
///     throttle::{Limit, Rate, Subject, TokenBudgetLayer},
/// };
///
/// async fn upstream(_: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
///     let answer = r#"{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}"#;
///     let response = Response::builder().header("content-type", "application/json");
///     Ok(response.body(Full::from(answer)).unwrap())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000))).output_limit(100);
/// let body = r#"{"messages": [{"role": "user", "content": "Why?"}]}"#;
/// let request = Request::post("/v1/chat/completions").body(Payload::buffered(body)).unwrap();
/// let answer = budget.layer(service_fn(upstream)).oneshot(request).await.unwrap();
///
/// // Four for the two words and the mark, four for what stands around the message, and the limit.
/// let left = async || budget.standing("global", &Subject::global()).await.unwrap().remaining;
/// assert_eq!(left().await, 1_000 - 4 - 4 - 100);
/// answer.into_body().collect().await.unwrap();
/// assert_eq!(left().await, 1_000 - 9 - 3);
/// # }
/// ```
///
/// # What is reserved
///
/// The prompt is the estimate of its texts, or what the [tokenizer](Self::tokenizer) says of each; and 4
/// for each of `messages`, 1,000 for each picture, sound, video, document or other base64, 1 for each
/// number (of a prompt of token ids). The estimate counts words, numbers, marks and the letters of each
/// script: [`estimates`](crate::estimates) shows it beside the true counts of eight tokenizers. Texts are all strings in the
/// body's members, but for `model`, `user`, `stop`, `metadata`, `stream_options`, `options`,
/// `logit_bias`, `tool_choice` and `sampling_params`; and `tools`, `functions`, `response_format` and
/// the like as they are written.
///
/// The path and the body tell the form, as for `TransformLayer::max_output_tokens`:
///
/// | form | output that is reserved |
/// |---|---|
/// | generates text | the greatest output limit in body and query, by the name of any known party, times the greatest of `n`, `best_of` and the like, times the prompts. Where the body has no limit, [`output_limit`](Self::output_limit) is put into it |
/// | embeddings, rankings, classes, tokens | none |
/// | images and speech | 1,000 for each of `n` |
/// | several of these | that of each instance together; else the greatest |
/// | unknown, or an object in `inputs` | the same as for text, but nothing is put in; the prompt is at least a quarter of the body's bytes, base64 of media apart |
///
/// A request that may take more than a budget ever holds (the burst of a rate, the limit of a quota) is
/// rejected with 400 `exceeds-limit`, since waiting does not help. This and a 429 name the estimate of
/// the prompt and the output limit. Put
/// `TransformLayer::max_output_tokens` in front to cut its output limit instead. A reservation that is
/// never settled, because the process or the shared store was lost, costs itself and is back within
/// one window.
///
/// A chat's `max_completion_tokens` is renamed to `max_tokens` when the profile's name is that one, and
/// a limit of -1 is replaced by the default, as by `TransformLayer::max_output_tokens`.
///
/// A request without a body passes, and is charged nothing, unless its method has a use for one. Any
/// other limit below 1, and what is not a number, are refused with 422 `invalid-payload`, in the query
/// with 400 `invalid-parameters`; a streamed body with 415, and one that is not JSON with 400, unless
/// they have a [flat cost](Self::flat_cost).
///
/// # What is charged
///
/// | answer | prompt | output |
/// |---|---|---|
/// | that told its usage: whole, or an event stream that came to its end | as told | as told; the text's estimate where it told none or zero |
/// | an event stream that was cut, left by its caller, or failed; or ended without usage | the estimate, or what it told so far if that is more | the estimate of the text that was seen, or what it told so far if that is more |
/// | any other, without usage or of a content coding | the estimate | the estimate of its text, or a quarter of the bytes seen |
/// | 4xx, 503 | none | none |
/// | 500, 502, 504, any other 5xx | the estimate | none |
/// | none: an error, a panic, a caller who left before the head | the estimate | none |
/// | a refusal of this crate's own, before the upstream was called | none | none |
///
/// Where the form is unknown, a response without usage counts by a quarter of all its bytes, and one
/// that tells its usage is believed up to a token for each byte, or the reserved limit if that is more.
///
/// An upstream is believed within bounds. A prompt is at most a token for each byte of its texts and
/// media (4,000 for a medium that is shorter), 16 for each message, and 256 for a chat template. An output, reasoning included, is at most the output
/// limit that was reserved; on routes that generate nothing, prompt and output together are at most
/// what the prompt may be. No output counts as less than the tokens that the delivered text has
/// with any tokenizer: about 0.9 of the true count for English and code, and less for texts of many rare
/// words. The whole document of a completion may repeat its prompt, so there prompt and output together
/// count. `tap` says which members are text.
///
/// Where the upstream was called more than once behind this layer
/// ([`attempts`](crate::context::Outcome::attempts)), each further time is charged the prompt's estimate. A
/// retry from further out passes this layer again, and is reserved and charged on its own.
///
/// A stream of `messages` or a `prompt` is asked for its usage, unless the [profile](Self::profile)
/// says otherwise; the chunk that tells it is hidden from a caller who did not ask, as by
/// `TransformLayer::include_usage`.
///
/// # Limits
///
/// - The estimate of a prompt is no bound: a vocabulary that spells a script in bytes takes up to twice
///   as many tokens. What is settled is the upstream's count.
/// - Texts that a response quotes, in a member that holds text, may be charged as the model's own.
/// - Streams that are cut are charged by the estimate of their text, or by the
///   [tokenizer](Self::tokenizer).
/// - An upstream that tells no usage is charged by guesses.
/// - A stream of OpenAI's responses tells its usage in its last event.
/// - Of limits by [`Concurrency`](crate::throttle::Concurrency), the permits are tokens reserved in
///   flight.
#[derive(Clone, Debug)]
pub struct TokenBudgetLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Arc<Limits>,
    pub(super) estimator: Estimator,
    weights: Option<Weights>,
    rejections: RejectionFormat,
}

impl TokenBudgetLayer {
    /// Holds requests to one budget: the permits of `limit` are tokens. Counted in memory.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            settings: Arc::new(Settings {
                limits: Arc::new(Limits::new(limit, Unit::Tokens)),
                estimator: Estimator::new(),
                weights: None,
                rejections: RejectionFormat::default(),
            }),
        }
    }

    /// Holds requests to one more budget. A request that one refuses takes nothing from the others.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits().push(limit);
        self
    }

    /// Where the counters are kept: a [`MemoryStore`](crate::throttle::MemoryStore) of its own by
    /// default.
    #[must_use]
    pub fn store(mut self, store: impl Into<Store>) -> Self {
        self.limits().set_store(store.into());
        self
    }

    /// Takes over from a layer whose settings were changed: its store, and the counts of each limit
    /// that both have by name. To be called last: what is added later begins anew.
    #[must_use]
    pub fn inherit_state(mut self, old: &Self) -> Self {
        self.limits().succeed(&old.settings.limits);
        self
    }

    /// Sets the kind of upstream, which tells the form of each body, the name of the output limit
    /// that is put in, and whether a stream is asked for its usage. Defaults to
    /// [`Profile::compatible`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings().estimator.set_profile(profile);
        self
    }

    /// The most tokens that an answer may have where the body does not say: 1,024 by default, at
    /// least one. It is put into the body, so that the upstream holds to it. Where it would exceed a
    /// budget, half of what that budget ever holds is put in.
    #[must_use]
    pub fn output_limit(mut self, tokens: u32) -> Self {
        self.settings().estimator.set_output(tokens);
        self
    }

    /// Counts the tokens of a text: of each text of the prompt, and of each delta of a stream that
    /// ends before it tells its usage. By default a token is four bytes.
    ///
    /// It runs inside of `call` and `poll_frame`: it must neither block nor panic. Each event of
    /// each stream is parsed for it.
    #[must_use]
    pub fn tokenizer(mut self, count: impl Fn(&str) -> u64 + Send + Sync + 'static) -> Self {
        self.settings().estimator.set_tokenizer(Tokenizer::new(count));
        self
    }

    /// Counts tokens by what they cost, by model. By default, each is one permit.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.settings().weights = Some(weights);
        self
    }

    /// Lets bodies pass that are not JSON, at so many tokens each: images, sounds, files, and what is
    /// streamed. Other text is charged by its bytes, and at least as much. Such bodies are refused by
    /// default. A body that says that it is JSON, or begins like it, is refused where it is broken
    /// or streamed.
    ///
    /// Zero makes such requests free: 1,000 is what an image in a chat is estimated at.
    #[must_use]
    pub fn flat_cost(mut self, tokens: u64) -> Self {
        self.settings().estimator.set_flat(tokens);
        self
    }

    /// Which fields tell callers of their limits. [`LimitFields::RateLimit`] by default. They tell
    /// what is left while the answer is under way, with all of it reserved.
    #[must_use]
    pub fn fields(mut self, fields: LimitFields) -> Self {
        self.limits().set_fields(fields);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        self.settings().rejections = format;
        self
    }

    /// What each limit has allowed and refused, in the order of the limits. Counted by this process,
    /// whatever the store.
    #[must_use]
    pub fn counts(&self) -> Vec<LimitCounts> {
        self.settings.limits.counts()
    }

    /// How `subject` stands with the limit of this name. Takes nothing.
    ///
    /// # Errors
    ///
    /// When there is no such limit, it counts by something else, or the store cannot be reached.
    pub fn standing(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<LimitStanding, LimitError>> + Send + use<> {
        self.settings.limits.standing(limit, subject)
    }

    /// Forgets what the limit of this name has counted of `subject`, in each of its tiers.
    ///
    /// # Errors
    ///
    /// When there is no such limit, it counts by something else, or the store cannot be reached.
    pub fn reset(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<(), LimitError>> + Send + use<> {
        self.settings.limits.reset(limit, subject)
    }

    fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn limits(&mut self) -> &mut Limits {
        Arc::make_mut(&mut self.settings().limits)
    }
}

impl Settings {
    /// Puts a smaller output limit in where ours makes a request exceed a budget: a limit that its
    /// caller did not ask for is no reason to reject it.
    fn fit(
        &self,
        request: &Request<Payload>,
        prepared: Prepared,
        weight: Weight,
        asks: &mut Asks,
    ) -> Result<Prepared, Rejection> {
        let exceeded =
            asks.iter().filter(|ask| ask.enforced && ask.allowance.never_holds(ask.cost));
        let Some(most) = exceeded.map(|ask| ask.allowance.capacity()).min() else {
            return Ok(prepared);
        };
        let mut estimator = self.estimator.clone();
        estimator.set_output(weight.half_of(most));
        let Some(smaller) = estimator.prepare(request)? else { return Ok(prepared) };
        let before = weight.of(prepared.estimate.prompt, prepared.estimate.output);
        let after = weight.of(smaller.estimate.prompt, smaller.estimate.output);
        for ask in asks.iter_mut().filter(|ask| ask.cost == before) {
            ask.cost = after;
        }
        Ok(smaller)
    }
}

impl<S> Layer<S> for TokenBudgetLayer {
    type Service = TokenBudget<S>;

    fn layer(&self, inner: S) -> TokenBudget<S> {
        TokenBudget { inner, layer: self.clone() }
    }
}

/// Lets pass what the budgets allow. Made by [`TokenBudgetLayer`].
#[derive(Clone, Debug)]
pub struct TokenBudget<S> {
    inner: S,
    layer: TokenBudgetLayer,
}

impl<S, R> Service<Request<Payload>> for TokenBudget<S>
where
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<BudgetBody<R>>;
    type Error = S::Error;
    type Future = BudgetFuture<S::Future, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Payload>) -> Self::Future {
        let context = RequestContext::ensure(request.extensions_mut());
        let settings = &self.layer.settings;
        let responder = settings.rejections.for_request(&request);
        let prepared = match settings.estimator.prepare(&request) {
            Ok(Some(prepared)) => prepared,
            Ok(None) => {
                let method = request.method().clone();
                return BudgetFuture::pass(self.inner.call(request), None, method, false);
            }
            Err(rejection) => return BudgetFuture::refuse(rejection, responder, context),
        };
        let weight =
            settings.weights.as_ref().map_or(Weight::new(1, 1), |table| table.of(&request));
        let cost = |of: &Prepared| weight.of(of.estimate.prompt, of.estimate.output);
        let mut asks = Asks::new();
        if let Err(rejection) = settings.limits.asks(&request, &context, cost(&prepared), &mut asks)
        {
            return BudgetFuture::refuse(rejection, responder, context);
        }
        let prepared = match settings.fit(&request, prepared, weight, &mut asks) {
            Ok(prepared) => prepared,
            Err(rejection) => return BudgetFuture::refuse(rejection, responder, context),
        };
        let Prepared { estimate, bytes, hide_usage } = prepared;

        let (mut parts, mut payload) = request.into_parts();
        if let Some(bytes) = bytes
            && let Err(exhausted) = payload::replace(&mut parts, &mut payload, bytes)
        {
            return BudgetFuture::refuse(exhausted.into(), responder, context);
        }
        context.announce_answer_is_read();
        if estimate.bounded {
            context.announce_output_is_limited();
        }
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = Request::from_parts(parts, payload);

        let reply = settings.limits.store().backend().decide(&asks);
        let estimate = (estimate, weight);
        let settings = Arc::clone(settings);
        let admission = Admission { settings, asks, context, estimate, hide_usage };
        match reply {
            Reply::Now(decision) => match admission.judge(decision) {
                Ok(bill) => {
                    let method = request.method().clone();
                    BudgetFuture::pass(self.inner.call(request), Some(bill), method, hide_usage)
                }
                Err((rejection, context)) => BudgetFuture::refuse(rejection, responder, context),
            },
            Reply::Later(later) => {
                // The readied instance is the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                BudgetFuture::wait(Waiting { later, admission, responder, inner, request })
            }
        }
    }
}
