//! Hostile values.

use super::*;

const LINE_SEPARATOR: char = '\u{2028}';

proptest! {
    #[test]
    fn no_value_can_break_a_line(
        path in "/[!-~]{0,60}",
        id in proptest::collection::vec(prop_oneof![32_u8..127, Just(b'\t')], 0..40),
        texts in proptest::array::uniform4(any::<String>()),
    ) {
        let Ok(request) = Request::get(&path).body(Empty::<Bytes>::new()) else { return Ok(()) };
        let mut request = request;
        let expected_path = request.uri().path().to_owned();
        let id = HeaderValue::from_bytes(&id).unwrap();
        let [issuer, subject, tenant, model] = texts;
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_request_id(id.clone());
        context.set_model(&*model);
        let identity = Identity::new(Proof::Other("\"\n"), &*issuer, &*subject);
        context.set_identity(Arc::new(identity.with_tenant(&*tenant)));

        let log = Log::new();
        let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
        now(service.oneshot(request)).unwrap();
        let record = log.record();
        prop_assert_eq!(&record["path"], &json!(expected_path));
        prop_assert_eq!(&record["request_id"], &json!(id.to_str().unwrap()));
        prop_assert_eq!(&record["principal"], &json!({
            "proof": "\"\n", "issuer": issuer, "subject": subject,
        }));
        prop_assert_eq!((&record["tenant"], &record["model"]), (&json!(tenant), &json!(model)));

        let written = String::from_utf8(log.written.0.lock().unwrap().clone()).unwrap();
        let one_line = written.strip_suffix('\n').unwrap();
        prop_assert!(!one_line.chars().any(|c| c.is_control() || c == LINE_SEPARATOR));
    }
}
