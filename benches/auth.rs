//! What `AuthLayer` adds to a service that answers at once: nanoseconds by criterion, and the
//! allocations of one request each, counted.
#![allow(missing_docs, reason = "a bench")]

#[path = "../tests/auth/mint.rs"]
mod mint;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response};
use serde_json::json;
use tower::{Layer, Service};
use tower_inference::{
    auth::{AuthLayer, Jwt, Keys},
    context::RequestContext,
};
