//! Cases as files of a corpus: JSON, read again with the station by its place in the list.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::case::{Case, Ground};
use super::input::Input;
use crate::protocol::wire::Wire;

/// A case in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    side: String,
    api: String,
    /// Which of the grounds.
    ground: usize,
    wire: Wire,
    inputs: Vec<Input>,
}

impl Case {
    /// The text of its file; it stands on one of these grounds.
    pub fn to_corpus(&self, grounds: &[Ground]) -> Option<String> {
        let text = |ground: &Ground| ground.site.text();
        let ground = grounds.iter().position(|ground| text(ground) == text(&self.ground))?;
        let Ground { under_test, api, wire, .. } = &self.ground;
        let (side, api) = (under_test.name().to_owned(), api.name().to_owned());
        let entry = Entry { side, api, ground, wire: *wire, inputs: self.inputs.clone() };
        serde_json::to_string_pretty(&entry).ok()
    }

    /// The case of a file; `Ok(None)` if it is not for these grounds.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn from_corpus(text: &str, grounds: &[Ground]) -> Result<Option<Self>, String> {
        let entry: Entry = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let is_meant = |ground: &&Ground| ground.under_test.name() == entry.side && ground.api.name() == entry.api;
        let ground = grounds.get(entry.ground).filter(is_meant);
        let ground = ground.map(|ground| Ground { wire: entry.wire, ..ground.clone() });
        Ok(ground.map(|ground| Self { ground, inputs: entry.inputs }).filter(Self::is_possible))
    }

    /// A beginning of this one, and after it what is possible of these inputs.
    #[must_use]
    pub fn continued(&self, length: usize, inputs: Vec<Input>) -> Self {
        let mut model = Arc::new(self.ground.model());
        let mut possible = Vec::new();
        for input in self.inputs.iter().take(length).cloned().chain(inputs) {
            if let Some((after, _)) = model.tried(&input) {
                model = after;
                possible.push(input);
            }
        }
        Self { ground: self.ground.clone(), inputs: possible }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::fuzz::strategies;
    use crate::protocol::channel::ApiType;
    use crate::protocol::release::Release;
    use crate::protocol::side::Side;

    #[test]
    fn a_case_is_read_as_it_was_written() {
        let mut runner = TestRunner::deterministic();
        for side in [Side::Client, Side::Everest] {
            let grounds = Ground::all(side, ApiType::AUTH_CONSUMER, Release::default());
            let others = Ground::all(Side::Client, ApiType::AUTH_TOKEN_PROVIDER, Release::default());
            for ground in &grounds {
                let drawn = strategies::inputs(ground, 1..20);
                for _ in 0..20 {
                    let inputs = drawn.new_tree(&mut runner).unwrap().current();
                    let case = Case { ground: ground.clone(), inputs };
                    let text = case.to_corpus(&grounds).unwrap();
                    let read = Case::from_corpus(&text, &grounds).unwrap().unwrap();
                    assert_eq!((&read.inputs, read.ground.site.text()), (&case.inputs, ground.site.text()));
                    assert!(Case::from_corpus(&text, &others).unwrap().is_none());
                    let continued = case.continued(3, case.inputs.clone());
                    assert!(continued.is_possible() && continued.inputs.len() >= case.inputs.len().min(3));
                }
            }
            assert!(Case::from_corpus("{}", &grounds).is_err());
        }
    }
}
