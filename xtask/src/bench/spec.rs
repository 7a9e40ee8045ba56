//! A spec of many lines, written by a loop: models that extend one another, data with tables, machines, experiments, sweeps and comments.

use std::fmt::Write as _;

/// Lines of the file that is checked.
pub const LINES: usize = 20_000;

/// Such a file.
pub fn long() -> String {
    let mut text = "import \"presets/clusters.pleach\"\n".to_string();
    let mut lines = 1;
    for number in 0.. {
        let group = group(number);
        let more = group.lines().count();
        if lines + more > LINES {
            break;
        }
        text.push_str(&group);
        lines += more;
    }
    text.push_str(&"# The end.\n".repeat(LINES - lines));
    text
}

/// One of each, by number.
fn group(number: usize) -> String {
    let base = match number % 8 {
        0 => "transformer".to_string(),
        _ => format!("model_{}", number - 1),
    };
    let (layers, nodes) = (12 + number % 5, 1 + number % 4);
    let mut text = format!(
        "
# Number {number}: a model, the text it reads, machines, and a run on them.
model model_{number} extends {base} {{
  layers  = {layers}
  hidden  = 768                              # twelve heads of 64
  heads   = 12
  context = 2048 tokens
  vocab   = 50_432
  mlp     = gelu {{ width = 4 * hidden }}
}}

dataset text_{number} {{
  tokenizer = \"hf:EleutherAI/gpt-neox-20b\"
  source    = \"cargo:dependencies\"
  mix = table {{
    name  | files       | weight
    code  | [\"**/*.rs\"] | 70%
    prose | [\"**/*.md\"] | 30%
  }}
}}

cluster machines_{number} extends a100_80g {{ nodes = {nodes}, gpus_per_node = 8 }}

experiment run_{number} {{
  model = model_{number}
  data  = text_{number}
  train {{
    steps        = ceil(10B tokens / global_batch)
    global_batch = 512 sequences
    optimizer    = adamw {{ betas = [0.9, 0.95], weight_decay = 0.1 }}
    lr           = cosine {{ peak = 6e-4, end = 10% of peak, warmup = 1% of steps }}
    precision    = bf16
  }}
  cluster = machines_{number}
  plan {{
    tp in [1, 2]
    require tp <= cluster.gpus_per_node because \"it stays inside a node\"
    minimize time
  }}
}}
"
    );
    if number.is_multiple_of(10) {
        writeln!(
            text,
            "\nsweep rates_{number} extends run_{number} {{ train.lr.peak in [3e-4, 6e-4, 1e-3] }}"
        )
        .expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_its_lines() {
        assert_eq!(long().lines().count(), LINES);
    }
}
