//! "Did you mean": the nearest of the words that exist.

/// The known word nearest to what was written, if it is near enough to be meant.
pub fn suggestion<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    // A long text is no typing error; it also bounds the work.
    if length == 0 || length > 64 {
        return None;
    }
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|word| (distance(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= length.max(word.chars().count()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many insertions, deletions, replacements and swaps of neighbours lead from one word to the other.
pub fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let width = to.len() + 1;
    let mut table = vec![0usize; (from.len() + 1) * width];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = usize::from(from[i - 1] != to[j - 1]);
                let mut least = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + replaced);
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    least = least.min(table[(i - 2) * width + j - 2] + 1);
                }
                least
            };
        }
    }
    table[from.len() * width + to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors_and_nothing_far_fetched() {
        let steps = ["plug_in", "unplug", "expect", "expect_none", "expect_reply", "withdraw"];
        for (written, meant) in [
            ("expct", Some("expect")),
            ("Expect", Some("expect")),
            ("plugin", Some("plug_in")),
            ("withdarw", Some("withdraw")),
            ("expect_replay", Some("expect_reply")),
            ("launch", None),
            ("", None),
        ] {
            assert_eq!(suggestion(written, steps), meant, "{written}");
        }
        assert_eq!(suggestion(&"x".repeat(1_000_000), steps), None);
    }
}
