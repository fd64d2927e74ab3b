//! Tokens from AWS by its own SDK.

mod connection;
mod fault;
mod secret;
mod web_identity;

pub use self::{secret::AwsSecret, web_identity::AwsWebIdentity};

#[cfg(test)]
mod probe {
    use super::{secret::SecretFetcher, *};
    #[tokio::test]
    async fn probe() {
        let end = std::env::var("MOTO").unwrap();
        let base = AwsSecret::new("plain").region("eu-west-1").endpoint(end.parse().unwrap());
        for secret in [
            base.clone(),
            AwsSecret::new("json").region("eu-west-1").endpoint(end.parse().unwrap()).json_member("token"),
            AwsSecret::new("json").region("eu-west-1").endpoint(end.parse().unwrap()).json_member("other"),
            AwsSecret::new("json").region("eu-west-1").endpoint(end.parse().unwrap()),
            AwsSecret::new("binary").region("eu-west-1").endpoint(end.parse().unwrap()),
            AwsSecret::new("missing").region("eu-west-1").endpoint(end.parse().unwrap()),
            base.clone().region("us-east-1"),
            base.clone().endpoint("http://127.0.0.1:9".parse().unwrap()),
            AwsSecret::new("x").region("eu-west-1"),
        ] {
            let at = std::time::Instant::now();
            let got = SecretFetcher::new(secret.clone()).fetch().await;
            println!("{secret:?}\n  -> {:?} {:?}", got.map(|s| s.expose().to_owned()), at.elapsed());
        }
        let w = AwsWebIdentity::new("https://huggingface.co").region("eu-west-1").endpoint(end.parse().unwrap());
        println!("{:?}", web_identity::WebIdentityFetcher::new(w).fetch().await);
    }
}
