//! The data of a plan: prepared or found, and its identity written into the plan before anything runs.

use std::path::Path;

use pleach_data::DataError;
use pleach_data::order::{Order, OrderError, Phases};
use pleach_data::prepare::{self, Prepared};
use pleach_data::tokenize::Description;
use pleach_plan::{DataPlan, Ordering, Packing, Plan};

use crate::consumed::{self, Stretch};
use crate::failure::{Failure, Outcome};
use crate::screen::{Screen, figures};
use crate::tokenizing::{self, Shown};

/// Runs of more samples are not dealt through to their end by a plan.
const COUNTED: u64 = 1 << 22;

/// The data of a run, phase by phase, and the order of its samples.
#[derive(Debug)]
pub struct Ready {
    /// The data of each phase.
    pub prepared: Vec<Prepared>,
    /// Their orders.
    pub orders: Phases,
}

/// Prepares the data of `plan` and fills in its fingerprints and the hash of the whole run's order. `from` is the folder
/// in which the source is looked up.
pub fn prepare(screen: &Screen, plan: &mut Plan, from: &Path) -> Outcome<Ready> {
    let ready = ready(screen, plan, from)?;
    let failed = |error: OrderError| order_failure(&error);
    let order = ready.orders.hash().map_err(failed)?;
    if let Some(wanted) = plan.data.order.as_ref().filter(|wanted| **wanted != order) {
        return Err(Failure::wish(
            "pleach::data::order",
            "the samples would come in another order than the plan says",
        )
        .detail(format!(
            "the plan's order is {wanted}\nhere it is        {order}"
        ))
        .help("plan again from the spec, or run where the same data is"));
    }
    screen.note(&format!("data order {order}"));
    let stamp = |data: &mut DataPlan, prepared: &Prepared| {
        prepared.stamp(data);
        data.order = Some(order.clone());
    };
    stamp(&mut plan.data, &ready.prepared[0]);
    for (phase, prepared) in plan.then.iter_mut().zip(&ready.prepared[1..]) {
        stamp(&mut phase.data, prepared);
    }
    Ok(ready)
}

fn ready(screen: &Screen, plan: &Plan, from: &Path) -> Outcome<Ready> {
    let phases: Vec<&DataPlan> = plan.phases().map(|phase| &phase.data).collect();
    let prepared = of_phases(screen, &phases, from)?;
    let orders = Phases::open(plan, &prepared).map_err(|error| order_failure(&error))?;
    Ok(Ready { prepared, orders })
}

/// The data of each phase; phases that differ only in the shares of their components have it in common.
pub fn of_phases(screen: &Screen, phases: &[&DataPlan], from: &Path) -> Outcome<Vec<Prepared>> {
    let mut found: Vec<Prepared> = Vec::new();
    for (number, data) in phases.iter().enumerate() {
        let alike = phases[..number]
            .iter()
            .position(|earlier| made_of(earlier) == made_of(data));
        if let Some(earlier) = alike {
            found.push(found[earlier].clone());
            continue;
        }
        let prepared = prepared(screen, data, from)?;
        warn_of_skipped(screen, &prepared);
        for component in &prepared.components {
            let (name, documents, tokens) =
                (&component.name, component.documents, component.tokens);
            let [documents, tokens] = [documents, tokens].map(figures::count);
            screen.detail(&format!(
                "  {name}: {tokens} tokens in {documents} documents"
            ));
        }
        found.push(prepared);
    }
    Ok(found)
}

/// Says which records of one's own files were left out, each kind with its first places.
fn warn_of_skipped(screen: &Screen, prepared: &Prepared) {
    for (number, component) in prepared.components.iter().enumerate() {
        if component.skipped_not_text + component.skipped_nul_bytes > 0
            && let Ok(tokens) = prepared.tokens(number)
            && let Ok(description) = Description::read(&tokens.path().with_extension("json"))
        {
            tokenizing::warn_of_skipped(screen, &description);
        }
    }
}

/// What data is made from, without what is dealt from it.
fn made_of(data: &DataPlan) -> DataPlan {
    let mut bare = data.clone();
    bare.name.clear();
    bare.ordering = Ordering::default();
    bare.order_seed = None;
    bare.split = Vec::new();
    bare.packing = Packing::default();
    bare.order = None;
    for component in &mut bare.mix {
        component.weight = [0, 1];
        component.repeat = 1.0;
        component.fingerprint = None;
    }
    bare
}

