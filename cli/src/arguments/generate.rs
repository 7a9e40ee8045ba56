//! Arguments of `generate`.

use std::path::PathBuf;

use clap::Args;

/// What `pleach generate` is asked for.
#[derive(Args, Debug)]
pub struct GenerateArguments {
    /// The run's folder
    #[arg(id = "run_directory", value_name = "RUN_DIR")]
    pub directory: PathBuf,
    /// The text to go on from
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_file")]
    pub prompt: Option<String>,
    /// A file with that text
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// How many tokens follow, at most
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub tokens: u64,
    /// Divides the logits: lower is surer, 0 always takes the likeliest token [default: 0, or 1 where the next three say how to draw]
    #[arg(long, allow_negative_numbers = true, value_name = "T", value_parser = not_negative)]
    pub temperature: Option<f64>,
    /// Only so many of the likeliest tokens; 0 for all [default: 0]
    #[arg(long, allow_negative_numbers = true, value_name = "K")]
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this share [default: 1]
    #[arg(long, allow_negative_numbers = true, value_name = "P", value_parser = share)]
    pub top_p: Option<f64>,
    /// Of the draws: the same seed gives the same text [default: 0]
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub seed: Option<u64>,
    /// The checkpoint of this step, not the newest
    #[arg(long, value_name = "STEP")]
    pub step: Option<u64>,
}

impl GenerateArguments {
    /// Whether something is said of how tokens are drawn, beside the temperature.
    pub fn says_how_to_draw(&self) -> bool {
        self.top_k.is_some() || self.top_p.is_some() || self.seed.is_some()
    }

    /// What divides the logits; 0 takes the likeliest.
    pub fn heat(&self) -> f64 {
        let usual = if self.says_how_to_draw() { 1.0 } else { 0.0 };
        self.temperature.unwrap_or(usual)
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err("it must be 0 or more".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let value = not_negative(text)?;
    if value > 0.0 && value <= 1.0 {
        Ok(value)
    } else {
        Err("a share is above 0 and at most 1".to_owned())
    }
}
