//! Hostile values: every rendering is valid and one line.

use std::{collections::BTreeMap, net::SocketAddr};

use tower_inference::{
    access_log::{Content, Dimension, Emf, Events, Unit},
    peer::PeerAddress,
    record::GenAiConventions,
};

use super::{emf::broken_rules, *};

/// What a client and an upstream may say.
#[derive(Clone, Debug)]
struct Hostile {
    method: String,
    path: String,
    agent: Vec<u8>,
    id: Vec<u8>,
    texts: [String; 6],
    added: Vec<(String, String)>,
    prompt: Vec<u8>,
    completion: Vec<u8>,
}

fn hostile() -> impl Strategy<Value = Hostile> {
    let header =
        || proptest::collection::vec(prop_oneof![32_u8..127, Just(b'\t'), 128..=255_u8], 0..40);
    let text = || {
        prop_oneof![
            any::<String>(),
            "[\"\\\\{}\\[\\],: \n\r\t\u{1b}\u{2028}\u{202e}\u{feff}]{0,30}",
            "\\PC{200,300}",
        ]
    };
    let added = proptest::collection::vec((text(), text()), 0..4);
    let bytes = || prop_oneof![text().prop_map(String::into_bytes), any::<Vec<u8>>()];
    (
        "[A-Z!#$%&'*+.^_`|~0-9-]{1,12}",
        "/[!-~]{0,60}",
        header(),
        header(),
        proptest::array::uniform6(text()),
        (added, bytes(), bytes()),
    )
        .prop_map(|(method, path, agent, id, texts, (added, prompt, completion))| Hostile {
            method,
            path,
            agent,
            id,
            texts,
            added,
            prompt,
            completion,
        })
}

/// Serves a request that says all of it. Returns its path.
fn serve(layer: &AccessLogLayer, hostile: &Hostile) -> Option<String> {
    let request = Request::builder().method(&*hostile.method).uri(&hostile.path);
    let prompt = Full::new(Bytes::from(hostile.prompt.clone()));
    let mut request = request.body(prompt).ok()?;
    let path = request.uri().path().to_owned();
    let agent = HeaderValue::from_bytes(&hostile.agent).unwrap();
    request.headers_mut().insert("user-agent", agent);
    request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 7], 1)));
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_request_id(HeaderValue::from_bytes(&hostile.id).unwrap());
    let layer = layer.clone().client_address(PeerAddress::connection());
    let hostile = hostile.clone();
    let service = layer.layer(answering(move |request: Request<RequestBody<Full<Bytes>>>| {
        let context = RequestContext::of(request.extensions()).unwrap().clone();
        let [issuer, subject, tenant, model, route, upstream] = &hostile.texts;
        context.set_model(&**model);
        context.set_target(&**model);
        context.set_route(route.clone());
        context.set_stage(route.clone());
        context.set_upstream((&**upstream).into());
        let identity = Identity::new(Proof::Other("\"\n"), &**issuer, &**subject);
        let identity = identity.with_claim("c", &**tenant).with_credential_id(&**tenant);
        context.set_identity(Arc::new(identity.with_tenant(&**tenant)));
        for (name, value) in &hostile.added {
            context.add_value(&*name.clone().leak(), value.clone());
        }
        now(request.into_body().collect()).unwrap();
        Response::new(Full::new(Bytes::from(hostile.completion.clone())))
    }));
    let response = now(service.oneshot(request)).unwrap();
    now(response.into_body().collect()).unwrap();
    Some(path)
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
}

