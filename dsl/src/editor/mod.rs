//! What an editor asks while somebody types: the outline of a text, and the names that may stand at a place.
//!
//! In comes a text that need not be whole, out come names with their places; nothing is evaluated and no other file is read, but for the presets that
//! ship. Both answers rest on the tree of the one parser, which loses only the line that is being typed, so a language server needs no second one.

mod complete;
mod context;
mod names;
mod outline;

pub use complete::complete;
pub use names::{Completion, Role};
pub use outline::{Symbol, SymbolKind, outline};
