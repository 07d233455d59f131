//! The matrix as annotations: one of each requirement that is broken or flaky, and of what breaks none.

use super::matrix::{Broken, Matrix, State};
use crate::diagnostic::Severity;
use crate::report::annotations::{Annotation, Locate};

/// What is wrong, at the line that found it first.
pub fn annotations(matrix: &Matrix<'_>, locate: Locate<'_>) -> Vec<Annotation> {
    let rows = matrix.rows.iter().filter(|row| row.state <= State::Flaky).filter_map(|row| {
        let requirement = row.requirement;
        let title = format!("{} is {} ({})", requirement.id, row.state.word(), requirement.level.word());
        let Broken { finding, result } = row.failures.first()?;
        let mut annotation = Annotation::new(row.is_fatal(), &title, &result.path, finding, locate);
        let again = row.again(matrix.scope);
        annotation.message =
            format!("{}\n{}\nsee it again: {again}", requirement.statement, annotation.message.trim_end());
        Some(annotation)
    });
    let others = matrix.others.iter().map(|it| {
        let is_error = it.is_failure() || it.finding.severity == Severity::Error;
        let title = format!("{} in {}", it.finding.id, it.result.path);
        Annotation::new(is_error, &title, &it.result.path, it.finding, locate)
    });
    rows.chain(others).collect()
}
