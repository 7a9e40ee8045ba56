//! The keys of a Hugging Face `config.json`: read by name with a default, and what nobody read is told.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keys that change neither the shape of a model nor what its training costs.
const WITHOUT_EFFECT: [&str; 46] = [
    "_name_or_path",
    "chunk_size_feed_forward",
    "is_decoder",
    "is_encoder_decoder",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "return_dict",
    "tokenizer_class",
    "_attn_implementation",
    "activation_dropout",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "auto_map",
    "begin_suppress_tokens",
    "bos_token_id",
    "classifier_dropout",
    "dropout",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "init_std",
    "label2id",
    "layerdrop",
    "masked_softmax_fusion",
    "model_type",
    "offset_alibi",
    "output_router_logits",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "resid_pdrop",
    "router_jitter_noise",
    "slow_but_exact",
    "task_specific_params",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
];

/// The beginnings of more such keys.
const PREFIXES: [&str; 3] = ["summary_", "skip_bias_add", "attention_softmax"];

/// A configuration, and which of its keys were read.
pub struct Keys<'v> {
    values: &'v Map<String, Value>,
    read: RefCell<BTreeSet<&'static str>>,
    defaulted: RefCell<BTreeSet<&'static str>>,
}

/// What is wrong with a key: its name, and in words what was wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

impl<'v> Keys<'v> {
    /// Of a configuration.
    pub fn of(values: &'v Map<String, Value>) -> Self {
        Self {
            values,
            read: RefCell::default(),
            defaulted: RefCell::default(),
        }
    }

    /// A value that is there and not null.
    fn value(&self, key: &'static str) -> Option<&'v Value> {
        self.read.borrow_mut().insert(key);
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is there, null or not.
    pub fn has(&self, key: &'static str) -> bool {
        self.read.borrow_mut().insert(key);
        self.values.contains_key(key)
    }

    /// Notes that nothing is said under a key, so that the architecture's default counts.
    fn unsaid<T>(&self, key: &'static str, default: T) -> T {
        self.defaulted.borrow_mut().insert(key);
        default
    }

    /// A whole number from 1 under the first of some names; none where no name is there.
    pub fn count(&self, keys: &[&'static str]) -> Result<Option<u64>, Wrong> {
        for key in keys {
            if let Some(value) = self.value(key) {
                let number = value.as_u64().filter(|number| *number > 0);
                let wrong = || Wrong(format!("`{key}` is {value}, not a whole number from 1"));
                return number.map(Some).ok_or_else(wrong);
            }
        }
        if let Some(first) = keys.first() {
            self.unsaid(first, ());
        }
        Ok(None)
    }

    /// A whole number from 0, or its default.
    pub fn any_count(&self, key: &'static str, default: u64) -> Result<u64, Wrong> {
        match self.value(key) {
            None => Ok(self.unsaid(key, default)),
            Some(value) => {
                let wrong = || Wrong(format!("`{key}` is {value}, not a whole number"));
                value.as_u64().ok_or_else(wrong)
            }
        }
    }

    /// A whole number from 1 that must be there.
    pub fn needed(&self, keys: &[&'static str]) -> Result<u64, Wrong> {
        let missing = || Wrong(format!("`{}` is missing", keys.join("` or `")));
        self.count(keys)?.ok_or_else(missing)
    }

    /// A number, or its default.
    pub fn number(&self, key: &'static str, default: f64) -> Result<f64, Wrong> {
        let wrong = |value: &Value| Wrong(format!("`{key}` is {value}, not a number above 0"));
        match self.value(key) {
            None => Ok(self.unsaid(key, default)),
            Some(value) => {
                let number = value.as_f64().filter(|number| *number > 0.0);
                number.ok_or_else(|| wrong(value))
            }
        }
    }

    /// A switch, or its default.
    pub fn truth(&self, key: &'static str, default: bool) -> Result<bool, Wrong> {
        match self.value(key) {
            None => Ok(self.unsaid(key, default)),
            Some(value) => {
                let wrong = || Wrong(format!("`{key}` is {value}, not true or false"));
                value.as_bool().ok_or_else(wrong)
            }
        }
    }

    /// A word, or its default.
    pub fn word(&self, key: &'static str, default: &'static str) -> Result<&'v str, Wrong> {
        match self.value(key) {
            None => Ok(self.unsaid(key, default)),
            Some(value) => {
                let wrong = || Wrong(format!("`{key}` is {value}, not a word"));
                value.as_str().ok_or_else(wrong)
            }
        }
    }

    /// A group of keys.
    pub fn group(&self, key: &'static str) -> Option<&'v Map<String, Value>> {
        self.value(key).and_then(Value::as_object)
    }

    /// Refuses a switch that would make it another model.
    pub fn must_be(&self, key: &'static str, wanted: bool) -> Result<(), Wrong> {
        if self.truth(key, wanted)? == wanted {
            return Ok(());
        }
        Err(Wrong(format!(
            "`{key}` is {}, which a spec cannot say",
            !wanted
        )))
    }

    /// Keys that nobody read and that may change the shape.
    pub fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        let values = self.values.iter().filter(|(_, value)| !value.is_null());
        let known = |key: &str| {
            read.contains(key)
                || WITHOUT_EFFECT.contains(&key)
                || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
                || key.ends_with("_token_id")
        };
        let unread = values.filter(|(key, _)| !known(key));
        unread.map(|(key, _)| key.clone()).collect()
    }

    /// Keys that are there and change nothing that a spec says.
    pub fn ignored(&self) -> Vec<String> {
        let (read, unread) = (self.read.borrow(), self.unread());
        let ignored = |key: &&String| !read.contains(key.as_str()) && !unread.contains(key);
        self.values.keys().filter(ignored).cloned().collect()
    }

    /// Keys that are not there, for which the architecture's default counts.
    pub fn defaulted(&self) -> Vec<String> {
        let defaulted = self.defaulted.borrow();
        defaulted.iter().map(|key| (*key).to_owned()).collect()
    }
}
