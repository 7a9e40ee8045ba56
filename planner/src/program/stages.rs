//! Which layers each pipeline stage holds.

/// First and last layer of each stage: as even as the head's weight allows. `head` is the head's work in thousandths of a layer's.
pub fn balance(layers: u64, stages: u64, head: u64) -> Vec<[u32; 2]> {
    let mut counts = vec![1; stages as usize];
    let last = counts.len() - 1;
    for _ in stages..layers {
        let load = |index: usize, count: u64| (count + 1) * 1000 + if index == last { head } else { 0 };
        let lightest = (0..counts.len()).min_by_key(|&index| (load(index, counts[index]), index));
        counts[lightest.unwrap_or(0)] += 1;
    }
    let mut first = 0;
    let span = |count: &u64| {
        let own = [first, first + *count as u32 - 1];
        first += *count as u32;
        own
    };
    counts.iter().map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::balance;

    #[test]
    fn a_heavy_head_takes_layers_from_the_last_stage() {
        assert_eq!(balance(8, 4, 0), [[0, 1], [2, 3], [4, 5], [6, 7]]);
        assert_eq!(balance(44, 4, 680).map_len(), [11, 11, 11, 11]);
        assert_eq!(balance(9, 2, 1500).map_len(), [5, 4]);
    }

    trait Lengths {
        fn map_len(&self) -> Vec<u32>;
    }

    impl Lengths for Vec<[u32; 2]> {
        fn map_len(&self) -> Vec<u32> {
            self.iter().map(|[first, last]| last - first + 1).collect()
        }
    }
}
