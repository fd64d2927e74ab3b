//! A proxy before a server that can be redirected, stalled and cut.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// `None`: who connects is dropped.
    target: Option<u16>,
    stalled: bool,
    /// Connections of an older one are cut.
    epoch: u64,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State { target: Some(port), stalled: false, epoch: 0 });
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, seen.clone()));
            }
        });
        Self { port: own, state, task }
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Carries nothing any more, and closes nothing.
    pub fn stall(&self) {
        self.state.send_modify(|state| state.stalled = true);
    }

    pub fn go_on(&self) {
        self.state.send_modify(|state| state.stalled = false);
    }

    /// Cuts all connections, and leads new ones there.
    pub fn point(&self, target: Option<u16>) {
        self.state.send_modify(|state| {
            state.target = target;
            state.epoch += 1;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, seen: watch::Receiver<State>) {
    let State { target, epoch, .. } = *seen.borrow();
    let Some(target) = target else { return };
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = seen.clone();
    tokio::select! {
        _ = one_way(from_client, to_server, seen.clone()) => {}
        _ = one_way(from_server, to_client, seen) => {}
        _ = cut.wait_for(|state| state.epoch != epoch) => {}
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut seen: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        seen.wait_for(|state| !state.stalled).await.map_err(io::Error::other)?;
        to.write_all(&buffer[..length]).await?;
    }
}
