//! Tables on the screen: plain columns without lines, readable without colour.

use comfy_table::{CellAlignment, Table, presets::NOTHING};

/// A table with a header; columns from `numbers_from` on hold numbers and are aligned to the right.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, numbers_from: usize) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Each line begins with the padding of its first cell.
    let line = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
    table
        .to_string()
        .lines()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(
            &["what", "n"],
            vec![row(["a", "10"]), row(["bcdef", "9"])],
            1,
        );
        assert_eq!(text, "what    n\na      10\nbcdef   9");
    }
}
