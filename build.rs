//! Puts the scenarios of the conformance suite into the binary: each file of `scenarios/` but the goldens, which are
//! pictures of khumbu's own modules.

#![allow(clippy::print_stdout, reason = "a build script speaks to cargo that way")]

use std::path::{Path, PathBuf};
use std::{env, fs};

const ROOT: &str = "scenarios";
const LEFT_OUT: &str = "golden";

fn main() {
    println!("cargo::rerun-if-changed={ROOT}");
    let project = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the project is"));
    let mut files = Vec::new();
    collect(&project.join(ROOT), &mut files);
    files.sort();
    let mut text = String::from("[\n");
    for file in files {
        let name = file.strip_prefix(&project).expect("it is below the project");
        let name = name.to_str().expect("names of scenarios are ASCII").replace('\\', "/");
        text.push_str(&format!("    File {{ path: {name:?}, text: include_str!({file:?}) }},\n"));
    }
    text.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));
    fs::write(out.join("suite.rs"), text).expect("cargo's own directory can be written");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of scenarios").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != LEFT_OUT) {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}