/// The values of a line of the combined log format, as a parser of Apache's lines reads them.
fn parse_combined(line: &str) -> Option<Vec<String>> {
    let mut rest = line;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (open, close) = match rest.chars().next()? {
            '"' => (1, '"'),
            '[' => (1, ']'),
            _ => (0, ' '),
        };
        let (mut field, mut escaped, mut end) = (String::new(), false, None);
        for (place, character) in rest.char_indices().skip(open) {
            if escaped {
                field.extend(['\\', character]);
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == close {
                end = Some(place);
                break;
            } else {
                field.push(character);
            }
        }
        if end.is_none() && (open == 1 || escaped) {
            return None;
        }
        fields.push(unescaped(&field)?);
        rest = rest.get(end.map_or(rest.len(), |end| end + open)..)?;
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    Some(fields)
}

fn unescaped(field: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', digits @ ..]) => {
                let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &after[3..];
            }
            (b'\\', [escaped, ..]) => {
                bytes.push(*escaped);
                rest = &after[1..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

fn cut(text: &str) -> &str {
    let end = (0..=512.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    &text[..end.unwrap()]
}

proptest! {
    #[test]
    fn json_lines_say_what_the_request_said(hostile in hostile()) {
        let more = ["user_agent", "http_version"];
        let format = Format::json().more_fields(more).unwrap();
        let log = Log::format(format.prompts(Content::truncated(999)));
        let Some(path) = serve(&log.layer, &hostile) else { return Ok(()) };
        let record = log.record();
        let [issuer, subject, tenant, model, ..] = &hostile.texts;
        prop_assert_eq!(&record["path"], &json!(path));
        prop_assert_eq!(&record["method"], &json!(hostile.method));
        let id = HeaderValue::from_bytes(&hostile.id).unwrap();
        let text = |value: Option<&str>| value.map_or(Value::Null, |value| json!(cut(value)));
        prop_assert_eq!(&record["request_id"], &text(id.to_str().ok()));
        prop_assert_eq!(&record["principal"], &json!({
            "proof": "\"\n", "issuer": cut(issuer), "subject": cut(subject),
        }));
        prop_assert_eq!(&record["tenant"], &text(Some(tenant)));
        prop_assert_eq!(&record["model"], &text(Some(model)));
        let values: BTreeMap<_, _> =
            hostile.added.iter().map(|(name, value)| (cut(name), cut(value))).collect();
        let values = if values.is_empty() { Value::Null } else { json!(values) };
        prop_assert_eq!(&record["values"], &values);
        if let Ok(prompt) = str::from_utf8(&hostile.prompt)
            && prompt.len() < 999
        {
            prop_assert_eq!(&record["prompt"]["text"], &json!(prompt));
        }
        let text = log.text();
        let one_line = text.strip_suffix('\n').unwrap();
        prop_assert!(!one_line.chars().any(is_hidden));
    }

    #[test]
    fn every_format_is_valid_and_one_line(hostile in hostile()) {
        let dimensions =
            [Dimension::Stage, Dimension::Route, Dimension::Method, Dimension::Upstream, Dimension::Model];
        let emf = Emf::new("n").unwrap().dimensions([dimensions]).unwrap();
        let emf = emf.models([&*hostile.texts[3]]).value("v", Unit::None).unwrap();
        let every_variable = ["authorizer.c", "identity.user", "error.message", "values", "xrayTraceId"];
        for format in [
            Format::api_gateway(),
            Format::api_gateway().more_fields(every_variable).unwrap(),
            Format::open_telemetry(GenAiConventions::V1_41),
            Format::open_telemetry(GenAiConventions::Latest),
            Format::emf(emf),
        ] {
            let is_emf = format!("{format:?}").contains("emf");
            let format = format.prompts(Content::truncated(99)).completions(Content::truncated(99));
            let log = Log::format(format);
            if serve(&log.layer, &hostile).is_none() {
                return Ok(());
            }
            let text = log.text();
            let one_line = text.strip_suffix('\n').unwrap();
            prop_assert!(!one_line.chars().any(is_hidden), "{one_line}");
            let record: Value = serde_json::from_str(one_line).unwrap();
            prop_assert!(record.is_object());
            if is_emf {
                prop_assert_eq!(broken_rules(one_line), [""; 0]);
            }
        }
    }

    #[test]
    fn the_combined_log_format_is_parsed_back(hostile in hostile()) {
        let log = Log::format(Format::combined());
        let Some(path) = serve(&log.layer, &hostile) else { return Ok(()) };
        let text = log.text();
        let one_line = text.strip_suffix('\n').unwrap();
        prop_assert!(!one_line.chars().any(is_hidden), "{one_line}");
        let fields = parse_combined(one_line).unwrap();
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let agent = HeaderValue::from_bytes(&hostile.agent).unwrap();
        let bytes = hostile.completion.len();
        prop_assert_eq!(fields, [
            "203.0.113.7".to_owned(),
            "-".to_owned(),
            or_none(cut(&hostile.texts[1])),
            "23/Nov/2026:09:08:07 +0000".to_owned(),
            format!("{} {path} HTTP/1.1", hostile.method),
            "200".to_owned(),
            if bytes == 0 { "-".to_owned() } else { bytes.to_string() },
            "-".to_owned(),
            or_none(str::from_utf8(agent.as_bytes()).map_or("", cut)),
        ]);
    }

    #[test]
    fn events_are_one_line(hostile in hostile()) {
        for events in [Events::new(), Events::lines(Format::combined()), Events::lines(Format::json())] {
            let log = Log::new();
            let sink = log.sink.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_writer(move || sink.clone())
                .with_ansi(false)
                .finish();
            let served = tracing::subscriber::with_default(subscriber, || {
                serve(&AccessLogLayer::sink(events), &hostile)
            });
            let text = log.text();
            prop_assert_eq!(text.lines().count(), usize::from(served.is_some()), "{}", text);
            prop_assert!(!text.trim_end_matches('\n').chars().any(is_hidden), "{text}");
        }
    }
}
