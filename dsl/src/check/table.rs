//! A device's own table is a file below the spec's folder.

use super::forms::{Form, form, relative};
use crate::problem::Problem;
use crate::resolve::Resolver;

/// `device = "file:TABLE.toml"`, as `pleach calibrate --out` writes it.
pub fn check(resolver: &mut Resolver) -> Option<()> {
    let known = resolver.known("cluster.device")?;
    let device = known.text()?.to_string();
    let label = match form(&device) {
        Form::File if device.ends_with(".toml") => return None,
        Form::File => "a table is a `.toml`".to_string(),
        Form::Wrong(label) if device.starts_with("file:") => label,
        Form::Other if device.ends_with(".toml") => "no `file:` before it".to_string(),
        _ => return None,
    };
    let title = format!("`{device}` is not the table of a device");
    let problem = Problem::error("pleach::cluster::table", title, known.place, label);
    let path = relative(device.strip_prefix("file:").unwrap_or(&device));
    resolver.report(problem.help(match path.filter(|path| path.ends_with(".toml")) {
        Some(path) => format!("write `device = \"file:{path}\"`"),
        None => "the form is `file:TABLE.toml`, below the spec's folder, as `pleach calibrate --out TABLE.toml` writes it".to_string(),
    }));
    None
}
