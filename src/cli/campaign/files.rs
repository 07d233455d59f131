//! What a campaign reads of earlier ones, and leaves for later ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::finds::{Found, Tally, file, named, write_new};
use super::super::print;
use super::Campaign;
use super::play::{Turn, piece, read};
use crate::diagnostic::{Diagnostic, Severity};
use crate::fuzz::{Case, Find};

impl Campaign {
    /// Plays the files that earlier finds have left.
    pub(super) async fn play_known(&self, tally: &mut Tally) {
        let ground = &self.grounds[0];
        for path in files(self.save.as_deref(), "yaml") {
            let name = path.display().to_string();
            let scenario = match fs::read_to_string(&path) {
                Ok(text) => read(&name, &text),
                Err(error) => {
                    let headline = format!("`{name}` cannot be read: {error}");
                    Err(vec![Diagnostic::new(Severity::Error, "fuzz/unread", headline)])
                }
            };
            let scenario = match scenario {
                Ok(scenario) => scenario,
                Err(why) => {
                    print::diagnostics(&why);
                    tally.unread.push(path);
                    continue;
                }
            };
            let is_meant = scenario.model.under_test == ground.under_test && scenario.model.api == ground.api;
            if !is_meant {
                continue;
            }
            let results =
                self.play_pieces(vec![piece(scenario, ground.release())], self.settings.clone(), Turn::Waits).await;
            for result in results {
                let find = Find::of(&result);
                if let Some(finding) = find.as_ref().and_then(|find| find.finding(&result)) {
                    (self.say)(&format!("fails still: {} ({})\n", path.display(), named(&finding.into())));
                    tally.known.push((path.clone(), finding.clone()));
                }
            }
        }
    }

    /// The cases of the corpus, by ground.
    pub(super) fn read_corpus(&self) -> Vec<Vec<Case>> {
        let mut corpus = vec![Vec::new(); self.grounds.len()];
        for path in files(self.corpus.as_deref(), "json") {
            let case = fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|text| Case::from_corpus(&text, &self.grounds));
            match case {
                Ok(Some(case)) => {
                    let text = case.ground.site.text();
                    if let Some(at) = self.grounds.iter().position(|ground| ground.site.text() == text) {
                        corpus[at].push(case);
                    }
                }
                // Of another side, or of another version of khumbu.
                Ok(None) => {}
                Err(why) => {
                    let headline = format!("`{}` is no case of a corpus: {why}", path.display());
                    let why = Diagnostic::new(Severity::Warning, "fuzz/bad-corpus", headline);
                    print::diagnostics(&[why.with_help("it is passed over; delete it")]);
                }
            }
        }
        corpus
    }

    pub(super) fn keep_in_corpus(&self, tally: &mut Tally, number: u64, case: &Case) {
        let text = case.to_corpus(&self.grounds);
        let (Some(directory), Some(text), false) = (&self.corpus, text, case.inputs.is_empty()) else { return };
        match write_new(directory, (&format!("case_{:016x}_{number}", self.seed), "json"), &text) {
            Ok(_) => tally.kept += 1,
            // Once is enough.
            Err(_) if tally.is_unsaved => {}
            Err(error) => {
                tally.is_unsaved = true;
                self.not_saved(directory, &error);
            }
        }
    }

    /// Writes the file of a find, under a name that no other file has.
    pub(super) fn keep(&self, found: &mut Found) {
        let Some(directory) = self.save.as_deref().filter(|_| found.is_one()) else { return };
        match write_new(directory, (&found.find.name(), "yaml"), &file(found, self.seed)) {
            Ok(path) => found.file = Some(path),
            Err(error) => self.not_saved(directory, &error),
        }
    }

    fn not_saved(&self, directory: &Path, error: &io::Error) {
        let headline = format!("`{}` takes no file: {error}", directory.display());
        print::diagnostics(&[Diagnostic::new(Severity::Error, "fuzz/not-saved", headline)]);
    }
}

/// The files of a directory with this extension, by name.
fn files(directory: Option<&Path>, extension: &str) -> Vec<PathBuf> {
    let entries = directory.and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    // What stands there and is no file may never end.
    let may_end = |path: &Path| fs::metadata(path).map_or(true, |found| found.is_file());
    files.retain(|path| path.extension().is_some_and(|it| it == extension) && may_end(path));
    files.sort();
    files
}
