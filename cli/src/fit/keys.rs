//! The keys of a Hugging Face `config.json`: read by name with a default, and what nobody read is told.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keys that change neither the shape of a model nor what its training costs.
const WITHOUT_EFFECT: [&str; 38] = [
    "_name_or_path",
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
        }
    }

    /// A value that is there and not null.
    fn value(&self, key: &'static str) -> Option<&'v Value> {
        self.read.borrow_mut().insert(key);
        self.values.get(key).filter(|value| !value.is_null())
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
        Ok(None)
    }

    /// The same where it must be there.
    pub fn needed(&self, keys: &[&'static str]) -> Result<u64, Wrong> {
        let missing = || Wrong(format!("`{}` is missing", keys.join("` or `")));
        self.count(keys)?.ok_or_else(missing)
    }

    /// A number, or its default.
    pub fn number(&self, key: &'static str, default: f64) -> Result<f64, Wrong> {
        let wrong = |value: &Value| Wrong(format!("`{key}` is {value}, not a number above 0"));
        match self.value(key) {
            None => Ok(default),
            Some(value) => {
                let number = value.as_f64().filter(|number| *number > 0.0);
                number.ok_or_else(|| wrong(value))
            }
        }
    }

    /// A switch, or its default.
    pub fn truth(&self, key: &'static str, default: bool) -> Result<bool, Wrong> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => {
                let wrong = || Wrong(format!("`{key}` is {value}, not true or false"));
                value.as_bool().ok_or_else(wrong)
            }
        }
    }

    /// A word, or its default.
    pub fn word(&self, key: &'static str, default: &'static str) -> Result<&'v str, Wrong> {
        match self.value(key) {
            None => Ok(default),
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
}
