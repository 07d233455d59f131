//! Completions and manual pages: a shell completes with them, and every command has its page.

use std::fs;
use std::process::Command;

use crate::project::Project;

#[test]
fn bash_completes_commands_and_flags() {
    let project = Project::new();
    let script = project.run(&["completions", "bash"]).exits(0).stdout;
    for (words, wanted) in [(["khumbu", "con"], "conform"), (["khumbu run", "--rele"], "--release")] {
        let line = format!("{} {}", words[0], words[1]);
        let last = line.split(' ').count() - 1;
        let asks = format!(
            "{script}\nCOMP_WORDS=({line}) COMP_CWORD={last}\n_khumbu khumbu {} run\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words[1]
        );
        let told = Command::new("bash").arg("-c").arg(asks).output().unwrap();
        let told = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
        assert!(told.lines().any(|line| line == wanted), "{line}: {told}");
    }
    for shell in ["elvish", "fish", "powershell", "zsh"] {
        assert!(project.run(&["completions", shell]).exits(0).stdout.contains("conform"), "{shell}");
    }
    project.run(&["completions", "cmd"]).exits(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let project = Project::with(&[("file", "")]);
    project.run(&["man", "pages/man1"]).exits(0);
    let pages = fs::read_dir(project.path("pages/man1")).unwrap().count();
    let help = project.run(&["--help"]).exits(0).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")).count();
    assert_eq!(pages, commands + 1);
    let page = project.read("pages/man1/khumbu-run.1");
    assert!(page.contains(".TH") && page.contains("Exit codes:"), "{page}");
    assert!(page.contains("\n.SH EXAMPLES\n.nf\nExamples:\n  khumbu run\n") && page.contains("\n.fi\n"), "{page}");
    assert!(!page.contains(".SH EXTRA"), "{page}");
    let refused = project.run(&["man", "file/man1"]).exits(2).stderr;
    assert!(
        refused.starts_with("error[usage/no-directory]: manual pages cannot be written to `file/man1`: "),
        "{refused}"
    );
}
