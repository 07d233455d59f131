//! Where the commands of `khumbu sim` come from: a terminal with a line editor, or else lines of standard input.

use tokio::io::{AsyncBufReadExt, BufReader, Split, Stdin};

use super::commands::Words;
use super::line_editor::{LineEditor, Typed};

/// Where commands come from.
pub enum Input {
    /// Somebody types.
    Typed(LineEditor),
    /// A pipe, a file, or a terminal that can do no more. Not by text lines: what is no UTF-8 is a bad command, not the end.
    Read(Split<BufReader<Stdin>>),
    /// The end of standard input is no wish to stop.
    Closed,
}

/// What comes next.
pub enum Next {
    /// A line.
    Line(String),
    /// The wish to end.
    End,
}

impl Input {
    /// Takes standard input.
    pub fn open(words: Words) -> Self {
        match LineEditor::open(words) {
            Some(editor) => Self::Typed(editor),
            None => Self::Read(BufReader::new(tokio::io::stdin()).split(b'\n')),
        }
    }

    /// What comes next; never, if nothing can come any more. May be given up without losing anything.
    pub async fn next(&mut self) -> Next {
        match self {
            Self::Typed(editor) => match editor.next().await {
                Typed::Line(line) => return Next::Line(line),
                Typed::End => return Next::End,
                Typed::Closed => {}
            },
            Self::Read(lines) => {
                if let Ok(Some(line)) = lines.next_segment().await {
                    return Next::Line(String::from_utf8_lossy(&line).into_owned());
                }
            }
            Self::Closed => {}
        }
        *self = Self::Closed;
        std::future::pending().await
    }

    /// The last line is done with.
    pub fn go_on(&self, is_followed: bool) {
        if let Self::Typed(editor) = self {
            editor.go_on(is_followed);
        }
    }
}
