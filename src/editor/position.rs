//! Places as editors count them: lines from 0, and in them UTF-16 units from 0.

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 0.
    pub line: u32,
    /// UTF-16 units before it in its line.
    pub character: u32,
}

/// The place of a byte of the text.
pub fn to_position(text: &str, byte: usize) -> Position {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let (mut line, mut start) = (0, 0);
    for next in line_starts(text).take_while(|next| *next <= byte) {
        line += 1;
        start = next;
    }
    let units = text[start..byte].encode_utf16().count();
    Position { line, character: u32::try_from(units).unwrap_or(u32::MAX) }
}

/// The byte at a place; the end of its line where that is shorter, the end of the text where that has fewer lines.
pub fn to_byte(text: &str, at: Position) -> usize {
    let start = match at.line {
        0 => 0,
        line => match line_starts(text).nth(line as usize - 1) {
            Some(start) => start,
            None => return text.len(),
        },
    };
    let line = text[start..].split(['\n', '\r']).next().unwrap_or_default();
    let mut units = 0;
    for (byte, character) in line.char_indices() {
        // In the middle of a character is before it.
        if units + character.len_utf16() > at.character as usize {
            return start + byte;
        }
        units += character.len_utf16();
    }
    start + line.len()
}

/// Where each line begins but the first. A line ends with LF, CR or both.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter_map(|(at, byte)| match byte {
        b'\n' => Some(at + 1),
        b'\r' if bytes.get(at + 1) != Some(&b'\n') => Some(at + 1),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_emoji_is_two_units() {
        let text = "a: 🔌\r\n# é🔌x\n";
        let x = text.find('x').unwrap_or_default();
        assert_eq!(to_position(text, x), Position { line: 1, character: 5 });
        assert_eq!(to_byte(text, Position { line: 1, character: 5 }), x);
        // In the middle of it.
        assert_eq!(to_byte(text, Position { line: 0, character: 4 }), 3);
        assert_eq!(to_byte(text, Position { line: 0, character: 99 }), "a: 🔌".len());
        assert_eq!(to_byte(text, Position { line: 9, character: 0 }), text.len());
    }

    proptest! {
        #[test]
        fn every_character_is_found_again(text in "[a\\né🔌\\r]{0,20}") {
            for (byte, character) in text.char_indices() {
                // Between CR and LF there is no place.
                if character != '\n' || !text[..byte].ends_with('\r') {
                    prop_assert_eq!(to_byte(&text, to_position(&text, byte)), byte);
                }
            }
        }
    }
}
