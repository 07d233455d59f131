//! What came before a step, as far as it says which messages count for it.

use std::collections::BTreeMap;
use std::time::Duration;

/// What the steps so far leave behind.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The number of the first record since the last stimulus.
    pub mark: u64,
    /// The last message that met an expectation since the mark.
    pub floor: Option<u64>,
    /// The number of the first record since the module was last ready: what khumbu had said before, it was not shown.
    pub ready_since: u64,
    /// The number of the first record since khumbu last took the module's connection away.
    pub cut_off_since: Option<u64>,
    /// Whether a step has judged the module by something else than its messages, such as that it comes back.
    pub is_judged: bool,
    /// When the module was first ready.
    pub ready_at: Duration,
    /// Whether a step has told the module something in a way of its own.
    pub is_told_by_hand: bool,
    /// How many steps that ask something of the module were met, by the requirement that they were about.
    pub met: BTreeMap<Option<&'static str>, usize>,
    /// The last presentations of each token in a row, by its value.
    presented: BTreeMap<String, InARow>,
    /// The last presentations of tokens in a row, whichever they were.
    any_presented: Option<InARow>,
    /// Where replies pass, by the name of the request.
    named: BTreeMap<String, Replies>,
    /// Where the replies to the last request pass.
    last_request: Option<Replies>,
}

/// Where the reply to a request passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    /// The topic on the wire.
    pub topic: String,
    /// The number of the record of the request, or one just before: what passed there earlier has answered another one.
    pub since: u64,
}

/// Presentations with no expectation between them that was met: what comes of the first may come after the last.
#[derive(Debug, Clone, Copy)]
struct InARow {
    /// The mark of the first.
    since: u64,
    /// Whether an expectation was met since: the next presentation begins anew.
    is_over: bool,
}

impl InARow {
    /// The row with one presentation more.
    fn with(row: Option<Self>, mark: u64) -> Self {
        row.filter(|row| !row.is_over).unwrap_or(Self { since: mark, is_over: false })
    }
}

impl Past {
    /// A stimulus comes: what is seen from this record on counts.
    pub fn set_mark(&mut self, seq: u64) {
        self.mark = seq;
        self.floor = None;
    }

    /// A token was presented, with the last stimulus.
    pub fn present(&mut self, value: String) {
        let row = InARow::with(self.presented.get(&value).copied(), self.mark);
        self.presented.insert(value, row);
        self.any_presented = Some(InARow::with(self.any_presented, self.mark));
    }

    /// From where on statuses of a token count: the first of its presentations in a row.
    pub fn presented_since(&self, value: &str) -> Option<u64> {
        self.presented.get(value).map(|row| row.since)
    }

    /// From where on questions about a token, or about any, count.
    pub fn asked_since(&self, value: Option<&str>) -> Option<u64> {
        value.map_or(self.any_presented.map(|row| row.since), |value| self.presented_since(value))
    }

    /// What was presented until now is dealt with.
    pub fn end_presentations(&mut self) {
        self.presented.values_mut().chain(&mut self.any_presented).for_each(|row| row.is_over = true);
    }

    /// A request was made, under this name if it has one; where its reply will pass.
    pub fn request(&mut self, name: Option<&str>, replies: Replies) {
        self.name(name, replies.clone());
        self.last_request = Some(replies);
    }

    /// Something was published under this name, if it has one, that is no request by its topic.
    pub fn name(&mut self, name: Option<&str>, replies: Replies) {
        if let Some(name) = name {
            self.named.insert(name.to_owned(), replies);
        }
    }

    /// No request of the scenario is the last one any more.
    pub fn forget_last_request(&mut self) {
        self.last_request = None;
    }

    /// Where the reply to the request of this name passes, or to the last one.
    pub fn replies(&self, name: Option<&str>) -> Option<&Replies> {
        match name {
            Some(name) => self.named.get(name),
            None => self.last_request.as_ref(),
        }
    }
}
