//! moto's server, of the path or of `MOTO_SERVER`, and the owner of its secrets.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::{Client, error::DisplayErrorContext, primitives::Blob};
use aws_smithy_http_client::Builder;

pub const REGION: &str = "eu-west-1";

/// Stopped with its last user.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    pub address: SocketAddr,
}

/// The owner of one secret.
pub struct Owner {
    client: Client,
    id: String,
}

impl Moto {
    /// Returns the server that all running tests share, or `None` without the program. With `CI` set the
    /// program must exist.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Moto>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start(program()?));
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn start(program: PathBuf) -> Self {
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("Running on http://")?;
            address.trim().parse().ok()
        });
        let address = address.expect("moto prints its address");
        // Read to its end, so that moto never waits for a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address }
    }

    /// Creates a secret in [`REGION`] with this text.
    pub async fn secret(&self, id: &str, text: &str) -> Owner {
        let owner = self.owner(id).await;
        let created = owner.client.create_secret().name(id).secret_string(text).send().await;
        created.unwrap_or_else(|error| panic!("{}", DisplayErrorContext(error)));
        owner
    }

    /// Creates a binary secret in [`REGION`].
    pub async fn binary_secret(&self, id: &str, bytes: &[u8]) {
        let client = self.owner(id).await.client;
        client.create_secret().name(id).secret_binary(Blob::new(bytes)).send().await.unwrap();
    }

    async fn owner(&self, id: &str) -> Owner {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(Builder::new().build_http())
            .credentials_provider(Credentials::new("AKIAOWNER", "invented", None, None, "test"))
            .region(Region::new(REGION))
            .endpoint_url(format!("http://{}", self.address));
        Owner { client: Client::new(&config.load().await), id: id.to_owned() }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Owner {
    /// Stores a new version, which becomes `AWSCURRENT`. Returns its id.
    pub async fn put(&self, text: &str) -> String {
        let put = self.client.put_secret_value().secret_id(&self.id).secret_string(text);
        put.send().await.unwrap().version_id.unwrap()
    }

    /// Stores a new version that is not current yet. Returns its id.
    pub async fn put_pending(&self, text: &str) -> String {
        let put = self.client.put_secret_value().secret_id(&self.id).secret_string(text);
        let put = put.version_stages("AWSPENDING").send().await.unwrap();
        put.version_id.unwrap()
    }

    /// Moves `AWSCURRENT` from one version to another.
    pub async fn move_current(&self, from: &str, to: &str) {
        let moved = self.client.update_secret_version_stage().secret_id(&self.id);
        let moved = moved.version_stage("AWSCURRENT").remove_from_version_id(from);
        moved.move_to_version_id(to).send().await.unwrap();
    }

    /// Returns the id of the current version.
    pub async fn current(&self) -> String {
        let get = self.client.get_secret_value().secret_id(&self.id).version_stage("AWSCURRENT");
        get.send().await.unwrap().version_id.unwrap()
    }

    /// Returns the ARN.
    pub async fn arn(&self) -> String {
        self.client.describe_secret().secret_id(&self.id).send().await.unwrap().arn.unwrap()
    }
}

fn program() -> Option<PathBuf> {
    let program = env::var_os("MOTO_SERVER").map(PathBuf::from).or_else(|| {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|folder| folder.join("moto_server")).find(|at| at.exists())
    });
    if program.is_none() {
        eprintln!("moto_server: not here, so nothing is tested");
        assert!(env::var_os("CI").is_none(), "CI must have moto_server");
    }
    program
}