/// The data that a plan asks for, prepared or found. `from` is the folder in which the source is looked up.
pub fn prepared(screen: &Screen, data: &DataPlan, from: &Path) -> Outcome<Prepared> {
    let cache = prepare::default_cache().map_err(|error| data_failure(&error))?;
    let prepared = match known(data, &cache) {
        Some(prepared) => {
            screen.detail(&format!("prepared data: {}", prepared.folder.display()));
            screen.note(&format!(
                "the data `{}` is as it was prepared for this plan; {} is not read again",
                data.name, data.source
            ));
            prepared
        }
        None => {
            let (name, source) = (&data.name, &data.source);
            screen.note(&format!("preparing the data `{name}` from {source}"));
            built(screen, data, from, &cache)?
        }
    };
    prepared.check(data).map_err(|error| data_failure(&error))?;
    Ok(prepared)
}

/// Prepares the data, and shows how far it is, component by component.
fn built(screen: &Screen, data: &DataPlan, from: &Path, cache: &Path) -> Outcome<Prepared> {
    let mut shown: Option<(String, Shown)> = None;
    let built = prepare::build_telling(data, from, cache, &mut |component, progress| {
        if shown.as_ref().is_none_or(|(name, _)| name != component) {
            if let Some((_, before)) = shown.take() {
                before.finish();
            }
            shown = Some((component.to_owned(), Shown::new(screen, component)));
        }
        if let Some((_, shown)) = &mut shown {
            shown.hear(progress);
        }
    });
    if let Some((_, last)) = shown {
        last.finish();
    }
    built.map_err(|error| data_failure(&error))
}

/// The data of a plan that names it already, wherever its source was: found in the cache by its fingerprints.
fn known(data: &DataPlan, cache: &Path) -> Option<Prepared> {
    if data
        .mix
        .iter()
        .any(|component| component.fingerprint.is_none())
    {
        return None;
    }
    let mut folders: Vec<_> = std::fs::read_dir(cache)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.into_iter().find_map(|folder| {
        let prepared = Prepared::open(&folder).ok()?;
        (prepared.check(data).is_ok() && prepared.verify().is_ok()).then_some(prepared)
    })
}

/// Tells the order of a plan's samples, and what repeats too often, where the data is prepared already; of a very long run the order alone.
pub fn tell_order(screen: &Screen, plan: &Plan, from: &Path) {
    let told = |_: OrderError| ();
    let kept = || {
        let cache = prepare::default_cache().ok()?;
        let phases = plan.phases().map(|phase| &phase.data);
        let kept = phases.map(|data| prepare::kept(data, from, &cache));
        let kept: Vec<Prepared> = kept.collect::<Option<_>>()?;
        let orders = Phases::open(plan, &kept).map_err(told).ok()?;
        let hash = orders.hash().map_err(told).ok()?;
        Some((orders, hash))
    };
    let Some((orders, hash)) = kept() else {
        screen.note("data order: known once the data is prepared (`pleach data mix` does)");
        return;
    };
    screen.note(&format!("data order {hash}"));
    let samples: u64 = orders.orders().iter().map(Order::samples).sum();
    if samples <= COUNTED {
        let steps = 0..plan.run_steps();
        consumed::warn(
            screen,
            &consumed::given(&Stretch::of(plan), &orders, &steps),
        );
    }
}

