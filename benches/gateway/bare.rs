//! The bare proxy as another process of the same program.

use std::{env, net::SocketAddr, process::Command};

use tokio::net::TcpListener;

use crate::Error;

// The bench of the instructions has the same lower bound.
#[path = "../instructions/src/bare.rs"]
mod proxy;

/// Returns the command that starts the proxy: this program again.
pub(crate) fn command(upstream: SocketAddr) -> Result<Command, Error> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["bare", &upstream.to_string()]);
    Ok(command)
}

/// Returns the address of the upstream if this program is the proxy.
pub(crate) fn upstream() -> Option<String> {
    env::args().skip_while(|argument| argument != "bare").nth(1)
}

/// Serves the proxy. Does not return.
pub(crate) async fn serve(upstream: SocketAddr) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    proxy::bare_proxy(listener, upstream).await
}
