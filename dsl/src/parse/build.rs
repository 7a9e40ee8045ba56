//! Pairs of the grammar to the tree. Comments come back as pairs too and are stepped over here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::LazyLock;

use num_bigint::BigInt;
use num_rational::BigRational;
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};

use super::{Balanced, Rule, slips};
use crate::problem::{MOST_PROBLEMS, Problem};
use crate::quantity::{decimal, exact_power, product, whole};
use crate::syntax::{
    Amount, Block, Declaration, Entry, Expression, ExpressionKind, File, Goal, Import, Kind, Name,
    Operator, Path, Place, Row, Table,
};

/// Precedence, the loosest first.
static PRECEDENCE: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    PrattParser::new()
        .op(Op::infix(Rule::kw_or, Assoc::Left))
        .op(Op::infix(Rule::kw_and, Assoc::Left))
        .op(Op::prefix(Rule::kw_not))
        .op(Op::infix(Rule::cmp, Assoc::Left))
        .op(Op::infix(Rule::range, Assoc::Left))
        .op(Op::infix(Rule::add, Assoc::Left))
        .op(Op::infix(Rule::mul, Assoc::Left))
        .op(Op::infix(Rule::kw_of, Assoc::Left))
        .op(Op::prefix(Rule::negate))
});

/// The largest power of ten a literal may have.
const LARGEST_POWER: i32 = 300;

/// The most characters of one.
const LONGEST_NUMBER: usize = 1000;

/// More operators in one formula than any reader follows, and than evaluation should have to nest.
const MOST_OPERATORS: usize = 200;

/// Turns the pairs of one file into its tree.
pub(super) struct Builder<'build> {
    pub file: usize,
    pub text: &'build str,
    pub balanced: &'build Balanced,
    pub problems: &'build mut Vec<Problem>,
    /// What could be read of tables with a broken row.
    pub partial: BTreeMap<Place, Table>,
}

/// The pairs inside a pair, without comments.
fn inside(pair: Pair<Rule>) -> impl Iterator<Item = Pair<Rule>> {
    without_comments(pair.into_inner())
}

/// Pairs without comments.
fn without_comments(pairs: Pairs<Rule>) -> impl Iterator<Item = Pair<Rule>> {
    pairs.filter(|pair| pair.as_rule() != Rule::comment)
}

