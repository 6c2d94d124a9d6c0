//! The same echo with tokio: one task per connection, all on one thread.
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{signal, SignalKind};

async fn echo(mut client: TcpStream) {
    let mut buffer = [0u8; 4096];
    let _ = client.set_nodelay(true);
    loop {
        match client.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(size) => {
                if client.write_all(&buffer[..size]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn serve(port: u16) -> std::io::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::spawn(async move {
        loop {
            if let Ok((client, _)) = listener.accept().await {
                tokio::spawn(echo(client));
            }
        }
    });
    end.recv().await;
    Ok(())
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(port) = port else {
        eprintln!("usage: echo_tokio PORT");
        std::process::exit(2);
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(port))
}
