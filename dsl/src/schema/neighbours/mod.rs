//! What other programs call our fields, for the help under an unknown name. A test in `resolve/unknown.rs` holds that each of our names exists.

mod data;
mod model;
mod plan;
mod train;

/// Their name, ours as a dotted path, and who they are.
pub type Neighbour = (&'static str, &'static str, &'static str);

/// All of them, in several tables.
pub const NEIGHBOURS: &[&[Neighbour]] = &[model::NAMES, data::NAMES, train::NAMES, plan::NAMES];

/// Names whose meaning no single field takes, in several tables: what to write instead.
pub const COMPUTED: &[&[(&str, &str)]] = &[OF_TRAINING, data::ADVICE];

/// Names whose meaning needs arithmetic.
const OF_TRAINING: &[(&str, &str)] = &[
    (
        "gas",
        "write the product instead: `train { global_batch = … sequences }` is micro_batch × dp × gas",
    ),
    (
        "gradient_accumulation_steps",
        "write the product instead: `train { global_batch = … sequences }` is micro_batch × dp × gradient_accumulation_steps",
    ),
    (
        "rampup_batch_size",
        "write it as phases: `train { phases = table { name | lasts | global_batch … } }`",
    ),
    (
        "batch_size_rampup",
        "write it as phases: `train { phases = table { name | lasts | global_batch … } }`",
    ),
    (
        "lr_warmup_fraction",
        "write it as a share: `lr = cosine { peak = …, warmup = 1% of steps }`",
    ),
    (
        "warmup_ratio",
        "write it as a share: `lr = cosine { peak = …, warmup = 1% of steps }`",
    ),
    (
        "decay_ratio",
        "write it as a share: `lr = wsd { peak = …, decay = last(10% of steps) }`",
    ),
    (
        "train_samples",
        "write the product instead: `train { steps = … }` is samples / global batch",
    ),
    (
        "gradient_checkpointing",
        "write `plan { recompute = full }` for every layer, `selective` for what is cheap",
    ),
    ("beta1", "write both together: `betas = [0.9, 0.95]`"),
    ("beta2", "write both together: `betas = [0.9, 0.95]`"),
    (
        "adam_beta1",
        "write both together: `optimizer = adamw { betas = [0.9, 0.95] }`",
    ),
    (
        "adam_beta2",
        "write both together: `optimizer = adamw { betas = [0.9, 0.95] }`",
    ),
    (
        "checkpoint_scale",
        "write `checkpoints { doubling_to = … }` for steps that double, `every = …` for regular ones",
    ),
];

/// Words of neighbours for one of ours: theirs, ours, and who they are.
pub const WORDS_OF_NEIGHBOURS: &[Neighbour] = &[
    ("bfloat16", "bf16", "GPT-NeoX and PyTorch"),
    ("float16", "fp16", "PyTorch"),
    ("half", "fp16", "PyTorch"),
    ("float32", "fp32", "PyTorch"),
    ("float", "fp32", "PyTorch"),
    ("float64", "fp64", "PyTorch"),
    ("double", "fp64", "PyTorch"),
    ("fusedadam", "adamw", "DeepSpeed"),
    ("adamw_torch", "adamw", "Hugging Face"),
    ("inverse_square_root", "inverse_sqrt", "Megatron"),
    ("warmup_stable_decay", "wsd", "Hugging Face"),
    ("minus_sqrt", "sqrt", "Megatron"),
    ("constant_with_warmup", "constant", "Hugging Face"),
    ("cosine_with_min_lr", "cosine", "Hugging Face"),
    ("noam", "inverse_sqrt", "many papers"),
    ("interleaved1f1b", "interleaved", "torchtitan"),
    ("zbv", "zero_bubble", "Colossal-AI"),
    ("interleavedzerobubble", "zero_bubble", "torchtitan"),
    ("block", "full", "Megatron"),
    ("uniform", "full", "Megatron"),
    ("fsdp2", "fsdp", "PyTorch"),
    ("gpt_neox", "neox", "its repository"),
    ("megatron_lm", "megatron", "its repository"),
];