impl Builder<'_> {
    /// The whole file.
    pub fn file(&mut self, pairs: Pairs<Rule>) -> File {
        let mut file = File::default();
        for pair in pairs.flat_map(inside) {
            match pair.as_rule() {
                Rule::import => file.imports.push(self.import(pair)),
                Rule::declaration => file.declarations.push(self.declaration(pair)),
                Rule::broken => {
                    self.broken(&pair, slips::Where::Top);
                    file.incomplete = true;
                }
                _ => {}
            }
        }
        file.partial = std::mem::take(&mut self.partial);
        file
    }

    /// The value of a setting.
    pub fn only_expression(&mut self, pairs: Pairs<Rule>) -> Expression {
        let expression = pairs
            .flat_map(inside)
            .find(|pair| pair.as_rule() == Rule::expr);
        self.expression(expression.expect("the rule holds one expression"))
    }

    fn place(&self, pair: &Pair<Rule>) -> Place {
        let span = pair.as_span();
        Place {
            file: self.file,
            start: self.balanced.original(span.start()),
            end: self.balanced.original(span.end()),
        }
    }

    fn name(&self, pair: &Pair<Rule>) -> Name {
        Name {
            text: pair.as_str().to_string(),
            place: self.place(pair),
        }
    }

    fn path(&self, pair: &Pair<Rule>) -> Path {
        Path {
            text: pair.as_str().to_string(),
            place: self.place(pair),
        }
    }

    fn import(&mut self, pair: Pair<Rule>) -> Import {
        let mut import = Import {
            path: String::new(),
            place: self.place(&pair),
            alias: None,
        };
        for part in inside(pair) {
            match part.as_rule() {
                Rule::string => {
                    import.place = self.place(&part);
                    import.path = unescape(part);
                }
                Rule::name => import.alias = Some(self.name(&part)),
                _ => {}
            }
        }
        import
    }

    fn declaration(&mut self, pair: Pair<Rule>) -> Declaration {
        let place = self.place(&pair);
        let mut parts = inside(pair);
        let kind = kind_of(
            parts
                .next()
                .expect("a declaration begins with its kind")
                .as_str(),
        );
        let name = self.name(&parts.next().expect("a declaration has a name"));
        let mut base = None;
        let mut block = None;
        for part in parts {
            match part.as_rule() {
                Rule::path => base = Some(self.path(&part)),
                Rule::block => block = Some(self.block(part)),
                _ => {}
            }
        }
        Declaration {
            kind,
            name,
            base,
            block: block.expect("a declaration ends with its block"),
            place,
        }
    }

    fn block(&mut self, pair: Pair<Rule>) -> Block {
        let place = self.place(&pair);
        let mut entries: Vec<Entry> = Vec::new();
        for part in inside(pair) {
            let before = self.problems.len();
            let entry = self.entry(part);
            let slip = self.problems.get(before);
            if slip.is_some_and(|slip| slip.code == slips::THOUSANDS) {
                entries.last_mut().into_iter().for_each(cut_in_two);
            }
            entries.push(entry);
        }
        Block { entries, place }
    }

    fn entry(&mut self, pair: Pair<Rule>) -> Entry {
        let rule = pair.as_rule();
        let whole = self.place(&pair);
        if rule == Rule::broken {
            return self.broken(&pair, slips::Where::Block);
        }
        let mut parts = inside(pair).peekable();
        match rule {
            Rule::section => {
                let name = self.name(&parts.next().expect("a section has a name"));
                Entry::Section {
                    name,
                    block: self.block(parts.next().expect("a section has a block")),
                }
            }
            Rule::binding | Rule::domain => {
                let path = self.path(&parts.next().expect("a binding has a path"));
                let value = self.expression(parts.last().expect("a binding has a value"));
                let place = path.place.to(value.place);
                let value = Arc::new(value);
                if rule == Rule::binding {
                    Entry::Binding { path, value, place }
                } else {
                    Entry::Domain { path, value, place }
                }
            }
            Rule::constant => {
                let name = parts
                    .find(|part| part.as_rule() == Rule::name)
                    .expect("a constant has a name");
                let value = self.expression(parts.last().expect("a constant has a value"));
                Entry::Constant {
                    name: self.name(&name),
                    value: Arc::new(value),
                }
            }
            Rule::require => self.require(parts, whole),
            _ => Entry::Objective {
                goals: self.goals(parts),
                place: whole,
            },
        }
    }

    fn require<'pairs>(
        &mut self,
        parts: impl Iterator<Item = Pair<'pairs, Rule>>,
        whole: Place,
    ) -> Entry {
        let mut condition = None;
        let mut because = None;
        for part in parts {
            match part.as_rule() {
                Rule::expr => condition = Some(self.expression(part)),
                Rule::string => because = Some(unescape(part)),
                _ => {}
            }
        }
        let condition = condition.expect("a requirement has a condition");
        let place = Place {
            end: condition.place.end,
            ..whole
        };
        Entry::Require {
            condition: Arc::new(condition),
            because,
            place,
        }
    }

    fn goals<'pairs>(&mut self, parts: impl Iterator<Item = Pair<'pairs, Rule>>) -> Vec<Goal> {
        let mut goals: Vec<Goal> = Vec::new();
        for part in parts.filter(|part| matches!(part.as_rule(), Rule::first_goal | Rule::goal)) {
            let mut maximize = goals.last().is_some_and(|goal| goal.maximize);
            let mut metric = None;
            let mut within = None;
            for piece in inside(part) {
                match piece.as_rule() {
                    Rule::kw_minimize => maximize = false,
                    Rule::kw_maximize => maximize = true,
                    Rule::expr => metric = Some(self.expression(piece)),
                    Rule::percent => within = Some(self.percent(piece)),
                    _ => {}
                }
            }
            goals.push(Goal {
                maximize,
                metric: metric.expect("a goal has a metric"),
                within,
            });
        }
        goals
    }

    /// Reports a broken line and keeps the name it begins with.
    fn broken(&mut self, pair: &Pair<Rule>, position: slips::Where) -> Entry {
        let place = self.place(pair);
        let path = slips::leading_path(self.text, place);
        if self.problems.len() < MOST_PROBLEMS {
            let slip = slips::diagnose(self.text, place, position);
            self.problems.push(slip);
        }
        Entry::Broken { path, place }
    }

    /// An expression; its place is that of its parts, since the grammar's span may run into spaces and comments behind it.
    pub fn expression(&mut self, pair: Pair<Rule>) -> Expression {
        let place = self.place(&pair);
        let pairs = without_comments(pair.into_inner()).collect::<Vec<_>>();
        if pairs.len() > 2 * MOST_OPERATORS {
            let title = format!("this formula has more than {MOST_OPERATORS} operators");
            let problem = Problem::error(
                "pleach::syntax::long",
                title,
                place,
                "longer than a reader follows",
            );
            self.problems
                .push(problem.help("name its parts: `let part = …`"));
            return Expression {
                kind: ExpressionKind::Broken,
                place,
            };
        }
        if let [_] = pairs.as_slice() {
            let only = pairs.into_iter().next();
            return self.term(only.expect("there is one"));
        }
        let this = std::cell::RefCell::new(self);
        PRECEDENCE
            .map_primary(|primary| this.borrow_mut().term(primary))
            .map_prefix(|prefix, inner| {
                let place = this.borrow().place(&prefix).to(inner.place);
                let inner = Box::new(inner);
                let kind = if prefix.as_rule() == Rule::negate {
                    ExpressionKind::Negate(inner)
                } else {
                    ExpressionKind::Not(inner)
                };
                Expression { kind, place }
            })
            .map_infix(|left, sign, right| {
                let at = this.borrow().place(&sign);
                let place = left.place.to(right.place);
                Expression {
                    kind: ExpressionKind::Binary(
                        operator_of(&sign),
                        at,
                        Box::new(left),
                        Box::new(right),
                    ),
                    place,
                }
            })
            .parse(pairs.into_iter())
    }

    fn term(&mut self, pair: Pair<Rule>) -> Expression {
        let place = self.place(&pair);
        let kind = match pair.as_rule() {
            Rule::paren => {
                let inner = inside(pair).next();
                let inner = self.expression(inner.expect("parentheses hold one expression"));
                return Expression { place, ..inner };
            }
            Rule::choose => return self.choose(pair),
            Rule::quantity => return self.quantity(pair),
            Rule::table => self.table(pair),
            Rule::list => {
                ExpressionKind::List(inside(pair).map(|item| self.expression(item)).collect())
            }
            Rule::string => ExpressionKind::Text(unescape(pair)),
            Rule::boolean => ExpressionKind::Truth(pair.as_str() == "true"),
            Rule::auto => ExpressionKind::Auto,
            Rule::call => {
                let mut parts = inside(pair);
                let name = self.name(&parts.next().expect("a call has a name"));
                ExpressionKind::Call(
                    name,
                    parts.map(|argument| self.expression(argument)).collect(),
                )
            }
            Rule::amend => {
                let mut parts = inside(pair);
                let path = self.path(&parts.next().expect("an amendment has a path"));
                ExpressionKind::Amend(
                    path,
                    self.block(parts.next().expect("an amendment has a block")),
                )
            }
            _ => ExpressionKind::Path(self.path(&pair)),
        };
        Expression { kind, place }
    }

    fn choose(&mut self, pair: Pair<Rule>) -> Expression {
        let start = self.place(&pair).start;
        let parts = inside(pair).filter(|part| part.as_rule() == Rule::expr);
        let mut parts = parts
            .map(|part| self.expression(part))
            .collect::<Vec<_>>()
            .into_iter();
        let mut next = || Box::new(parts.next().expect("a choice has three parts"));
        let (condition, yes, no) = (next(), next(), next());
        let place = Place { start, ..no.place };
        Expression {
            kind: ExpressionKind::Choose(condition, yes, no),
            place,
        }
    }

    fn quantity(&mut self, pair: Pair<Rule>) -> Expression {
        let mut parts = inside(pair);
        let first = parts.next().expect("a quantity begins with its number");
        if first.as_rule() == Rule::percent {
            return self.percent(first);
        }
        let place = self.place(&first);
        let unit = parts.next().map(|unit| self.name(&unit));
        let whole = unit.as_ref().map_or(place, |unit| place.to(unit.place));
        self.amount(first.as_str(), unit, whole, 0)
    }

    fn percent(&mut self, pair: Pair<Rule>) -> Expression {
        let place = self.place(&pair);
        let number = inside(pair).next().expect("a percentage has a number");
        let mut expression = self.amount(number.as_str(), None, place, -2);
        if let ExpressionKind::Amount(amount) = &mut expression.kind {
            amount.magnitude = "%".to_string();
            amount.text.push('%');
        }
        expression
    }

    /// A number times a power of ten.
    fn amount(&mut self, text: &str, unit: Option<Name>, place: Place, shift: i32) -> Expression {
        let (digits, magnitude) = split_magnitude(text);
        let kind = match exact(digits, shift) {
            Some(value) => ExpressionKind::Amount(Amount {
                text: text.to_string(),
                value: magnified(value, magnitude),
                magnitude: magnitude.to_string(),
                unit,
            }),
            None => {
                let title = format!("`{text}` is beyond the numbers of the language");
                let problem = Problem::error(
                    "pleach::number::size",
                    title,
                    place,
                    "too large or too small",
                );
                self.problems.push(problem.help(format!(
                    "powers of ten go from -{LARGEST_POWER} to {LARGEST_POWER}"
                )));
                ExpressionKind::Broken
            }
        };
        Expression { kind, place }
    }

    /// A table; one broken row silences the whole, since sums over the rest would mislead.
    fn table(&mut self, pair: Pair<Rule>) -> ExpressionKind {
        let place = self.place(&pair);
        let mut table = Table {
            header: Vec::new(),
            rows: Vec::new(),
        };
        let mut whole = true;
        for part in inside(pair) {
            match part.as_rule() {
                Rule::header => {
                    table.header = inside(part).map(|column| self.path(&column)).collect()
                }
                Rule::row => table.rows.push(self.row(part)),
                Rule::broken_row => {
                    let place = self.place(&part);
                    if self.problems.len() < MOST_PROBLEMS {
                        let slip = slips::diagnose(self.text, place, slips::Where::Row);
                        self.problems.push(slip);
                    }
                    whole = false;
                }
                _ => {}
            }
        }
        if whole {
            ExpressionKind::Table(table)
        } else {
            self.partial.insert(place, table);
            ExpressionKind::Broken
        }
    }

    fn row(&mut self, pair: Pair<Rule>) -> Row {
        let mut parts = inside(pair);
        let first = parts.next().expect("a row has a name");
        let place = self.place(&first);
        let text = if first.as_rule() == Rule::string {
            unescape(first)
        } else {
            first.as_str().to_string()
        };
        let cell = |part: Pair<Rule>| (part.as_rule() == Rule::expr).then(|| self.expression(part));
        let cells: Vec<Option<Expression>> = parts.map(cell).collect();
        let end = cells
            .iter()
            .flatten()
            .last()
            .map_or(place, |cell| place.to(cell.place));
        Row {
            name: Name { text, place },
            cells,
            place: end,
        }
    }
}

