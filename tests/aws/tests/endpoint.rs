//! The endpoint of AWS that the source is given: it passes requests on to moto, counts them, and plays
//! faults.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// What the endpoint does with a request.
#[derive(Clone, Debug, Default)]
pub enum Conduct {
    #[default]
    Pass,
    /// Closes the connection without a response.
    Close,
    /// Never responds.
    Hang,
    /// Responds by itself.
    Respond(StatusCode, &'static str),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `secretsmanager.GetSecretValue`, or nothing for STS.
    pub action: String,
    pub body: String,
    pub authorization: String,
}

#[derive(Clone)]
pub struct Endpoint {
    pub address: SocketAddr,
    conduct: Arc<Mutex<Conduct>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    open: Arc<AtomicUsize>,
}

impl Endpoint {
    /// Starts an endpoint that passes requests on to `moto`.
    pub async fn before(moto: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            address: listener.local_addr().unwrap(),
            conduct: Arc::default(),
            seen: Arc::default(),
            open: Arc::default(),
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let this = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (this, client) = (this.clone(), client.clone());
                tokio::spawn(async move {
                    this.open.fetch_add(1, Relaxed);
                    let open = Arc::clone(&this.open);
                    let serve = service_fn(move |request| {
                        this.clone().serve(client.clone(), moto, request)
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    // The end of a connection says nothing here.
                    let _ended = server.serve_connection(TokioIo::new(stream), serve).await;
                    open.fetch_sub(1, Relaxed);
                });
            }
        });
        endpoint
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn conduct(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns how many times the secret was requested.
    pub fn fetches(&self) -> usize {
        self.seen().iter().filter(|seen| seen.action == "secretsmanager.GetSecretValue").count()
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    async fn serve(
        self,
        client: Client<HttpConnector, Full<Bytes>>,
        moto: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, &'static str> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| "the request ended early")?.to_bytes();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        self.seen.lock().unwrap().push(Seen {
            action: header("x-amz-target").unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            authorization: header("authorization").unwrap_or_default().to_owned(),
        });
        let conduct = self.conduct.lock().unwrap().clone();
        match conduct {
            Conduct::Pass => {
                head.uri = format!("http://{moto}{}", head.uri.path()).parse().unwrap();
                let request = Request::from_parts(head, Full::new(body));
                let response = client.request(request).await.map_err(|_| "moto is gone")?;
                let (mut head, body) = response.into_parts();
                let body = body.collect().await.map_err(|_| "moto is gone")?.to_bytes();
                // AWS keeps connections open, and moto closes them.
                head.version = http::Version::HTTP_11;
                head.headers.remove("connection");
                Ok(Response::from_parts(head, Full::new(body)))
            }
            Conduct::Close => Err("closed"),
            Conduct::Hang => pending().await,
            Conduct::Respond(status, body) => {
                let response = Response::builder().status(status);
                Ok(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
            }
        }
    }
}
