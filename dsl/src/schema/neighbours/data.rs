//! Names for data.

use super::Neighbour;

/// Names of neighbours: theirs, ours, and who they are.
pub const NAMES: &[Neighbour] = &[
    ("data_path", "data.source", "GPT-NeoX and Megatron"),
    ("dataset_path", "data.source", "torchtitan"),
    ("dataset_name", "data.source", "Hugging Face"),
    ("data_dir", "data.source", "many programs"),
    ("train_data_path", "data.source", "Megatron"),
    ("dataset", "data", "many programs"),
    ("training_dataset", "data", "many programs"),
    ("train_data_paths", "data.mix", "GPT-NeoX"),
    ("train_data_weights", "data.mix", "GPT-NeoX"),
    ("data_mix", "data.mix", "many programs"),
    ("mixture", "data.mix", "many programs"),
    ("valid_data_paths", "evaluate.data", "GPT-NeoX"),
    ("valid_data_path", "evaluate.data", "Megatron"),
    ("valid_data_weights", "evaluate.data", "GPT-NeoX"),
    ("eval_dataset", "evaluate.data", "Hugging Face"),
    ("tokenizer_type", "data.tokenizer", "GPT-NeoX and Megatron"),
    ("tokenizer_model", "data.tokenizer", "Megatron"),
    ("tokenizer_path", "data.tokenizer", "torchtitan"),
    ("tokenizer_name", "data.tokenizer", "Hugging Face"),
    ("hf_assets_path", "data.tokenizer", "torchtitan"),
    ("vocab_file", "data.tokenizer", "GPT-NeoX and Megatron"),
    ("merge_file", "data.tokenizer", "GPT-NeoX and Megatron"),
    ("epochs", "train.tokens", "many programs"),
    ("num_epochs", "train.tokens", "many programs"),
    ("train_epochs", "train.tokens", "GPT-NeoX"),
    ("pack_impl", "data.pack", "GPT-NeoX"),
    ("packing", "data.pack", "Hugging Face"),
    ("packed", "data.pack", "many programs"),
    ("eod_mask", "data.eod_mask_loss", "many programs"),
    (
        "reset_attention",
        "data.reset_attention_mask",
        "many programs",
    ),
    (
        "reset_positions",
        "data.reset_position_ids",
        "many programs",
    ),
    (
        "document_mask",
        "data.reset_attention_mask",
        "many programs",
    ),
    ("append_eos", "data.append_eod", "many programs"),
    ("add_eos", "data.append_eod", "many programs"),
    ("shuffle", "data.order", "many programs"),
    ("shuffling", "data.order", "many programs"),
    ("data_seed", "data.order_seed", "Hugging Face"),
    ("shuffle_seed", "data.order_seed", "many programs"),
    ("on_error", "data.bad_lines", "many programs"),
    ("text_key", "data.records.text", "many programs"),
    ("text_column", "data.records.text", "Hugging Face"),
    ("text_field", "data.records.text", "many programs"),
    ("dataset_text_field", "data.records.text", "Hugging Face"),
    ("jsonl_keys", "data.records.text", "GPT-NeoX"),
    ("json_keys", "data.records.text", "Megatron"),
];

/// Names of data whose meaning is said in another way here, and how.
pub const ADVICE: &[(&str, &str)] = &[
    (
        "weight_by_num_documents",
        "give every row of the mix its `documents`, and no `weight`: shares follow from them (GPT-NeoX's formula does not keep to them)",
    ),
    (
        "weighted_sampler_alpha",
        "write the shares themselves: a column `weight` in the mix",
    ),
    (
        "num_workers",
        "leave it out: how many workers read changes no sample, and is no part of an experiment",
    ),
    (
        "dataloader_num_workers",
        "leave it out: how many workers read changes no sample, and is no part of an experiment",
    ),
    (
        "data_impl",
        "leave it out: the form of token files is read from the files",
    ),
    (
        "dataset_impl",
        "leave it out: the form of token files is read from the files",
    ),
    (
        "mmap_warmup",
        "leave it out: how files are read changes no sample, and is no part of an experiment",
    ),
    (
        "use_shared_fs",
        "leave it out: every node reads its own copy of the tokens, or a shared one",
    ),
    (
        "test_data_paths",
        "write `split = [99%, 0.5%, 0.5%]` in the dataset, or `evaluate { data = … }` for text of its own",
    ),
    (
        "train_label_data_paths",
        "write `records = instructions { loss = answers }` in the dataset: the mask follows from the fields",
    ),
    (
        "make_vocab_size_divisible_by",
        "write the rows: `vocab = pad_neox(50_277, 2)` is GPT-NeoX's at tp 2, a multiple of 128 × 2",
    ),
];
