//! The experiment language: text comes in through a loader the caller gives, a typed [`experiment::Experiment`] and all problems go out.
//!
//! ```text
//! text ──parse──▶ syntax ──resolve──▶ cells ──check──▶ typed Experiment, hash, origins
//! ```
//!
//! Five laws: an unknown name is an error, always; there is one override rule and no order to remember; the machine does the arithmetic; any
//! value can be asked where it came from; a mistake is reported once, at its place, together with all others.
//!
//! Nothing here touches the file system, the clock, the environment or threads; `clippy.toml` of this crate forbids it. Numbers stay exact
//! rationals until they leave in the experiment. The entries are [`Spec`], for a file with all it offers, and
//! [`load`], for one experiment of it.

mod check;
mod editor;
pub mod evaluate;
pub mod experiment;
pub mod explain;
mod format;
mod hash;
mod loader;
mod names;
pub mod origin;
mod pages;
pub mod parse;
pub mod problem;
pub mod quantity;
mod reference;
mod render;
mod resolve;
pub mod schema;
mod sources;
mod spec;
pub mod syntax;
mod trend;
mod typed;
pub mod wish;
mod write;

pub use editor::{Completion, Role, Symbol, SymbolKind, complete, outline};
pub use format::format;
pub use loader::{Failure, Loader, SHIPPED};
pub use pages::{codes, page};
pub use reference::{generated, schema_json};
pub use render::{Problems, SHOWN};
pub use resolve::{Axis, Sweep};
pub use sources::{Source, Sources};
pub use spec::{Checked, Loaded, Rest, RestKind, Spec, load};
pub use write::{Change, Line, Part, changes};
