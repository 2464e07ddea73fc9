//! Fixed windows in a Redis, as envoyproxy/ratelimit counts them: a key for each value and window, `INCRBY` and `EXPIRE`;
//! hits that are refused are counted, too.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Failed;

/// The counters behind one address. A lease is a call, so calls are few: each has a connection of its own, and nothing
/// is left behind that a Redis which died had to be told from one that lives.
pub struct Redis {
    port: u16,
    windows: Vec<Window>,
}

/// A limit for each value of a descriptor.
pub struct Window {
    pub domain: String,
    pub descriptor: String,
    pub limit: u64,
    pub seconds: u64,
}

/// What a window says.
pub struct Counted {
    pub limit: u64,
    pub used: u64,
    pub reset_after: u64,
}

impl Redis {
    pub fn new(port: u16, windows: Vec<Window>) -> Self {
        Self { port, windows }
    }

    /// Counts the hits in the window of this descriptor, if it has one.
    pub async fn count(&self, domain: &str, key: &str, value: &str, hits: u64) -> Result<Option<Counted>, Failed> {
        let fits = |window: &&Window| window.domain == domain && window.descriptor == key;
        let Some(window) = self.windows.iter().find(fits) else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let begins = now - now % window.seconds;
        let name = format!("{domain}_{key}_{value}_{begins}");
        let used = self.add(&name, hits, window.seconds).await?;
        let reset_after = begins + window.seconds - now;
        Ok(Some(Counted { limit: window.limit, used, reset_after }))
    }

    async fn add(&self, key: &str, hits: u64, seconds: u64) -> Result<u64, Failed> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
        let commands = [command(&["INCRBY", key, &hits.to_string()]), command(&["EXPIRE", key, &seconds.to_string()])];
        stream.write_all(commands.concat().as_bytes()).await?;
        let used = integer(&mut stream).await?;
        integer(&mut stream).await?;
        Ok(used)
    }
}

/// A command of the Redis protocol: an array of texts with their lengths.
fn command(words: &[&str]) -> String {
    let said: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{said}", words.len())
}

async fn integer(stream: &mut BufReader<TcpStream>) -> Result<u64, Failed> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line.strip_prefix(':').ok_or_else(|| format!("Redis says {line:?}"))?.trim_end().parse()?)
}
