//! Files that are no trail, and requests of strangers.

use std::sync::Arc;

use http::{Method, Uri};
use proptest::prelude::*;
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_verified_safely_and_are_never_intact(
        start in prop::collection::vec(any::<u8>(), 1..300),
        after in any::<bool>(),
    ) {
        let folder = Folder::create();
        let mut bytes = Vec::new();
        if after {
            let log = audit(&folder.trail()).open().unwrap();
            send_numbers(&log, 2);
            drop(log);
            bytes = fs::read(folder.trail()).unwrap();
        }
        bytes.extend(start);
        // Without its end a line may be one that is still written.
        bytes.push(b'\n');
        fs::write(folder.trail(), bytes).unwrap();
        prop_assert!(!verified(&folder.trail(), None).is_intact());
    }

    #[test]
    fn any_request_leaves_an_intact_trail_of_one_record(
        path in "/[!-~]{0,100}",
        method in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
        texts in prop::collection::vec(any::<String>(), 6),
    ) {
        let uri = path.parse::<Uri>();
        prop_assume!(uri.is_ok());
        let folder = Folder::create();
        let log = audit(&folder.trail()).open().unwrap();
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = uri.unwrap();
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let context = RequestContext::ensure(request.extensions_mut());
        let [issuer, subject, model, route, stage, value] = texts.try_into().unwrap();
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, issuer, subject)));
        context.set_model(model);
        context.set_route(route);
        context.set_stage(stage);
        context.add_value("value", value);
        let service = AccessLogLayer::sink(log.clone()).layer(service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { service.oneshot(request).await.unwrap().collect().await.unwrap() });
        prop_assert!(log.close());
        prop_assert_eq!(of_kind(&folder.trail(), "request").len(), 1);
        prop_assert!(verified(&folder.trail(), None).is_intact());
    }
}
