//! MQTT topic names and topic filters: what is allowed, and what matches what (MQTT 3.1.1 and 5, section 4.7).
//!
//! Pure. Says why a name or filter is refused in words fit for a user's report.

/// What is wrong with a topic name, or nothing. A name must have at least one character and at most 65,535 bytes, no
/// wildcard and no U+0000 (MQTT-4.7.3-1 to -3, MQTT-3.3.2-2).
pub fn check_name(topic: &str) -> Result<(), String> {
    check_text("topic", topic)?;
    match topic.chars().find(|c| matches!(c, '+' | '#')) {
        Some(wildcard) => Err(format!("topic `{}` contains the wildcard `{wildcard}`", shortened(topic))),
        None => Ok(()),
    }
}

/// More levels than any API has; the same limit as mosquitto's. It keeps the subscription tree shallow.
const MOST_LEVELS: usize = 200;

/// What is wrong with a topic filter, or nothing: at most 200 levels, `#` only as the last level, `+` and `#` only as a whole level
/// (MQTT-4.7.1-1 to -3), and `$share/NAME/FILTER` complete (MQTT-4.8.2-1, -2).
pub fn check_filter(filter: &str) -> Result<(), String> {
    check_text("filter", filter)?;
    let shown = shortened(filter);
    let levels = match shared(filter) {
        Some((group, rest)) => {
            if group.is_empty() || group.contains(['+', '#']) {
                return Err(format!("filter `{shown}` has no share name without wildcards after `$share/`"));
            }
            if rest.is_empty() {
                return Err(format!("filter `{shown}` has nothing to match after its share name"));
            }
            rest
        }
        None => filter,
    };
    if levels.split('/').count() > MOST_LEVELS {
        return Err(format!("filter `{shown}` has more than {MOST_LEVELS} levels"));
    }
    let mut levels = levels.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.len() > 1 && level.contains(['+', '#']) {
            return Err(format!("filter `{shown}` has a wildcard that is not a whole level: `{}`", shortened(level)));
        }
        if level == "#" && levels.peek().is_some() {
            return Err(format!("filter `{shown}` has `#` before its last level"));
        }
    }
    Ok(())
}

/// The group and the filter of a shared subscription, `$share/GROUP/FILTER` (MQTT 5, section 4.8.2). Neither is checked.
pub fn shared(filter: &str) -> Option<(&str, &str)> {
    let rest = filter.strip_prefix("$share/")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// Whether a filter matches a topic name; both are taken to be valid. A leading wildcard does not match a topic that
/// begins with `$` (MQTT-4.7.2-1), and `a/#` matches `a` itself.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(format!("{what} is longer than 65535 bytes"));
    }
    match text.find('\0') {
        Some(at) => Err(format!("{what} contains U+0000 at byte {at}")),
        None => Ok(()),
    }
}

/// Names in messages are cut: a topic of 64 kB helps nobody.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Whether there may be a topic that matches both filters.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            // `a/#` matches `a`, too (MQTT 5, section 4.7.1.2).
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == other || one == "+" || other == "+" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_the_standard_says() {
        // The examples of MQTT 5, sections 4.7.1 and 4.7.2.
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "sport", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/broker", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/broker", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a", "A", false),
            ("a/b", "a", false),
            ("a", "a/b", false),
            ("ä/+", "ä/ö", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} against {topic}");
        }
    }

    #[test]
    fn filters_are_refused_with_the_reason() {
        for (filter, why) in [
            ("", "filter is empty"),
            ("a/#/b", "filter `a/#/b` has `#` before its last level"),
            ("a#", "filter `a#` has a wildcard that is not a whole level: `a#`"),
            ("a/+b/c", "filter `a/+b/c` has a wildcard that is not a whole level: `+b`"),
            ("a\0", "filter contains U+0000 at byte 1"),
            ("$share/g", "filter `$share/g` has nothing to match after its share name"),
            ("$share//a", "filter `$share//a` has no share name without wildcards after `$share/`"),
            ("$share/+/a", "filter `$share/+/a` has no share name without wildcards after `$share/`"),
        ] {
            assert_eq!(check_filter(filter), Err(why.to_owned()));
        }
        for filter in ["#", "+", "/", "a//b", "+/+/#", "$share/g/#", "$SYS/#", "é"] {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn filters_have_a_limited_depth() {
        assert_eq!(check_filter(&"/".repeat(199)), Ok(()));
        assert!(check_filter(&"/".repeat(200)).is_err_and(|why| why.ends_with("has more than 200 levels")));
    }

    #[test]
    fn names_are_refused_with_the_reason() {
        assert_eq!(check_name("a/+/b"), Err("topic `a/+/b` contains the wildcard `+`".to_owned()));
        assert_eq!(check_name(""), Err("topic is empty".to_owned()));
        assert_eq!(check_name("x\0"), Err("topic contains U+0000 at byte 1".to_owned()));
        assert_eq!(check_name(&"x".repeat(65_536)), Err("topic is longer than 65535 bytes".to_owned()));
        assert_eq!(check_name("ü/$/ "), Ok(()));
    }

    #[test]
    fn filters_overlap_where_one_topic_can_match_both() {
        for (one, other, expected) in [
            ("#", "a", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "+/b", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/b", "a/c", false),
            ("a/b/#", "a/c/#", false),
            ("a", "a", true),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
