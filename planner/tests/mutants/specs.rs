//! Random specs, as text, of every family of models that is planned, on meshes of every shape.
//!
//! Sizes are small, since what is verified does not depend on them; a third are shipped models in their full size.

use crate::random::Random;

/// Shipped models, one or more of each family.
const SHIPPED: [&str; 18] = [
    "gpt_neox_20b",
    "pythia_410m",
    "gpt3_2b7",
    "gpt2_medium",
    "gpt_neo_125m",
    "opt_2b7",
    "bloom_176b",
    "llama_7b",
    "qwen2_72b",
    "llama_33b",
    "qwen2_0b5",
    "qwen3_8b",
    "gemma_2b",
    "gemma3_1b",
    "falcon_7b",
    "falcon_40b",
    "mixtral_8x7b",
    "mamba_370m",
];

/// Engines with what they can: the highest ZeRO stage, interleaved stages, sequence parallelism.
fn engine(random: &mut Random) -> &'static pleach_planner::engine::Engine {
    let name = random.pick(&[
        "pleach",
        "pleach",
        "pleach",
        "neox",
        "megatron",
        "megatron_core",
        "fsdp",
        "nanotron",
    ]);
    pleach_planner::engine::find(name).expect("an engine of the list")
}

/// Sizes that a model and its placement share.
struct Sizes {
    tp: usize,
    pp: usize,
    vpp: usize,
    dp: usize,
    layers: usize,
    heads: usize,
}

/// A spec with its placement pinned, or a shipped model with its placement open.
pub fn spec(random: &mut Random) -> String {
    if random.below(3) == 0 {
        return shipped(random);
    }
    let engine = engine(random);
    let (tp, pp) = (
        random.pick(&[1, 1, 2, 2, 4, 8]),
        random.pick(&[1, 1, 2, 3, 4]),
    );
    let chunked = engine.interleaves && pp > 1;
    let vpp = if chunked {
        random.pick(&[1, 1, 2, 3])
    } else {
        1
    };
    let sizes = Sizes {
        tp,
        pp,
        vpp,
        dp: random.pick(&[1, 2, 3, 8]),
        layers: pp * vpp + random.pick(&[0, 0, 1, 2, 3, 7]),
        heads: tp * random.pick(&[1, 2, 3]),
    };
    let micro_batch = random.pick(&[1, 1, 2, 3]);
    let micro_steps = random.pick(&[1, 2, 3, 5]) * if vpp > 1 { pp } else { 1 };
    let plan = plan(random, &sizes, engine, micro_batch);
    let batch = micro_batch * micro_steps * sizes.dp;
    let (model, train) = (model(random, &sizes), train(random, batch));
    experiment(random, [&model, &train, &plan], &sizes)
}

fn shipped(random: &mut Random) -> String {
    let name = random.pick(&SHIPPED);
    let sizes = Sizes {
        tp: 1,
        pp: 1,
        vpp: 1,
        dp: random.pick(&[1, 2, 4, 6, 8, 16, 32]),
        layers: 0,
        heads: 0,
    };
    let batch = sizes.dp * random.pick(&[1, 2, 3]);
    let train = train(random, batch);
    let model = format!("model = {name}\n");
    experiment(random, [&model, &train, ""], &sizes)
}

fn experiment(random: &mut Random, [model, train, plan]: [&str; 3], sizes: &Sizes) -> String {
    let ranks = sizes.tp * sizes.pp * sizes.dp;
    let reading = random.pick(&["", "", "", ", records = instructions", ", pack = documents"]);
    format!(
        "import \"presets/models.pleach\"\nimport \"presets/clusters.pleach\"\n\
         dataset nothing {{ source = \"cargo:dependencies\", tokenizer = \"hf:none\"{reading} }}\n\
         experiment one {{\n{model}data = nothing\n\
         cluster = a100_80g {{ nodes = 1, gpus_per_node = {ranks} }}\n{train}{plan}}}\n"
    )
}

fn train(random: &mut Random, batch: usize) -> String {
    let precision = random.pick(&["bf16", "fp32", "fp64", "bf16"]);
    let clip = random.pick(&["none", "1.0", "0.3"]);
    let decay = random.pick(&["0.1", "0"]);
    let also = random.pick(&[
        "",
        ", decay_biases = true",
        ", decay_norms = true",
        ", decay_embeddings = false",
    ]);
    let optimizer = random.pick(&["adamw", "adamw", "adam", "lion", "sgd"]);
    let lr = random.pick(&["cosine", "constant", "wsd", "linear"]);
    format!(
        "train {{ steps = 100 steps, global_batch = {batch} sequences, precision = {precision}, clip = {clip},\n\
         optimizer = {optimizer} {{ weight_decay = {decay}{also} }}, lr = {lr} {{ peak = 1e-3 }} }}\n"
    )
}

