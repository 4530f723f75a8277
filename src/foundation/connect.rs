//! Connections to others by name, which may have several addresses, some of which nobody answers at.

use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address of `host` that answers. It may take as long as the machine lets it.
///
/// # Errors
/// The name has no address, or none that takes the connection: what the last one said.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = lookup_host((host, port)).await?;
    first_of(addresses.map(TcpStream::connect)).await
}

/// What the first of `attempts` gets that gets something; each begins when the one before it has failed, or has had its head start.
async fn first_of<T>(attempts: impl Iterator<Item = impl Future<Output = io::Result<T>>>) -> io::Result<T> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let (mut attempts, mut begun) = (attempts.peekable(), FuturesUnordered::new());
    loop {
        begun.extend(attempts.next());
        if begun.is_empty() {
            return Err(failed);
        }
        let is_last = attempts.peek().is_none();
        tokio::select! {
            Some(ended) = begun.next() => match ended {
                Ok(connected) => return Ok(connected),
                Err(error) => failed = error,
            },
            () = sleep(HEAD_START), if !is_last => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::{BoxFuture, pending, ready};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    fn silent() -> BoxFuture<'static, io::Result<u8>> {
        pending().boxed()
    }

    fn refused(why: &'static str) -> BoxFuture<'static, io::Result<u8>> {
        ready(Err(io::Error::other(why))).boxed()
    }

    fn late(seconds: u64, number: u8) -> BoxFuture<'static, io::Result<u8>> {
        sleep(Duration::from_secs(seconds)).map(move |()| Ok(number)).boxed()
    }

    /// On a clock that moves only when nobody has anything to do.
    #[tokio::test(start_paused = true)]
    async fn an_address_that_says_nothing_does_not_keep_us_from_the_next() {
        assert_eq!(first_of([silent(), refused("no"), silent(), late(0, 4)].into_iter()).await.unwrap(), 4);
        assert_eq!(first_of([late(1, 1), late(2, 2)].into_iter()).await.unwrap(), 1, "the first one is not given up");
        assert_eq!(first_of([late(9, 1), late(2, 2)].into_iter()).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_waited_out_and_the_last_one_is_told() {
        let asked = first_of([refused("one"), refused("two"), refused("three")].into_iter());
        let error = timeout(HEAD_START / 2, asked).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "three");
        let error = first_of(std::iter::empty::<BoxFuture<'_, io::Result<u8>>>()).await.unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
    }

    #[tokio::test]
    async fn a_name_is_connected_to_at_whatever_address_it_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect("localhost", port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        connect("127.0.0.1", port).await.unwrap();
        drop(listener);
        connect("localhost", port).await.unwrap_err();
    }
}