/// The kind a declaration's first word stands for.
fn kind_of(word: &str) -> Kind {
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    kind.expect("the grammar knows the kinds and no other")
}

/// The operator that a sign stands for.
fn operator_of(sign: &Pair<Rule>) -> Operator {
    match sign.as_str() {
        "or" => Operator::Or,
        "and" => Operator::And,
        "==" => Operator::Equal,
        "!=" => Operator::Unequal,
        "<=" => Operator::AtMost,
        ">=" => Operator::AtLeast,
        "<" => Operator::Below,
        ">" => Operator::Above,
        ".." => Operator::Range,
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "%" => Operator::Remainder,
        _ => Operator::Of,
    }
}

/// The text of a string, its escapes undone.
fn unescape(pair: Pair<Rule>) -> String {
    let raw = inside(pair).next().map_or("", |text| text.as_str());
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text
}

/// Digits and the magnitude that touches them.
fn split_magnitude(text: &str) -> (&str, &str) {
    let ends = ["Ki", "Mi", "K", "M", "B", "T"];
    let found = ends.iter().find_map(|end| text.strip_suffix(end));
    found.map_or((text, ""), |digits| (digits, &text[digits.len()..]))
}

/// A number times what its magnitude multiplies by.
fn magnified(value: BigRational, magnitude: &str) -> BigRational {
    let factor = match magnitude {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "K" => 1_000,
        "M" => 1_000_000,
        "B" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return value,
    };
    product(&value, &whole(factor))
}

/// An entry whose value is only the half of a number says nothing.
fn cut_in_two(entry: &mut Entry) {
    let (Entry::Binding { value, .. }
    | Entry::Domain { value, .. }
    | Entry::Constant { value, .. }) = entry
    else {
        return;
    };
    *value = Arc::new(Expression {
        kind: ExpressionKind::Broken,
        place: value.place,
    });
}

/// A decimal literal times a power of ten as an exact rational; none where its exponent is out of bounds.
fn exact(text: &str, shift: i32) -> Option<BigRational> {
    let plain = text.replace('_', "").to_lowercase();
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent
        .parse()
        .ok()
        .filter(|power: &i32| power.abs() <= LARGEST_POWER)?;
    if plain.len() > LONGEST_NUMBER {
        return None;
    }
    let digits = format!("{before}{after}");
    let power = exponent + shift - i32::try_from(after.len()).ok()?;
    if let Ok(digits) = digits.parse() {
        return Some(decimal(digits, power));
    }
    let digits: BigInt = digits.parse().ok()?;
    Some(BigRational::from_integer(digits) * exact_power(10, power))
}
