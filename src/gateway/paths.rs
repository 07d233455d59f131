//! Paths that are nearly those of the interface, and which were meant: "did you mean". Pure.

use crate::scenario::suggestion;

/// Levels that may be mistaken at once.
const MISTAKEN: usize = 2;
/// Longer paths are no slips; it also bounds the work.
const LONGEST: usize = 256;

/// The path that somebody means who asked for this one.
pub fn near<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let asked = asked.trim_matches('/');
    if asked.is_empty() || asked.len() > LONGEST {
        return None;
    }
    let levels: Vec<_> = asked.split('/').collect();
    let rated = known.into_iter().filter_map(|path| Some((mistakes(&levels, path)?, path)));
    rated.min_by_key(|(mistakes, _)| *mistakes).map(|(_, path)| path)
}

/// How many levels are mistaken; `None` where another path is meant.
fn mistakes(asked: &[&str], path: &str) -> Option<usize> {
    let wanted: Vec<_> = path.trim_matches('/').split('/').collect();
    // The levels before are missing: `plug-connector`, `commands/plug-connector`.
    let (missing, wanted) = match wanted.len().checked_sub(asked.len())? {
        0 => (0, &wanted[..]),
        missing => (1, &wanted[missing..]),
    };
    let mut mistakes = missing;
    let mut has_same = false;
    for (asked, wanted) in asked.iter().zip(wanted) {
        match () {
            () if asked == wanted => has_same = true,
            // Anything may stand there; that alone is no resemblance.
            () if wanted.starts_with('{') => {}
            () => {
                suggestion(asked, [*wanted])?;
                mistakes += 1;
            }
        }
    }
    let is_one_word = asked.len() == 1;
    (mistakes <= MISTAKEN && (has_same || is_one_word && !wanted[0].starts_with('{'))).then_some(mistakes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] = [
        "/docs",
        "/openapi.json",
        "/ocpp/chargers",
        "/ocpp/chargers/{charger_id}",
        "/ocpp/chargers/{charger_id}/logs",
        "/ocpp/commands/plug-connector",
        "/ocpp/commands/cache/reset",
    ];

    #[test]
    fn slips_are_understood() {
        for (asked, meant) in [
            ("/ocpp/commands/plug-conector", Some("/ocpp/commands/plug-connector")),
            ("/ocpp/commands/plug_connector", Some("/ocpp/commands/plug-connector")),
            ("/ocpp/command/plug-connector/", Some("/ocpp/commands/plug-connector")),
            ("/commands/plug-connector", Some("/ocpp/commands/plug-connector")),
            ("/plug-connector", Some("/ocpp/commands/plug-connector")),
            ("/ocpp/commands/cache/rest", Some("/ocpp/commands/cache/reset")),
            ("/ocpp/chargers/dep-1/log", Some("/ocpp/chargers/{charger_id}/logs")),
            ("/ocpp/charger", Some("/ocpp/chargers")),
            ("/doc", Some("/docs")),
            ("/openapi.jsn", Some("/openapi.json")),
            ("/ocpp/commands/fly", None),
            ("/", None),
            ("/a/b/c/d/e/f", None),
            ("/<script>", None),
            ("/wp-login.php", None),
        ] {
            assert_eq!(near(asked, KNOWN), meant, "{asked}");
        }
        assert_eq!(near(&"/docs".repeat(100), KNOWN), None);
    }
}
