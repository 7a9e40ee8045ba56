//! Dealing one sample after another by Tijdeman's rule (the "chairman assignment").
//!
//! In come shares over a common denominator and how many samples each component gave so far; out come the next ones. A component may give a
//! sample once it is owed `1/(2n − 2)` of one, and has to before it is owed `1 − 1/(2n − 2)`; of those that may, the one whose turn runs out first
//! gives it. For `n` components every prefix of `t` samples then holds `t × share` of each to within `1 − 1/(2n − 2)`.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Deals from some sample on.
#[derive(Debug)]
pub(super) struct Dealer {
    shares: Vec<u64>,
    period: u64,
    /// 2n − 2; 1 for a single component, which is always due.
    slack: u64,
    /// Samples dealt.
    sample: u64,
    taken: Vec<u64>,
    waiting: BinaryHeap<Waiting>,
    due: BinaryHeap<Due>,
}

/// A component that may not give yet.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    /// The first sample that it may give.
    from: u64,
    component: u16,
}

/// A component that may give.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    /// The sample at which its turn runs out, rounded down.
    ends: u64,
    /// What was rounded off: this over its share.
    rest: u128,
    share: u64,
    component: u16,
}

impl Dealer {
    /// Goes on after these samples; `taken` sums to how many there were, and is what a dealer from the beginning had then.
    pub fn new(shares: &[u64], period: u64, taken: Vec<u64>) -> Dealer {
        let sharing = shares.iter().filter(|&&share| share > 0).count() as u64;
        let mut dealer = Dealer {
            shares: shares.to_vec(),
            period,
            slack: (2 * sharing).saturating_sub(2).max(1),
            sample: taken.iter().sum(),
            taken,
            waiting: BinaryHeap::new(),
            due: BinaryHeap::new(),
        };
        let sharing = shares.iter().zip(0..).filter(|(share, _)| **share > 0);
        sharing.for_each(|(_, component)| dealer.wait(component));
        dealer
    }

    /// How many samples each component gave.
    pub fn taken(&self) -> &[u64] {
        &self.taken
    }

    /// The component of the next sample, and how many samples it gave before.
    pub fn next(&mut self) -> (u16, u64) {
        while self
            .waiting
            .peek()
            .is_some_and(|first| first.from <= self.sample)
        {
            if let Some(Waiting { component, .. }) = self.waiting.pop() {
                self.due.push(self.turn(component));
            }
        }
        let due = self.due.pop();
        let component = due
            .expect("some component is owed at least the mean of all")
            .component;
        let taken = &mut self.taken[usize::from(component)];
        let before = *taken;
        *taken += 1;
        self.sample += 1;
        self.wait(component);
        (component, before)
    }

    /// Lets a component wait for its next turn. Before sample `i` is dealt it is owed `share × (i + 1) / period − taken`.
    fn wait(&mut self, component: u16) {
        let [share, period, slack, taken] = self.figures(component);
        let from = ((taken * slack + 1) * period).div_ceil(slack * share) - 1;
        self.waiting.push(Waiting {
            from: u64::try_from(from).unwrap_or(u64::MAX),
            component,
        });
    }

    /// A component's share, the period, the slack, and what was taken of it.
    fn figures(&self, component: u16) -> [u128; 4] {
        let number = usize::from(component);
        [
            self.shares[number],
            self.period,
            self.slack,
            self.taken[number],
        ]
        .map(u128::from)
    }

    fn turn(&self, component: u16) -> Due {
        let [share, period, slack, taken] = self.figures(component);
        let (whole, unit) = ((taken * slack + slack - 1) * period, slack * share);
        Due {
            ends: u64::try_from(whole / unit).unwrap_or(u64::MAX),
            rest: whole % unit,
            share: self.shares[usize::from(component)],
            component,
        }
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        let rests = |one: &Due, two: &Due| one.rest * u128::from(two.share);
        let sooner = other.ends.cmp(&self.ends);
        let sooner = sooner.then_with(|| rests(other, self).cmp(&rests(self, other)));
        sooner.then_with(|| other.component.cmp(&self.component))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        (other.from, other.component).cmp(&(self.from, self.component))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