fn plan(
    random: &mut Random,
    sizes: &Sizes,
    engine: &pleach_planner::engine::Engine,
    micro_batch: usize,
) -> String {
    let Sizes { tp, pp, vpp, .. } = sizes;
    let zero = random.below(if sizes.dp > 1 {
        engine.zero as usize + 1
    } else {
        1
    });
    let recompute = random.pick(&["none", "selective", "full"]);
    let shards = match random.pick(&[1, 2, 4]) {
        block if block > 1 && zero > 0 && engine.hybrid && sizes.dp.is_multiple_of(block) => {
            format!("shards = {block}\n")
        }
        _ => String::new(),
    };
    let along = *tp > 1 && engine.sequence_parallel && random.coin();
    let stages = match random.below(3) {
        0 => format!("stages = {:?}\n", uneven(random, sizes)),
        _ if !sizes.layers.is_multiple_of(pp * vpp) => "stages = uneven\n".to_owned(),
        1 => "stages = uneven\n".to_owned(),
        _ => String::new(),
    };
    format!(
        "plan {{\nengine = {}\ntp = {tp}\npp = {pp}\nvpp = {vpp}\nzero = {zero}\nmicro_batch = {micro_batch} sequences\n\
         recompute = {recompute}\nsequence_parallel = {along}\n{shards}{stages}}}\n",
        engine.name
    )
}

/// Layers of each chunk, dealt out by chance.
fn uneven(random: &mut Random, sizes: &Sizes) -> Vec<usize> {
    let mut counts = vec![1; sizes.pp * sizes.vpp];
    for _ in counts.len()..sizes.layers {
        let chunk = random.below(counts.len());
        counts[chunk] += 1;
    }
    counts
}

fn model(random: &mut Random, sizes: &Sizes) -> String {
    let Sizes { tp, heads, .. } = sizes;
    let width = random.pick(&[4, 8, 16]);
    let hidden = heads * random.pick(&[width, width, 2 * width]);
    let vocab = 48 * random.pick(&[1, 2, 7]);
    let common = format!(
        "hidden = {hidden}, context = 16 tokens, vocab = {vocab}, residual = {}, norm = {}, tied = {}, biases = {}\n\
         embedding {{ norm = {}, scale = {} }}\nhead {{ bias = {}, cap = {} }}\n",
        random.pick(&[
            "sequential",
            "sequential { norms = after }",
            "sequential { norms = both }",
            "sequential { norms = output }",
            "parallel",
            "parallel { norms = shared }",
        ]),
        random.pick(&["layernorm", "layernorm { bias = false }", "rmsnorm"]),
        random.coin(),
        random.coin(),
        random.pick(&["none", "none", "rmsnorm", "layernorm"]),
        random.pick(&["1", "sqrt(hidden)"]),
        random.coin(),
        random.pick(&["none", "30"]),
    );
    let mlp = mlp(random, *tp);
    if random.below(6) == 0 {
        return format!(
            "model = decoder {{\n{common}{}}}\n",
            mamba(random, sizes, &mlp)
        );
    }
    let kv_heads = random.pick(&[*heads, *tp]);
    let positions = random.pick(&[
        "rotary",
        "rotary { fraction = 50% }",
        "rotary { scale = 2 }",
        "learned",
        "learned { rows = context + 2 tokens }",
        "alibi",
        "none",
    ]);
    let norm = random.pick(&["none", "none", "rmsnorm"]);
    let looks = looks(random, sizes, positions, &mlp);
    format!(
        "model = transformer {{\n{common}heads = {heads}, kv_heads = {kv_heads}, head_dim = {width}, positions = {positions}, qk_norm = {norm}\n\
         {looks}}}\n"
    )
}

/// Layers that are all alike, or of which some look only so far back.
fn looks(random: &mut Random, sizes: &Sizes, positions: &str, mlp: &str) -> String {
    let layers = sizes.layers;
    if positions == "alibi" || random.coin() {
        return format!("layers = {layers}, mlp = {mlp}\n");
    }
    if random.coin() {
        return format!("layers = {layers}, mlp = {mlp}, window = 5 tokens\n");
    }
    let kinds: Vec<&str> = (0..layers)
        .map(|_| random.pick(&["layer(far, half)", "layer(near, half)"]))
        .collect();
    format!(
        "let half = {mlp}\nlet far = attention\nlet near = attention {{ window = 3 tokens }}\nstack = [{}]\n",
        kinds.join(", ")
    )
}

fn mamba(random: &mut Random, sizes: &Sizes, mlp: &str) -> String {
    let half = random.pick(&["", ", half"]);
    format!(
        "let half = {mlp}\nlet space = mamba {{ state = {}, expand = 2, conv = {}, dt_rank = 3, bias = {}, conv_bias = {} }}\n\
         stack = {} * [layer(space{half})]\n",
        random.pick(&[2, 16]),
        random.pick(&[1, 4]),
        random.coin(),
        random.coin(),
        sizes.layers,
    )
}

fn mlp(random: &mut Random, tp: usize) -> String {
    let width = tp * random.pick(&[3, 8]);
    let dense = random.pick(&["gelu", "gelu", "relu", "swiglu", "geglu"]);
    if random.below(4) > 0 {
        return format!("{dense} {{ width = {width} }}");
    }
    format!(
        "moe {{ experts = {}, active = {}, always = {}, balance_loss = {}, router_z_loss = {}, expert = {dense} {{ width = {width}, bias = false }} }}",
        random.pick(&[3, 8]),
        random.pick(&[1, 2]),
        random.pick(&[0, 0, 1]),
        random.pick(&["0", "0.01"]),
        random.pick(&["0", "0.001"]),
    )
}
