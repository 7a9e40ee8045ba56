//! The shapes of a plan, as the eager model wants them: read from the program itself, so that both do the same work.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Doing, Failure};

/// A plan as JSON.
pub fn read(path: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(path).doing(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Tokens of one step over all replicas.
pub fn tokens_of_step(plan: &Value) -> Result<f64, Failure> {
    let training = &plan["training"];
    let product = training["sequence"]
        .as_f64()
        .zip(training["global_batch"].as_f64())
        .map(|(length, count)| length * count);
    product.ok_or_else(|| Failure::new("the plan does not say how many tokens a step has"))
}

/// What `eager_neox.py` takes.
pub fn of(plan: &Value, threads: usize, steps: usize) -> Result<Value, Failure> {
    let training = &plan["training"];
    let embedding = parameter(plan, "embedding.weight")?;
    let heads = operation(plan, "split_heads")?;
    let adamw = operation(plan, "adam_w")?;
    let head_dim = heads["head_dim"].as_u64().filter(|&width| width > 0);
    let hidden = embedding[1].as_u64();
    let count = hidden.zip(head_dim).map(|(hidden, width)| hidden / width);
    Ok(json!({
        "layers": layers(plan), "hidden": hidden, "heads": count, "vocab": embedding[0],
        "ffn": parameter(plan, "layers.{layer}.mlp.up.weight")?[0],
        "rotary": heads["rotary"], "base": heads["base"],
        "eps_norm": operation(plan, "layer_norm")?["eps"],
        "context": training["sequence"], "micro_batch": training["micro_batch"], "micro_steps": training["micro_steps"],
        "precision": match training["compute"].as_str() { Some("bf16") => "bf16", Some("f64") => "fp64", _ => "fp32" },
        "lr": training["schedule"]["peak"], "betas": [adamw["beta1"], adamw["beta2"]], "eps": adamw["eps"],
        "weight_decay": largest_decay(plan), "clip": operation(plan, "clip_factor")?["max_norm"],
        "seed": training["seed"], "threads": threads, "steps": steps,
    }))
}

fn layers(plan: &Value) -> u64 {
    let all = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let chunks = all(&plan["roles"])
        .into_iter()
        .flat_map(|role| all(&role["chunks"]));
    chunks
        .filter_map(|chunk| chunk[1].as_u64())
        .max()
        .map_or(0, |last| last + 1)
}

/// Logical dimensions of a parameter.
fn parameter<'p>(plan: &'p Value, name: &str) -> Result<&'p Value, Failure> {
    let all = plan["parameters"].as_array().into_iter().flatten();
    let found = all
        .into_iter()
        .find(|parameter| parameter["name"] == name)
        .map(|parameter| &parameter["dims"]);
    found.ok_or_else(|| Failure::new(format!("the plan has no parameter {name}")))
}

fn operations<'p>(plan: &'p Value, name: &str) -> impl Iterator<Item = &'p Value> {
    let bodies = plan["bodies"].as_array().into_iter().flatten();
    let code = bodies.flat_map(|body| body["code"].as_array().into_iter().flatten());
    code.filter(move |instruction| instruction["op"] == name)
}

fn operation<'p>(plan: &'p Value, name: &str) -> Result<&'p Value, Failure> {
    let name = name.to_owned();
    operations(plan, &name)
        .next()
        .ok_or_else(|| Failure::new(format!("the plan has no operation {name}")))
}

/// The decay of matrices: biases and norms have none.
fn largest_decay(plan: &Value) -> f64 {
    operations(plan, "adam_w")
        .filter_map(|update| update["weight_decay"].as_f64())
        .fold(0.0, f64::max)
}
