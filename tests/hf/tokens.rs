//! Tokens and their sources.

use tower_inference::hf::TokenFault;

use super::*;

#[test]
fn the_documented_setup_compiles() -> Result<(), Box<dyn std::error::Error>> {
    let origin: Origin = "https://router.huggingface.co".parse()?;
    // A variable that cargo sets for its tests.
    let _layer = HfTokenLayer::new(origin, TokenSource::env("CARGO_PKG_NAME")?);
    Ok(())
}

#[tokio::test]
async fn the_named_environment_variable_is_read() {
    let source = TokenSource::env("CARGO_PKG_NAME").unwrap();
    let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), source);
    let sent = sent(layer, Request::new(())).await;
    assert_eq!(sent.headers()["authorization"], "Bearer tower-inference");
    let error = TokenSource::env("TOWER_INFERENCE_NONE").unwrap_err();
    assert_eq!(error.fault, TokenFault::NoVariable);
    assert_eq!(error.place.as_deref(), Some("TOWER_INFERENCE_NONE"));
}

#[test]
fn an_invalid_token_is_an_error_that_does_not_repeat_it() {
    for (token, fault) in [
        ("", TokenFault::Empty),
        ("hf secret", TokenFault::Space),
        ("hf_secret\n", TokenFault::LineBreak),
        ("hf_secret\r\nx: y", TokenFault::LineBreak),
        ("Bearer hf_secret", TokenFault::Scheme),
        ("'hf_secret'", TokenFault::Quoted),
        ("hf_sëcret", TokenFault::Malformed),
    ] {
        let error = TokenSource::value(Secret::new(token)).unwrap_err();
        assert_eq!(error.fault, fault, "{token:?}");
        assert!(!format!("{error} {error:?}").contains("cret"));
    }
}

#[tokio::test]
async fn no_debug_output_contains_the_token() {
    let layer = layer();
    let mut service =
        layer.layer(Probe::new(|_: Request<()>| Response::new(ScriptedBody::default())));
    let future = service.ready().await.unwrap().call(Request::new(()));
    let printed = format!("{:?} {layer:?} {future:?} {layer:#?}", source());
    assert!(!printed.contains(TOKEN), "{printed}");
}

#[tokio::test]
async fn a_changed_file_is_read_again_after_a_second() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "first\r\n \n").unwrap();
    let filed = Filed::new(folder.file("token"));
    assert_eq!(filed.token().await, "first");

    fs::write(folder.file("token"), "other").unwrap();
    filed.clock.advance(Duration::from_millis(999));
    assert_eq!(filed.token().await, "first");
    filed.clock.advance(Duration::from_millis(1));
    assert_eq!(filed.token().await, "other");

    // As long as the one before, and over a second name.
    fs::write(folder.file("next"), "third").unwrap();
    fs::rename(folder.file("next"), folder.file("token")).unwrap();
    assert_eq!(filed.token_a_second_later().await, "third");
}

#[cfg(unix)]
#[tokio::test]
async fn a_swapped_symbolic_link_is_followed() {
    // As Kubernetes does: token -> ..data/token, ..data -> a folder with a date.
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    for (name, token) in [("monday", "first"), ("tuesday", "other")] {
        fs::create_dir(folder.file(name)).unwrap();
        fs::write(folder.file(name).join("token"), token).unwrap();
    }
    symlink("monday", folder.file("..data")).unwrap();
    symlink("..data/token", folder.file("token")).unwrap();
    let filed = Filed::new(folder.file("token"));
    assert_eq!(filed.token().await, "first");

    symlink("tuesday", folder.file("..new")).unwrap();
    fs::rename(folder.file("..new"), folder.file("..data")).unwrap();
    assert_eq!(filed.token_a_second_later().await, "other");
}

#[tokio::test]
async fn an_invalid_file_keeps_the_last_good_token_and_warns_once_a_state() {
    let folder = Folder::new();
    let path = folder.file("token");
    fs::write(&path, "good").unwrap();
    let filed = Filed::new(path.clone());

    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    type Spoil = fn(&PathBuf);
    let spoil: [(Spoil, &str); 4] = [
        (|path| fs::remove_file(path).unwrap(), "cannot be read"),
        (|path| fs::write(path, " \n").unwrap(), "empty"),
        (|path| fs::write(path, "hf_not a token").unwrap(), "has a space"),
        (|path| fs::write(path, "x".repeat(16 * 1_024 + 1)).unwrap(), "16 KiB"),
    ];
    for (count, (spoil, word)) in spoil.into_iter().enumerate() {
        spoil(&path);
        for _ in 0..3 {
            assert_eq!(filed.token_a_second_later().await, "good");
        }
        assert_eq!(log.text().matches("WARN").count(), count + 1, "{}", log.text());
        assert!(log.text().contains(word), "{}", log.text());
    }
    // As bad as before in another way of writing it: the same state.
    fs::write(&path, "y".repeat(16 * 1_024 + 2)).unwrap();
    assert_eq!(filed.token_a_second_later().await, "good");
    assert_eq!(log.text().matches("WARN").count(), 4, "{}", log.text());

    fs::write(&path, "better").unwrap();
    assert_eq!(filed.token_a_second_later().await, "better");
    drop(guard);
    assert_eq!(log.text().matches("INFO").count(), 1, "{}", log.text());
    assert!(!log.text().contains("not a token") && !log.text().contains("better"));
}

#[test]
fn a_file_without_a_token_is_an_error_at_the_start() {
    let folder = Folder::new();
    let error = |path: PathBuf| TokenSource::file(path).unwrap_err().fault;
    let write = |name: &str, content: &[u8]| {
        fs::write(folder.file(name), content).unwrap();
        folder.file(name)
    };
    assert_eq!(error(folder.file("none")), TokenFault::Unreadable(io::ErrorKind::NotFound));
    assert_eq!(error(folder.0.clone()), TokenFault::NotAFile);
    assert_eq!(error(write("empty", b"\n")), TokenFault::Empty);
    assert_eq!(error(write("bad", b"\xff\xfe")), TokenFault::Malformed);
    assert_eq!(error(write("large", &[b'x'; 16 * 1_024 + 1])), TokenFault::TooLarge);
    assert!(TokenSource::file(write("marked", b"\xef\xbb\xbfhf_token\r\n")).is_ok());
    assert!(TokenSource::file(write("largest", &[b'x'; 16 * 1_024])).is_ok());
}

#[tokio::test]
async fn the_token_of_the_request_is_removed_from_its_response() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "token-before").unwrap();
    let filed = Filed::new(folder.file("token"));
    let client = service_fn(|request: Request<()>| async move {
        tokio::task::yield_now().await;
        let echo = request.headers()["authorization"].clone();
        let response = Response::builder().header("x-echo", echo);
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let mut service = filed.layer.layer(client);
    let before = service.call(Request::new(()));
    fs::write(folder.file("token"), "token-afterwards").unwrap();
    assert_eq!(filed.token_a_second_later().await, "token-afterwards");
    assert!(before.await.unwrap().headers().is_empty());
}
