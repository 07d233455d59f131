//! Tables of cases. Each row is a test of its own: it fails by its own name, and can be run alone.

/// `rows! { check(&Row): name: row, … }` makes a test of each row, by its name, and `ROWS` of all.
macro_rules! rows {
    ($check:ident(&$row:ty): $($name:ident: $case:expr,)+) => {
        #[allow(dead_code, reason = "not every table is looked at as a whole")]
        const ROWS: &[$row] = &[$($case),+];

        mod row {
            use super::*;
            $(
                #[test]
                fn $name() {
                    $check(&$case);
                }
            )+
        }
    };
}
