//! The layers of a model: as many as it says, and parts that share weights are written alike.

use std::collections::BTreeMap;

use crate::experiment::{Layer as Parts, Mixer, Mlp};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::resolve::Resolver;
use crate::typed;

/// The rules.
pub fn check(resolver: &mut Resolver) {
    as_many_as_said(resolver);
    shared_alike(resolver);
    parts_that_no_layer_uses(resolver);
}

/// `layers` and `stack` are both written and disagree.
fn as_many_as_said(resolver: &mut Resolver) -> Option<()> {
    let said = resolver.known("model.layers")?;
    let stack = resolver.tree.find("model.stack")?;
    let listed = resolver.layers(stack)?.len() as u64;
    if said.count()? == listed {
        return None;
    }
    let node = resolver.tree.node(stack);
    let title = format!(
        "`stack` lists {listed} layers, `layers` says {}",
        said.count()?
    );
    let problem = Problem::error(
        "pleach::stack::layers",
        title,
        node.place,
        format!("{listed} layers"),
    );
    resolver.report(
        problem
            .and(said.place, format!("{} layers", said.count()?))
            .help("remove `layers`, which is counted; or repeat the list more often"),
    );
    None
}

/// A part, as far as it must be alike to be shared.
#[derive(PartialEq)]
enum Part {
    Layer(Box<Parts>),
    Mixer(Mixer),
    Mlp(Mlp),
}

/// Parts that carry one name have one set of weights, so their sizes cannot differ.
fn shared_alike(resolver: &mut Resolver) -> Option<()> {
    let model = typed::model(resolver)?;
    let mut first: BTreeMap<usize, Part> = BTreeMap::new();
    let mut unlike = Vec::new();
    for layer in &model.kinds {
        let mixer = match &layer.mixer {
            Mixer::Attention(attention) => attention.share,
            Mixer::Mamba(mamba) => mamba.share,
            Mixer::None => None,
        };
        let mlp = match &layer.mlp {
            Mlp::Dense(dense) => dense.share,
            Mlp::Experts(experts) => experts.share,
            Mlp::None => None,
        };
        let parts = [
            (layer.share, Part::Layer(Box::new(layer.clone()))),
            (mixer, Part::Mixer(layer.mixer.clone())),
            (mlp, Part::Mlp(layer.mlp.clone())),
        ];
        for (share, part) in parts {
            let Some(share) = share else { continue };
            match first.get(&share) {
                Some(known) if *known != part => unlike.push(share),
                Some(_) => {}
                None => {
                    first.insert(share, part);
                }
            }
        }
    }
    for share in unlike {
        report_unlike(resolver, share);
    }
    None
}

/// The entries `share = name` of one name, the second of which is to blame.
fn report_unlike(resolver: &mut Resolver, share: usize) -> Option<()> {
    let mut names: Vec<String> = Vec::new();
    let mut places = Vec::new();
    let stack = resolver.tree.find("model.stack")?;
    for node in resolver.layers(stack)? {
        let layer = resolver.tree.node(node).path.clone();
        for part in ["", ".mixer", ".mlp"] {
            let Some(known) = resolver.known(&format!("{layer}{part}.share")) else {
                continue;
            };
            let name = known.text()?.to_string();
            if !names.contains(&name) {
                names.push(name.clone());
            }
            if names.iter().position(|other| *other == name) == Some(share)
                && !places.contains(&known.place)
            {
                places.push(known.place);
            }
        }
    }
    let (first, last) = (places.first()?, places.last()?);
    let title = format!(
        "parts that share the weights `{}` are not alike",
        names.get(share)?
    );
    let problem = Problem::error(
        "pleach::share::unlike",
        title,
        *last,
        "its sizes differ from the first's",
    );
    let problem = if first == last {
        problem
    } else {
        problem.and(*first, "the first")
    };
    resolver
        .report(problem.help("write them alike (a `let` helps), or give one of them another name"));
    None
}

/// A part at the top of a `transformer` that its own `stack` does not mention.
fn parts_that_no_layer_uses(resolver: &mut Resolver) -> Option<()> {
    let mlp = resolver.tree.find("model.mlp")?;
    let stack = resolver.tree.find("model.stack")?;
    let node = resolver.tree.node(mlp);
    if node.layer != Layer::Override && node.layer != Layer::CommandLine {
        return None;
    }
    let place = node.place;
    if resolver.tree.is_broken(mlp) {
        return None;
    }
    let mut parts = resolver
        .layers(stack)?
        .into_iter()
        .filter_map(|layer| resolver.tree.child(layer, "mlp"));
    let used = parts.any(|part| part == mlp || resolver.tree.is_broken(part));
    if used {
        return None;
    }
    let title = "no layer of `stack` uses this `mlp`";
    let problem = Problem::warning("pleach::stack::unused", title, place, "has no effect");
    let stack = resolver.tree.node(stack).place;
    resolver.report(
        problem
            .and(stack, "the layers")
            .help("name it there, `layer(attention, mlp)`, or remove it"),
    );
    None
}
