//! `pleach schema`: every section with its fields, types, defaults and units, for editors and programs. It is JSON with or without `--json`.

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::Screen;

/// Prints it.
pub fn schema(screen: &Screen) -> Outcome<Exit> {
    screen.data_json(&pleach_dsl::schema_json());
    Ok(Exit::Fine)
}