/// What is wrong with data, as a failure.
pub fn data_failure(error: &DataError) -> Failure {
    let (code, wish) = match error {
        DataError::Source { .. } => ("pleach::data::source", true),
        DataError::Tokenizer { .. } => ("pleach::data::tokenizer", true),
        DataError::NotInCache { .. } => ("pleach::data::hub", true),
        DataError::NoLock { .. } => ("pleach::data::no_lock", true),
        DataError::OtherwiseMade { .. } => ("pleach::data::made", true),
        DataError::Glob { .. } => ("pleach::data::pattern", true),
        DataError::UnknownComponent { .. } => ("pleach::data::component", true),
        DataError::Empty { .. } => ("pleach::data::empty", true),
        DataError::Mismatch { .. } => ("pleach::data::changed", true),
        DataError::DocumentTooLong { .. } => ("pleach::data::document", true),
        DataError::NoInput { .. } => ("pleach::data::input", true),
        DataError::BadRecord { .. } | DataError::Encode { .. } => ("pleach::data::record", true),
        DataError::NoTokenizer { .. } => ("pleach::data::no_tokenizer", true),
        DataError::Training { .. } => ("pleach::data::training", true),
        DataError::Exists { .. } => ("pleach::data::exists", true),
        DataError::Busy { .. } => ("pleach::data::busy", false),
        DataError::Read { .. } => ("pleach::data::file", false),
        DataError::ManyTokenFiles { .. } => ("pleach::data::many_files", true),
        DataError::IdTooLarge { .. } | DataError::Vocabulary { .. } => {
            ("pleach::data::vocabulary", true)
        }
        DataError::Cargo { .. } => ("pleach::data::cargo", false),
        DataError::Damaged { .. } => ("pleach::data::damaged", false),
        DataError::File(_) => ("pleach::data::file", false),
        DataError::NoCache => ("pleach::machine::cache", false),
    };
    let message = error.to_string();
    let failure = if wish {
        Failure::wish(code, message)
    } else {
        Failure::machine(code, message)
    };
    match data_help(error) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// What to do about wrong data, where the message does not say it.
fn data_help(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::Source { .. } => Some(
            "`pleach plan` plans it as it stands; to run it here, `source = \"file:PATH\"` below the spec's folder, or `\"cargo:dependencies\"` with `files` in its mix",
        ),
        DataError::Tokenizer { .. } => Some(
            "`pleach plan` plans it as it stands; to run it here, `tokenizer = \"bytes\"` and `vocab = 256`, or `\"file:PATH/tokenizer.json\"` with a source of files",
        ),
        DataError::File(error) if error.is_full() => Some(
            "make room there and give the same command again: it goes on where it was; nothing that looks whole was left",
        ),
        DataError::File(error) if error.is_missing() => Some(
            "bring it back; a token file is a `.bin` and the `.idx` beside it, which says where documents begin",
        ),
        DataError::Empty { .. } => Some(
            "`files` counts from the source's folder, `**/` goes through all folders below it, and an empty file holds nothing",
        ),
        DataError::Vocabulary { .. } => Some(
            "`model.vocab` has to be larger than the largest id; other ids come from another tokenizer",
        ),
        DataError::Damaged { .. } => Some(
            "bring the two back as they were written together, or make them again; of prepared data delete the folder",
        ),
        DataError::Mismatch { origin, .. } if origin.starts_with("cargo:") => Some(
            "run where the same Cargo.lock is; other data is another run: once the folder of this one is moved away, `pleach run` begins it",
        ),
        DataError::Mismatch { .. } => Some(
            "bring back what the run began with and give the same command again: nothing was changed. Other data is another run: once the folder of this one is moved away, `pleach run` begins it",
        ),
        DataError::BadRecord { .. } => Some(
            "mend it, or have such records left out and counted: `--bad-lines skip`, in a spec `bad_lines = skip`",
        ),
        DataError::NoInput { .. } => Some(
            "paths begin at the spec's folder; bring the files back, or name others: a file, a folder, or a pattern like `text/*.txt`",
        ),
        DataError::OtherwiseMade { .. } => Some(
            "`pleach data tokenize` makes it anew as the spec reads it, or let the spec say how it was made",
        ),
        DataError::Exists { .. } => Some("choose another output, or replace it: `--force`"),
        _ => None,
    }
}

/// What is wrong with an order, as a failure.
pub fn order_failure(error: &OrderError) -> Failure {
    match error {
        OrderError::Data(error) => data_failure(error),
        OrderError::Shares { .. }
        | OrderError::Denominator { .. }
        | OrderError::Blend { .. }
        | OrderError::Components { .. } => {
            Failure::wish("pleach::data::weights", error.to_string())
        }
        OrderError::NoAnswers { .. } => Failure::wish("pleach::data::short", error.to_string())
            .help("`records = instructions { loss = all }` counts prompts too"),
        OrderError::TooShort { .. } => Failure::wish("pleach::data::short", error.to_string())
            .help("give the component more files or a larger share of `split`, which deals out whole documents, or make `model.context` shorter"),
        OrderError::Seed { .. } | OrderError::Indices { .. } => {
            Failure::wish("pleach::data::order_named", error.to_string())
                .help("`order = counter` has no such bounds")
        }
        OrderError::Floats { .. } => Failure::wish("pleach::data::floats", error.to_string()),
        OrderError::Beyond { .. } | OrderError::Room { .. } => {
            Failure::machine("pleach::data::order", error.to_string())
        }
    }
}
