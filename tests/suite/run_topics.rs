//! Modules on topics that are nearly those of the API: whatever then fails, the finding says which were meant.

use crate::clients;
use crate::project::{PASS, Project, REPLY, WITHDRAW};

/// A module of the fixtures whose attributes are another after it was made.
fn module(kind: &str, changes: &str) -> String {
    let (file, made) = match kind {
        "Everest" => ("everest", "(arguments('').parse_args(), {})"),
        _ => ("consumer", "(arguments('').parse_args())"),
    };
    format!("from {file} import {kind}, arguments\nm = {kind}{made}\n{changes}\nm.run()\n")
}

#[test]
fn topics_that_are_nearly_right_are_told() {
    let Some(python) = clients::python() else { return };
    // No flag makes a word right that is none of EVerest's.
    let no_flag = "help: let the module use these topics\n";
    for (kind, changes, scenario, id, told, help) in [
        (
            "Consumer",
            "m.base = m.base.replace('auth_consumer', 'auth_consumr')",
            PASS,
            "module/never-ready",
            "it subscribed to `everest_api/1/auth_consumr/auth_api/e2m/heartbeat`, which is none of EVerest's: did you mean \
             `everest_api/1/auth_consumer/auth_api/e2m/heartbeat`?",
            no_flag,
        ),
        (
            "Consumer",
            "m.send_check = lambda value: m.publish('everest_api/1/auth_consumer/display/m2e/communication_check', 'true')",
            PASS,
            "expect/wrong-topic",
            "it published on `everest_api/1/auth_consumer/display/m2e/communication_check`, which is none of EVerest's: did \
             you mean `everest_api/1/auth_consumer/auth_api/m2e/communication_check`?",
            no_flag,
        ),
        (
            "Consumer",
            "m.control = 'khumbu/display/do'",
            WITHDRAW,
            "module/not-drivable",
            "it subscribed to `khumbu/display/do`, which is none of EVerest's: did you mean `khumbu/auth_api/do`?",
            no_flag,
        ),
        (
            "Consumer",
            "m.send_request = lambda operation, envelope: m.publish(m.base + '/m2e/withdraw_authorisation', '{}')",
            WITHDRAW,
            "expect/missing",
            "it published on `everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorisation`, which is none of EVerest's: \
             did you mean `everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization`?",
            no_flag,
        ),
        (
            "Everest",
            "m.base = m.base.replace('/1/', '/1.0/')",
            REPLY,
            "module/never-ready",
            "it subscribed to `everest_api/1.0/auth_consumer/auth_api/m2e/withdraw_authorization`, which is none of \
             EVerest's: did you mean `everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization`?",
            "help: let the module use these topics, or khumbu the module's, with `--api-version 1.0`\n",
        ),
    ] {
        let project = Project::with(&[("s.yaml", scenario), ("nearly.py", &module(kind, changes))]);
        let module = format!("{} nearly.py", python.display());
        let ran = project.play(&["s.yaml", "--module", &module, "--ready-within", "4s"]);
        let report = ran.report();
        let first = &report["scenarios"][0]["failures"][0];
        assert_eq!(first["id"], id, "{changes}\n{}", ran.stderr);
        let evidence: Vec<_> = first["evidence"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
        assert!(evidence.contains(&told), "{changes}\n{evidence:#?}");
        assert!(ran.stderr.contains(help), "no {help} in {}", ran.stderr);
    }
}
