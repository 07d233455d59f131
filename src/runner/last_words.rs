//! Why a module has ended, as far as its output says: the last lines that speak of something wrong. Text in, text out.

/// Lines that are shown.
const SHOWN: usize = 3;
/// Characters of a line that are shown; a log begins each with where and when.
const LONGEST: usize = 240;
/// Words of logs and languages for what ends a program; lower case.
const WRONG: [&str; 12] = [
    "[crit]",
    "[erro]",
    "critical",
    "error",
    "exception",
    "fatal",
    "panic",
    "abort",
    "terminat",
    "traceback",
    "cannot",
    "fail",
];

/// The last lines that tell of something wrong; the last lines at all, if none does.
pub fn last_words(output: &[String]) -> Vec<String> {
    let is_wrong = |line: &&String| {
        let line = line.to_lowercase();
        WRONG.iter().any(|word| line.contains(word))
    };
    let lines = || output.iter().rev().filter(|line| !line.trim().is_empty());
    let mut chosen: Vec<_> = lines().filter(is_wrong).take(SHOWN).collect();
    if chosen.is_empty() {
        chosen = lines().take(SHOWN).collect();
    }
    chosen.into_iter().rev().map(|line| cut(line.trim())).collect()
}

fn cut(line: &str) -> String {
    let mut characters = line.chars();
    let mut cut: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        cut.push('…');
    }
    cut
}

/// A line without the codes that give it colours on a terminal.
pub fn without_colours(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.find(|character: char| !character.is_ascii_digit() && character != ';');
        match code.and_then(|at| piece[at..].strip_prefix('m')) {
            Some(rest) => text.push_str(rest),
            None => {
                text.push_str("\u{1b}[");
                text.push_str(piece);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_went_wrong_is_found_among_what_followed() {
        let log = "\
            [INFO] manager: Starting 6 modules\n\
            [ERRO] evse1: could not find the broker\n\
            [CRIT] manager: Module evse1 (pid: 77) exited with status: 1\n\
            [INFO] manager: Module auth (pid: 78) exited\n\
            \n\
            [INFO] manager: bye";
        let told =
            ["[ERRO] evse1: could not find the broker", "[CRIT] manager: Module evse1 (pid: 77) exited with status: 1"];
        assert_eq!(last_words(&lines(log)), told);
        assert_eq!(last_words(&lines("a\nb\nc\n\nd")), ["b", "c", "d"]);
        assert!(last_words(&[]).is_empty());
        assert_eq!(last_words(&["é".repeat(300)])[0].chars().count(), 241);
    }

    #[test]
    fn colours_go_and_nothing_else_does() {
        for (line, wanted) in [
            ("[\u{1b}[1;31mCRIT\u{1b}[0m] auth", "[CRIT] auth"),
            ("plain [31m", "plain [31m"),
            ("clear \u{1b}[2J", "clear \u{1b}[2J"),
            ("\u{1b}[\u{1b}[m", "\u{1b}["),
            ("", ""),
        ] {
            assert_eq!(without_colours(line), wanted);
        }
    }
}
