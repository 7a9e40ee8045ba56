//! What an experiment lacks to be planned: machines, wholly or in part. It can be checked without them, so that one spec serves many clusters.

use crate::problem::Problem;
use crate::resolve::{Resolver, example};
use crate::schema::CLUSTER;

/// What to say to whoever wants to plan it; none where nothing is lacking.
pub fn machines(resolver: &mut Resolver) -> Option<Problem> {
    let lacking = resolver.lacking.clone();
    let first = lacking.first()?;
    let name = resolver.kind("")?;
    let code = "pleach::cluster::missing";
    if first == "cluster" {
        let place = resolver.tree.node(0).place;
        let title = format!("`{name}` names no machines, so it cannot be planned");
        let sized = ["gpus", "nodes"]
            .iter()
            .any(|field| resolver.known(&format!("cluster.{field}")).is_some());
        let (written, set) = if sized {
            ("a100_80g", "cluster=a100_80g")
        } else {
            ("a100_80g { nodes = 1 }", "'cluster=a100_80g { nodes = 1 }'")
        };
        let problem = Problem::error(code, title, place, "no `cluster` here");
        return Some(problem.help(format!(
            "import `presets/clusters.pleach` and add `cluster = {written}`, or try one: `--set {set}`"
        )));
    }
    let cluster = resolver.tree.find("cluster")?;
    let place = resolver.name_place(cluster);
    let fields: Vec<&str> = lacking
        .iter()
        .filter_map(|path| path.strip_prefix("cluster."))
        .collect();
    let listed: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
    let title = format!(
        "the cluster of `{name}` says no {}, so it cannot be planned",
        listed.join(" and no ")
    );
    let values: Vec<(&str, String)> = fields
        .iter()
        .filter_map(|field| Some((*field, example(CLUSTER.field(field)?))))
        .collect();
    let written: Vec<String> = values
        .iter()
        .map(|(field, value)| format!("`{field} = {value}`"))
        .collect();
    let (field, value) = values.first()?;
    let problem = Problem::error(code, title, place, format!("no {}", listed.join(", no ")));
    Some(problem.help(format!(
        "add {}, or try it: `--set cluster.{field}={value}`",
        written.join(" and ")
    )))
}
