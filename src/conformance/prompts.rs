//! What a client has to do of its own accord, or be told to, for a requirement to be put to the test.

/// What a client has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prompt {
    /// The commands that have it do so, the plainest first.
    pub commands: &'static [&'static str],
    /// What it does then.
    pub deed: &'static str,
}

/// What a client has to do for this requirement; nothing, if it has to be shown something, or if it does so anyway.
pub fn of(requirement: &str) -> Option<Prompt> {
    let (commands, deed): (&[_], _) = match requirement {
        "CC-9" => (&["communication_check"], "a communication check `false` before it is told to end"),
        "RR-13" | "RR-14" => {
            (&["withdraw", "get_status", "discover", "query_modules"], "a request that asks for a reply")
        }
        "DI-6" | "DI-8" => (&["discover", "query_modules"], "a discovery"),
        "NX-2" => (&["present_token"], "a bank card handed in"),
        "VA-8" => (&["update_verdict"], "an update of a validation result"),
        _ if requirement.starts_with("LV-") => (&["get_status"], "a request for the latched status"),
        _ if requirement.starts_with("WD-") => (&["withdraw"], "a withdraw request"),
        _ if requirement.starts_with("TP-") => (&["present_token"], "a token handed in"),
        _ => return None,
    };
    Some(Prompt { commands, deed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::requirements;
    use crate::protocol::control::command_names;
    use crate::protocol::side::Side;

    #[test]
    fn what_a_client_is_to_do_it_can_be_told() {
        let of_clients = requirements::all().iter().filter(|it| it.binds.is_side(Side::Client));
        let prompts: Vec<_> = of_clients.filter_map(|it| of(it.id)).collect();
        assert!(prompts.len() > 10);
        for command in prompts.iter().flat_map(|prompt| prompt.commands) {
            assert!(command_names().contains(command), "{command}");
        }
    }
}
