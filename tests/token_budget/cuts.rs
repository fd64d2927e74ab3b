//! Streams that are cut.

use super::*;

/// The words of whole deltas.
fn words_of(stream: &[u8]) -> u64 {
    let stream = String::from_utf8_lossy(stream);
    let (whole, _) = stream.rsplit_once("\n\n").unwrap_or_default();
    whole.matches("\"content\":\" tea\"").count() as u64
}

#[tokio::test]
async fn a_thousand_streams_cut_at_random_are_charged_for_what_was_delivered() {
    let budget = Budget::plenty();
    let (mut total_delivered, mut total_charged) = (0, 0);
    for seed in 0..1_000 {
        let mut chance = Chance::of(seed);
        let tokens = chance.below(60);
        let text = events(tokens, Some((5, tokens)));
        let mut bytes = Bytes::from(text.clone());
        // 0: the caller leaves, 1: the connection breaks, 2: it ends short, 3: an error event.
        let how = seed % 4;
        if how > 0 {
            bytes.truncate(chance.below(text.len() as u64) as usize);
        }
        // An event that is cut and closed by the next one counts by its bytes.
        let torn = bytes.len() - text[..bytes.len()].rfind("\n\n").unwrap_or_default();
        let produced = estimate_of(words_of(&bytes)) + torn.div_ceil(4) as u64;
        if how == 3 {
            let error = b"\n\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\ndata: [DONE]\n\n";
            bytes = [&bytes[..], error].concat().into();
        }
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            frames.push(bytes.split_to((1 + chance.below(200) as usize).min(bytes.len())));
        }
        let leaves_after = if how == 0 { chance.below(frames.len() as u64) } else { u64::MAX };
        let answer = Answer { frames, fails: how == 1, ..Answer::stream("") };

        let before = budget.used().await;
        let service =
            budget.layer.layer(service_fn(move |_| ready(Ok::<_, Infallible>(answer.give()))));
        let request = post("/v1/chat/completions", STREAMED.replace("10", "100"));
        let mut body = service.oneshot(request).await.unwrap().into_body();
        let (mut shown, mut read) = (Vec::new(), 0);
        while read < leaves_after
            && let Some(Ok(frame)) = body.frame().await
        {
            shown.extend_from_slice(&frame.into_data().unwrap());
            read += 1;
        }
        drop(body);

        let (charged, delivered) = (budget.used().await - before, words_of(&shown));
        // The upstream's own count where it came, or the text that was produced.
        let most = produced.max(tokens);
        assert!(charged <= CHAT_PROMPT + most, "{seed}: {charged} for {produced}");
        assert!(charged >= 5 + delivered, "{seed}: {charged} for {delivered}");
        total_delivered += delivered;
        total_charged += charged - 5;
    }
    assert!(total_delivered > 5_000);
    assert!(total_charged * 100 >= total_delivered * 95);
}

#[tokio::test]
async fn a_usage_seen_before_the_cut_counts_where_it_is_larger() {
    let budget = Budget::plenty();
    let continuous = "data: {\"choices\":[{\"delta\":{\"content\":\"four\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n";
    assert_eq!(budget.charge(streamed(), Answer::stream(continuous)).await, 12);
    let less = "data: {\"choices\":[{\"delta\":{\"content\":\"four\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":0}}\n\n";
    assert_eq!(budget.charge(streamed(), Answer::stream(less)).await, CHAT_PROMPT + estimate_of(1));
}

#[tokio::test]
async fn a_complete_stream_without_usage_is_charged_by_its_text() {
    let budget = Budget::plenty();
    let seven = estimate_of(7);
    assert_eq!(
        budget.charge(streamed(), Answer::stream(events(7, None))).await,
        CHAT_PROMPT + seven
    );
    // A reported usage of zero is not believed, or streams would be free.
    let nothing = Answer::stream(events(7, Some((6, 0))));
    assert_eq!(budget.charge(streamed(), nothing).await, 6 + seven);
}

/// Several tokens in one delta count as several.
#[tokio::test]
async fn a_cut_stream_of_any_form_is_charged_by_its_text() {
    let budget = Budget::plenty();
    let text = "word ".repeat(8);
    let requests = [
        ("/v1/chat/completions", STREAMED.replace("10", "50")),
        ("/v1/responses", r#"{"input":"abcd","stream":true,"max_output_tokens":50}"#.to_owned()),
        ("/generate_stream", r#"{"inputs":"abcd","parameters":{"max_new_tokens":50}}"#.to_owned()),
    ];
    let events = [
        format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#),
        format!(r#"{{"choices":[{{"delta":{{"reasoning_content":"{text}"}}}}]}}"#),
        format!(r#"{{"choices":[{{"delta":{{"refusal":"{text}"}}}}]}}"#),
        format!(
            r#"{{"choices":[{{"delta":{{"tool_calls":[{{"function":{{"arguments":"{text}"}}}}]}}}}]}}"#
        ),
        format!(r#"{{"token":{{"id":1,"text":"{text}"}},"generated_text":null}}"#),
        format!(r#"{{"type":"response.output_text.delta","delta":"{text}"}}"#),
        format!(
            r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}"#
        ),
    ];
    for (path, body) in requests {
        let prompt = budget.charge(post(path, body.as_str()), Answer::stream("")).await;
        for event in &events {
            let cut = Answer::stream(format!("data: {event}\n\n"));
            let charged = budget.charge(post(path, body.as_str()), cut).await;
            assert_eq!(charged, prompt + 10, "{event}");
        }
    }
}

#[tokio::test]
async fn each_token_event_of_tgi_counts_once() {
    let budget = Budget::plenty();
    let request =
        || post("/generate_stream", r#"{"inputs":"abcdefgh","parameters":{"max_new_tokens":10}}"#);
    let event = "data:{\"index\":1,\"token\":{\"id\":1,\"text\":\" a\",\"logprob\":-0.1,\"special\":false},\"generated_text\":null,\"details\":null}\n\n";
    assert_eq!(budget.charge(request(), Answer::stream(event.repeat(3))).await, 2 + 3);
    let last = "data:{\"index\":4,\"token\":{\"id\":2,\"text\":\"</s>\",\"special\":true},\"generated_text\":\"a a a\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":4,\"input_length\":3}}\n\n";
    let whole = event.repeat(3) + last;
    assert_eq!(budget.charge(request(), Answer::stream(whole)).await, 3 + 4);
}

#[tokio::test]
async fn a_tokenizer_counts_prompts_and_deltas() {
    let mut budget = Budget::plenty();
    // Words.
    budget.layer = budget.layer.tokenizer(|text| text.split_whitespace().count() as u64);
    let body = r#"{"messages":[{"role":"user","content":"one two three"}],"stream":true}"#;
    let cut = "data: {\"choices\":[{\"delta\":{\"content\":\"four five\"}}]}\n\n";
    let request = post("/v1/chat/completions", body);
    // The role is a word.
    assert_eq!(budget.charge(request, Answer::stream(cut)).await, 4 + 1 + 3 + 2);
}
