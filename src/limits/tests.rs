use http::Request;

use super::{Concurrency, FakeStore, Limit, LimitSet, PermitRequests, Quota, Rate, Store, Unit};
use crate::context::RequestContext;

#[test]
fn a_counter_belongs_to_one_name_unit_and_kind() {
    let store = FakeStore::new();
    let key = |limit: Limit, unit| {
        let mut limits = LimitSet::new(limit, unit);
        limits.set_store(Store::new(store.clone()));
        let mut requests = PermitRequests::new();
        let context = RequestContext::new();
        limits.permit_requests(&Request::new(()), &context, 1, &mut requests).unwrap();
        requests.first().map(|request| (request.key, request.overflow)).unwrap()
    };
    let requests = Unit::Requests;
    let rate = Limit::global(Rate::per_second(5));
    let same = key(rate.clone(), requests);
    // Neither the numbers nor shadow change the counter.
    assert_eq!(key(Limit::global(Rate::per_day(7)).shadow(), requests), same);
    let others = [
        key(rate.clone().name("other"), requests),
        key(rate, Unit::Tokens),
        key(Limit::global(Concurrency::new(5)), requests),
        key(Limit::global(Quota::per_day(5)), requests),
        key(Limit::global(Quota::per_month(5)), requests),
    ];
    let mut all: Vec<_> = others.iter().chain([&same]).flat_map(|(a, b)| [*a, *b]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12);
}
