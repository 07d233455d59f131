//! Lines of a stream, none of which may be longer than is good.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

use crate::scenario::LARGEST;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Without what ends it.
    Whole(Vec<u8>),
    /// It had more bytes than this, and was thrown away.
    TooLong(usize),
}

/// The lines of a stream. Empty ones are no lines.
pub struct Lines<R> {
    stream: BufReader<R>,
    /// What has come of the next one.
    line: Vec<u8>,
    is_too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Of this stream.
    pub fn new(stream: R) -> Self {
        Self { stream: BufReader::new(stream), line: Vec::new(), is_too_long: false }
    }

    /// The next one; `None` when the stream has ended, or cannot be read any more. What stands behind the last line feed is a line,
    /// too.
    ///
    /// May be cancelled without loss.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            let bytes = self.stream.fill_buf().await.unwrap_or_default();
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let is_over = bytes.is_empty();
            let (part, used) = match end {
                Some(end) => (&bytes[..end], end + 1),
                None => (bytes, bytes.len()),
            };
            if self.line.len() + part.len() > LARGEST {
                self.is_too_long = true;
                self.line.clear();
            } else if !self.is_too_long {
                self.line.extend_from_slice(part);
            }
            AsyncBufRead::consume(std::pin::Pin::new(&mut self.stream), used);
            if end.is_none() && !is_over {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if std::mem::take(&mut self.is_too_long) {
                return Some(Line::TooLong(LARGEST));
            }
            if !line.trim_ascii().is_empty() {
                return Some(Line::Whole(line));
            }
            if is_over {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn what_is_too_long_is_thrown_away_and_the_next_is_read() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines(b"a\n\n  \r\nb").await, [whole("a"), whole("b")]);
        let most = "x".repeat(LARGEST);
        assert_eq!(lines(format!("{most}\n").as_bytes()).await, [whole(&most)]);
        assert_eq!(lines(format!("{most}y\nb\n").as_bytes()).await, [Line::TooLong(LARGEST), whole("b")]);
        assert_eq!(lines(format!("{most}{most}y").as_bytes()).await, [Line::TooLong(LARGEST)]);
    }
}
