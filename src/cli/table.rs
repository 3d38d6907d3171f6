//! Tables for people: columns as wide as their widest cell.

use std::io::{self, Write};

use clap::builder::styling::Style;

use super::style::paint;

/// Which side a column's cells lean to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows of cells under a title row.
pub(super) struct Table {
    columns: Vec<(Align, Style)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these titles.
    pub(super) fn new(titles: &[(&str, Align)]) -> Self {
        let columns = titles.iter().map(|(_, align)| (*align, Style::new())).collect();
        Self { columns, rows: vec![titles.iter().map(|(title, _)| (*title).to_owned()).collect()] }
    }

    /// The cells of `column` in `style`, but not its title.
    pub(super) fn styled(mut self, column: usize, style: Style) -> Self {
        if let Some(column) = self.columns.get_mut(column) {
            column.1 = style;
        }
        self
    }

    /// One more row, a cell for each title.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Prints the table, two spaces in front and between, titles in `title`.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(super) fn print(&self, out: &mut impl Write, title: Style) -> io::Result<()> {
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for (at, row) in self.rows.iter().enumerate() {
            let last = row.len().saturating_sub(1);
            for (column, ((cell, width), (align, style))) in row.iter().zip(&widths).zip(&self.columns).enumerate() {
                let space = " ".repeat(width - cell.chars().count());
                let cell = paint(if at == 0 { title } else { *style }, cell);
                match align {
                    Align::Right => write!(out, "  {space}{cell}")?,
                    Align::Left if column == last => write!(out, "  {cell}")?,
                    Align::Left => write!(out, "  {cell}{space}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let mut table = Table::new(&[("name", Align::Left), ("C", Align::Right), ("gate", Align::Left)]);
        table.row(vec!["layer1.0.se".into(), "64".into(), "sigmoid".into()]);
        table.row(vec!["é".into(), "1024".into(), "hard".into()]);
        let mut out = Vec::new();
        table.print(&mut out, Style::new()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "  name            C  gate\n  layer1.0.se    64  sigmoid\n  é            1024  hard\n");
    }
}
