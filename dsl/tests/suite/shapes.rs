//! Files that nest, repeat or never end, each made to break a parser or to find a scan within a scan.

/// The size of a hostile file: a mebibyte, and less where nothing is optimised.
const SIZE: usize = if cfg!(debug_assertions) {
    1 << 14
} else {
    1 << 20
};

/// A file and what it is.
pub type Shape = (&'static str, String);

/// What stands in front of a value, and what makes the rest of an experiment whole.
const VALUE: &str = "experiment a {\n x = ";
const WHOLE: &str = "
model m extends transformer { layers = 2, hidden = 64, heads = 2, context = 64 tokens, vocab = 256 }
dataset d { tokenizer = \"bytes\", source = \"hf:a/b\" }
experiment e {
 model = m
 data = d
 train { steps = 10 steps, global_batch = 4 sequences, lr = cosine { peak = 1e-3 } }
 cluster = c
}
cluster c { device = \"cpu\", nodes = 1, gpus_per_node = 1 }
";

/// A front, a piece as often as there is room for it, and a back.
fn filled(front: &str, piece: &str, back: &str) -> String {
    let room = SIZE - front.len() - back.len();
    format!("{front}{}{back}", piece.repeat(room / piece.len()))
}

/// The same with pieces that differ by their number.
fn numbered(front: &str, piece: impl Fn(usize) -> String, back: &str) -> String {
    let mut text = front.to_string();
    for number in 0.. {
        let next = piece(number);
        if text.len() + next.len() + back.len() > SIZE {
            break;
        }
        text.push_str(&next);
    }
    text + back
}

/// What nests or never closes.
pub fn brackets() -> Vec<Shape> {
    let half = SIZE / 2;
    let deep = |open: &str, close: &str| format!("{}1{}\n", open.repeat(60), close.repeat(60));
    vec![
        ("open braces", filled("", "{", "")),
        ("nested blocks", filled("experiment a ", "{ a ", "")),
        (
            "blocks closed by brackets",
            filled("", "experiment a {\n]\n", ""),
        ),
        ("closing braces", filled("", "}\n", "")),
        ("parentheses", filled(VALUE, "(", "")),
        (
            "balanced parentheses",
            format!("{VALUE}{}1{}\n}}", "(".repeat(half), ")".repeat(half)),
        ),
        ("brackets", filled(VALUE, "[", "")),
        ("calls", filled(VALUE, "min(", "")),
        (
            "lines of parentheses",
            filled("experiment a {\n", &format!(" x = {}", deep("(", ")")), "}"),
        ),
        (
            "lines of lists",
            filled("experiment a {\n", &format!(" x = {}", deep("[", "]")), "}"),
        ),
        (
            "lines of calls",
            filled(
                "experiment a {\n",
                &format!(" x = {}", deep("min(1, ", ")")),
                "}",
            ),
        ),
        (
            "lines of open lists",
            filled("experiment a {\n", " x = [1, [2, [3, [4, [5 5]]]]\n", "}"),
        ),
        (
            "blocks in a line",
            filled("experiment a {\n", &format!(" {}", deep("a { ", " }")), "}"),
        ),
        (
            "amended blocks",
            filled(
                "experiment a {\n",
                &format!(" {}", deep("x = a { ", " }")),
                "}",
            ),
        ),
    ]
}

/// Lines that are too long, too many, or nothing.
pub fn lines() -> Vec<Shape> {
    let ifs = format!(" x = {}c\n", "if a then b else ".repeat(31));
    vec![
        ("minus signs", filled(VALUE, "-", "1\n}")),
        ("nots", filled(VALUE, "not ", "true\n}")),
        ("ifs", filled(VALUE, "if a then b else ", "c\n}")),
        ("lines of ifs", filled("experiment a {\n", &ifs, "}")),
        (
            "lines of open ifs",
            filled("experiment a {\n", &ifs.replace("else c", "else"), "}"),
        ),
        ("sums", filled(VALUE, "1 + ", "1\n}")),
        ("a long path", filled(VALUE, "a.", "a\n}")),
        ("a long name", filled(VALUE, "a", "\n}")),
        ("a long number", filled(VALUE, "9", "\n}")),
        ("an open string", filled("experiment a {\n x = \"", "a", "")),
        ("quotes", filled("", "\"", "")),
        (
            "lines of quotes",
            filled("experiment a {\n", " x = \"a\" \"\n", "}"),
        ),
        ("a comment", filled("# ", "a", "")),
        ("comments", filled("", "#\n", "")),
        ("line ends", filled("", "\n", "")),
        (
            "spaces",
            filled("experiment a {", &format!("{}\n", " ".repeat(9_000)), "}"),
        ),
        ("commas", filled("experiment a {", ",", "}")),
        ("junk", filled("", "!!\n", "")),
        ("junk in a block", filled("experiment a {\n", "? 1\n", "}")),
        (
            "one broken field again and again",
            filled("experiment a {\n", "seed: 1\n", "}"),
        ),
        (
            "long junk",
            filled(
                "experiment a {\n",
                &format!("x y{}\n", " 1,".repeat(3_000)),
                "}",
            ),
        ),
        (
            "wide characters",
            filled("experiment a {\n", " ä = \"🦀\" ü\n", "}"),
        ),
    ]
}

/// One name a hundred thousand times, or a hundred thousand names.
pub fn names() -> Vec<Shape> {
    vec![
        (
            "entries of one name",
            filled("experiment a {\n", "seed = 1\n", "}"),
        ),
        (
            "short entries of one name",
            filled("experiment a {\n", "x=1\n", "}"),
        ),
        (
            "unknown fields",
            numbered("experiment a {\n", |n| format!("x{n} = 1\n"), "}"),
        ),
        (
            "sections of one name",
            filled("experiment a {\n", "plan {}\n", "}"),
        ),
        (
            "paths into one section",
            numbered("experiment a {\n", |n| format!("plan.x{n} = 1\n"), "}"),
        ),
        (
            "constants",
            numbered("experiment a {\n", |n| format!("let x{n} = {n}\n"), "}"),
        ),
        (
            "constants of unknown names",
            numbered("experiment a {\n", |n| format!("let x{n} = y{n}\n"), "}"),
        ),
        (
            "a chain of constants",
            numbered(
                "experiment a {\nlet x0 = 1\n",
                |n| format!("let x{} = x{n} + 1\n", n + 1),
                "}",
            ),
        ),
        (
            "a circle of constants",
            numbered(
                "experiment a {\nlet x0 = x1\n",
                |n| format!("let x{} = x{}\n", n + 1, n + 2),
                "}",
            ),
        ),
    ]
}

/// Declarations and imports of one name, and those that extend one another.
pub fn bases() -> Vec<Shape> {
    vec![
        (
            "declarations of one name",
            filled("", "model a extends a {}\n", ""),
        ),
        (
            "experiments of one name",
            filled(WHOLE, "experiment a extends e {}\n", ""),
        ),
        (
            "a chain of bases",
            numbered(
                "model m0 extends transformer {}\n",
                |n| format!("model m{} extends m{n} {{}}\n", n + 1),
                "",
            ),
        ),
        (
            "a chain of experiments",
            numbered(
                WHOLE,
                |n| match n {
                    0 => "experiment x0 extends e {}\n".to_string(),
                    n => format!("experiment x{n} extends x{} {{}}\n", n - 1),
                },
                "",
            ),
        ),
        (
            "unknown bases",
            numbered("", |n| format!("model m{n} extends k{n} {{}}\n"), ""),
        ),
        (
            "bases that are nearly known",
            numbered(
                "",
                |n| format!("model model_{n} extends modell_{n} {{}}\n"),
                "",
            ),
        ),
        ("imports", filled("", "import \"a\"\n", "")),
        (
            "shipped imports",
            filled("", "import \"presets/pile.pleach\"\n", ""),
        ),
        (
            "imports and unknown names",
            filled(
                "",
                "import \"presets/models.pleach\" as a\nmodel b extends a.c {}\n",
                "",
            ),
        ),
    ]
}

/// The data of the experiment with a table of its own, up to and behind its rows.
fn with_table(header: &str) -> (String, String) {
    let (front, back) = WHOLE.split_once(" }\nexperiment").unwrap_or_default();
    let front = format!("{front}, mix = table {{\n{header}\n");
    (front, format!("}} }}\nexperiment{back}"))
}

/// Tables that are long, wide, or wrong in every cell.
pub fn tables() -> Vec<Shape> {
    let mix = |header: &str| {
        format!(
            "{WHOLE}dataset x {{ tokenizer = \"bytes\", source = \"hf:a/b\", mix = table {{\n{header}\n"
        )
    };
    let own = |header: &str| with_table(header).0;
    let rest = with_table("").1;
    vec![
        (
            "rows",
            numbered(
                &own("name | files | weight"),
                |n| format!("r{n} | [\"a\"] | 1e-6\n"),
                &rest,
            ),
        ),
        (
            "rows of one name",
            filled(&own("name | weight"), "r | 1%\n", &rest),
        ),
        (
            "rows that are too short",
            numbered(
                &own("name | files | weight"),
                |n| format!("r{n} | 1%\n"),
                &rest,
            ),
        ),
        (
            "rows with unknown names",
            numbered(&own("name | weight"), |n| format!("r{n} | y{n}\n"), &rest),
        ),
        (
            "rows with wrong cells",
            numbered(&own("name | weight"), |n| format!("r{n} | -1%\n"), &rest),
        ),
        (
            "rows of junk",
            filled(&own("name | weight"), "r |\n", &rest),
        ),
        (
            "rows of dashes",
            numbered(&own("name | weight"), |n| format!("r{n} | -\n"), &rest),
        ),
        (
            "rows nobody uses",
            numbered(&mix("name | weight"), |n| format!("r{n} | 1%\n"), "}}"),
        ),
    ]
}

/// Tables that are wide, and tables of phases and cases.
pub fn wide_tables() -> Vec<Shape> {
    let own = |header: &str| with_table(header).0;
    let rest = with_table("").1;
    let phases = format!("{WHOLE}experiment x extends e {{ train {{ phases = table {{\n");
    let cells = "|1".repeat(4_000);
    vec![
        (
            "wide rows",
            filled(
                &own(&format!("name{}", "|a".repeat(4_000))),
                &format!("a{cells}\n"),
                &rest,
            ),
        ),
        (
            "a wide header",
            filled(
                &own(&format!(
                    "name{}",
                    (0..1_500).map(|n| format!("|a{n}")).collect::<String>()
                )),
                "a|1\n",
                &rest,
            ),
        ),
        (
            "phases",
            numbered(
                &format!("{phases}name | lasts\n"),
                |n| format!("p{n} | 1 steps\n"),
                "} } }",
            ),
        ),
        (
            "phases of dashes",
            numbered(
                &format!("{phases}name | lasts | global_batch\np | 1 steps | 4 sequences\n"),
                |n| format!("p{n} | - | -\n"),
                "} } }",
            ),
        ),
        (
            "cases of a sweep",
            numbered(
                &format!("{WHOLE}sweep s extends e {{ case in table {{\nname | seed\n"),
                |n| format!("c{n} | {n}\n"),
                "} }",
            ),
        ),
    ]
}

/// Laws and wishes.
pub fn laws() -> Vec<Shape> {
    let laws = |law: &str| {
        let (front, back) = WHOLE.split_once(" cluster = c\n").unwrap_or_default();
        filled(
            &format!("{front} cluster = c\n plan {{\n"),
            law,
            &format!("}}\n{back}"),
        )
    };
    vec![
        ("laws", laws("require 1 > 0\n")),
        ("laws that fail", laws("require 1 < 0\n")),
        ("laws over the placement", laws("require tp <= 8\n")),
        ("laws over unknown names", laws("require y > 0\n")),
        ("wishes", laws("minimize time\n")),
    ]
}

/// Numbers, lists and stacks that grow.
pub fn growing() -> Vec<Shape> {
    let power = "9e300 * ".repeat(199);
    vec![
        (
            "numbers that grow",
            numbered(
                "experiment a {\nlet x0 = 9e300\n",
                |n| format!("let x{} = x{n} * x{n}\n", n + 1),
                "}",
            ),
        ),
        (
            "long products",
            filled("experiment a {\n", &format!("let x = {power}1\n"), "}"),
        ),
        (
            "many products",
            numbered(
                "experiment a {\n",
                |n| format!("let x{n} = {power}1\n"),
                "}",
            ),
        ),
        (
            "ranges",
            numbered(
                "experiment a {\n",
                |n| format!("let x{n} = count(1..10_000)\n"),
                "}",
            ),
        ),
        (
            "long lists",
            numbered(
                "experiment a {\n",
                |n| format!("let x{n} = 10_000 * [1]\n"),
                "}",
            ),
        ),
        (
            "copies of a list",
            numbered(
                "experiment a {\nlet x = 10_000 * [1]\n",
                |n| format!("let x{n} = x\n"),
                "}",
            ),
        ),
        (
            "lists that grow",
            numbered(
                "experiment a {\nlet x0 = [1]\n",
                |n| format!("let x{} = 10_000 * x{n}\n", n + 1),
                "}",
            ),
        ),
    ]
}

/// Stacks of many layers, and a field set many times.
pub fn stacks() -> Vec<Shape> {
    vec![
        (
            "layers",
            numbered(
                &format!("{WHOLE}model x extends transformer {{ stack = ["),
                |n| {
                    format!(
                        "{}layer(attention, gelu)",
                        if n % 100 == 0 { "\n" } else { ", " }
                    )
                },
                "] }",
            ),
        ),
        (
            "layers of layers",
            filled(
                &format!("{WHOLE}model x extends transformer {{ layers = 1, stack = [1"),
                ",\n1000000 * [1000000 * [layer(attention, gelu)]]",
                "] }",
            ),
        ),
        (
            "settings of a model",
            filled(
                &format!("{WHOLE}experiment x extends e {{"),
                "\nmodel.mlp.width = 4 * hidden",
                "}",
            ),
        ),
    ]
}

/// Many experiments and many runs.
pub fn runs() -> Vec<Shape> {
    vec![
        (
            "experiments",
            numbered(
                WHOLE,
                |n| format!("experiment x{n} extends e {{ seed = {n} }}\n"),
                "",
            ),
        ),
        (
            "experiments of a large base",
            numbered(
                &WHOLE.replace(
                    " cluster = c\n",
                    &(0..SIZE / 128).fold(" cluster = c\n".to_string(), |text, n| {
                        text + &format!(" let y{n} = 1\n")
                    }),
                ),
                |n| format!("experiment x{n} extends e {{}}\n"),
                "",
            ),
        ),
        (
            "empty experiments",
            numbered("", |n| format!("experiment x{n} {{}}\n"), ""),
        ),
        (
            "sweeps",
            numbered(
                WHOLE,
                |n| format!("sweep s{n} extends e {{ seed in 1..900 }}\n"),
                "",
            ),
        ),
    ]
}

/// Axes that are many, long, or nothing.
pub fn axes() -> Vec<Shape> {
    vec![
        (
            "axes",
            numbered(
                &format!("{WHOLE}sweep s extends e {{\n"),
                |n| format!("x{n} in [1]\n"),
                "}",
            ),
        ),
        (
            "axes over constants",
            numbered(
                &format!("{WHOLE}sweep s extends e {{\n"),
                |n| format!("let c{n} = [1]\nx{n} in c{n}\n"),
                "}",
            ),
        ),
        (
            "a long axis",
            filled(
                &format!("{WHOLE}sweep s extends e {{ seed in ["),
                "1,\n",
                "1] }",
            ),
        ),
        (
            "long axes",
            filled(
                &format!("{WHOLE}sweep s extends e {{\n"),
                "seed in 1..1_000_000\n",
                "}",
            ),
        ),
    ]
}

/// Declarations that are small and many.
pub fn declarations() -> Vec<Shape> {
    vec![
        (
            "bases with a dot",
            numbered("", |n| format!("experiment a{n} extends a.b{n} {{}}\n"), ""),
        ),
        (
            "settings of clusters",
            numbered(
                WHOLE,
                |n| format!("cluster c{n} extends c {{ nodes = {n} }}\n"),
                "",
            ),
        ),
        (
            "datasets",
            numbered(
                WHOLE,
                |n| format!("dataset d{n} extends d {{ source = \"hf:a/{n}\" }}\n"),
                "",
            ),
        ),
        (
            "schedules",
            numbered(
                "",
                |n| format!("schedule s{} extends s{n} {{}}\n", n + 1),
                "",
            ),
        ),
    ]
}
